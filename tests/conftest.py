"""Fixtures of all tests: an app as in production, with the extension, and its client."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from flask_modelserve import ModelServe

from .crowds import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

EXAMPLES = Path(__file__).parents[1] / "examples"

# Tests that a script runs in the background ignore it, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that a model hangs at; it opens at the end, so that no thread is left."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def language(monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The example of README."""
    monkeypatch.syspath_prepend(EXAMPLES / "language")
    for name in ("app", "language_pb2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("app").app
