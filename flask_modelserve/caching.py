"""The cache of one endpoint's answers: key, lookup, store (RFC 9111, RFC 9211)."""

from __future__ import annotations

import hashlib
import logging
import math
import struct
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import flask_caching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask, Request
    from prometheus_client import Counter

logger = logging.getLogger(__name__)

_STORED_AT = struct.Struct(">d")
_NAME = "modelserve"
# Who is asking: an answer made for one caller is not given to another.
_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_COOKIE")
# Headers that say nothing of who is asking. A decorated function may look at any of the others.
_IMPERSONAL = {
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_CHARSET",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_CACHE_CONTROL",
    "HTTP_CONNECTION",
    "HTTP_CONTENT_ENCODING",
    "HTTP_EXPECT",
    "HTTP_KEEP_ALIVE",
    "HTTP_PRAGMA",
    "HTTP_TE",
    "HTTP_TRACEPARENT",
    "HTTP_TRACESTATE",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_USER_AGENT",
    "HTTP_X_REQUEST_ID",
}


class Store:
    """One app's Flask-Caching backend; a fault of it costs a miss, never an error.

    Only ``get`` and ``set`` of the backend are used, and every value is bytes.
    """

    def __init__(self, app: Flask, cache: flask_caching.Cache | None, errors: Counter) -> None:
        """Take the given cache, or the app's own, or make one as its ``CACHE_*`` keys say.

        Raises:
            RuntimeError: When the app has several caches and none is given.
        """
        self._app = app
        self._cache = cache
        self._errors = errors
        self._is_sick = False
        self._own: flask_caching.Cache | None = None
        self._backend = self._choose()
        self._is_final = False

    def get(self, key: str) -> bytes | None:
        """Return what is kept under a key, or None."""
        if not self._is_final:
            # By the first request the app may have made a cache of its own, after ours.
            self._backend = self._choose()
            self._is_final = True
        try:
            value = self._backend.get(key)
        except Exception as error:  # each backend raises errors of its own
            self._failed(error)
            return None
        if value is None or type(value) is bytes:
            return value
        self._failed(TypeError(f"found a {type(value).__name__} that is not ours"))
        return None

    def set(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep a value, and tell whether it is kept."""
        try:
            kept = self._backend.set(key, value, timeout=math.ceil(seconds))
        except Exception as error:  # each backend raises errors of its own
            self._failed(error)
            return False
        if kept is False:
            self._errors.inc()
            return False
        if self._is_sick:
            self._is_sick = False
            logger.warning("The cache of %s answers again.", self._app.name)
        return True

    def _failed(self, error: Exception) -> None:
        self._errors.inc()
        if not self._is_sick:
            self._is_sick = True
            logger.warning(
                "The cache of %s fails, its requests are answered without it: %r",
                self._app.name,
                error,
            )

    def _choose(self) -> Any:
        found: dict[Any, Any] = self._app.extensions.get("cache", {})
        if self._cache is not None:
            if self._cache not in found:
                raise RuntimeError(
                    "the cache given to ModelServe is not set up for this app: "
                    "call cache.init_app(app) before serve.init_app(app)"
                )
            return found[self._cache]
        theirs = [cache for cache in found if cache is not self._own]
        if len(theirs) > 1:
            raise RuntimeError(
                "the app has several caches: write ModelServe(app, cache=...) with the one to use"
            )
        if theirs:
            return found[theirs[0]]
        if self._own is None:
            config = {} if "CACHE_TYPE" in self._app.config else {"CACHE_TYPE": "SimpleCache"}
            self._own = flask_caching.Cache(with_jinja2_ext=False, config=config)
            self._own.init_app(self._app)
        return self._app.extensions["cache"][self._own]


class Hit(NamedTuple):
    """An answer found, and its age in seconds."""

    body: bytes
    age: float


class AnswerCache:
    """What one endpoint keeps of its answers, and for how long (in seconds)."""

    def __init__(
        self,
        store: Store,
        *,
        seconds: float,
        max_bytes: int,
        identity: tuple[str, ...],
        is_personal: bool,
    ) -> None:
        """Bind a store to an endpoint.

        Args:
            store: Where answers are kept.
            seconds: How long.
            max_bytes: Larger answers are not kept.
            identity: What tells this endpoint, in this version, from all others.
            is_personal: Every header of the caller may matter, not only the credentials.
        """
        self._store = store
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._base = hashlib.blake2b(repr(identity).encode(), digest_size=20)
        self._is_personal = is_personal

    def key(
        self, request: Request, media_type: str, url: Mapping[str, Any], canonical: bytes
    ) -> str:
        """Return the key of a request's answer: the same for inputs of the same meaning."""
        digest = self._base.copy()
        # repr escapes NUL, so that the parts before it can't be taken for the input behind it.
        context = repr((media_type, sorted(url.items()), self._caller(request.environ)))
        digest.update(context.encode("utf-8", "backslashreplace") + b"\0")
        digest.update(canonical)
        return f"{_NAME}:{digest.hexdigest()}"

    def lookup(self, request: Request, key: str) -> Hit | None:
        """Return what is kept for a request, as its Cache-Control allows."""
        wanted = request.cache_control
        if wanted.no_cache or wanted.no_store:
            return None
        entry = self._store.get(key)
        if entry is None or len(entry) < _STORED_AT.size:
            return None
        # A clock that was set back makes no answer older than it is, or younger than now.
        age = max(0.0, time.time() - _STORED_AT.unpack_from(entry)[0])
        if age >= self._seconds or (wanted.max_age is not None and age > wanted.max_age):
            return None
        return Hit(entry[_STORED_AT.size :], age)

    def keep(self, request: Request, key: str, body: bytes) -> bool:
        """Keep an answer, and tell whether it is kept."""
        if request.cache_control.no_store or len(body) > self._max_bytes:
            return False
        return self._store.set(key, _STORED_AT.pack(time.time()) + body, self._seconds)

    def hit_headers(self, hit: Hit) -> list[tuple[str, str]]:
        """Say how old an answer is, and how long it is kept yet."""
        age = int(hit.age)
        ttl = max(0, int(self._seconds - hit.age))
        return [("Age", str(age)), ("Cache-Status", f"{_NAME}; hit; ttl={ttl}")]

    def miss_headers(self, request: Request, *, stored: bool) -> list[tuple[str, str]]:
        """Say why the function was called, and whether its answer is kept."""
        wanted = request.cache_control
        why = "request" if wanted.no_cache or wanted.no_store else "uri-miss"
        return [("Cache-Status", f"{_NAME}; fwd={why}" + ("; stored" if stored else ""))]

    def _caller(self, environ: Mapping[str, Any]) -> list[tuple[str, Any]]:
        if not self._is_personal:
            return [(name, environ[name]) for name in _CREDENTIALS if name in environ]
        headers = [
            (name, value)
            for name, value in environ.items()
            if name.startswith("HTTP_") and name not in _IMPERSONAL
        ]
        return [("REMOTE_ADDR", environ.get("REMOTE_ADDR")), *sorted(headers)]
