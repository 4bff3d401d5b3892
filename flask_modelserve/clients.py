"""Clients of shared stores: copies of the app's own that neither hang nor unpickle.

The app's clients stay as they are. Ours go to the same servers, but give up after some time, don't
try again, and take bytes alone: redis-py tries ten times for 5 s each, and both memcached
clients unpickle, or unpack, whatever the flags beside a value say.
"""

from __future__ import annotations

import copy
import socket
import sys
import time
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Bound to the pool that they were made for, or for one that waits longer than we do.
_POOL_S_OWN = {"connection_pool", "decode_responses", "himport_registry", "retry"}
_POOL_S_OWN_PREFIXES = ("maint_notifications", "oss_cluster", "orig_")


def bounded_redis(client: Any, seconds: float) -> Any:
    """Return a client for the same Redis, sentinels or cluster; an unknown kind as it is.

    Args:
        client: The app's.
        seconds: How long to wait for a connection, and for each answer.
    """
    redis = sys.modules.get("redis")
    if redis is None:  # it is one of Valkey's, or stands for a client in tests
        return client
    if isinstance(client, redis.RedisCluster):
        return _bounded_cluster(client, seconds)
    if not isinstance(client, redis.Redis):
        return client
    return redis.Redis(connection_pool=_bounded_pool(client.connection_pool, seconds))


def _bounded_pool(pool: Any, seconds: float) -> Any:
    from redis import ConnectionPool
    from redis.sentinel import SentinelConnectionPool

    options = _bounded_options(pool.connection_kwargs, seconds)
    options["connection_class"] = pool.connection_class
    options["max_connections"] = pool.max_connections
    if not isinstance(pool, SentinelConnectionPool):
        return ConnectionPool(**options)
    sentinel = copy.copy(pool.sentinel_manager)
    sentinel.sentinels = [bounded_redis(each, seconds) for each in sentinel.sentinels]
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]  # redis-py's own gap
        pool.service_name,
        sentinel,
        is_master=pool.is_master,
        check_connection=pool.check_connection,
        **options,
    )


def _bounded_cluster(client: Any, seconds: float) -> Any:
    from redis.cluster import ClusterNode, RedisCluster

    options = _bounded_options(client.get_connection_kwargs(), seconds)
    retry = options.pop("retry")
    options.pop("redis_connect_func", None)  # the other client's own
    nodes = client.nodes_manager.startup_nodes.values()
    return RedisCluster(
        startup_nodes=[
            ClusterNode(node.host, node.port)  # type: ignore[no-untyped-call]  # redis-py's own gap
            for node in nodes
        ],
        retry=retry,
        **options,
    )


def _bounded_options(options: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    ours = {
        name: value
        for name, value in options.items()
        if name not in _POOL_S_OWN and not name.startswith(_POOL_S_OWN_PREFIXES)
    }
    for name in ("socket_timeout", "socket_connect_timeout"):
        ours[name] = min(ours.get(name) or seconds, seconds)
    ours["retry"] = Retry(NoBackoff(), 0)
    notifications = options.get("maint_notifications_config")
    if notifications is not None:  # they make time-outs longer
        ours["maint_notifications_config"] = type(notifications)(enabled=False)
    if ours.get("path") is not None:
        del ours["socket_connect_timeout"]  # a Unix socket has none
    return ours


class PythonMemcached:
    """A client of python-memcached, which says nothing when its servers are down."""

    def __init__(self, client: Any, seconds: float) -> None:
        import memcache

        class Client(memcache.Client):  # type: ignore[misc]  # it has no types
            # Its base is local to each thread: this runs in every one.
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.lifetime = _Lifetime()
                weakref.finalize(self.lifetime, _close, self.servers)

        self._seconds = seconds = min(client.socket_timeout or seconds, seconds)
        options: dict[str, Any] = {
            "socket_timeout": seconds,
            # Within one call: to leave dead servers alone is decided for all threads at once.
            "dead_retry": seconds,
            "unpickler": _Refusal,
            "decompressor": _Refusal,
        }
        servers = [(_address(host), host.weight) for host in client.servers]
        self._client = Client(servers, **options)

    def get(self, key: str) -> Any:
        started = time.monotonic()
        value = self._client.get(key)
        if value is None:
            self._raise_if_down(started)
        return value

    def set(self, key: str, value: bytes, expires: int) -> bool:
        started = time.monotonic()
        kept = bool(self._client.set(key, value, expires))
        if not kept:
            self._raise_if_down(started)
        return kept

    def _raise_if_down(self, started: float) -> None:
        """Raise when no server is left, or one of several has cost a call its time-out."""
        hosts = self._client.servers
        closed = [str(host) for host in hosts if host.socket is None]
        is_late = time.monotonic() - started >= self._seconds
        if len(closed) == len(hosts) or (closed and is_late):
            raise ConnectionError(f"no answer from {' or '.join(closed)}")


class _Lifetime:
    """What a thread has as long as it has connections."""


def _close(hosts: list[Any]) -> None:
    for host in hosts:
        host.close_socket()


class _Refusal:
    """Stands where python-memcached takes what unpickles, or decompresses."""

    def __init__(self, *_data: object) -> None:
        raise ValueError("an answer of ours is plain bytes")


def _address(host: Any) -> str:
    if host.family == socket.AF_UNIX:
        return f"unix:{host.address}"
    if host.family == socket.AF_INET6:
        return f"inet6:[{host.ip}]:{host.port}"
    return f"inet:{host.ip}:{host.port}"


def pylibmc_pool(
    client: Any, seconds: float, username: str | None, password: str | None
) -> Callable[[], Any]:
    """Return what lends clients of pylibmc, one to each thread at a time."""
    import pylibmc

    class Client(pylibmc.Client):  # type: ignore[misc]  # it has no types
        def serialize(self, value: bytes) -> tuple[bytes, int]:
            return value, 0

        def deserialize(self, value: bytes, flags: int) -> bytes:
            return value if flags == 0 else b""

        def get(self, key: str) -> Any:
            started = time.monotonic()
            try:
                value = super().get(key)
                if value is None and time.monotonic() - started >= seconds:
                    value = super().get(key)  # raises, if what was late is the server
                return value  # noqa: TRY300 - what it returns may raise
            except Exception as error:
                if "decompress" in str(error):  # comes before the other, and is no fault either
                    return b""
                raise

    fresh = pylibmc.Client(client.addresses, binary=client.binary).behaviors
    # Only what the app has changed: not all that can be read can be written.
    behaviors = {name: v for name, v in client.behaviors.items() if v != fresh[name]} | {
        "connect_timeout": int(seconds * 1e3),
        "_poll_timeout": int(seconds * 1e3),
        "send_timeout": int(seconds * 1e6),
        "receive_timeout": int(seconds * 1e6),
    }

    def make() -> Any:
        return Client(
            client.addresses,
            behaviors=behaviors,
            binary=client.binary,
            username=username,
            password=password,
        )

    idle: deque[Any] = deque()

    @contextmanager
    def lend() -> Iterator[Any]:
        try:
            mine = idle.pop()
        except IndexError:
            mine = make()
        yield mine
        idle.append(mine)  # unless it failed: the next call might fail for that too

    return lend
