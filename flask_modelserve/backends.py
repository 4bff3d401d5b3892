"""Flask-Caching's backends as our answers use them: with bytes in, and the same bytes out.

They pickle what they keep, and unpickle what they read: whoever can write to a shared store could
run code in every worker. Ours are shallow copies under the same key prefix, whose serializer
does nothing; the app's own backend goes on as it is.
"""

from __future__ import annotations

import copy
import logging
import pickletools
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from cachelib import FileSystemCache, MemcachedCache, SimpleCache
from flask_caching.backends import NullCache

from .clients import PythonMemcached, bounded_redis, pylibmc_pool
from .entries import MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

logger = logging.getLogger(__name__)

# memcached clients that unpickle what they read, and can't be told not to.
_UNPICKLING = {"google", "libmc"}
# Errors by which a server answers that it won't: it is well, and was quick. Or nobody asked it,
# since other threads had all connections.
_REFUSALS = {"ResponseError", "TooBig", "ServerError", "ValueError", "MaxConnectionsError"}
_MAX_NUMBER = 32  # bytes: no count of files takes more


def refuse_unsafe(backend: Any) -> None:
    """Refuse a backend that would run what somebody has written into the store.

    Raises:
        RuntimeError: With what to install instead.
    """
    if isinstance(backend, MemcachedCache):
        library = _library(_client(backend))
        if library in _UNPICKLING:
            raise RuntimeError(
                f"the client of the cache, {library}, unpickles what it reads from memcached, so "
                "that whoever writes there could run code here: "
                "install pylibmc or python-memcached, which Flask-Caching then takes"
            )


def opened(backend: Any, seconds: float, config: Mapping[str, Any]) -> tuple[Any, bool]:
    """Make a backend's copy for our answers, with ``get`` and ``set``.

    Args:
        backend: The app's.
        seconds: How long its client may wait for a server.
        config: The ``CACHE_*`` keys that it was made by.

    Returns:
        The copy, and whether a read of it takes no longer than that. Where it may, somebody must
        look at the clock; elsewhere not, since a good Redis seems slow where threads fight for
        their turn.
    """
    if isinstance(backend, MemcachedCache):
        return _open_memcached(backend, seconds, config)
    if isinstance(backend, NullCache):
        return backend, True
    if not hasattr(backend, "serializer"):
        _warn_of(backend)
        return backend, False
    ours = copy.copy(backend)
    if isinstance(backend, FileSystemCache):
        ours.serializer = _BytesInFiles(backend.serializer)
        return ours, False
    ours.serializer = _Bytes()
    if hasattr(backend, "_read_client"):
        return ours, _bound_clients(ours, seconds)
    return ours, isinstance(backend, SimpleCache)


def _bound_clients(ours: Any, seconds: float) -> bool:
    """Give a copy of a Redis backend clients of its own; tell whether they are of a known kind."""
    theirs = {name: getattr(ours, name) for name in ("_read_client", "_write_client")}
    distinct = {id(client): client for client in theirs.values()}
    bounded = {which: bounded_redis(client, seconds) for which, client in distinct.items()}
    for name, client in theirs.items():
        setattr(ours, name, bounded[id(client)])
    return all(bounded[which] is not client for which, client in distinct.items())


def is_refusal(error: Exception) -> bool:
    """Tell an error by which a server, or what we read from it, says no from one of silence."""
    # By name: their modules may not be there.
    return not _REFUSALS.isdisjoint(each.__name__ for each in type(error).__mro__)


def _warn_of(backend: Any) -> None:
    logger.warning(
        "flask_modelserve does not know how %s reads values. If it unpickles them and others can "
        "write to its store, they can run code here: take one of Flask-Caching's own backends.",
        type(backend).__qualname__,
    )


class _Bytes:
    """A serializer that gives bytes as they are."""

    @staticmethod
    def dumps(value: bytes) -> bytes:
        return value

    loads = dumps


class _BytesInFiles:
    """A serializer of files that writes bytes as they are, and executes nothing that it reads.

    One file of a directory holds how many others there are, written by the app's own cache too.
    """

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    def dump(self, value: Any, file: BinaryIO) -> None:
        if type(value) is bytes:
            file.write(value)
        else:
            self._theirs.dump(value, file)

    @staticmethod
    def load(file: BinaryIO) -> Any:
        value = file.read()
        return value if value.startswith(MAGIC) else _number_in(value)


def _number_in(value: bytes) -> int:
    """Return a lone integer, in digits or pickled; for anything else, 0."""
    if len(value) > _MAX_NUMBER:
        return 0
    if value.isdigit():
        return int(value)
    try:
        steps = [(step.name, argument) for step, argument, _ in pickletools.genops(value)]
    except ValueError:
        return 0
    numbers: list[Any] = [number for name, number in steps if name.startswith(("BININT", "LONG"))]
    others = {name for name, _ in steps} - {"PROTO", "FRAME", "STOP"}
    return int(numbers[0]) if len(numbers) == len(others) == 1 else 0


class _Memcached:
    """memcached by one of two clients: cachelib's own ``get`` may join pickles of several keys."""

    def __init__(self, prefix: str, lend: Callable[[], AbstractContextManager[Any]]) -> None:
        self._prefix = prefix
        self._lend = lend

    def get(self, key: str) -> Any:
        with self._lend() as client:
            return client.get(self._prefix + key)

    def set(self, key: str, value: bytes, timeout: int) -> bool:
        # A time from now may be 30 days at most.
        expires = int(time.time()) + timeout
        with self._lend() as client:
            return bool(client.set(self._prefix + key, value, expires))


def _open_memcached(backend: Any, seconds: float, config: Mapping[str, Any]) -> tuple[Any, bool]:
    client = _client(backend)
    library = _library(client)
    prefix = backend.key_prefix or ""
    if library == "memcache":
        own = PythonMemcached(client, seconds)
        return _Memcached(prefix, partial(nullcontext, own)), True
    if library == "pylibmc":
        username, password = (
            config.get(f"CACHE_MEMCACHED_{it}") for it in ("USERNAME", "PASSWORD")
        )
        return _Memcached(prefix, pylibmc_pool(client, seconds, username, password)), True
    _warn_of(client)
    return backend, False


def _client(backend: Any) -> Any:
    """Return a memcached client, out of the pool where there is one."""
    lend = getattr(backend, "_client_context", None)
    if lend is None:
        return backend._client  # noqa: SLF001 - cachelib before 0.15 has no pools
    with lend() as client:
        return client


def _library(client: Any) -> str:
    """Return the package of a client, or of the one that it derives from."""
    packages = [each.__module__.partition(".")[0] for each in type(client).__mro__]
    return next((each for each in packages if each in {"memcache", "pylibmc", *_UNPICKLING}), "")
