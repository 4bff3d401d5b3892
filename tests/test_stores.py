"""Stores: real servers that are down, hung, full or poisoned cost a miss, and execute nothing."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import sys
import threading
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import flask_caching
import pytest
import redis as redis_py
from flask import Flask

from flask_modelserve import ModelServe

from .crowds import PATIENCE, Gate, answers, until
from .servers import free_port, hung, memcached, redis, sentinel
from .test_metrics import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

# Flask-Caching takes pylibmc where it is installed.
MEMCACHED_CLIENTS = ["memcache"] + ["pylibmc"] * (
    sys.platform == "linux" and sys.version_info[:2] == (3, 11)
)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self._path,)


def memcached_config(port: int, client: str) -> dict[str, Any]:
    servers: Any = [f"127.0.0.1:{port}"]
    if client == "memcache":
        servers = __import__("memcache").Client(servers)
    return {"CACHE_TYPE": "MemcachedCache", "CACHE_MEMCACHED_SERVERS": servers}


@contextmanager
def store(kind: str, *options: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Run a server, and yield its process and the keys by which it is the cache."""
    port = free_port()
    if kind == "redis":
        with redis(port, *options) as process:
            yield process, {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_PORT": port}
    else:
        with memcached(port, *options) as process:
            config = memcached_config(port, kind)
            yield process, config
            if kind == "memcache":
                config["CACHE_MEMCACHED_SERVERS"].disconnect_all()


each_store = pytest.mark.parametrize("kind", ["redis", *MEMCACHED_CLIENTS])


def make_app(**config: Any) -> Flask:
    """Return an app that keeps what it answers, and says which call it was."""
    app = Flask("stores")
    app.config.update({"MODELSERVE_CACHE_RETRY_SECONDS": 0.3} | config)
    calls: list[Any] = []

    @ModelServe(app).endpoint("/", cache=60)
    def model(text: str) -> Any:
        calls.append(text)
        return {"text": text, "calls": len(calls)}

    return app


def ask(client: FlaskClient, text: str = "a") -> str:
    """Send a request, and return what Cache-Status says first."""
    response = client.post("/", json={"text": text})
    assert (response.status_code, response.json["text"]) == (200, text)
    return response.headers["Cache-Status"].split("; ", 1)[1]


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def faults(app: Flask) -> float:
    return samples(app.test_client(), "modelserve_cache_errors_total")[()]


def poisons(path: Path, entry: bytes) -> list[bytes]:
    """Return what may stand under a key of ours."""
    bomb = pickle.dumps(Bomb(path))
    return [bomb, b"!" + bomb, zlib.compress(bomb), b"", b"1", b"msv1", entry[:-1], entry + b"x",
            b"msv1" + bomb * 100, b"\xff" * 50]  # fmt: skip


def test_redis_executes_nothing(tmp_path: Path) -> None:
    """Whatever is written under a key of ours in Redis is a miss that is counted, never code."""
    with store("redis") as (_, config):
        app = make_app(**config)
        client = app.test_client()
        ask(client, "other")
        server = redis_py.Redis(port=config["CACHE_REDIS_PORT"])
        [other] = server.keys()
        ask(client)
        [key] = set(server.keys()) - {other}
        path = tmp_path / "boom"
        planted = [*poisons(path, server.get(key)), server.get(other)]
        for count, value in enumerate(planted, 1):
            server.set(key, value)
            assert ask(client) == "fwd=uri-miss; stored", value
            assert faults(app) == count
            assert ask(client).startswith("hit")
        server.delete(key)
        server.lpush(key, "a list")
        assert ask(client) == "fwd=uri-miss; stored"
        assert ask(client).startswith("hit")
        assert not path.exists()
        server.set(key, planted[1])
        next(iter(app.extensions["cache"].values())).get(key.decode().removeprefix("flask_cache_"))
        assert path.exists()  # it would have: what Flask-Caching's own reading does
        server.close()


def send(port: int, command: bytes) -> bytes:
    """Send a command to memcached, and return the answer's beginning."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(1000)


@pytest.mark.parametrize("kind", MEMCACHED_CLIENTS)
def test_memcached_executes_nothing(tmp_path: Path, monkeypatch: Any, kind: str) -> None:
    """Nor is what is written in memcached, whatever the flags say that it is."""
    keys: list[str] = []
    with store(kind) as (process, config):
        port = int(process.args[process.args.index("-p") + 1])
        app = make_app(**config)
        client = app.test_client()
        ask(client)
        backend = app.extensions["modelserve"].stores[None]._backend
        read = backend.get
        monkeypatch.setattr(backend, "get", lambda key: (keys.append(key), read(key))[1])
        assert ask(client).startswith("hit")
        key = b"flask_cache_" + keys[0].encode()
        path = tmp_path / "boom"
        planted = poisons(path, b"msv1")
        flags = [*range(32), 1 << 10, 0xFFFF_FFFF]
        for flag in flags:
            for value in planted:
                head = b"set %b %d 0 %d\r\n" % (key, flag, len(value))
                assert send(port, head + value).startswith(b"STORED")
                assert ask(client) == "fwd=uri-miss; stored", (flag, value)
        assert ask(client).startswith("hit")
        assert not path.exists()
        assert faults(app) >= len(flags)
        send(port, b"set %b 1 0 %d\r\n%b" % (key, len(planted[0]), planted[0]))
        next(iter(app.extensions["cache"].values())).get(keys[0])
        assert path.exists()  # it would have


def test_files_execute_nothing(tmp_path: Path) -> None:
    """Nor is what is written into a cache's folder, into the file that counts the others too."""
    app = make_app(CACHE_TYPE="FileSystemCache", CACHE_DIR=str(tmp_path / "cache"))
    client = app.test_client()
    ask(client)
    path = tmp_path / "boom"
    files = list((tmp_path / "cache").iterdir())
    assert len(files) == 2  # the other has their number
    later = (int(time.time()) + 100).to_bytes(4, sys.byteorder)
    for value in poisons(path, b"msv1"):
        for file in files:
            file.write_bytes(later + value.removeprefix(b"msv1"))
        assert ask(client) == "fwd=uri-miss; stored", value
        assert ask(client).startswith("hit")
    assert not path.exists()
    for file in files:
        file.write_bytes(later + pickle.dumps(Bomb(path)))
    next(iter(app.extensions["cache"].values())).set("x", 1)
    assert path.exists()  # it would have


def test_files_are_bounded(tmp_path: Path) -> None:
    """CACHE_THRESHOLD bounds how many files there are, ours and the app's own together."""
    app = make_app(CACHE_TYPE="FileSystemCache", CACHE_DIR=str(tmp_path), CACHE_THRESHOLD=10)
    own = flask_caching.Cache(app)
    client = app.test_client()
    for number in range(100):
        ask(client, str(number))
        own.set(f"own{number}", {"number": number})
    assert own.get("own99") == {"number": 99}
    assert len(list(tmp_path.iterdir())) <= 13


@each_store
def test_hung(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A server that accepts and never answers costs one request its time-out, and the others none.

    One line says so, and one when it answers again; and the metrics count it.
    """
    with store(kind) as (process, config), caplog.at_level(logging.WARNING, "flask_modelserve"):
        app = make_app(MODELSERVE_CACHE_TIMEOUT_SECONDS=1, **config)
        client = app.test_client()
        ask(client)
        with hung(process):
            assert 0.9 < seconds(lambda: ask(client)) < 4
            late = time.monotonic() + 1  # the rest is over by then: someone tries, nobody waits
            while time.monotonic() < late:
                assert seconds(lambda: ask(client)) < 0.9
            assert len(caplog.records) == 1
            assert faults(app) >= 1
        until(lambda: ask(client).startswith("hit"))
    assert ["fails" in record.message for record in caplog.records] == [True, False]
    assert "answers again" in caplog.records[1].message


# python-memcached leaves the socket open that could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@each_store
def test_down_and_up(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """While a server is down requests are answered without it, and with it when it is up again."""
    port = free_port()
    config: dict[str, Any] = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_PORT": port}
    if kind != "redis":
        config = memcached_config(port, kind)
    run = redis if kind == "redis" else memcached
    app = make_app(**config)
    client = app.test_client()
    with caplog.at_level(logging.WARNING, "flask_modelserve"):
        for _ in range(3):
            assert ask(client) == "fwd=uri-miss"
        assert (len(caplog.records), faults(app)) == (1, 1)
        for _ in range(2):
            with run(port):
                until(lambda: ask(client).startswith("hit"))
            until(lambda: not ask(client).startswith("hit"))
    assert len(caplog.records) == 5


@each_store
def test_shared_by_workers(kind: str) -> None:
    """What one process has answered, another finds."""
    with store(kind) as (_, config):
        first, second = (make_app(**config).test_client() for _ in range(2))
        assert ask(first, "ü") == "fwd=uri-miss; stored"
        assert ask(second, "ü").startswith("hit")


def test_unix_socket(tmp_path: Path) -> None:
    """Redis may listen on a Unix socket."""
    path = tmp_path / "redis.sock"
    with redis(free_port(), "--unixsocket", str(path)):
        app = make_app(CACHE_TYPE="RedisCache", CACHE_REDIS_URL=f"unix://{path}")
        client = app.test_client()
        assert ask(client) == "fwd=uri-miss; stored"
        assert ask(client).startswith("hit")
    assert ask(client) == "fwd=uri-miss"


def test_restart_between_two_requests() -> None:
    """A restart that no request sees costs none: connections that were cut are made anew."""
    port = free_port()
    app = make_app(CACHE_TYPE="RedisCache", CACHE_REDIS_PORT=port)
    client = app.test_client()
    for _ in range(2):
        with redis(port):
            assert ask(client) == "fwd=uri-miss; stored"
            assert ask(client).startswith("hit")
    assert faults(app) == 0


def test_full_redis(caplog: pytest.LogCaptureFixture) -> None:
    """A Redis that is full gives the answers that it has; one line says that it takes no more."""
    with store("redis") as (_, config), caplog.at_level(logging.WARNING, "flask_modelserve"):
        app = make_app(**config)
        client = app.test_client()
        ask(client)
        server = redis_py.Redis(port=config["CACHE_REDIS_PORT"])
        server.config_set("maxmemory", "1")
        for number in range(5):
            assert ask(client, str(number)) == "fwd=uri-miss"
            assert ask(client).startswith("hit")
        assert faults(app) == 5
        [record] = caplog.records
        assert "was refused at request " in record.message
        assert " (is it full, " in record.message
        assert "command not allowed when used memory > 'maxmemory'" in record.message
        server.config_set("maxmemory", "0")
        assert ask(client, "0") == "fwd=uri-miss; stored"
        server.close()


@pytest.mark.parametrize("kind", MEMCACHED_CLIENTS)
def test_memcached_takes_no_more(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """So does a memcached that is full."""
    full = ("-m", "8", "-M")
    with store(kind, *full) as (_, config), caplog.at_level(logging.WARNING, "flask_modelserve"):
        app = make_app(**config)
        client = app.test_client()
        ask(client)
        statuses = [ask(client, f"{number}{'x' * 700_000}") for number in range(30)]
        refused = statuses.count("fwd=uri-miss")
        assert 15 < refused < 30
        assert ask(client).startswith("hit")
        assert (len(caplog.records), faults(app)) == (1, refused)


@pytest.mark.parametrize("kind", MEMCACHED_CLIENTS)
def test_large_values(kind: str) -> None:
    """An answer over the limit of memcached is answered, and not kept."""
    with store(kind) as (_, config):
        app = make_app(MODELSERVE_CACHE_MAX_BYTES=3_000_000, **config)
        client = app.test_client()
        for _ in range(2):
            assert ask(client, "x" * 2_000_000) == "fwd=uri-miss"
        ask(client, "x" * 900_000)
        assert ask(client, "x" * 900_000).startswith("hit")


class Slow:
    """A backend whose reads wait at a gate, or fail."""

    def __init__(self) -> None:
        self.gate = Gate(shut=False)
        self.error: Exception | None = ConnectionError("down")
        self.reads = 0

    def get(self, key: str) -> Any:
        self.reads += 1
        self.gate.pass_through()
        if self.error:
            raise self.error

    def set(self, key: str, value: Any, timeout: int) -> Any:
        raise AssertionError("nothing is written to a store that is sick")


def with_backend(backend: Any, **config: Any) -> Flask:
    app = make_app(**config)
    app.extensions["cache"][flask_caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})] = (
        backend
    )
    return app


def test_one_tries() -> None:
    """Of a crowd of requests to a sick store one has it tried, and none waits for it."""
    backend = Slow()
    app = with_backend(backend)
    assert ask(app.test_client()) == "fwd=uri-miss"
    assert backend.reads == 1
    backend.gate = Gate()
    store = app.extensions["modelserve"].stores[None]
    until(lambda: time.monotonic() > store._retry_at)
    for _ in range(3):
        responses = answers(app, ({"text": str(number)} for number in range(20)))
        assert {response.status_code for response in responses} == {200}
    backend.gate.await_calls()
    assert backend.reads == 2
    backend.gate.open()
    until(lambda: not any(each.name == "modelserve-cache" for each in threading.enumerate()))


def test_slow_without_a_timeout() -> None:
    """A store whose client has no time-out is left alone too when it was slow once."""

    class Sleeps(Slow):
        def get(self, key: str) -> Any:
            self.reads += 1
            time.sleep(0.1)

    backend = Sleeps()
    config = {"MODELSERVE_CACHE_TIMEOUT_SECONDS": 0.01, "MODELSERVE_CACHE_RETRY_SECONDS": PATIENCE}
    app = with_backend(backend, **config)
    for _ in range(3):
        assert ask(app.test_client()) == "fwd=uri-miss"
    assert (backend.reads, faults(app)) == (1, 1)


def test_own_use_goes_on() -> None:
    """The app's own cache keeps its client, its time-outs and what it pickles."""
    with store("redis") as (_, config):
        app = make_app(CACHE_OPTIONS={"socket_timeout": 17}, **config)
        own = flask_caching.Cache(app, config={"CACHE_KEY_PREFIX": "own_"})
        client = app.test_client()
        ask(client)
        assert ask(client).startswith("hit")
        own.set("own", {"a": {1, 2}})
        assert own.get("own") == {"a": {1, 2}}
        pool = own.cache._write_client.connection_pool
        assert pool.connection_kwargs["socket_timeout"] == 17
        server = redis_py.Redis(port=config["CACHE_REDIS_PORT"])
        keys = server.keys()
        assert {key[:8] for key in keys} == {b"own_own", b"own_mode"}
        server.close()


def test_client_of_strings() -> None:
    """A client that decodes what it reads is no hindrance, nor one with a bounded pool."""
    with store("redis") as (_, config):
        pool = redis_py.BlockingConnectionPool(
            port=config["CACHE_REDIS_PORT"], decode_responses=True, max_connections=2
        )
        app = Flask("strings")
        flask_caching.Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_OPTIONS": {
            "host": redis_py.Redis(connection_pool=pool)}})  # fmt: skip
        backend = next(iter(app.extensions["cache"].values()))
        backend._read_client = backend._write_client = redis_py.Redis(connection_pool=pool)
        ModelServe(app).endpoint("/", cache=60, endpoint="model")(lambda text: {"text": text})
        client = app.test_client()
        ask(client)
        assert ask(client).startswith("hit")
        pool.disconnect()


