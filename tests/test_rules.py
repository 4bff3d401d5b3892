"""Rules in the .proto (buf.validate): enforced, and missed where their extra is not installed."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from flask_modelserve import ModelServe
from tests.protos import buf_validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

buf_validate.install()
from tests.protos import ruled_pb2  # noqa: E402 - imports buf.validate

PROTOBUF = "application/x-protobuf"
GOOD: dict[str, Any] = {
    "email": "ada@example.org",
    "lines": [{"sku": "ABC", "quantity": 10}],
    "limits": {"a": 0},
    "low": 1,
    "high": 2,
}


@pytest.fixture
def shop(app: Flask, serve: ModelServe, client: FlaskClient) -> FlaskClient:
    """Two endpoints with the same rules: by fields, and by the message."""

    @serve.endpoint("/fields", schema=ruled_pb2.Order, response_schema=ruled_pb2.Receipt, cache=60)
    def fields(lines, low=0, **_):
        return {"total": sum(line.get("quantity", 0) for line in lines) - low}

    @serve.endpoint("/message", schema=ruled_pb2.Order, response_schema=ruled_pb2.Receipt)
    def message(order: ruled_pb2.Order):
        return ruled_pb2.Receipt(total=len(order.lines) - order.low)

    return client


def _request(body: dict[str, Any], content_type: str) -> dict[str, Any]:
    if content_type != PROTOBUF:
        return {"json": body}
    return {
        "data": ruled_pb2.Order(**body).SerializeToString(),
        "content_type": PROTOBUF,
    }


def _order(**changes: Any) -> dict[str, Any]:
    return GOOD | changes


BROKEN = {
    "a format": (_order(email="nobody"), "email"),
    "a length": (_order(lines=[]), "lines"),
    "a pattern in a list": (
        _order(lines=[GOOD["lines"][0], {"sku": "abc", "quantity": 1}]),
        "lines[1].sku",
    ),
    "a range in a list": (_order(lines=[{"sku": "ABC", "quantity": 11}]), "lines[0].quantity"),
    "a zero": (_order(lines=[{"sku": "ABC"}]), "lines[0].quantity"),
    "a value of a map": (_order(limits={"a": 1, "b c": -1}), 'limits["b c"]'),
    "two fields together": (_order(low=3), ""),
}


@pytest.mark.parametrize("content_type", ["application/json", PROTOBUF])
@pytest.mark.parametrize("route", ["/fields", "/message"])
def test_a_request_that_keeps_the_rules_is_served(shop, route, content_type):
    """Rules let through what they allow, as JSON and as protobuf."""
    answer = shop.post(route, **_request(GOOD, content_type))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("content_type", ["application/json", PROTOBUF])
@pytest.mark.parametrize("route", ["/fields", "/message"])
@pytest.mark.parametrize(("body", "field"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_400_with_its_place(shop, route, content_type, body, field):
    """Each rule that a request breaks is named by the path of its field, and by what it asks."""
    answer = shop.post(route, **_request(body, content_type))
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert answer.json["errors"][0]["message"]
    assert "Cache-Status" not in answer.headers


def test_all_broken_rules_are_named_at_once(shop):
    """A client learns of all rules that it breaks from one answer, in words of the .proto."""
    body = {"email": "x", "lines": [{"sku": "a", "quantity": -1}], "low": 2, "high": 1}
    errors = {e["field"]: e["message"] for e in shop.post("/fields", json=body).json["errors"]}
    assert errors.keys() == {"", "email", "lines[0].sku", "lines[0].quantity"}
    assert errors[""] == "low must not exceed high"


@pytest.mark.parametrize("route", ["/fields", "/message"])
@pytest.mark.parametrize("accept", ["application/json", PROTOBUF])
def test_an_answer_that_breaks_a_rule_is_500(shop, route, accept, caplog):
    """A bad answer is the server's fault: the client learns nothing, the log the field's path."""
    answer = shop.post(route, json=_order(low=50, high=60), headers={"Accept": accept})
    assert answer.status_code == 500
    assert "total" not in answer.text
    assert "total: must be greater than or equal to 0" in caplog.text


@pytest.fixture
def without_protovalidate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment in which the extra is not installed."""
    from flask_modelserve.schema import protobuf

    monkeypatch.setitem(sys.modules, "protovalidate", None)
    protobuf.message_type.cache_clear()
    yield
    protobuf.message_type.cache_clear()


def test_without_the_extra_the_log_says_which_one_to_install(without_protovalidate, caplog):
    """Rules that can't be enforced are not passed over in silence; the endpoint serves without."""
    app = Flask(__name__)
    serve = ModelServe(app)
    with caplog.at_level(logging.WARNING):

        @serve.endpoint("/", schema=ruled_pb2.Order)
        def order(email):
            return email

    assert "flask-modelserve[protovalidate]" in caplog.text
    assert "ruled.proto" in caplog.text
    assert app.test_client().post("/", json={"email": "nobody"}).json == "nobody"


def test_a_schema_without_rules_says_nothing_of_the_extra(without_protovalidate, caplog):
    """Nobody is told to install what their .proto has no use for."""
    from tests.protos import every_pb2

    serve = ModelServe(Flask(__name__))

    @serve.endpoint("/", schema=every_pb2.Every)
    def plain(a_bool):
        return a_bool

    assert "protovalidate" not in caplog.text
