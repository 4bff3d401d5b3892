"""The ping route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_modelserve import ModelServe

if TYPE_CHECKING:
    from flask import Flask


def test_ping(app: Flask) -> None:
    """/__ping answers 200 while the process lives."""
    ModelServe(app)
    response = app.test_client().get("/__ping")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_ping_can_be_moved_and_switched_off(app: Flask) -> None:
    """The path is configurable, and None switches the route off."""
    app.config["MODELSERVE_PING_PATH"] = None
    ModelServe(app)
    assert app.test_client().get("/__ping").status_code == 404
