"""What the package costs beside requests: import, memory of a worker, set-up of many endpoints."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from typing import NamedTuple

from .processes import ROOT, tree
from .served import Folders, gunicorn, serving
from .works import LANGUAGE

ENDPOINTS = 200

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
SET_UP = f"""
import time
from flask import Flask
from flask_modelserve import ModelServe
from tests.benchmarks.works import LANGUAGE
start = time.perf_counter()
app = Flask("many")
serve = ModelServe(app)
for number in range({ENDPOINTS}):
    serve.endpoint(
        f"/{{number}}",
        schema=LANGUAGE.request,
        response_schema=LANGUAGE.response,
        cache=60,
        endpoint=f"detect-{{number}}",
    )(LANGUAGE.function)
print(time.perf_counter() - start)
"""


class Edges(NamedTuple):
    """Seconds and bytes over what Flask alone takes."""

    import_seconds: float
    worker_bytes: float
    set_up_seconds: float


def measure(folders: Folders, *, rounds: int) -> Edges:
    """Measure each edge in fresh processes, with and without the package alternately."""
    return Edges(import_seconds(rounds), worker_bytes(folders, rounds), fastest(SET_UP, rounds))


def printed(code: str) -> float:
    """The number that some code prints in a fresh interpreter."""
    return float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, timeout=60))


def fastest(code: str, rounds: int) -> float:
    """The smallest number that some code prints in so many fresh interpreters."""
    return min(printed(code) for _ in range(rounds))


def import_seconds(rounds: int) -> float:
    """How much longer the import of the package takes than that of Flask."""
    times = [
        (printed(IMPORT.format("flask")), printed(IMPORT.format("flask_modelserve")))
        for _ in range(2 * rounds)
    ]
    return min(ours for _, ours in times) - min(flask for flask, _ in times)


def worker_bytes(folders: Folders, rounds: int) -> float:
    """How much more memory of its own a worker has that serves the language endpoint."""
    pairs = [
        (memory("apps:ours()", folders), memory("plain:app", folders))
        for _ in range(max(1, rounds // 2))
    ]
    return median(ours - bare for ours, bare in pairs)


def memory(app: str, folders: Folders) -> int:
    """Bytes that only the worker of one gunicorn holds, after its first requests."""
    server = gunicorn(f"memory, {app}", f"tests.benchmarks.{app}", ["-k", "gthread"])
    with serving(server, folders, LANGUAGE.question) as (process, _):
        _, *workers = tree(process)
        return sum(worker.memory_full_info().uss for worker in workers)
