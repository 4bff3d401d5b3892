"""The app that test_warmup_servers.py has served: models that load slowly, or need a store."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response

from flask_modelserve import Batch, ModelServe

app = Flask(__name__)
serve = ModelServe(app)
FOLDER = Path(os.environ["WARMUP_APP_FOLDER"])
SLOW = float(os.environ.get("WARMUP_APP_SECONDS", "0"))


def note(what: str) -> None:
    """Tell the test what this process has done."""
    (FOLDER / f"{what}-{os.getpid()}").touch()


@app.after_request
def name_process(response: Response) -> Response:
    response.headers["X-Process"] = str(os.getpid())
    return response


@serve.endpoint("/batch", example={"number": 1}, batch=Batch(4))
def batch(number: list[int]) -> list[int]:
    note("batched")
    return number


@serve.endpoint("/timed", example={}, timeout=20)
class Timed:
    def __init__(self) -> None:
        time.sleep(SLOW / 4)

    def __call__(self) -> str:
        note("timed")
        return "answer"


@serve.endpoint("/slow")
def slow(seconds: float) -> Any:
    time.sleep(seconds)
    return "answer"


# The last: no other endpoint holds readiness up after it.
@serve.endpoint("/model", example={"number": 1})
class Model:
    def __init__(self) -> None:
        note("loading")
        time.sleep(SLOW)
        self.is_warm = False

    def __call__(self, number: int) -> int:
        if not (FOLDER / "store").exists():
            raise ConnectionError("no store")
        if not self.is_warm:
            time.sleep(SLOW / 2)
            self.is_warm = True
        note("answered")
        return number
