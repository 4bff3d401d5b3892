"""Many requests at once, and models that hold them: what tests of concurrency are made of."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

PATIENCE = 30  # seconds that a test waits for what must happen


class Gate:
    """What a model passes in each call: it can be shut, and knows who stands before it."""

    def __init__(self, *, shut: bool = True) -> None:
        self._arrived = threading.Semaphore(0)
        self._open = threading.Event()
        if not shut:
            self._open.set()

    def pass_through(self) -> None:
        """Wait until the gate is open; called by the model."""
        self._arrived.release()
        assert self._open.wait(PATIENCE)

    def await_calls(self, count: int = 1) -> None:
        """Wait until so many more calls have come to the gate."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=PATIENCE)

    def open(self) -> None:
        self._open.set()


class Request(threading.Thread):
    """One request on a thread of its own."""

    def __init__(self, app: Flask, body: Any, path: str = "/", **options: Any) -> None:
        super().__init__()
        self._app = app
        self._options = {"json": body, **options}
        self._path = path
        self._response: Any = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._response = self._app.test_client().post(self._path, **self._options)
        except Exception as error:  # kept for the thread that asks
            self._error = error

    def response(self) -> Any:
        """Return the response, or raise what the app let through."""
        self.join(PATIENCE)
        assert not self.is_alive(), "the request hangs"
        if self._error is not None:
            raise self._error
        return self._response

    def is_waiting(self) -> bool:
        """Tell whether the request stands still in a queue, or for another's answer."""
        frame = sys._current_frames().get(self.ident or 0)
        while frame is not None:
            if frame.f_code.co_name == "wait" and "flask_modelserve" in frame.f_code.co_filename:
                return True
            frame = frame.f_back
        return False


def send(app: Flask, bodies: Iterable[Any], path: str = "/", **options: Any) -> list[Request]:
    """Send requests at once."""
    return [Request(app, body, path, **options) for body in bodies]


def answers(app: Flask, bodies: Iterable[Any], path: str = "/") -> list[Any]:
    """Send requests at once, and return their responses in the same order."""
    return [request.response() for request in send(app, bodies, path)]


def send_in_order(app: Flask, bodies: Iterable[Any], path: str = "/") -> list[Request]:
    """Send requests, each once the one before it waits, or needs to no more."""
    requests = []
    for body in bodies:
        request = Request(app, body, path)
        until(lambda request=request: request.is_waiting() or not request.is_alive())
        requests.append(request)
    return requests


def until(holds: Callable[[], Any], *, every: float = 0.001) -> None:
    """Wait until something holds, looking every so many seconds: states that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(every)
