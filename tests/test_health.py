"""The routes that a supervisor asks: ping and ready."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_modelserve import ModelServe, health
from flask_modelserve.drain import Drain

from .crowds import Gate, until
from .documents import blocks

if TYPE_CHECKING:
    from flask.testing import FlaskClient

GUIDE = Path(__file__).parents[1] / "docs" / "readiness.md"
PATHS = {"MODELSERVE_PING_PATH": "/__ping", "MODELSERVE_READY_PATH": "/__ready"}


def test_ping(client: FlaskClient, serve: ModelServe) -> None:
    """/__ping answers 200 while the process lives."""
    response = client.get("/__ping")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(("key", "path"), PATHS.items())
def test_paths(app: Flask, client: FlaskClient, key: str, path: str) -> None:
    """Each path is configurable, and None switches its route off."""
    app.config[key] = "/elsewhere"
    ModelServe(app)
    assert client.get("/elsewhere").status_code == 200
    assert client.get(path).status_code == 404
    off = Flask("off")
    off.config[key] = None
    ModelServe(off)
    assert off.test_client().get(path).status_code == 404


def test_ready_without_models(client: FlaskClient, serve: ModelServe) -> None:
    """With nothing to load and nothing to try the first probe is told so; no cache keeps that."""
    serve.endpoint("/")(answer)
    response = client.get("/__ready")
    assert (response.status_code, response.json) == (200, {"status": "ready"})
    assert response.headers["Cache-Control"] == "no-store"
    assert client.head("/__ready").status_code == 200


def answer() -> str:
    return "answer"


def test_what_is_missing(client: FlaskClient, serve: ModelServe) -> None:
    """Until all have loaded and answered, a problem document names the others and their states."""
    load, call = Gate(), Gate()

    @serve.endpoint("/model", example={})
    class Model:
        def __init__(self) -> None:
            load.pass_through()

        def __call__(self) -> str:
            call.pass_through()
            return "answer"

    @serve.endpoint("/other", example={"number": 1})
    def other(number: int) -> int:
        return number

    serve.endpoint("/plain")(answer)
    response = client.get("/__ready")
    assert (response.status_code, response.content_type) == (503, "application/problem+json")
    assert response.headers["Retry-After"] == "1"
    [shown] = [json.loads(block.text) for block in blocks(GUIDE) if block.language == "json"]
    request_id = response.json["request_id"]
    endpoints = {"Model": "loading", "other": "loading"}
    assert response.json == shown | {"endpoints": endpoints, "request_id": request_id}
    load.await_calls()
    load.open()
    call.await_calls()
    assert missing(client) == {"Model": "warming up", "other": "loading"}
    call.open()
    until(lambda: client.get("/__ready").status_code == 200)


def missing(client: FlaskClient) -> Any:
    return (client.get("/__ready").json or {}).get("endpoints")


def test_drain(client: FlaskClient, serve: ModelServe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a drain has begun, /__ready says 503, and all else is answered."""
    monkeypatch.setattr(health, "drain", Drain())
    serve.endpoint("/")(answer)
    assert client.get("/__ready").status_code == 200
    health.drain.begin()
    response = client.get("/__ready")
    assert (response.status_code, response.content_type) == (503, "application/problem+json")
    assert response.json["detail"] == "The service is about to stop."
    assert client.get("/__ping").status_code == 200
    assert client.post("/").json == "answer"


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_drain_of_all_processes(
    client: FlaskClient, serve: ModelServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain that one process begins is one of all that were forked from the same."""
    monkeypatch.setattr(health, "drain", Drain())
    child = os.fork()
    if not child:
        health.drain.begin()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert client.get("/__ready").status_code == 503