def test_more_threads_than_connections() -> None:
    """A request that gets no connection misses; the store is not taken for sick."""
    with store("redis") as (_, config):
        app = make_app(
            CACHE_OPTIONS={"max_connections": 1}, MODELSERVE_CACHE_RETRY_SECONDS=PATIENCE, **config
        )
        client = app.test_client()
        ask(client)
        pool = app.extensions["modelserve"].stores[None]._open()._read_client.connection_pool
        taken = pool.get_connection()
        assert ask(client) == "fwd=uri-miss"
        pool.release(taken)
        assert ask(client).startswith("hit")


def test_clients_that_unpickle_are_refused() -> None:
    """A memcached client that unpickles, and can't be kept from it, is refused when set up."""
    client = type("Client", (), {"__module__": "libmc"})()
    app = Flask("refused")
    flask_caching.Cache(
        app, config={"CACHE_TYPE": "MemcachedCache", "CACHE_MEMCACHED_SERVERS": client}
    )
    with pytest.raises(RuntimeError, match="install pylibmc or python-memcached"):
        ModelServe(app).endpoint("/", cache=60, endpoint="model")(lambda: 1)


def test_unknown_backends(caplog: pytest.LogCaptureFixture) -> None:
    """A backend of the user's own is used, and one line says what it must not do."""

    class Own(dict[str, Any]):
        def set(self, key: str, value: Any, timeout: int) -> None:
            self[key] = value

    with caplog.at_level(logging.WARNING, "flask_modelserve"):
        app = with_backend(Own())
        ask(app.test_client())
        assert ask(app.test_client()).startswith("hit")
    assert [record.message.split("If")[0] for record in caplog.records] == [
        "flask_modelserve does not know how test_unknown_backends.<locals>.Own reads values. "
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("down"), "The cache of stores fails at request mine, "),
        (redis_py.ResponseError("no"), "A read or write of the cache of stores was refused at "),
    ],
)
def test_lines_name_the_request(
    caplog: pytest.LogCaptureFixture, error: Exception, line: str
) -> None:
    """The line about a fault names the request that met it."""

    class Faulty(flask_caching.backends.SimpleCache):
        def get(self, key: str) -> None:
            raise error

    client = with_backend(Faulty()).test_client()
    assert client.post("/", json={"text": "a"}, headers={"X-Request-ID": "mine"}).status_code == 200
    assert caplog.messages[-1].startswith(line)
    assert "request mine" in caplog.messages[-1]


