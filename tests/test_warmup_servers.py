"""Readiness of real servers, polled from before their port is open until after it is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest
import requests

from .crowds import PATIENCE, until
from .servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOOKS = "-c python:flask_modelserve.gunicorn"
STRESS = "MODELSERVE_STRESS" in os.environ
MEMORY_APP = "tests.memory_app:app"
MEGABYTES = 200 if STRESS else 25


class Seen(NamedTuple):
    """What one probe saw: no status where nobody answered."""

    status: int | None
    process: str
    body: str
    had_answered: bool
    began: float
    ended: float


class Poller(threading.Thread):
    """Asks /__ready again and again, by a connection each time."""

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__()
        self._port = port
        self._folder = folder
        self._is_over = threading.Event()
        self.seen: list[Seen] = []
        self.start()

    def run(self) -> None:
        while not self._is_over.wait(0.005):
            began = time.monotonic()
            connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            try:
                connection.request("GET", "/__ready")
                response = connection.getresponse()
                process = response.headers["X-Process"] or ""
                # Looked for first: that the model answers after this is no excuse.
                status, body = response.status, response.read().decode()
            except (OSError, HTTPException) as error:
                status, process, body = None, "", repr(error)
            finally:
                connection.close()
            answered = (self._folder / f"answered-{process}").exists()
            self.seen.append(Seen(status, process, body, answered, began, time.monotonic()))

    def stop(self) -> list[Seen]:
        self._is_over.set()
        self.join()
        return self.seen

    def turns(self) -> list[int | None]:
        """Return the statuses, each once where it came many times in a row."""
        statuses = [each.status for each in self.seen]
        return [s for i, s in enumerate(statuses) if i == 0 or statuses[i - 1] != s]


class Server:
    """A gunicorn, and who polls it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path, poller: Any):
        self.process = process
        self.folder = folder
        self.poller: Poller = poller
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> requests.Response:
        return requests.get(self.address + path, timeout=PATIENCE)

    def post(self, path: str, **body: Any) -> requests.Response:
        return requests.post(self.address + path, json=body, timeout=PATIENCE)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def await_ready(self) -> None:
        until(lambda: self.get("/__ready").status_code == 200)


@contextmanager
def served(
    options: str, folder: Path, app: str = "tests.warmup_app:app", **env: str
) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("WARMUP_APP_FOLDER", str(folder))
        monkeypatch.setenv("MODELSERVE_DRAIN_SECONDS", "0")
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(folder))  # gunicorn's control socket is made there
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
        port = free_port()
        gunicorn = [sys.executable, "-W", "error", "-m", "gunicorn", "--capture-output"]
        command = [*gunicorn, *options.split(), "--log-file", str(folder / "log")]
        poller = Poller(port, folder)
        try:
            with running(*command, "--bind", f"127.0.0.1:{port}", app, port=port) as process:
                yield Server(process, port, folder, poller)
        finally:
            poller.stop()


def store(folder: Path) -> None:
    """Start what the model needs."""
    (folder / "store").touch()


@pytest.mark.parametrize(
    "options",
    [
        f"{HOOKS} -k gthread --threads 4 -w 2",
        f"{HOOKS} -k gevent -w 1",
        "-k gthread --threads 4 -w 2",
        "-k gevent",
    ],
)
def test_never_ready_before_the_model_answers(options: str, tmp_path: Path) -> None:
    """Polled from the first moment, no worker is ready before its model has answered.

    With the hooks a request waits until a worker is warm; without them it is 503 at once.
    """
    store(tmp_path)
    workers = 2 if "-w 2" in options else 1
    with served(options, tmp_path, WARMUP_APP_SECONDS="0.4") as server:
        until(lambda: len({s.process for s in server.poller.seen if s.status == 200}) == workers)
        assert server.post("/model", number=3).json() == 3
        seen = server.poller.stop()
    assert seen[0].status is None  # before the port was open
    assert all(each.had_answered for each in seen if each.status == 200)
    if HOOKS in options:
        assert server.poller.turns() == [None, 200]
    else:
        assert server.poller.turns()[:3] == [None, 503, 200]
        assert '"Model": "loading"' in next(s.body for s in seen if s.status == 503)
    ready = {each.process for each in seen if each.status == 200}
    for what in ("loading", "answered", "batched", "timed"):
        assert {path.name for path in tmp_path.glob(f"{what}-*")} == {f"{what}-{p}" for p in ready}


def test_slow_loading(tmp_path: Path) -> None:
    """A worker may load for longer than gunicorn's time-out for workers that are silent."""
    store(tmp_path)
    options = f"{HOOKS} -k sync --preload -w 2 --timeout 1"
    with served(options, tmp_path, WARMUP_APP_SECONDS="2") as server:
        until(lambda: server.poller.turns() == [None, 200])
        seen = server.poller.stop()
    assert all(each.had_answered for each in seen if each.status == 200)
    assert "TIMEOUT" not in server.log()
    assert server.log().count("Worker ready") == 2


def test_failing_model(tmp_path: Path) -> None:
    """A worker whose model fails answers 503 and serves all else, until the model has recovered."""
    with served(f"{HOOKS} -k gthread --threads 4", tmp_path) as server:
        until(lambda: server.poller.turns()[-1] == 503)
        document = server.get("/__ready").json()
        assert set(document["endpoints"]) == {"Model"}
        assert "store" not in str(document)
        assert server.post("/batch", number=1).json() == 1
        assert "Endpoint Model failed to warm up" in server.log()
        assert "ConnectionError: no store" in server.log()
        assert "Worker ready" not in server.log()
        store(tmp_path)
        until(lambda: server.poller.turns() == [None, 503, 200])
        seen = server.poller.stop()
    assert all(each.had_answered for each in seen if each.status == 200)


