"""Streams: what a generator yields, item by item."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
from flask import request

from flask_modelserve import InvalidRequest

from .test_metrics import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient

    from flask_modelserve import ModelServe

EVENTS = {"Accept": "text/event-stream"}


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def count(serve: ModelServe) -> None:
    """An endpoint that counts, and fails where the test tells it to."""

    @serve.endpoint("/")
    def count(to: int, fail_at: int = -1, how: str = "crash") -> Iterator[dict[str, int]]:
        for number in range(to):
            if number == fail_at:
                raise InvalidRequest("enough") if how == "invalid" else ZeroDivisionError("secret")
            yield {"number": number}


def test_lines(client: FlaskClient) -> None:
    """A generator function answers with one line of JSON for each item."""
    response = client.post("/", json={"to": 3})
    assert (response.status_code, response.content_type) == (200, "application/x-ndjson")
    assert response.text == '{"number":0}\n{"number":1}\n{"number":2}\n'
    assert response.headers["Cache-Control"] == "no-store"


def test_events(client: FlaskClient) -> None:
    """A client that accepts server-sent events gets them."""
    response = client.post("/", json={"to": 2}, headers=EVENTS)
    assert response.content_type == "text/event-stream"
    assert response.text == 'data: {"number":0}\n\ndata: {"number":1}\n\n'


def test_not_acceptable(client: FlaskClient) -> None:
    """A client that takes neither gets 406."""
    response = client.post("/", json={"to": 2}, headers={"Accept": "application/json"})
    assert response.status_code == 406
    assert "application/x-ndjson" in response.json["detail"]


def test_empty_stream(client: FlaskClient) -> None:
    """A generator that yields nothing is an empty answer."""
    response = client.post("/", json={"to": 0})
    assert (response.status_code, response.data) == (200, b"")


def test_bad_input_has_its_status(client: FlaskClient) -> None:
    """What the schema or the signature refuses is 400, before anything is sent."""
    assert client.post("/", json={"to": "x"}).status_code == 400
    assert client.post("/", data="[").status_code == 400


def test_error_before_the_first_item(client: FlaskClient) -> None:
    """An error up to the first item has its own status and is a problem document."""
    refused = client.post("/", json={"to": 2, "fail_at": 0, "how": "invalid"})
    assert (refused.status_code, refused.json["detail"]) == (400, "enough")
    crashed = client.post("/", json={"to": 2, "fail_at": 0})
    assert crashed.status_code == 500
    assert "secret" not in crashed.text


def test_error_after_the_first_item(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """A later error is the last item, as a problem document; the log has the traceback."""
    response = client.post("/", json={"to": 5, "fail_at": 2})
    *items, last = lines(response.text)
    assert [item["number"] for item in items] == [0, 1]
    assert (last["status"], last["title"]) == (500, "Internal Server Error")
    assert "secret" not in response.text
    assert caplog.text.count("Traceback") == 1
    refused = client.post("/", json={"to": 5, "fail_at": 1, "how": "invalid"}, headers=EVENTS)
    first, second = refused.text.strip().split("\n\n")
    assert first == 'data: {"number":0}'
    event, data = second.split("\n")
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: "))["detail"] == "enough"


def test_each_item_is_checked(
    client: FlaskClient, serve: ModelServe, caplog: pytest.LogCaptureFixture
) -> None:
    """Each item must fit response_schema: one that does not is the last, and the log says why."""

    class Item(pydantic.BaseModel):
        score: float

    @serve.endpoint("/items", response_schema=Item)
    def items() -> Iterator[dict[str, Any]]:
        yield {"score": 1}
        yield {"score": "high"}
        yield {"score": 3}

    *good, last = lines(client.post("/items", json={}).text)
    assert good == [{"score": 1.0}]
    assert last["status"] == 500
    assert "score" not in last["detail"]
    assert "score: " in caplog.text


def test_items_are_sent_as_they_come(app: Flask, serve: ModelServe) -> None:
    """No item waits for the next one."""
    made = []

    @serve.endpoint("/slow", endpoint="slow")
    def slow() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    response = app.test_client().post("/slow", json={}, buffered=False)
    pieces = iter(response.response)
    assert next(pieces) == b"0\n"
    assert len(made) <= 2
    assert list(pieces) == [b"1\n", b"2\n"]
    response.close()


def test_client_that_leaves_closes_the_generator(app: Flask, serve: ModelServe) -> None:
    """When the client leaves, the generator is closed and gives its resources back."""
    closed = []

    @serve.endpoint("/endless", endpoint="endless")
    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    response = app.test_client().post("/endless", json={}, buffered=False)
    next(iter(response.response))
    assert samples(app.test_client(), "modelserve_in_flight")["endless",] == 1.0
    assert closed == []
    response.close()
    assert closed == [True]
    assert samples(app.test_client(), "modelserve_in_flight")["endless",] == 0.0


def test_head_closes_the_generator(app: Flask, serve: ModelServe) -> None:
    """A HEAD request, which sends nothing of the stream, leaves nothing behind."""
    closed = []

    @serve.endpoint("/head", methods=["GET"], endpoint="head")
    def head() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    response = app.test_client().head("/head")
    assert (response.status_code, response.data) == (200, b"")
    response.close()
    assert closed == [True]
    assert samples(app.test_client(), "modelserve_in_flight")["head",] == 0.0


def test_request_is_there_while_streaming(client: FlaskClient, serve: ModelServe) -> None:
    """The function may use flask.request until its last item."""

    @serve.endpoint("/path/<name>", methods=["GET"], endpoint="path")
    def path(name: str) -> Iterator[str]:
        yield name
        yield request.path

    assert lines(client.get("/path/a").text) == ["a", "/path/a"]


def test_outcomes(client: FlaskClient) -> None:
    """A stream counts once, by how it ended."""
    for options in ({}, {"fail_at": 1}, {"fail_at": 0}, {"fail_at": 1, "how": "invalid"}):
        assert client.post("/", json={"to": 2} | options).data
    counted = samples(client, "modelserve_requests_total")
    assert {k[1]: v for k, v in counted.items() if v} == {"ok": 1.0, "error": 2.0, "invalid": 1.0}


def test_class_handler(client: FlaskClient, serve: ModelServe) -> None:
    """A class whose __call__ is a generator streams too."""

    @serve.endpoint("/class")
    class Counter:
        def __call__(self, to: int) -> Iterator[int]:
            yield from range(to)

    assert lines(client.post("/class", json={"to": 2}).text) == [0, 1]


@pytest.mark.parametrize(
    "option", [{"cache": 60}, {"batch": 8}, {"timeout": 1}, {"max_concurrency": 2}]
)
def test_options_that_a_stream_can_t_have(serve: ModelServe, option: dict[str, Any]) -> None:
    """An option that means nothing for a stream is refused by name."""

    def stream(number: int) -> Iterator[int]:
        yield number

    with pytest.raises(ValueError, match=f"leave {next(iter(option))}= out"):
        serve.endpoint("/stream", **option)(stream)


def test_async_generator_is_refused(serve: ModelServe) -> None:
    """An async generator is refused with what to write instead."""

    async def stream() -> Any:
        yield 1

    with pytest.raises(TypeError, match="plain generator"):
        serve.endpoint("/stream")(stream)