def test_sentinel(tmp_path: Path) -> None:
    """Answers are kept behind sentinels too, and their end costs a miss."""
    port, watching = free_port(), free_port()
    file = tmp_path / "sentinel.conf"
    file.write_text(f"sentinel monitor mymaster 127.0.0.1 {port} 1\n")
    app = make_app(CACHE_TYPE="RedisSentinelCache", CACHE_REDIS_SENTINELS=[("127.0.0.1", watching)])
    client = app.test_client()
    with redis(port) as process, sentinel(watching, file):
        until(lambda: ask(client).startswith("hit"))
        with hung(process):
            assert seconds(lambda: ask(client)) < 5
            assert ask(client) == "fwd=uri-miss"
        until(lambda: ask(client).startswith("hit"))
    assert ask(client) == "fwd=uri-miss"


def test_cluster(tmp_path: Path) -> None:
    """Answers are kept in a cluster too, and its end costs a miss."""
    port = free_port()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis(port, *options, "--dir", str(tmp_path)) as process:
        server = redis_py.Redis(port=port)
        server.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
        until(lambda: server.cluster("info")["cluster_state"] == "ok")
        app = make_app(CACHE_TYPE="RedisClusterCache", CACHE_REDIS_CLUSTER=f"127.0.0.1:{port}")
        client = app.test_client()
        ask(client)
        assert ask(client).startswith("hit")
        with hung(process):
            assert seconds(lambda: ask(client)) < 5
            assert ask(client) == "fwd=uri-miss"
        until(lambda: ask(client).startswith("hit"))
        server.close()
