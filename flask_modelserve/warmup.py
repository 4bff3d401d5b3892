"""WarmUp: the endpoints of one app, until each has loaded and answered its example."""

from __future__ import annotations

import _thread
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .threads import after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flask import Flask

    from .endpoint import Endpoint

LOADING = "loading"
WARMING_UP = "warming up"
FAILED = "failed"
READY = "ready"
# Seconds until what failed is tried again: twice as many each time.
_FIRST_PAUSE = 1.0
_LAST_PAUSE = 30.0

_known: WeakSet[WarmUp] = WeakSet()


class WarmUp:
    """Loads an app's models in this process, and calls each once.

    An endpoint is ready, and stays so, when its class has been made into an instance and its
    example has been answered with success. What fails is tried again, by the first probe after a
    pause: the model may need something that has yet to start.
    """

    def __init__(self, app: Flask, endpoints: Mapping[str, Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints
        self._start_afresh()
        after_fork(self._start_afresh)
        _known.add(self)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._is_running = False
        self._pause = _FIRST_PAUSE
        self._retry_at = 0.0

    def missing(self) -> dict[str, str]:
        """Return the endpoints that are not ready, each with its state."""
        states = {
            name: self._states.get(name, LOADING)
            for name, endpoint in self._endpoints.items()
            if endpoint.needs_warm_up
        }
        return {name: state for name, state in states.items() if state != READY}

    def retry_after(self) -> float:
        """Return the seconds until it is of use to ask again."""
        return max(1.0, self._retry_at - monotonic())

    def begin(self) -> None:
        """Warm up beside the requests, unless that is being done or has failed just now."""
        if not self._claim():
            return
        try:
            # Not threading's: its start() has gevent load the model before it returns.
            _thread.start_new_thread(self._attempt, ())
        except RuntimeError:  # the system has no more threads
            self._end()

    def run(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Warm up now, on this thread, as long as that is wanted."""
        if self._claim():
            self._attempt(is_wanted)

    def _claim(self) -> bool:
        with self._lock:
            if self._is_running or monotonic() < self._retry_at:
                return False
            self._is_running = True
            return True

    def _attempt(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        try:
            for name in self.missing():
                if is_wanted():
                    self._warm_up(name, self._endpoints[name], is_wanted)
        finally:
            self._end()

    def _end(self) -> None:
        if self.missing():
            self._retry_at = monotonic() + self._pause
            self._pause = min(_LAST_PAUSE, 2 * self._pause)
        self._is_running = False

    def _warm_up(self, name: str, endpoint: Endpoint, is_wanted: Callable[[], bool]) -> None:
        state = FAILED
        try:
            self._states[name] = LOADING
            endpoint.load()
            self._states[name] = WARMING_UP
            endpoint.answer_example()
            state = READY
        except (Exception, SystemExit) as error:  # a model may even end its thread
            if isinstance(error, SystemExit) and not is_wanted():
                raise  # but here it is the server that ends
            self._app.logger.exception(
                "Endpoint %s failed to warm up; /__ready tries again in %.0f s or more",
                name,
                self._pause,
            )
        finally:
            self._states[name] = state


def warm_ups(served: Any) -> Sequence[WarmUp]:
    """Return those of the app that a server serves; of all apps if it serves something around them.

    An app that is not served, such as a factory's first, would load its models for nobody.
    """
    state = getattr(served, "extensions", {}).get("modelserve")
    return [state.warm_up] if state is not None else list(_known)
