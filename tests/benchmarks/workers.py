"""gunicorn's worker classes and thread counts on three kinds of model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from flask import Flask

from . import served
from .served import WORKER_CLASSES, gunicorn
from .works import Question

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .served import Folders, Schedule, Served

WORKERS = WORKER_CLASSES | {
    "gthread, 32 threads": ["-k", "gthread", "--threads", "32"],
}
APP = "tests.benchmarks.workers:app()"
QUESTION = Question(b'{"x": 1}', {"y": 1})
BLOCK = bytes(16_000_000)


def trivial(x: int = 0) -> dict[str, int]:
    """No work at all."""
    return {"y": x}


def python(x: int = 0) -> dict[str, int]:
    """Some 5 ms of pure Python, which hold the GIL."""
    total = x
    for i in range(60_000):
        total = (total * 31 + i) % 1_000_003
    return {"y": x}


def native(x: int = 0) -> dict[str, int]:
    """Some 10 ms of native code, which release the GIL."""
    hashlib.sha256(BLOCK).digest()
    return {"y": x}


MODELS = (trivial, python, native)


def app() -> Flask:
    """One endpoint for each model."""
    from flask_modelserve import ModelServe

    flask = Flask("workers")
    serve = ModelServe(flask)
    for model in MODELS:
        serve.endpoint(f"/{model.__name__}")(model)
    return flask


def measure(names: Iterable[str], folders: Folders, schedule: Schedule) -> dict[str, Served]:
    """Load every model under the worker classes of those names."""
    return {
        model.__name__: served.measure(
            [gunicorn(name, APP, WORKERS[name], path=f"/{model.__name__}") for name in names],
            folders,
            QUESTION,
            schedule,
        )
        for model in MODELS
    }