def test_drain(tmp_path: Path) -> None:
    """A TERM turns /__ready to 503 in all workers while the listener is open, and all is served.

    A worker that dies meanwhile is replaced by one that is not ready either.
    """
    store(tmp_path)
    options = f"{HOOKS} -k gthread --threads 4 -w 2"
    with served(options, tmp_path, MODELSERVE_DRAIN_SECONDS="1.5") as server:
        server.await_ready()
        server.process.send_signal(signal.SIGTERM)
        termed = time.monotonic()
        until(lambda: server.poller.turns()[-1] == 503)
        noticed = time.monotonic()
        assert server.post("/model", number=2).json() == 2
        server.workers()[0].kill()
        assert server.post("/model", number=2).json() == 2
        slow = threading.Thread(target=server.post, args=["/slow"], kwargs={"seconds": 1.5})
        slow.start()
        server.process.wait(PATIENCE)
        ended = time.monotonic()
        slow.join()
        seen = server.poller.stop()
    assert server.process.returncode == 0
    assert noticed - termed < 1.4
    assert ended - termed >= 1.5
    while_draining = [each for each in seen if termed < noticed <= each.began < termed + 1.4]
    assert len(while_draining) > 10
    assert {each.status for each in while_draining} <= {503, None}
    last = max(index for index, each in enumerate(seen) if each.status)
    assert seen[last].status == 503
    assert seen[-1].status is None
    assert 200 not in {each.status for each in seen if each.began > noticed}


def test_impatience(tmp_path: Path) -> None:
    """A second signal ends a drain at once."""
    store(tmp_path)
    with served(f"{HOOKS} -k gthread", tmp_path, MODELSERVE_DRAIN_SECONDS="300") as server:
        server.await_ready()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.poller.turns()[-1] == 503)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)
    assert server.process.returncode == 0


def test_no_drain(tmp_path: Path) -> None:
    """INT stops at once; HUP, fewer workers and a stopped worker are no drain of the service."""
    store(tmp_path)
    options = f"{HOOKS} -k gthread --threads 4 -w 2"
    with served(options, tmp_path, MODELSERVE_DRAIN_SECONDS="300") as server:
        server.await_ready()
        before = {worker.pid for worker in server.workers()}
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(now := {w.pid for w in server.workers()}) == 2 and not now & before)
        server.workers()[0].terminate()
        server.process.send_signal(signal.SIGTTOU)
        until(lambda: len(server.workers()) == 1)
        until(lambda: server.poller.seen[-1].status == 200)
        seen = server.poller.stop()
        server.process.send_signal(signal.SIGINT)
        server.process.wait(PATIENCE)
    assert 503 not in {each.status for each in seen}
    assert all(each.had_answered for each in seen if each.status == 200)


def test_wrong_drain_seconds(tmp_path: Path) -> None:
    """A time that is none is refused at the start, with what to write."""
    environment = os.environ | {
        "MODELSERVE_DRAIN_SECONDS": "soon",
        "WARMUP_APP_FOLDER": str(tmp_path),
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            *HOOKS.split(),
            "-b",
            "127.0.0.1:0",
            "tests.warmup_app:app",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode
    assert "MODELSERVE_DRAIN_SECONDS=soon: write seconds, such as 10" in ended.stderr


def test_flask_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While developing, with debugger and reloader, the first probe warms up."""
    store(tmp_path)
    monkeypatch.setenv("WARMUP_APP_FOLDER", str(tmp_path))
    monkeypatch.setenv("WARMUP_APP_SECONDS", "0.5")
    port = free_port()
    poller = Poller(port, tmp_path)
    command = f"-m flask --app tests.warmup_app run --debug --port {port}"
    try:
        with running(sys.executable, *command.split(), port=port) as process:
            until(lambda: 200 in poller.turns())
            for child in psutil.Process(process.pid).children():
                child.terminate()
    finally:
        seen = poller.stop()
    assert poller.turns()[:3] == [None, 503, 200]
    assert all(each.had_answered for each in seen if each.status == 200)


def memory(model: str, loads: str, folder: Path) -> list[float]:
    """Return the megabytes of the arbiter and of two workers, after some requests.

    Memory that processes share is divided among them (proportional set size).
    """
    folder.mkdir()
    environment = {
        "MEMORY_APP_MEGABYTES": str(MEGABYTES),
        "MEMORY_APP_MODEL": model,
        "MEMORY_APP_LOADS": loads,
    }
    with served(f"{HOOKS} -k sync -w 2 --preload", folder, MEMORY_APP, **environment) as server:
        server.poller.stop()
        answered: set[int] = set()
        until(lambda: len(answered.add(server.post("/").json()) or answered) == 2)
        processes = [psutil.Process(server.process.pid), *server.workers()]
        return [each.memory_full_info().pss / 2**20 for each in processes]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells what processes share")
@pytest.mark.parametrize("model", ["array", "objects"] if STRESS else ["objects"])
def test_memory_of_both_ways(model: str, tmp_path: Path) -> None:
    """A model that is loaded before the fork is there once; one per process, in each worker.

    It stays so when Python's collector of cycles has visited the model in each of them.
    """
    shared = memory(model, "before the fork", tmp_path / "shared")
    own = memory(model, "per process", tmp_path / "own")
    if STRESS:
        print(model, MEGABYTES, shared, own)  # noqa: T201 - the figures, for whoever asked
    assert sum(own) - sum(shared) > 0.8 * MEGABYTES
