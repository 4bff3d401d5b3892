"""What tests of endpoints need: a client, caches and batches switched off, time, calls.

All work on an app from outside, for the length of a ``with`` block or a fixture; an app that is
served does not know of them.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, overload
from unittest.mock import patch
from urllib.parse import urlencode

import orjson

from .batching import Batcher
from .content import JSON, PROTOBUF, dumps
from .routes import find_route, routes
from .streaming import NDJSON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeVar

    from flask import Flask
    from werkzeug.test import TestResponse

    Answer = TypeVar("Answer")


class ProblemError(Exception):
    """An answer that is an error.

    Attributes:
        status: Its HTTP status.
        document: The problem document; empty where the answer has none.
        errors: The bad fields, each ``{"field": path, "message": text}``.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {dict(document)}")
        self.status = status
        self.document = document
        self.errors: list[dict[str, str]] = document.get("errors", [])


class ServeClient:
    """Asks the endpoints of an app: objects in, objects out, through the whole app.

    Args:
        app: The app.
        headers: What each request has, such as an API key.
    """

    def __init__(self, app: Flask, headers: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._client = app.test_client()
        self._headers = dict(headers or {})

    @overload
    def ask(
        self, path: str, sent: Any = ..., *, returns: type[Answer], headers: Mapping[str, str] = ...
    ) -> Answer: ...
    @overload
    def ask(self, path: str, sent: Any = ..., *, headers: Mapping[str, str] = ...) -> Any: ...
    def ask(
        self,
        path: str,
        sent: Any = None,
        *,
        returns: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request, and return its answer.

        Args:
            path: The URL's path.
            sent: The input: a protobuf message, sent in binary, or anything that JSON can hold,
                such as a dict or a pydantic model; the query string of an endpoint with ``GET``.
            returns: The class of the answer: a protobuf message class, asked for in binary, a
                pydantic model, a dataclass or a type of JSON. Without it: the JSON value, which is
                the list of all items where the endpoint streams.
            headers: Of this request.

        Raises:
            LookupError: When no endpoint has this path.
            ProblemError: When the answer is an error.
            TypeError: When the answer is not of the class.
        """
        route = find_route(self._app, path.partition("?")[0])
        method = route.method
        given = {**self._headers, **(headers or {})}
        if hasattr(returns, "DESCRIPTOR") or hasattr(returns, "from_binary"):
            given.setdefault("Accept", PROTOBUF)
        options: dict[str, Any] = dict(route.host)
        if method in {"GET", "HEAD"}:
            query = urlencode(orjson.loads(dumps(sent or {})), doseq=True)
            path = f"{path}?{query}" if query else path
        else:
            options["data"], options["content_type"] = _body(sent)
        response = self._client.open(path, method=method, headers=given, **options)
        if response.status_code >= 400:  # noqa: PLR2004 - errors begin here
            document = response.get_json(silent=True)
            found = document if isinstance(document, dict) else {}
            raise ProblemError(response.status_code, found)
        return _read(response, returns)


def _body(sent: Any) -> tuple[bytes, str]:
    write = getattr(sent, "SerializeToString", None) or getattr(sent, "to_binary", None)
    if write is not None:
        return write(), PROTOBUF
    return dumps({} if sent is None else sent), JSON


def _read(response: TestResponse, returns: Any) -> Any:
    body = response.get_data()
    for name in ("FromString", "from_binary", "model_validate_json"):
        read = getattr(returns, name, None)
        if read is not None:
            return read(body)
    value: Any = None
    if response.mimetype == NDJSON:
        value = [orjson.loads(line) for line in body.splitlines()]
    elif body:
        value = orjson.loads(body)
    if returns is None:
        return value
    if hasattr(returns, "__dataclass_fields__"):
        return returns(**value)
    if not isinstance(value, returns):
        raise TypeError(f"the answer is {value!r}, which is not of type {returns.__name__}")
    return value


@contextmanager
def without_cache(app: Flask) -> Iterator[None]:
    """Have an app's endpoints call their functions for every request."""
    with ExitStack() as stack:
        for route in routes(app):
            stack.enter_context(patch.object(route.endpoint, "_cache", None))
        yield


@contextmanager
def without_batches(app: Flask) -> Iterator[None]:
    """Have batched functions called with one row each, at once and on the request's own thread."""
    with ExitStack() as stack:
        for route in routes(app):
            runner = vars(route.endpoint)["_runner"]
            if isinstance(runner, Batcher):
                alone = patch.object(route.endpoint, "_runner", _Alone(runner))
                stack.enter_context(alone)
        yield


class _Alone:
    """Calls a batched function for one row at a time."""

    def __init__(self, batcher: Batcher) -> None:
        self.run_rows = batcher.run_rows
        self._model = vars(batcher)["_model"]  # where recorded_calls looks

    def run(self, arguments: dict[str, Any], _arrived: float) -> Any:
        [answer] = self.run_rows([arguments])
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def recorded_calls(app: Flask, endpoint: str) -> Iterator[list[dict[str, Any]]]:
    """Record the calls of an endpoint's function.

    Args:
        app: The app.
        endpoint: The endpoint's rule, path or name.

    Yields:
        The arguments of each call, in order; of a batched function those are lists.
    """
    runner = vars(find_route(app, endpoint).endpoint)["_runner"]
    owner = runner if hasattr(runner, "_call") else vars(runner)["_model"]
    call = vars(owner)["_call"]
    calls: list[dict[str, Any]] = []

    def recorded(**arguments: Any) -> Any:
        calls.append(arguments)
        return call(**arguments)

    with patch.object(owner, "_call", recorded):
        yield calls


class Clock:
    """Time that stands still until it is told to go on; what else ``time`` has is its own."""

    def __init__(self) -> None:
        self._time = time.time()
        self._monotonic = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._time += seconds
        self._monotonic += seconds

    def time(self) -> float:
        """Return the seconds since 1970."""
        return self._time

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self._monotonic

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def frozen_time() -> Iterator[Clock]:
    """Have time stand still for caches: the ages of answers, and the rest after a fault.

    It holds for all apps of the process. Time-outs and the waits of batches are those of real
    threads, and go on.
    """
    clock = Clock()
    with ExitStack() as stack:
        for name, module in sorted(sys.modules.items()):
            is_ours = name.startswith(f"{__package__}.") and name != __name__
            if is_ours and vars(module).get("time") is time:
                stack.enter_context(patch.object(module, "time", clock))
        yield clock
