"""Real servers for the tests: each on a free loopback port, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """Return where a program is.

    Without it the test is skipped, but not in CI: `.ci/run` installs it.

    Raises:
        RuntimeError: In CI, if the program is not installed.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get("CI"):
        raise RuntimeError(f"{name} is not installed: .ci/run shows how to get it")
    pytest.skip(f"{name} is not installed")


@contextlib.contextmanager
def running(
    *command: str, port: int, stop: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it listens, and stop it at the end.

    Raises:
        RuntimeError: If the program ends before it listens.
    """
    process = subprocess.Popen([program(command[0]), *command[1:]], stdout=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield process
    finally:
        process.send_signal(stop)
        process.send_signal(signal.SIGCONT)  # it may be hung
        process.wait(timeout=40)  # gunicorn gives its workers 25 s


@contextlib.contextmanager
def hung(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have a server accept connections, and answer nothing."""
    process.send_signal(signal.SIGSTOP)
    # Its threads stop when the system comes to them.
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)  # between two looks at a process that is starting
    raise RuntimeError(f"{process.args!r} does not listen on {port}")


def prometheus(
    port: int, config: Path
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run Prometheus, with its data beside its configuration."""
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    return running("prometheus", *options, port=port)


def redis(port: int, *options: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run Redis without persistence."""
    return running(
        "redis-server", "--port", str(port), "--save", "", "--appendonly", "no", *options, port=port
    )


def sentinel(port: int, file: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run a sentinel of Redis, which keeps its state in its configuration's file."""
    return running("redis-server", str(file), "--sentinel", "--port", str(port), port=port)


def memcached(
    port: int, *options: str
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run memcached, which has nothing to save, and takes a second to stop if asked to."""
    command = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-u", "nobody", *options]
    return running(*command, port=port, stop=signal.SIGKILL)
