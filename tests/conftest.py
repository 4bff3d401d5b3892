"""Fixtures of all tests: an app as in production, with the extension, and its client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask import Flask

from flask_modelserve import ModelServe

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.fixture
def app() -> Flask:
    """An app that answers a crash with 500, as in production: TESTING would let it through."""
    return Flask(__name__)


@pytest.fixture
def serve(app: Flask) -> ModelServe:
    return ModelServe(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
