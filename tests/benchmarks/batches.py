"""Batches behind real servers: one copy of a model that takes 10 ms for up to 32 rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from . import served
from .peers.rows import MAX_SIZE, MAX_WAIT, model
from .served import RECOMMENDED, bentoml, litserve, mosec, recommended
from .works import Question

if TYPE_CHECKING:
    from .served import Folders, Schedule, Served

APP = "tests.benchmarks.batches:app()"
PATH = "/rows"
QUESTION = Question(b'{"x": [1]}', [1])
OURS = (RECOMMENDED, "ours, gthread, 64 threads")

SERVERS = (
    recommended(OURS[0], APP, PATH),
    recommended(OURS[1], APP, PATH, ["-k", "gthread", "--threads", "64"]),
    mosec("mosec_batches", PATH),
    litserve("litserve_batches", PATH),
    bentoml("bentoml_batches:Rows", PATH),
)


def app() -> Flask:
    """The model as a batched endpoint, each row checked to be a list."""
    from flask_modelserve import Batch, ModelServe

    flask = Flask("batches")
    serve = ModelServe(flask)

    @serve.endpoint(PATH, batch=Batch(MAX_SIZE, max_wait=MAX_WAIT))
    def rows(x: list[list[float]]) -> list[list[float]]:
        return model(x)

    return flask


def measure(folders: Folders, schedule: Schedule) -> Served:
    """Load all servers in alternation; one row a request."""
    return served.measure(SERVERS, folders, QUESTION, schedule)
