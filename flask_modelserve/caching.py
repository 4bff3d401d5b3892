"""The cache of one endpoint's answers: key, lookup, single flight (RFC 9111, RFC 9211)."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from werkzeug.datastructures import RequestCacheControl

from .errors import DeadlineExceeded
from .threads import after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask import Request

    from .stores import Store

_NAME = "modelserve"
_MAX_KEYS = 4096
_ANYTHING = RequestCacheControl()
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


class Hit(NamedTuple):
    """An answer found, and its age in seconds."""

    body: bytes
    age: float


class Flight:
    """A call that several requests of one key wait for; the first of them leads."""

    def __init__(self) -> None:
        self._leader = threading.get_ident()
        self._landed = threading.Event()
        self._body: bytes | None = None

    def leads(self) -> bool:
        """Tell whether this thread's request is the one that calls the function."""
        return self._leader == threading.get_ident()

    def land(self, body: bytes | None) -> None:
        """Give the answer to those who wait; None if there is none that they may have."""
        self._body = body
        self._landed.set()

    def wait(self, timeout: float | None, arrived: float) -> bytes | None:
        """Wait for the leader's answer.

        Raises:
            DeadlineExceeded: 504, when it did not come in time.
        """
        left = None if timeout is None else max(0.0, arrived + timeout - time.perf_counter())
        if not self._landed.wait(left):
            assert timeout is not None
            raise DeadlineExceeded(timeout, started=True)
        return self._body


class AnswerCache:
    """What one endpoint keeps of its answers, and for how long (in seconds)."""

    def __init__(
        self,
        store: Store,
        *,
        seconds: float,
        max_bytes: int,
        identity: tuple[str, ...],
        media_types: Iterable[str],
        is_personal: bool,
    ) -> None:
        """Bind a store to an endpoint.

        Args:
            store: Where answers are kept.
            seconds: How long.
            max_bytes: Larger answers are not kept.
            identity: What tells this endpoint, in this version, from all others.
            media_types: What it can answer with.
            is_personal: Every header of the caller may matter, not only the credentials.
        """
        self._store = store
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._identity = identity
        self._is_personal = is_personal
        self._anyone = {media: self._digest(media, {}, []) for media in media_types}
        # The keys of inputs seen before, byte for byte: those need not be decoded again.
        self._keys: dict[bytes, str] = {}
        # How many flights have landed: tells a request whether it may have missed one's answer.
        self.landed = 0
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}

    def context(self, request: Request, media_type: str, url: Mapping[str, Any]) -> Any:
        """Return the digest of what an answer depends on besides the input."""
        caller = self._caller(request.environ)
        if not (url or caller):
            return self._anyone[media_type]
        return self._digest(media_type, url, caller)

    def known_key(self, context: Any, form: str, raw: bytes) -> tuple[bytes, str | None]:
        """Return the digest of an input as it came, and its key if the input came before."""
        digest = context.copy()
        digest.update(form.encode())
        digest.update(raw)
        seen = digest.digest()
        return seen, self._keys.get(seen)

    def key(self, context: Any, seen: bytes, canonical: bytes) -> str:
        """Return the key of an answer: the same for inputs of the same meaning."""
        digest = context.copy()
        digest.update(canonical)
        key = f"{_NAME}:{digest.hexdigest()}"
        if len(self._keys) >= _MAX_KEYS:
            self._keys.clear()
        self._keys[seen] = key
        return key

    def lookup(self, request: Request, key: str) -> Hit | None:
        """Return what is kept for a request, as its Cache-Control allows."""
        wanted = _wanted(request)
        if wanted.no_cache or wanted.no_store:
            return None
        entry = self._store.get(key)
        if entry is None:
            return None
        body, kept_at = entry
        # A clock that was set back makes no answer younger than now.
        age = max(0.0, time.time() - kept_at)
        if age >= self._seconds or (wanted.max_age is not None and age > wanted.max_age):
            return None
        return Hit(body, age)

    def may_share(self, request: Request) -> bool:
        """Tell whether a request may have the answer to another."""
        wanted = _wanted(request)
        return not (wanted.no_cache or wanted.no_store)

    def board(self, request: Request, key: str, landed: int) -> tuple[Flight | None, Hit | None]:
        """Join the call for a key, or lead it; or find the answer that has just been kept.

        Args:
            request: The request, whose lookup was a miss.
            key: Its key.
            landed: What ``landed`` was before that lookup.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, None
            flight = self._flights[key] = Flight()
            missed = self.landed != landed
        hit = self.lookup(request, key) if missed else None
        if hit is not None:
            self.land(key, flight, hit.body)
            return None, hit
        return flight, None

    def land(self, key: str, flight: Flight, body: bytes | None) -> None:
        """End a call, and share its answer; None where it failed or is the caller's alone."""
        with self._lock:
            self.landed += 1
            del self._flights[key]
        flight.land(body)

    def keep(self, request: Request, key: str, body: bytes) -> bool:
        """Keep an answer, and tell whether it is kept."""
        if _wanted(request).no_store or len(body) > self._max_bytes:
            return False
        return self._store.set(key, body, self._seconds)

    def hit_headers(self, hit: Hit) -> list[tuple[str, str]]:
        """Say how old an answer is, and how long it is kept yet."""
        ttl = int(self._seconds - hit.age)
        return [("Age", str(int(hit.age))), ("Cache-Status", f"{_NAME}; hit; ttl={ttl}")]

    def shared_headers(self) -> list[tuple[str, str]]:
        """Say that the answer was made for another request that came just before."""
        return [("Cache-Status", f"{_NAME}; fwd=uri-miss; collapsed")]

    def miss_headers(self, request: Request, *, stored: bool) -> list[tuple[str, str]]:
        """Say why the function was called, and whether its answer is kept."""
        wanted = _wanted(request)
        why = "request" if wanted.no_cache or wanted.no_store else "uri-miss"
        return [("Cache-Status", f"{_NAME}; fwd={why}" + ("; stored" if stored else ""))]

    def _digest(
        self, media_type: str, url: Mapping[str, Any], caller: list[tuple[str, Any]]
    ) -> Any:
        # repr escapes NUL, so that nothing before it can be taken for the input behind it.
        context = repr((self._identity, media_type, sorted(url.items()), caller))
        return hashlib.blake2b(context.encode("utf-8", "backslashreplace") + b"\0", digest_size=20)

    def _caller(self, environ: Mapping[str, Any]) -> list[tuple[str, Any]]:
        if not self._is_personal:
            return [(name, environ[name]) for name in _CREDENTIALS if name in environ]
        headers = [
            (name, value)
            for name, value in environ.items()
            if name.startswith("HTTP_") and name not in _IMPERSONAL
        ]
        return [("REMOTE_ADDR", environ.get("REMOTE_ADDR")), *sorted(headers)]


def _wanted(request: Request) -> RequestCacheControl:
    """Return a request's Cache-Control, parsed only where there is one."""
    return request.cache_control if "HTTP_CACHE_CONTROL" in request.environ else _ANYTHING
