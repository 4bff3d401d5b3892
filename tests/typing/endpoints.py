"""What type checkers say of the public names: this file is checked, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from flask import Blueprint, Flask
from flask_caching import Cache

from flask_modelserve import Batch, InvalidRequest, ModelServe

if TYPE_CHECKING:
    from collections.abc import Callable

app = Flask(__name__)
serve = ModelServe(app, cache=Cache(app))


@serve.endpoint("/detect", cache=60, methods=["GET", "POST"], version="1", timeout=2.5)
def detect(title: str, body: str | None = None) -> dict[str, float]:
    if not title:
        raise InvalidRequest("no title", errors=[{"field": "title", "message": "is empty"}])
    return {title: len(body or "")}


# A decorated function keeps its type.
checked: Callable[[str, str | None], dict[str, float]] = detect
assert_type(detect("a"), dict[str, float])


@serve.endpoint("/score", batch=Batch(max_size=8, max_wait=0.01), max_queue=64)
def score(number: list[float]) -> list[float]:
    return [2 * each for each in number]


@serve.endpoint("/model", blueprint=Blueprint("api", __name__), endpoint="model", batch=8)
class Model:
    def __call__(self, number: list[float]) -> list[float]:
        return number


assert_type(Model(), Model)

serve.endpoint("/typo", cahce=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
serve.endpoint("/text", cache="60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
