"""Places and queues: how many calls run at once, who comes next, and who is refused."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, current_app

from flask_modelserve import ModelServe, admission, endpoint, execution

from .crowds import PATIENCE, Request, answers, send_in_order, until
from .test_metrics import samples

if TYPE_CHECKING:
    from .crowds import Gate

# The ways to limit an endpoint: on the request's thread, or on one that can be left behind.
LIMITS = [{}, {"timeout": PATIENCE}]


def in_flight(app: Flask) -> float:
    return samples(app.test_client(), "modelserve_in_flight")["model",]


def outcomes(app: Flask) -> dict[str, float]:
    """Return how often each outcome has been, for those that have."""
    counted = samples(app.test_client(), "modelserve_requests_total")
    return {outcome: count for (_, outcome), count in counted.items() if count}


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_places(app: Flask, serve: ModelServe, limit: Any) -> None:
    """Never more than max_concurrency calls run at once, and all requests are answered."""
    places = threading.Semaphore(3)
    peak = threading.Barrier(3)

    @serve.endpoint("/", max_concurrency=3, **limit)
    def model(number: int) -> int:
        assert places.acquire(blocking=False), "a fourth call"
        peak.wait(PATIENCE)  # three calls do run at once
        places.release()
        return number

    responses = answers(app, ({"number": number} for number in range(60)))
    assert [response.json for response in responses] == list(range(60))
    assert outcomes(app) == {"ok": 60}
    assert samples(app.test_client(), "modelserve_queue_seconds_count") == {("model",): 60}
    assert samples(app.test_client(), "modelserve_predict_seconds_count") == {("model",): 60}


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_first_come_first_served(app: Flask, serve: ModelServe, gate: Gate, limit: Any) -> None:
    """Requests that wait are called in the order in which they came."""
    order = []

    @serve.endpoint("/", max_concurrency=1, **limit)
    def model(number: int) -> int:
        order.append(number)
        gate.pass_through()
        return number

    requests = [Request(app, {"number": 0})]
    gate.await_calls()
    requests += send_in_order(app, ({"number": number} for number in range(1, 20)))
    gate.open()
    assert [each.response().json for each in requests] == list(range(20))
    assert order == list(range(20))


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("max_queue", [0, 2])
def test_full_queue(app: Flask, serve: ModelServe, gate: Gate, max_queue: int, limit: Any) -> None:
    """Over max_queue requests are refused at once, 503 with a Retry-After; others are served."""

    @serve.endpoint("/", max_concurrency=2, max_queue=max_queue, **limit)
    def model(number: int) -> int:
        gate.pass_through()
        return number

    admitted = [Request(app, {"number": number}) for number in range(2)]
    gate.await_calls(2)
    admitted += send_in_order(app, ({"number": number} for number in range(2, 2 + max_queue)))
    for response in answers(app, [{"number": 9}] * 5):
        assert response.status_code == 503
        assert response.content_type == "application/problem+json"
        assert response.json["title"] == "Service Unavailable"
        assert int(response.headers["Retry-After"]) >= 1
    gate.open()
    assert [each.response().json for each in admitted] == list(range(2 + max_queue))
    assert outcomes(app) == {"ok": 2 + max_queue, "overloaded": 5}


@pytest.mark.parametrize(
    ("seconds", "retry_after"), [(0.001, 1), (4.5, 9), (1000, 60)], ids=["at least", "", "at most"]
)
@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_retry_after_is_measured(  # noqa: PLR0917 - fixtures and parameters
    app: Flask,
    serve: ModelServe,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    limit: Any,
    seconds: float,
    retry_after: int,
) -> None:
    """Retry-After is how long the calls ahead will take, as the last ones took."""
    clock = 1000.0
    for module in (admission, execution, endpoint):
        monkeypatch.setattr(module, "perf_counter", lambda: clock)

    @serve.endpoint("/", max_concurrency=2, max_queue=3, **limit)
    def model(hangs: bool) -> str:
        nonlocal clock
        clock += seconds
        if hangs:
            gate.pass_through()
        return "done"

    assert Request(app, {"hangs": False}).response().json == "done"
    requests = [Request(app, {"hangs": True}) for _ in range(2)]
    gate.await_calls(2)
    clock = 1000.0  # or those that wait would be past their time-out
    requests += send_in_order(app, [{"hangs": True}] * 3)
    refused = Request(app, {"hangs": True}).response()
    assert refused.headers["Retry-After"] == str(retry_after)
    gate.open()
    for each in requests:
        each.response()


def test_places_survive_time_outs(app: Flask, serve: ModelServe) -> None:
    """However many requests time out in the queue or at work, no place is lost or gained."""
    running = threading.Semaphore(2)

    @serve.endpoint("/", max_concurrency=2, max_queue=50, timeout=0.02)
    def model() -> None:
        assert running.acquire(blocking=False), "a third call"
        time.sleep(0.015)  # stands for work
        running.release()

    for _ in range(3):
        codes = {each.status_code for each in answers(app, [{}] * 30)}
        assert codes <= {200, 504}
    until(lambda: in_flight(app) == 0)
    (admission,) = (
        each for each in (app.extensions["modelserve"].endpoints["model"]._runner._admission,)
    )
    assert admission._free == 2


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_places_survive_crashes(app: Flask, serve: ModelServe, limit: Any) -> None:
    """A call that raises gives its place back."""

    @serve.endpoint("/", max_concurrency=1, max_queue=0, **limit)
    def model(crash: bool) -> str:
        if crash:
            raise ValueError
        return "answer"

    client = app.test_client()
    for _ in range(3):
        assert client.post("/", json={"crash": True}).status_code == 500
    assert client.post("/", json={"crash": False}).json == "answer"


def test_two_apps(gate: Gate) -> None:
    """Two apps with one ModelServe have places of their own."""
    serve = ModelServe()

    @serve.endpoint("/", max_concurrency=1, max_queue=0)
    def model(hangs: bool) -> str:
        if hangs:
            gate.pass_through()
        return current_app.name

    busy, free = Flask("busy"), Flask("free")
    for app in (busy, free):
        serve.init_app(app)
    hung = Request(busy, {"hangs": True})
    gate.await_calls()
    assert Request(free, {"hangs": False}).response().json == "free"
    assert Request(busy, {"hangs": False}).response().status_code == 503
    gate.open()
    assert hung.response().json == "busy"


def test_handler_of_the_app(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """An error handler that the app has for 503 answers in its own way."""

    @serve.endpoint("/", max_concurrency=1, max_queue=0)
    def model() -> None:
        gate.pass_through()

    app.register_error_handler(503, lambda error: ("come back later", 503))
    hung = Request(app, {})
    gate.await_calls()
    assert Request(app, {}).response().text == "come back later"
    gate.open()
    hung.response()
