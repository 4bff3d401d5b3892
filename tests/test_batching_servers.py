"""Batches, places and time-outs behind real servers."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from .crowds import PATIENCE, until
from .servers import free_port, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

SYNC = "-k sync"
GTHREAD = "-k gthread --threads 8"
GEVENT = "-k gevent"
PRELOADED = "-k gevent --preload"
CONCURRENT = [GTHREAD, GEVENT, PRELOADED]
LOCAL = threading.local()


class Server:
    """A gunicorn that serves batching_app."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self._read = 0
        self._address = f"http://127.0.0.1:{port}"

    def post(self, path: str, **body: Any) -> requests.Response:
        if not hasattr(LOCAL, "session"):
            LOCAL.session = requests.Session()
        response: requests.Response = LOCAL.session.post(
            self._address + path, json=body, timeout=PATIENCE
        )
        return response

    def get(self, path: str) -> requests.Response:
        return requests.get(self._address + path, timeout=PATIENCE)

    def open(self) -> None:
        """Let the models that hang go on."""
        (self.folder / "open").touch()

    def await_call(self, name: str) -> None:
        until((self.folder / f"{name}-called").exists)

    def log(self) -> str:
        """Return what the server has logged in this test."""
        return (self.folder / "log").read_text()[self._read :]

    def forget(self) -> None:
        """Have the models hang again, once none runs any more."""
        self.open()
        until(
            lambda: set(re.findall(r"in_flight{.*} (.*)", self.get("/__metrics").text)) == {"0.0"}
        )
        for file in (*self.folder.glob("*-called"), self.folder / "open"):
            file.unlink()
        self._read += len(self.log())


@contextmanager
def served(options: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve the app by one worker with so many options."""
    monkeypatch.setenv("BATCHING_APP_FOLDER", str(folder))
    monkeypatch.setenv("HOME", str(folder))  # gunicorn's control socket is made there
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    port = free_port()
    gunicorn = [sys.executable, "-W", "error", "-m", "gunicorn", "--capture-output"]
    command = [*gunicorn, *options.split(), "--log-file", str(folder / "log")]
    bound = ["--bind", f"127.0.0.1:{port}", "tests.batching_app:app"]
    with running(*command, *bound, port=port) as process:
        yield Server(process, port, folder)
        (folder / "open").touch()


@pytest.fixture(scope="module")
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        served(request.param, tmp_path_factory.mktemp("served"), monkeypatch) as server,
    ):
        yield server


@pytest.fixture
def server(kept: Server) -> Iterator[Server]:
    """A server that tests share, in the order of its options."""
    yield kept
    kept.forget()


def on(*options: str) -> Any:
    """Run a test on servers with so many options."""
    return pytest.mark.parametrize("kept", options, indirect=True)


def crowd(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size)


def ask(server: Server, path: str, number: int) -> requests.Response:
    return server.post(path, number=number)


@on(SYNC, *CONCURRENT)
def test_crowd(server: Server) -> None:
    """Under 32 clients at once every answer is right, from every process that serves."""
    with crowd(32) as clients:
        responses = list(clients.map(lambda n: ask(server, "/double", n), range(128)))
    assert [response.json()["double"] for response in responses] == [2 * n for n in range(128)]
    assert "Traceback" not in server.log()


@on(*CONCURRENT)
def test_other_routes_answer(server: Server) -> None:
    """While models block their threads, health checks and other endpoints answer."""
    names = ("block", "timed", "admitted")
    with crowd(3) as clients:
        hung = [clients.submit(ask, server, f"/{name}", 1) for name in names]
        for name in names:
            server.await_call(name)
        assert server.get("/__ping").status_code == 200
        assert server.post("/double", number=2).json()["double"] == 4
        assert "modelserve_in_flight" in server.get("/__metrics").text
        assert not hung[0].done()
        server.open()
        assert hung[0].result().json() == 1
        assert hung[2].result().json() == 1


@on(SYNC, *CONCURRENT)
def test_hanging_model(server: Server) -> None:
    """A model that hangs is 504 in time, then 503 at once, and comes back."""
    concurrent = "sync" not in str(server.process.args)
    with crowd(6) as clients:
        responses = list(clients.map(lambda n: ask(server, "/timed", n), range(6)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == ([503] * 3 + [504] * 3 if concurrent else [504] * 6)
    assert server.get("/__ping").status_code == 200
    server.open()
    until(lambda: server.post("/timed", number=7).status_code == 200)
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("options", CONCURRENT)
def test_graceful_stop(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is told to stop finishes what is queued: no request is lost."""
    with served(options, tmp_path, monkeypatch) as server, crowd(6) as clients:
        futures = [clients.submit(ask, server, "/block", number) for number in range(6)]
        server.await_call("block")
        until(lambda: 'modelserve_in_flight{endpoint="block"} 6.0' in server.get("/__metrics").text)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "Handling signal: term" in server.log())
        server.open()
        assert [future.result().json() for future in futures] == list(range(6))
        assert server.process.wait(PATIENCE) == 0


@on(*CONCURRENT)
@pytest.mark.parametrize("path", ["/model", "/inline"])
def test_class(server: Server, path: str) -> None:
    """A class that takes time to load is made into one instance, whoever comes meanwhile."""
    with crowd(8) as clients:
        responses = list(clients.map(lambda _: server.post(path), range(8)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1


@on(*CONCURRENT)
def test_tracebacks(server: Server) -> None:
    """The log has one traceback for each failed request, whatever thread it failed on."""
    assert server.post("/late").status_code == 500
    assert server.post("/refuse", number=1).status_code == 500
    until(lambda: server.log().count("ValueError: of a batch") >= 1)
    assert server.log().count("Traceback") == 2


def test_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker has a model of its own, and one that is killed is replaced by one that serves."""
    with served(f"{GTHREAD} --workers 2", tmp_path, monkeypatch) as server:
        first = server.post("/double", number=1).json()["process"]
        os.kill(first, signal.SIGKILL)
        until(lambda: _process(server) not in {None, first})


def _process(server: Server) -> int | None:
    try:
        process: int = server.post("/double", number=1).json()["process"]
    except requests.ConnectionError:
        return None
    return process
