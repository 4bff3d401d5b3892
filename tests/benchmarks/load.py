"""Load on a server: wrk over so many connections for a fixed time, and what it cost."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from .processes import HOST, ServerError, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psutil

    from .works import Question

SCRIPT = Path(__file__).with_name("post.lua")


class Load(NamedTuple):
    """What one run of load saw. All times are in seconds."""

    cpu: float
    rate: float
    p50: float
    p99: float


def wrk() -> str:
    """The path of wrk, the load generator."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(
            "The served benchmarks need wrk: apt-get install wrk, or brew install wrk."
        )
    return found


def ask(port: int, path: str, question: Question, times: int = 1) -> None:
    """Ask the same question some times, and refuse any answer that is not 200 and right."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        for _ in range(times):
            connection.request("POST", path, question.body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            if response.status != HTTPStatus.OK or json.loads(text) != question.answer:
                raise ServerError(f"{path} answered {response.status}: {text[:500]!r}")
    finally:
        connection.close()


def answers(port: int, path: str, question: Question) -> bool:
    """Whether the server is up and answers rightly."""
    try:
        ask(port, path, question)
    except (OSError, http.client.HTTPException, ServerError):
        return False
    return True


def load(server: psutil.Process, url: str, body: Path, *, connections: int) -> Load:
    """For a second, send requests over so many connections, each as soon as the last is answered.

    Raises:
        ServerError: An answer was not 200, or a connection broke.
    """
    before = cpu_seconds(server)
    output = subprocess.check_output(
        [wrk(), "-t1", f"-c{connections}", "-d1s", "--timeout=10s", f"-s{SCRIPT}", url],
        env={**os.environ, "BENCH_BODY": str(body)},
        timeout=30,
        text=True,
    )
    cpu = cpu_seconds(server) - before
    seen = json.loads(output.splitlines()[-1])
    requests = seen["requests"]
    if seen["errors"] or not requests:
        raise ServerError(f"{url}: {seen}")
    return Load(cpu / requests, requests / seen["seconds"], seen["p50"], seen["p99"])


def middle(loads: Sequence[Load]) -> Load:
    """The median of each figure."""
    return Load(*map(median, zip(*loads, strict=True)))


def ratio(mine: Sequence[Load], other: Sequence[Load], figure: str = "cpu") -> float:
    """One figure, CPU time per request or another, over another server's: the median turn's."""
    pairs = zip(mine, other, strict=True)
    return median(getattr(one, figure) / getattr(two, figure) for one, two in pairs)
