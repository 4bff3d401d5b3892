"""gunicorn with its workers, as the one line to deploy runs it, and clients that count answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from .crowds import PATIENCE, until
from .servers import free_port, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

APP = """
import os
import time

from flask import Flask
from flask_modelserve import ModelServe

app = Flask(__name__)
serve = ModelServe(app)


@serve.endpoint("/")
def double(number: int, seconds: float = 0):
    time.sleep(seconds)
    return {"double": 2 * number, "pid": os.getpid()}
"""


class Fleet:
    """A running gunicorn."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.folder = folder

    @property
    def temporary(self) -> Path:
        """The folder of temporary files."""
        return self.folder / "tmp"

    def workers(self) -> set[int]:
        """Return the ids of the workers that live."""
        return workers_of(self.process.pid)

    def await_workers(
        self, count: int, *, without: frozenset[int] | set[int] = frozenset()
    ) -> None:
        """Wait until there are so many workers, all others than some, and each has started."""
        until(lambda: len(self.workers()) == count and self.workers().isdisjoint(without))

    def signal(self, number: int, pid: int | None = None) -> None:
        """Send a signal to the master, or to a worker that may be gone."""
        with suppress(ProcessLookupError):
            os.kill(pid or self.process.pid, number)

    def kill(self) -> None:
        """Kill all its processes at once, as a machine that fails."""
        master = psutil.Process(self.process.pid)
        master.suspend()  # or it would start more
        everyone = [*master.children(), master]
        for each in everyone:
            each.kill()
        self.process.wait()
        psutil.wait_procs(everyone, PATIENCE)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, number: int = 1, **more: Any) -> dict[str, Any]:
        """Have a number doubled."""
        answer: dict[str, Any] = json.loads(post(self.port, {"number": number, **more}))
        return answer

    def get(self, path: str = "/__metrics", port: int | None = None) -> str:
        """Return the body of a successful answer."""
        status, body = exchange(port or self.port, f"GET {path} HTTP/1.1")
        assert status == 200, body
        return body.decode()

    def metrics(self, port: int | None = None) -> dict[str, float]:
        """Return the metrics by name and the values of their labels, as in `name ok`."""
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.get(port=port))
            for sample in family.samples
        }


def workers_of(master: int) -> set[int]:
    """Return the ids of a master's children that live."""
    alive = set()
    for child in psutil.Process(master).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                alive.add(child.pid)
    return alive


@contextmanager
def fleet(
    folder: Path, *options: str, app: str = APP, config: str | None = None, **env: str
) -> Iterator[Fleet]:
    """Run the one line in a folder, with more options, or a config file, and environment."""
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "app.py").write_text(app)
    if config is not None:
        (folder / "conf.py").write_text(config)
    port = free_port()
    command = gunicorn(folder, *options, config=config is not None, **env)
    command += ["--bind", f"127.0.0.1:{port}", "--log-file", str(folder / "log"), "app:app"]
    with running(*command, port=port) as process:
        yield Fleet(process, port, folder)


def gunicorn(folder: Path, *options: str, config: bool = False, **env: str) -> list[str]:
    """Return the one line as a command."""
    settings = str(folder / "conf.py") if config else "python:flask_modelserve.gunicorn"
    (folder / "tmp").mkdir(exist_ok=True)
    variables = {"TMPDIR": str(folder / "tmp"), "MODELSERVE_DRAIN_SECONDS": "0"} | env
    assignments = [f"{name}={value}" for name, value in variables.items()]
    # gunicorn forgets to close its log when it reloads.
    quiet = ["-W", "error", "-W", "ignore::ResourceWarning"]
    # Its script rather than the module, which USR2 would run where http is gunicorn's.
    python = [sys.executable, *quiet, str(Path(sys.executable).with_name("gunicorn"))]
    return [
        *("env", "-u", "PROMETHEUS_MULTIPROC_DIR", *assignments),
        *(*python, "--chdir", str(folder), "-c", settings, *options),
    ]


def exchange(
    port: int, line: str, body: bytes = b"", seconds: float = PATIENCE
) -> tuple[int, bytes]:
    """Send a request on a connection of its own, and return the answer's status and body."""
    head = f"{line}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    headers, _, content = answer.partition(b"\r\n\r\n")
    length = next(
        each for each in headers.split(b"\r\n") if each.lower().startswith(b"content-length")
    )
    assert len(content) == int(length.split(b":")[1]), "cut off"
    return int(headers.split(b" ", 2)[1]), content


def post(port: int, body: Any) -> bytes:
    """Return the body of the answer to JSON."""
    status, answer = exchange(port, "POST / HTTP/1.1", json.dumps(body).encode())
    assert status == 200, answer
    return answer


class Load(threading.Thread):
    """Clients that send requests, one connection each, until it ends."""

    def __init__(self, server: Fleet, clients: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._clients = clients
        self._lock = threading.Lock()
        self._ends = False
        self.sent = 0
        self.right = 0
        self.by_worker: Counter[int] = Counter()
        self.lost: list[str] = []
        self.seconds: list[float] = []

    def run(self) -> None:
        clients = [threading.Thread(target=self._send, daemon=True) for _ in range(self._clients)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def end(self) -> None:
        """Stop sending, and wait for the last answers."""
        self._ends = True
        self.join()

    def _send(self) -> None:
        while (number := self._next()) is not None:
            begun = time.monotonic()
            try:
                answer = self._server.ask(number, seconds=number % 7 / 1000)
                error = "" if answer["double"] == 2 * number else f"{number}: {answer}"
            except Exception as failure:  # whatever it is, the answer is lost
                error, answer = f"{number}: {failure!r}", {}
            with self._lock:
                self.seconds.append(time.monotonic() - begun)
                if error:
                    self.lost.append(error)
                else:
                    self.right += 1
                    self.by_worker[answer["pid"]] += 1

    def _next(self) -> int | None:
        with self._lock:
            if self._ends:
                return None
            self.sent += 1
            return self.sent


@contextmanager
def load(server: Fleet, clients: int = 8) -> Iterator[Load]:
    """Keep clients sending."""
    sending = Load(server, clients)
    sending.start()
    try:
        yield sending
    finally:
        sending.end()


def disturb(
    sending: Load, *disturbances: Callable[[], None], requests: int, pause: float = 0.3
) -> int:
    """Disturb a server under load, each disturbance in turn, and return how often.

    It ends once there were so many requests and workers have followed others, or with a lost one.
    """
    count = 0
    while not sending.lost and (sending.sent < requests or len(sending.by_worker) <= 2):
        answered = sending.right
        disturbances[count % len(disturbances)]()
        count += 1
        sending.join(pause)
        until(lambda answered=answered: sending.lost or sending.right > answered)  # type: ignore[misc]
    return count


KILL, TERM, HUP = signal.SIGKILL, signal.SIGTERM, signal.SIGHUP
