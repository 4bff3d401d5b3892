"""What clients are not told: no answer shows what it is made of."""

from __future__ import annotations

import platform
import socket
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from flask import Flask
from flask_caching import Cache
from pydantic import BaseModel, field_validator

from flask_modelserve import BadResponse, Batch, ModelServe

from .protos import every_pb2
from .serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

SECRET = "the secret of the model"
PACKAGES = {"flask", "werkzeug", "orjson", "protobuf", "protobuf-py", "pydantic", "gunicorn"}
VERSIONS = {
    each.version for each in distributions() if each.metadata["Name"].lower() in PACKAGES
} | {platform.python_version()}
TELLING = {
    SECRET, "flask_modelserve", "site-packages", "Traceback", "Error:", ".py", "0x", "lambda",
    str(Path.cwd()), str(Path.home()), platform.node(), "orjson", "pydantic", "redis", *VERSIONS,
}  # fmt: skip


class Flat(BaseModel):
    rooms: int

    @field_validator("rooms")
    @classmethod
    def crash(cls, rooms: int) -> int:
        if rooms == 13:
            raise KeyError(SECRET)
        return rooms


def fail(**_: Any) -> Any:
    raise RuntimeError(SECRET)


def stream() -> Iterator[int]:
    yield 1
    raise RuntimeError(SECRET)


def early_stream() -> Iterator[int]:
    raise RuntimeError(SECRET)
    yield 1


class Unmade:
    def __init__(self) -> None:
        raise RuntimeError(SECRET)

    def __call__(self) -> None: ...


def bad_answer() -> Any:
    raise BadResponse(SECRET)


ENDPOINTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "crash": (fail, {}),
    "timed": (fail, {"timeout": 9}),
    "admitted": (fail, {"max_concurrency": 1}),
    "cached": (fail, {"cache": 60}),
    "batched": (lambda a=0: fail(), {"batch": Batch(4, max_wait=0)}),
    "short": (lambda a=0: [], {"batch": 4}),
    "shapeless": (lambda a=0: SECRET, {"batch": 4}),
    "stream": (stream, {}),
    "early": (early_stream, {}),
    "unmade": (Unmade, {}),
    "unwritten": (lambda: {"a": object()}, {}),
    "raised": (bad_answer, {}),
    "odd": (lambda: {"rooms": SECRET}, {"response_schema": Flat}),
    "flat": (lambda rooms: rooms, {"schema": Flat}),
    "message": (lambda **fields: list(fields), {"schema": every_pb2.Every}),
    "typed": (lambda a, b=0: a, {}),
    "ok": (lambda: 1, {"cache": 60}),
}

REQUESTS: list[dict[str, Any]] = [
    {"json": {}},
    {"json": {"rooms": 13}},
    {"json": {"rooms": "many", "odd": 1}},
    {"json": []},
    {"data": "{"},
    {"data": b"\xff"},
    {"data": ""},
    {"data": "[" * 2000},
    {"data": "x", "content_type": "image/png"},
    {"data": "x", "content_type": "application/json; charset=utf-16"},
    {"data": "x", "content_type": "application/x-protobuf"},
    {"data": b"\x0a" * 500, "content_type": "application/x-protobuf"},
    {"json": {"nested": 1, "aBool": "x", "odd": 1}},
    {"data": "x", "headers": {"Content-Encoding": "gzip"}},
    {"data": b" " * 10_001},
    {"json": {}, "headers": {"Accept": "image/png"}},
    {"json": {}, "headers": {"X-Request-ID": "\x7f"}},
    {"json": {}, "method": "PATCH"},
    {"method": "OPTIONS"},
]


def told(answer: TestResponse) -> set[str]:
    """Return what an answer tells of that which it should not."""
    text = f"{answer.headers}\n{answer.get_data(as_text=True)}"
    return {each for each in TELLING if each in text}


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """One app with all of the endpoints, whose cache is down."""
    app = Flask(__name__)
    app.config["MODELSERVE_GUARD"] = lambda: False
    app.config["MODELSERVE_MAX_BODY_BYTES"] = 10_000
    # Nothing listens there; its client tries for seconds, so once must do.
    app.config |= {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_PORT": 1}
    app.config["MODELSERVE_CACHE_RETRY_SECONDS"] = 600.0
    serve = ModelServe(app, cache=Cache(app))
    for name, (function, options) in ENDPOINTS.items():
        serve.endpoint(f"/{name}", endpoint=name, **options)(function)
    return app.test_client()


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoints(client: FlaskClient, name: str) -> None:
    """Whatever fails, no answer tells of versions, files, exceptions or libraries."""
    for request in REQUESTS:
        answer = client.open(f"/{name}", **{"method": "POST"} | request)
        assert told(answer) == set(), request
        assert not (answer.status_code >= 500 and "errors" in (answer.json or {}))


@pytest.mark.parametrize("path", ["/__ping", "/__metrics", "/nowhere"])
def test_other_routes(client: FlaskClient, path: str) -> None:
    """Nor does a service route, or one that does not exist; the metrics are here refused."""
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE"):
        assert told(client.open(path, method=method)) == set(), method


APP = """
from flask import Flask
from flask_modelserve import ModelServe

app = Flask("served")
ModelServe(app).endpoint("/", endpoint="one")(lambda: 1)
"""

BROKEN = (
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    b"oddly\r\n{}\r\n0\r\n\r\n"
)


def test_server(tmp_path: Path) -> None:
    """Under gunicorn, neither its headers nor a broken body bring versions or errors to light."""
    (tmp_path / "app.py").write_text(APP, "utf-8")
    with served("gunicorn --bind 127.0.0.1:8000 app:app", tmp_path) as address:
        answer = requests.post(address, json={}, timeout=20)
        assert answer.headers["Server"] == "gunicorn"
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 20) as connection:
            connection.sendall(BROKEN)
            received = b""
            while piece := connection.recv(65536):
                received += piece
    assert received.startswith(b"HTTP/1.1 400 ")
    for each in ("oddly", "Invalid", *TELLING):
        assert each.encode() not in received
