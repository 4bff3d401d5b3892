"""Examples: checked when an endpoint is set up, by the endpoint's own rules."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.json.provider import DefaultJSONProvider
from pydantic import BaseModel

from flask_modelserve import ModelServe

from .crowds import until


class Message(BaseModel):
    number: int
    tags: list[str] = []


def model(number: int, name: str = "", tags: list[str] | None = None) -> int:
    return number


def model_of_url(number: int, name: str) -> int:
    return number


WRONG = {
    "an unknown field": (model, "/", {}, {"number": 1, "wrong": 1}, "wrong is not an argument"),
    "a wrong type": (model, "/", {}, {"number": "one"}, "number must be an integer"),
    "a missing field": (model, "/", {}, {"name": "x"}, "number is required"),
    "not an object": (model, "/", {}, [1], "an array; send a JSON object"),
    "no JSON": (model, "/", {}, {"number": object()}, "can't be sent as JSON"),
    "no URL argument": (model_of_url, "/<name>", {}, {"number": 1}, "lacks name: .* URL /<name>"),
    "a wrong URL argument": (
        model_of_url,
        "/<int:number>/<name>",
        {},
        {"number": "one", "name": "x"},
        "does not fit the URL",
    ),
    "no query": (model, "/", {"methods": ["GET"]}, [1], "write a dict of the query's parameters"),
    "a wrong query": (model, "/", {"methods": ["GET"]}, {"number": []}, "number is required"),
    "an object in a query": (
        model,
        "/",
        {"methods": ["GET"]},
        {"number": {"a": 1}},
        "number must be an integer",
    ),
    "one that the schema refuses": (
        model,
        "/",
        {"schema": Message},
        {"number": "one"},
        "number Input should be a valid integer",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_examples(app: Flask, serve: ModelServe, case: str) -> None:
    """An example that the endpoint would refuse is refused at set-up, with what is wrong."""
    function, rule, options, example, message = WRONG[case]
    with pytest.raises(ValueError, match=message) as refused:
        serve.endpoint(rule, example=example, **options)(function)
    assert str(refused.value).startswith(f"example={example!r}")


def test_wrong_example_in_a_factory() -> None:
    """With an app that comes later, or a blueprint, the example is checked once all is known."""
    serve = ModelServe()
    api = Blueprint("api", __name__)
    serve.endpoint("/<name>", blueprint=api, example={"number": 1, "name": "x"})(model_of_url)
    app = Flask(__name__)
    serve.init_app(app)
    with pytest.raises(ValueError, match="lacks tenant"):
        app.register_blueprint(api, url_prefix="/<tenant>")


RIGHT = {
    "nothing": (lambda: "answer", "/", {}, {}),
    "a query": (model, "/", {"methods": ["GET"]}, {"number": 1, "tags": ["a", "b"], "name": None}),
    "a query of a model": (
        model,
        "/",
        {"methods": ["GET"], "schema": Message},
        {"number": 1, "tags": ["a"]},
    ),
    "a message": (model, "/", {"schema": Message}, Message(number=1)),
    "a message with a URL": (
        model_of_url,
        "/<name>",
        {},
        type("Pair", (BaseModel,), {"__annotations__": {"number": int, "name": str}})(
            number=1, name="x"
        ),
    ),
    "a signed number in the URL": (
        model_of_url,
        "/<float(signed=True):number>/<name>",
        {},
        {"number": -1.5, "name": "x"},
    ),
    "only the URL": (
        model_of_url,
        "/<int:number>/<path:name>",
        {"methods": ["GET"]},
        {"number": 1, "name": "ü/"},
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_examples(app: Flask, serve: ModelServe, case: str) -> None:
    """What clients may send is a good example, and answered."""
    function, rule, options, example = RIGHT[case]
    serve.endpoint(rule, endpoint="model", example=example, **options)(function)
    client = app.test_client()
    until(lambda: client.get("/__ready").status_code == 200)


def test_json_of_the_app() -> None:
    """An example is written by the app's own JSON provider, as answers are."""

    class Provider(DefaultJSONProvider):
        @staticmethod
        def default(value: Any) -> Any:
            return f"the {value}" if isinstance(value, dt.date) else str(value)

    class Own(Flask):
        json_provider_class = Provider

    seen: list[Any] = []

    def day(date: str) -> None:
        seen.append(date)

    app = Own(__name__)
    ModelServe(app).endpoint("/", example={"date": dt.date(2026, 1, 2)})(day)
    client = app.test_client()
    until(lambda: client.get("/__ready").status_code == 200)
    assert seen == ["the 2026-01-02"]
