"""How functions are called: with time-outs, on threads, as classes, or without any limit."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, abort, current_app, g, request

from flask_modelserve import InvalidRequest, ModelServe, threads

from .crowds import PATIENCE, Gate, Request, answers, send_in_order, until
from .test_admission import LIMITS, in_flight, outcomes

if TYPE_CHECKING:
    from flask.testing import FlaskClient


def test_time_out(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """While the function hangs the client gets 504, not before its time and not long after."""

    @serve.endpoint("/", timeout=0.2)
    def model() -> None:
        gate.pass_through()

    begun = time.perf_counter()
    response = Request(app, {}).response()
    assert 0.2 <= time.perf_counter() - begun < 5
    assert response.status_code == 504
    assert response.content_type == "application/problem+json"
    assert response.json["title"] == "Gateway Timeout"
    assert response.json["detail"] == "The endpoint's time of 0.2 s passed while the function ran."
    assert outcomes(app) == {"timeout": 1}


def test_a_model_that_hangs_and_comes_back(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """Hung calls keep their places, so that new requests are refused; once they end, all is well.

    No more threads hang than there are places, other routes answer, and the metrics show the calls.
    """
    called = []

    @serve.endpoint("/", max_concurrency=2, max_queue=1, timeout=0.2)
    def model(number: int) -> int:
        called.append(number)
        gate.pass_through()
        return number

    hung = [Request(app, {"number": number}) for number in range(2)]
    gate.await_calls(2)
    assert [each.response().status_code for each in hung] == [504, 504]
    assert in_flight(app) == 2
    assert app.test_client().get("/__ping").status_code == 200

    waiting = Request(app, {"number": 2})
    until(waiting.is_waiting)
    statuses = [each.status_code for each in answers(app, [{"number": 3}] * 5)]
    assert 503 in statuses
    response = waiting.response()
    assert response.status_code == 504
    assert "before the function could be called" in response.json["detail"]
    assert in_flight(app) == 2

    gate.open()
    until(lambda: in_flight(app) == 0)
    assert [each.json for each in answers(app, [{"number": 4}, {"number": 5}])] == [4, 5]
    assert sorted(called) == [0, 1, 4, 5], "what had not begun was dropped"


def test_threads_are_reused(app: Flask, serve: ModelServe) -> None:
    """One request after the other is called on the same thread."""

    @serve.endpoint("/", timeout=PATIENCE)
    def model() -> int:
        return threading.get_native_id()

    seen = set()
    for _ in range(20):
        seen.add(Request(app, {}).response().json)
        until(lambda: app.extensions["modelserve"].endpoints["model"]._runner._threads._idle)
    assert len(seen) == 1


def test_threads_end_when_idle(
    app: Flask, serve: ModelServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint without requests keeps no threads."""
    monkeypatch.setattr(threads, "REST", 0.01)
    used = []

    @serve.endpoint("/", timeout=PATIENCE)
    def model() -> None:
        used.append(threading.current_thread())

    for count in (1, 2):
        Request(app, {}).response()
        used[-1].join(PATIENCE)
        assert not used[-1].is_alive()
        assert len(set(used)) == count


