"""Serves apps as the documents say: by real commands, over the network."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .documents import Request

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@contextmanager
def served(command: str, folder: Path) -> Iterator[str]:
    """Run a documented server command on a free port, yield its address, and stop it.

    Raises:
        AssertionError: When the server does not start, logs a traceback, or does not stop well.
    """
    program, *arguments = shlex.split(command)
    # The port that the document names may be taken: 0 lets the system choose one.
    arguments = [re.sub(r"^(127\.0\.0\.1:)?8000$", r"\g<1>0", each) for each in arguments]
    with (
        # gunicorn keeps its control socket in the home directory: each server has its own.
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(
            [sys.executable, "-m", program, *arguments],
            cwd=folder,
            env=os.environ
            | {
                "HOME": home,
                "MODELSERVE_DRAIN_SECONDS": "0",
                "PYTHONUNBUFFERED": "1",
                "XDG_RUNTIME_DIR": home,
            },
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        log = ""
        watchdog = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            for line in process.stdout:
                log += line
                address = _ADDRESS.search(line)
                if address:
                    yield address[0]
                    break
            else:
                raise AssertionError(f"{command} did not start:\n{log}")
        finally:
            # The whole group: flask's reloader has a child that serves.
            os.killpg(process.pid, signal.SIGTERM)
            log += process.stdout.read()
            watchdog.cancel()
    assert "Traceback" not in log, log
    # The development server has no graceful stop.
    assert process.returncode in {0, -signal.SIGTERM}, log


def fetch(address: str, request: Request) -> str:
    """Send a request over the network, and return the body of the answer, whatever its status."""
    sent = urllib.request.Request(
        address + request.path, request.data, request.headers, method=request.method
    )
    try:
        with urllib.request.urlopen(sent, timeout=30) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
