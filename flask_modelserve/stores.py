"""Store: one app's Flask-Caching backend, whose faults cost a miss and never an error."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import flask_caching

from .backends import is_refusal, opened, refuse_unsafe
from .entries import pack, unpack
from .request_id import current_request
from .threads import after_fork

if TYPE_CHECKING:
    from flask import Flask
    from prometheus_client import Counter

logger = logging.getLogger(__name__)

# Seconds without a refusal after which the next one is news.
_QUIET = 60.0


class Store:
    """Where one app's answers are kept.

    After a fault the backend is left alone for some seconds: the time-outs of its client would
    cost every request more than the function does. Then a thread tries it, while requests go on
    without. A server is well that answers, but won't: full, a value too large, another program's
    value under our key.
    """

    def __init__(
        self,
        app: Flask,
        cache: flask_caching.Cache | None,
        *,
        errors: Counter,
        timeout: float,
        rest: float,
    ) -> None:
        """Take the given cache, or the app's own, or make one as its ``CACHE_*`` keys say.

        Args:
            app: The app.
            cache: A cache that is set up for the app.
            errors: Counts the faults.
            timeout: Seconds that a client may wait for its server.
            rest: Seconds to leave the backend alone after a fault.

        Raises:
            RuntimeError: When the app has several caches and none is given, or when the cache's
                client would execute what it reads.
        """
        self._app = app
        self._cache = cache
        self._errors = errors
        self._timeout = timeout
        self._rest = rest
        self._own: flask_caching.Cache | None = None
        self._choose()
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        # By the first request the app may have made a cache of its own, after ours; and a client's
        # connections don't survive a fork.
        self._backend: Any = None
        self._is_bounded = False
        self._is_sick = False
        self._retry_at = 0.0
        self._refused_at = -math.inf
        self._lock = threading.Lock()  # of changes for the worse or better; not of reads and writes
        self._is_tried = False

    def get(self, key: str) -> tuple[bytes, float] | None:
        """Return the body that is kept under a key, and since when; or None."""
        if self._is_sick:
            self._try_again(key)
            return None
        try:
            value = self._read(key)
        except Exception as error:  # each backend raises errors of its own
            self._blame(error)
            return None
        if value is None:
            return None
        entry = unpack(key, value)
        if entry is None:
            self._refused(f"no answer of ours stands under {key}")
        return entry

    def set(self, key: str, body: bytes, seconds: float) -> bool:
        """Keep an answer's body, and tell whether it is kept."""
        if self._is_sick:
            return False
        try:
            kept = self._open().set(key, pack(key, body), timeout=math.ceil(seconds))
        except Exception as error:  # each backend raises errors of its own
            self._blame(error)
            return False
        if kept is False:
            self._refused("an answer is not kept")
            return False
        return True

    def _read(self, key: str) -> Any:
        """Read a value, and take too long a time for a fault: not every client has a time-out."""
        backend = self._open()
        if self._is_bounded:
            return backend.get(key)
        started = time.monotonic()
        value = backend.get(key)
        seconds = time.monotonic() - started
        if seconds > self._timeout:
            raise TimeoutError(f"a read took {seconds:.1f} s")
        return value

    def _open(self) -> Any:
        backend = self._backend
        if backend is None:
            chosen, cache = self._choose()
            config = {**self._app.config, **(cache.config or {})}
            backend, self._is_bounded = opened(chosen, self._timeout, config)
            self._backend = backend
        return backend

    def _blame(self, error: Exception) -> None:
        if self._is_refusal(error):
            self._refused(error)
        else:
            self._failed(error)

    def _refused(self, reason: object) -> None:
        self._errors.inc()
        now = time.monotonic()
        is_news = now - self._refused_at > _QUIET
        self._refused_at = now
        if is_news:
            logger.warning(
                "A read or write of the cache of %s was refused at request %s "
                "(is it full, the answer too large, or the key another program's?): %s",
                self._app.name,
                _request_id(),
                reason,
            )

    def _failed(self, error: Exception) -> None:
        self._errors.inc()
        with self._lock:
            self._retry_at = time.monotonic() + self._rest
            is_news = not self._is_sick
            self._is_sick = True
        if is_news:
            logger.warning(
                "The cache of %s fails at request %s, requests are answered without it: %r",
                self._app.name,
                _request_id(),
                error,
            )

    def _try_again(self, key: str) -> None:
        """Read a key on a thread, when the rest is over and no other thread does: none waits."""
        if time.monotonic() < self._retry_at:
            return
        with self._lock:
            if self._is_tried or not self._is_sick:
                return
            self._is_tried = True
        try:
            # Under gevent a greenlet, like all that use the client's locks and connections.
            threading.Thread(
                target=self._try, args=(key,), name="modelserve-cache", daemon=True
            ).start()
        except RuntimeError:  # no more threads: later
            self._is_tried = False

    def _try(self, key: str) -> None:
        try:
            self._read(key)
        except Exception as error:  # each backend raises errors of its own
            if self._is_refusal(error):
                self._recovered()
            else:
                self._failed(error)
        else:
            self._recovered()
        finally:
            self._is_tried = False

    def _recovered(self) -> None:
        self._is_sick = False
        logger.warning("The cache of %s answers again.", self._app.name)

    def _is_refusal(self, error: Exception) -> bool:
        # What is said before there is a client is a mistake in the set-up.
        return self._backend is not None and is_refusal(error)

    def _choose(self) -> tuple[Any, flask_caching.Cache]:
        """Return the backend to use, and whose it is."""
        found: dict[Any, Any] = self._app.extensions.get("cache", {})
        if self._cache is not None:
            if self._cache not in found:
                raise RuntimeError(
                    "the cache given to ModelServe is not set up for this app: "
                    "call cache.init_app(app) before serve.init_app(app)"
                )
            return self._checked(self._cache)
        theirs = [cache for cache in found if cache is not self._own]
        if len(theirs) > 1:
            raise RuntimeError(
                "the app has several caches: write ModelServe(app, cache=...) with the one to use"
            )
        if theirs:
            return self._checked(theirs[0])
        if self._own is None:
            config = {} if "CACHE_TYPE" in self._app.config else {"CACHE_TYPE": "SimpleCache"}
            self._own = flask_caching.Cache(with_jinja2_ext=False, config=config)
            self._own.init_app(self._app)
        return self._checked(self._own)

    def _checked(self, cache: flask_caching.Cache) -> tuple[Any, flask_caching.Cache]:
        backend = self._app.extensions["cache"][cache]
        refuse_unsafe(backend)
        return backend, cache


def _request_id() -> str:
    """Return the id of the request that met a fault; a dash where a thread tries the backend."""
    known, _ = current_request()
    return known or "-"
