"""Servers as processes: on a free port, measured as a whole tree, and always ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


class ServerError(RuntimeError):
    """A server did not start, or answered wrongly."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and everything below it."""
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time that the whole tree has used so far, in user and system mode."""
    total = 0.0
    for member in tree(process):
        times = member.cpu_times()
        total += times.user + times.system
    return total


@contextmanager
def running(
    command: Sequence[str],
    ready: Callable[[], bool],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[psutil.Process]:
    """Run a server from the moment it is `ready` until the end of the block."""
    environ = {**os.environ, **(env or {})}
    with log.open("wb") as output:
        server = psutil.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait(server, ready, log)
        yield server
    finally:
        stop(server)


def wait(server: psutil.Popen, ready: Callable[[], bool], log: Path) -> None:
    """Return once the server is ready; refuse one that died or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise ServerError(
                f"{log.stem} did not start:\n{log.read_text(errors='replace')[-2000:]}"
            )
        time.sleep(0.05)


def stop(server: psutil.Process) -> None:
    """End the tree politely, then whatever is left of it at once."""
    members = tree(server) if server.is_running() else []
    with suppress(psutil.NoSuchProcess):
        server.terminate()
    _, alive = psutil.wait_procs(members, timeout=5)
    for member in alive:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
