"""Single flight: concurrent misses of one cached key are one call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from flask_modelserve import Batch, InvalidRequest, ModelServe

from .crowds import PATIENCE, Gate, Request, answers, until
from .test_admission import outcomes

if TYPE_CHECKING:
    from flask import Flask


def lead(app: Flask, gate: Gate, followers: int, **options: Any) -> list[Request]:
    """Send one request that calls the model, and others that wait for its answer."""
    requests = [Request(app, {"number": 1}, **options)]
    gate.await_calls()
    requests += [Request(app, {"number": 1}, **options) for _ in range(followers)]
    for request in requests[1:]:
        until(request.is_waiting)
    return requests


def test_one_call(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """200 requests at once for what is not cached yet: one call, one answer for all."""
    calls = []

    @serve.endpoint("/", cache=60)
    def model(number: int) -> Any:
        calls.append(number)
        gate.pass_through()
        return {"number": number, "calls": len(calls)}

    requests = lead(app, gate, 199)
    gate.open()
    responses = [request.response() for request in requests]
    assert {response.text for response in responses} == {responses[0].text}
    assert {response.content_type for response in responses} == {"application/json"}
    assert len(calls) == 1
    assert outcomes(app) == {"ok": 1, "coalesced": 199}
    assert responses[0].headers["Cache-Status"] == "modelserve; fwd=uri-miss; stored"
    assert {response.headers["Cache-Status"] for response in responses[1:]} == {
        "modelserve; fwd=uri-miss; collapsed"
    }
    assert (
        Request(app, {"number": 1}).response().headers["Cache-Status"].startswith("modelserve; hit")
    )


def test_a_storm(app: Flask, serve: ModelServe) -> None:
    """However requests for few keys interleave, each key is computed once."""
    calls = []

    @serve.endpoint("/", cache=60)
    def model(number: int) -> int:
        calls.append(number)
        return number

    numbers = [number % 10 for number in range(400)]
    responses = answers(app, ({"number": number} for number in numbers))
    assert [response.json for response in responses] == numbers
    assert sorted(calls) == list(range(10))


@pytest.mark.parametrize("status", [400, 500])
def test_a_failing_leader(app: Flask, serve: ModelServe, gate: Gate, status: int) -> None:
    """The failure of one is not that of others: each of those that waited is called itself."""
    calls = 0
    lock = threading.Lock()

    @serve.endpoint("/", cache=60)
    def model(number: int) -> int:
        nonlocal calls
        with lock:
            calls += 1
            leads = calls == 1
        gate.pass_through()
        if leads:
            raise InvalidRequest("not now") if status == 400 else RuntimeError
        return number

    requests = lead(app, gate, 5)
    gate.open()
    assert [request.response().status_code for request in requests] == [status] + [200] * 5
    assert calls == 6
    failed = "invalid" if status == 400 else "error"
    assert outcomes(app) == {failed: 1, "ok": 5}


def test_answers_with_a_status_are_not_shared(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """An answer that may not be cached is for its own request alone."""
    calls = []

    @serve.endpoint("/", cache=60)
    def model(number: int) -> Any:
        calls.append(number)
        gate.pass_through()
        return {"number": number}, 202

    requests = lead(app, gate, 3)
    gate.open()
    assert [request.response().status_code for request in requests] == [202] * 4
    assert len(calls) == 4


def test_followers_have_their_own_time(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """A request that waits for another's answer gets 504 when its own time is over."""

    @serve.endpoint("/", cache=60, timeout=0.3)
    def model(number: int) -> int:
        gate.pass_through()
        return number

    requests = lead(app, gate, 3)
    responses = [request.response() for request in requests]
    assert [response.status_code for response in responses] == [504] * 4
    assert {response.content_type for response in responses} == {"application/problem+json"}
    assert outcomes(app) == {"timeout": 4}
    gate.open()
    until(lambda: Request(app, {"number": 1}).response().status_code == 200)


