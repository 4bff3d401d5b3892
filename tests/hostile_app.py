"""An app with an endpoint of every kind of schema, for tests that send what none can read."""

from __future__ import annotations

import os
from typing import Any

import pydantic
from flask import Flask

from flask_modelserve import ModelServe
from tests.protos.every_pb import Every as NativeEvery
from tests.protos.every_pb2 import Every
from tests.protos.legacy_pb2 import Legacy

MAX_CONTENT_LENGTH = 8_000_000

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = MAX_CONTENT_LENGTH
serve = ModelServe(app)


class Leaf(pydantic.BaseModel):
    """A pydantic model with a few kinds of fields."""

    an_int: int = 0
    a_text: str = ""
    a_list: list[float] = []
    a_map: dict[str, int] = {}
    an_any: Any = None
    a_leaf: Leaf | None = None


@app.get("/pid")
def pid() -> str:
    """Tell which worker answers."""
    return str(os.getpid())


@serve.endpoint("/fields", schema=Every, response_schema=Every, methods=["GET", "POST"])
def fields(**fields: Any) -> Any:
    return fields


@serve.endpoint("/message", schema=Every, response_schema=Every, methods=["GET", "POST"])
def message(message: Every) -> Any:
    return message


@serve.endpoint("/native", schema=NativeEvery, response_schema=NativeEvery)
def native(message: NativeEvery) -> Any:
    return message


@serve.endpoint("/lenient", schema=Every, response_schema=Every, ignore_unknown_fields=True)
def lenient(**fields: Any) -> Any:
    return fields


@serve.endpoint("/legacy", schema=Legacy, response_schema=Legacy)
def legacy(**fields: Any) -> Any:
    return fields


@serve.endpoint("/cached", schema=Every, response_schema=Every, cache=60)
def cached(**fields: Any) -> Any:
    return fields


@serve.endpoint("/model", schema=Leaf, methods=["GET", "POST"])
def model(leaf: Leaf) -> Any:
    return sorted(leaf.model_fields_set)


@serve.endpoint("/signature", methods=["GET", "POST"])
def signature(an_int: int = 0, a_text: str = "", a_list: Any = None, a_map: Any = None) -> Any:
    return [type(value).__name__ for value in (an_int, a_text, a_list, a_map)]