def test_no_more_threads(app: Flask, serve: ModelServe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left the request is 500, and its place is free again."""

    @serve.endpoint("/", timeout=PATIENCE, max_concurrency=1, max_queue=0)
    def model() -> str:
        return "answer"

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    client = app.test_client()
    with monkeypatch.context() as patch:
        patch.setattr(threads, "start_thread", refuse)
        assert client.post("/", json={}).status_code == 500
    assert client.post("/", json={}).json == "answer"


def test_context(app: Flask, serve: ModelServe) -> None:
    """A function with a time-out may use flask.request, g and current_app like any other."""

    @app.before_request
    def log_in() -> None:
        g.user = request.headers["X-User"]

    @serve.endpoint("/<name>", timeout=PATIENCE)
    def model(name: str, number: int) -> Any:
        return [request.path, request.headers["X-User"], g.user, current_app.name, name, number]

    users = [(f"user{number}", number) for number in range(20)]
    requests = [
        Request(app, {"number": number}, f"/{user}", headers={"X-User": user})
        for user, number in users
    ]
    for each, (user, number) in zip(requests, users, strict=True):
        assert each.response().json == [f"/{user}", user, user, app.name, user, number]


def test_context_of_a_call_left_behind(app: Flask, serve: ModelServe, gate: Gate) -> None:
    """A call that goes on after its request was answered still has that request's context."""
    seen = []

    @serve.endpoint("/", timeout=0.05)
    def model(number: int) -> None:
        gate.pass_through()
        seen.append((request.path, request.json, g.get("nothing"), current_app.name))

    assert Request(app, {"number": 1}).response().status_code == 504
    gate.open()
    until(lambda: seen)
    assert seen == [("/", {"number": 1}, None, app.name)]


@pytest.mark.parametrize("limit", [*LIMITS, {"max_concurrency": 1}], ids=str)
def test_errors(
    app: Flask, serve: ModelServe, caplog: pytest.LogCaptureFixture, limit: Any
) -> None:
    """What the function raises has its status; a crash is logged once, with its own traceback."""

    @serve.endpoint("/", **limit)
    def model(kind: str) -> Any:
        if kind == "invalid":
            raise InvalidRequest("no")
        if kind == "missing":
            abort(404)
        return {}[kind]

    kinds = ("invalid", "missing", "crash")
    assert [r.status_code for r in answers(app, ({"kind": k} for k in kinds))] == [400, 404, 500]
    assert len(caplog.records) == 1
    assert "in model" in caplog.text
    assert "KeyError: 'crash'" in caplog.text


def test_debugger_gets_the_exception(app: Flask, serve: ModelServe) -> None:
    """Under the debugger and in tests an exception propagates out of the app, as in Flask."""
    app.testing = True

    @serve.endpoint("/", timeout=PATIENCE)
    def model() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        app.test_client().post("/", json={})
    assert raised.traceback[-1].name == "model"


def test_async_function(app: Flask, serve: ModelServe) -> None:
    """An async function may have a time-out."""

    @serve.endpoint("/", timeout=PATIENCE)
    async def model(number: int) -> int:
        await asyncio.sleep(0)
        return number

    assert [r.json for r in answers(app, [{"number": 1}, {"number": 2}])] == [1, 2]


@pytest.mark.parametrize("limit", [{"timeout": PATIENCE}, {"max_concurrency": 8}, {}], ids=str)
def test_class(app: Flask, serve: ModelServe, limit: Any) -> None:
    """A class is made into one instance, however many requests come first."""
    made = []

    @serve.endpoint("/", **limit)
    class Model:
        def __init__(self) -> None:
            made.append(self)
            time.sleep(0.05)  # stands for loading

        def __call__(self, number: int) -> int:
            return number

    assert not made
    responses = answers(app, ({"number": number} for number in range(8)))
    assert [response.json for response in responses] == list(range(8))
    assert len(made) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_fork(app: Flask, serve: ModelServe, gate: Gate, limit: Any) -> None:
    """A process forked while calls run and wait has all its places, and its own instance."""

    @serve.endpoint("/", max_concurrency=1, max_queue=2, **limit)
    class Model:
        def __init__(self) -> None:
            self.process = os.getpid()

        def __call__(self, number: int) -> Any:
            if number:
                gate.pass_through()
            return [self.process, number]

    assert Request(app, {"number": 0}).response().json == [os.getpid(), 0]
    requests = [Request(app, {"number": 1})]
    gate.await_calls()
    requests += send_in_order(app, [{"number": 2}, {"number": 3}])
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)  # kills a child that hangs
        right = all(
            Request(app, {"number": 0}).response().json == [os.getpid(), 0] for _ in range(3)
        )
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    gate.open()
    assert [each.response().json for each in requests] == [[os.getpid(), n] for n in (1, 2, 3)]


def test_unlimited(app: Flask, serve: ModelServe) -> None:
    """Without limits the function is called on the request's own thread, and never waits."""
    barrier = threading.Barrier(40)

    @serve.endpoint("/")
    def model() -> str:
        barrier.wait(PATIENCE)
        return threading.current_thread().name

    requests = [Request(app, {}) for _ in range(40)]
    assert [each.response().json for each in requests] == [each.name for each in requests]


def test_head_start_counts(client: FlaskClient, serve: ModelServe) -> None:
    """A function that is quicker than its time-out is not disturbed by it."""

    @serve.endpoint("/", timeout=0.5)
    def model(number: int) -> int:
        return number

    for number in range(200):
        assert client.post("/", json={"number": number}).json == number


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_concurrency": 0}, ValueError, "max_concurrency=0: write 1 or more, or leave it out"),
        ({"max_concurrency": True}, TypeError, "max_concurrency=True: write a whole number"),
        ({"max_concurrency": 1.5}, TypeError, "max_concurrency=1.5: write a whole number"),
        ({"max_queue": 5}, ValueError, "max_queue=5 bounds nothing: write max_concurrency="),
        ({"max_concurrency": 1, "max_queue": -1}, ValueError, "max_queue=-1: write 0 or more"),
        ({"max_concurrency": 1, "max_queue": "5"}, TypeError, "max_queue='5': write a whole"),
        ({"timeout": 0}, ValueError, "timeout=0: write a positive number of seconds"),
        ({"timeout": -1}, ValueError, "timeout=-1: write a positive number of seconds"),
        ({"timeout": float("nan")}, ValueError, "timeout=nan: write a positive number"),
        ({"timeout": "1"}, TypeError, "timeout='1': write a number of seconds"),
        ({"timeout": 1e10}, ValueError, "timeout=10000000000.0: write at most"),
    ],
    ids=str,
)
def test_wrong_options(serve: ModelServe, options: Any, error: type[Exception], says: str) -> None:
    """Options that are wrong, or mean nothing together, are refused with what to write instead."""
    with pytest.raises(error, match=re.escape(says)):

        @serve.endpoint("/", **options)
        def model() -> None: ...
