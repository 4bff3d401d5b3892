"""The app that test_batching_servers.py has served: models that take their time, or hang."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from flask import Flask

from flask_modelserve import Batch, ModelServe

app = Flask(__name__)
serve = ModelServe(app)
FOLDER = Path(os.environ["BATCHING_APP_FOLDER"])
# Time as it passes in native code: gevent would make the sleep of Python one of its own.
usleep = ctypes.CDLL(None).usleep


def hang(name: str) -> None:
    """Tell that the model is called, and block until the test says so."""
    (FOLDER / f"{name}-called").touch()
    while not (FOLDER / "open").exists():
        usleep(5000)


@serve.endpoint("/double", batch=Batch(8, max_wait=0.005))
def double(number: list[int]) -> list[Any]:
    usleep(10000)
    return [{"double": 2 * each, "process": os.getpid()} for each in number]


@serve.endpoint("/block", batch=Batch(4, max_wait=0))
def block(number: list[int]) -> list[int]:
    hang("block")
    usleep(50000)
    return number


@serve.endpoint("/timed", timeout=0.5, max_concurrency=2, max_queue=1)
def timed(number: int) -> int:
    hang("timed")
    return number


@serve.endpoint("/model", timeout=30)
class Model:
    """Takes some time to load, in a way that lets greenlets go on."""

    def __init__(self) -> None:
        import time

        time.sleep(0.2)
        self.name = f"model {id(self)}"

    def __call__(self) -> str:
        return self.name


@serve.endpoint("/inline")
class InlineModel(Model):
    """The same, called on the request's own thread."""


@serve.endpoint("/refuse", batch=Batch(4, max_wait=0.002))
def refuse(number: list[int]) -> list[int]:
    raise ValueError("of a batch")


@serve.endpoint("/late", timeout=10)
def late() -> None:
    raise ValueError("of a call with a time-out")


@serve.endpoint("/admitted", max_concurrency=2)
def admitted(number: int) -> int:
    hang("admitted")
    return number