@pytest.mark.parametrize("directive", ["no-cache", "no-store"])
def test_requests_that_want_their_own(
    app: Flask, serve: ModelServe, gate: Gate, directive: str
) -> None:
    """With no-cache or no-store a request neither waits for another's answer nor gives its own."""
    barrier = threading.Barrier(3)

    @serve.endpoint("/", cache=60)
    def model(number: int) -> int:
        barrier.wait(PATIENCE)  # all three are called, at once
        return number

    headers = {"Cache-Control": directive}
    requests = [
        Request(app, {"number": 1}),
        Request(app, {"number": 1}, headers=headers),
        Request(app, {"number": 1}, headers=headers),
    ]
    assert [request.response().json for request in requests] == [1, 1, 1]
    assert outcomes(app) == {"ok": 3}


def test_keys_are_apart(app: Flask, serve: ModelServe) -> None:
    """Requests for different keys don't wait for each other."""
    barrier = threading.Barrier(4)

    @serve.endpoint("/", cache=60)
    def model(number: int) -> int:
        barrier.wait(PATIENCE)
        return number

    assert [r.json for r in answers(app, ({"number": n} for n in range(4)))] == [0, 1, 2, 3]


def test_callers_are_apart(app: Flask, serve: ModelServe) -> None:
    """Requests with different credentials don't share an answer in the making."""
    barrier = threading.Barrier(2)

    @serve.endpoint("/", cache=60)
    def model(number: int) -> int:
        barrier.wait(PATIENCE)
        return number

    requests = [
        Request(app, {"number": 1}, headers={"Authorization": f"Bearer {who}"}) for who in "ab"
    ]
    assert [request.response().json for request in requests] == [1, 1]


def test_off_without_cache(app: Flask, serve: ModelServe) -> None:
    """An endpoint without a cache is called for each request."""
    barrier = threading.Barrier(3)

    @serve.endpoint("/")
    def model(number: int) -> int:
        barrier.wait(PATIENCE)
        return number

    assert [r.json for r in answers(app, [{"number": 1}] * 3)] == [1, 1, 1]
    assert outcomes(app) == {"ok": 3}


def test_two_apps(gate: Gate) -> None:
    """Two apps don't share calls."""
    from flask import Flask, current_app

    serve = ModelServe()

    @serve.endpoint("/", cache=60)
    def model(number: int) -> str:
        gate.pass_through()
        return current_app.name

    apps = [Flask("one"), Flask("two")]
    for app in apps:
        serve.init_app(app)
    requests = [Request(app, {"number": 1}) for app in apps]
    gate.await_calls(2)
    gate.open()
    assert [request.response().json for request in requests] == ["one", "two"]


def test_with_a_batch(app: Flask, serve: ModelServe) -> None:
    """Equal requests take one row of a batch."""
    rows: list[int] = []

    @serve.endpoint("/", cache=60, batch=Batch(4, max_wait=PATIENCE))
    def model(number: Any) -> Any:
        rows.extend(number)
        return number

    numbers = [number % 4 for number in range(40)]
    responses = answers(app, ({"number": number} for number in numbers))
    assert [response.json for response in responses] == numbers
    assert sorted(rows) == [0, 1, 2, 3]


def test_with_places(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """Requests that wait for another's answer take no place and no room in the queue."""

    @serve.endpoint("/", cache=60, max_concurrency=1, max_queue=0)
    def model(number: int) -> int:
        gate.pass_through()
        return number

    requests = lead(app, gate, 10)
    assert Request(app, {"number": 2}).response().status_code == 503
    gate.open()
    assert [request.response().json for request in requests] == [1] * 11


def test_a_function_that_asks_itself(app: Flask, serve: ModelServe) -> None:
    """A cached function may call its own endpoint for another key."""

    @serve.endpoint("/", cache=60)
    def factorial(number: int) -> int:
        if number < 2:
            return 1
        below = app.test_client().post("/", json={"number": number - 1}).json
        return number * int(below)

    assert app.test_client().post("/", json={"number": 5}).json == 120
