"""An app of which every metric moves and every alert can fire: what test_dashboard.py monitors."""

from __future__ import annotations

import random
import time
from typing import Any

from flask import Flask

from flask_modelserve import Batch, ModelServe

app = Flask(__name__)
app.config.from_prefixed_env()
serve = ModelServe(app)


@serve.endpoint("/cached", cache=60)
def cached(number: int) -> int:
    return number


@serve.endpoint("/batched", batch=Batch(max_size=8, max_wait=0.01))
def batched(number: list[int]) -> list[int]:
    return number


@serve.endpoint("/crashes")
def crashes(number: int) -> None:
    raise ZeroDivisionError


@serve.endpoint("/breaks")
def breaks(number: int) -> Any:
    return object()


@serve.endpoint("/busy", max_concurrency=1, max_queue=0)
def busy(number: int) -> int:
    time.sleep(0.1)
    return number


@serve.endpoint("/late", timeout=0.02)
def late(number: int) -> int:
    time.sleep(0.1)
    return number


@serve.endpoint("/slow")
def slow(number: int) -> int:
    time.sleep(random.uniform(1.05, 1.6))
    return number


@app.get("/page")
def page() -> str:
    return "page"
