"""Batching: when a batch starts and with whom, who is refused, and what its runner survives."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import re
import signal
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, abort, current_app

from flask_modelserve import Batch, ModelServe, batching

from .crowds import PATIENCE, Gate, Request, answers, send, send_in_order, until
from .test_metrics import samples

if TYPE_CHECKING:
    from flask.testing import FlaskClient

# Batches that start by being full alone: no test waits for one.
WAIT = PATIENCE


def full(size: int) -> Batch:
    return Batch(size, max_wait=WAIT)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of queues and batches, which passes only as a test says."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(batching, "perf_counter", lambda: clock.now)
    monkeypatch.setattr("flask_modelserve.endpoint.perf_counter", lambda: clock.now)
    return clock


def test_invalid_requests_join_no_batch(app: Flask, serve: ModelServe) -> None:
    """A request that is refused is answered at once, and never reaches the function."""

    @serve.endpoint("/", batch=full(2))
    def double(number: int) -> list[Any]:
        return [{"double": 2 * x} for x in number]  # type: ignore[attr-defined]

    waiting = send_in_order(app, [{"number": 1}])
    assert Request(app, {"number": "x"}).response().status_code == 400
    assert Request(app, {}).response().status_code == 400
    assert Request(app, {"number": 2}).response().json == {"double": 4}
    assert waiting[0].response().json == {"double": 2}


def test_full_queue(app: Flask, serve: ModelServe) -> None:
    """Over max_queue requests are refused at once, 503 with a Retry-After; others are served."""
    gate = Gate()

    @serve.endpoint("/", batch=Batch(1), max_queue=2)
    def model(number: Any) -> Any:
        gate.pass_through()
        return number

    running = Request(app, {"number": 0})
    gate.await_calls()
    waiting = send_in_order(app, [{"number": 1}, {"number": 2}])
    for response in answers(app, [{"number": 9}] * 5):
        assert response.status_code == 503
        assert response.content_type == "application/problem+json"
        assert int(response.headers["Retry-After"]) >= 1
    gate.open()
    assert [request.response().json for request in (running, *waiting)] == [0, 1, 2]
    outcomes = samples(app.test_client(), "modelserve_requests_total")
    assert (outcomes["model", "ok"], outcomes["model", "overloaded"]) == (3, 5)


def test_retry_after_is_measured(app: Flask, serve: ModelServe, clock: SimpleNamespace) -> None:
    """Retry-After is how long the batches ahead will take, as the last ones took."""
    gate = Gate()

    @serve.endpoint("/", batch=Batch(2, max_wait=0), max_queue=4)
    def model(number: Any) -> Any:
        clock.now += 8
        if number[0]:
            gate.pass_through()
        return number

    assert Request(app, {"number": 0}).response().json == 0
    requests = [Request(app, {"number": 1})]
    gate.await_calls()
    requests += send_in_order(app, [{"number": 1}] * 4)
    refused = Request(app, {"number": 1}).response()
    assert refused.headers["Retry-After"] == "28"  # the one that runs, and two and a half of 8 s
    gate.open()
    assert {request.response().status_code for request in requests} == {200}


def test_expired_items_are_dropped(app: Flask, serve: ModelServe) -> None:
    """A request past its time-out is answered 504, and not computed if it has not begun."""
    gate = Gate()
    called = []

    @serve.endpoint("/", batch=full(1), timeout=0.2)
    def model(number: Any) -> Any:
        called.extend(number)
        gate.pass_through()
        return number

    running = Request(app, {"number": 0})
    gate.await_calls()
    waiting = Request(app, {"number": 1})
    for request, where in (running, "while the function ran"), (waiting, "before the function"):
        response = request.response()
        assert response.status_code == 504
        assert response.content_type == "application/problem+json"
        assert where in response.json["detail"]
    in_flight = samples(app.test_client(), "modelserve_in_flight")
    assert in_flight["model",] == 1, "the call that hangs shows"
    gate.open()
    until(lambda: not samples(app.test_client(), "modelserve_in_flight")["model",])
    assert Request(app, {"number": 2}).response().json == 2
    assert called == [0, 2]
    assert samples(app.test_client(), "modelserve_requests_total")["model", "timeout"] == 2


def test_expired_items_leave_the_queue(app: Flask, serve: ModelServe) -> None:
    """While the model hangs, requests that have timed out take no room in the queue."""
    gate = Gate()

    @serve.endpoint("/", batch=full(1), timeout=0.1, max_queue=1)
    def model(number: Any) -> Any:
        gate.pass_through()
        return number

    hung = Request(app, {"number": 0})
    gate.await_calls()
    for _ in range(3):
        assert Request(app, {"number": 1}).response().status_code == 504
    assert hung.response().status_code == 504
    gate.open()


def test_items_that_expire_while_a_culprit_is_sought(app: Flask, serve: ModelServe) -> None:
    """A request that times out between two tries of its batch is not computed again."""
    gate = Gate(shut=False)
    later = Gate()
    calls: list[list[int]] = []

    @serve.endpoint("/", batch=full(2), timeout=0.2)
    def model(number: Any) -> Any:
        calls.append(sorted(number))
        if len(number) == 2:
            gate.pass_through()
            later.pass_through()
            raise ValueError
        return number

    requests = send(app, [{"number": 1}, {"number": 2}])
    assert [request.response().status_code for request in requests] == [504, 504]
    later.open()
    assert answers(app, [{"number": 3}, {"number": 4}])[0].status_code in {200, 500}
    assert [1] not in calls
    assert [2] not in calls


def test_lone_request(app: Flask, serve: ModelServe) -> None:
    """A request without company is served after max_wait."""

    @serve.endpoint("/", batch=Batch(1000, max_wait=0.01))
    def size(number: Any) -> Any:
        return [len(number)] * len(number)

    assert Request(app, {"number": 0}).response().json == 1


def test_oldest_item_starts_the_batch(
    app: Flask, serve: ModelServe, clock: SimpleNamespace
) -> None:
    """What came while the model was busy has waited already: it is called as soon as it is free."""
    gate = Gate()
    sizes = []

    @serve.endpoint("/", batch=Batch(3, max_wait=5))
    def model(number: Any) -> Any:
        sizes.append(len(number))
        gate.pass_through()
        clock.now += 6  # longer than max_wait: no newer item may hold up those that wait
        return number

    requests = send(app, [{"number": 1}] * 3)
    gate.await_calls()
    requests += send_in_order(app, [{"number": 1}] * 2)
    gate.open()
    assert {request.response().status_code for request in requests} == {200}
    assert sizes == [3, 2]


def test_any_max_wait(app: Flask, serve: ModelServe) -> None:
    """However long max_wait is, a full batch starts."""

    @serve.endpoint("/", batch=Batch(2, max_wait=1e300))
    def model(number: Any) -> Any:
        return number

    waiting = send_in_order(app, [{"number": 1}])
    assert Request(app, {"number": 2}).response().json == 2
    assert waiting[0].response().json == 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_batch_is_too_large(app: Flask, serve: ModelServe, size: int) -> None:
    """A call never has more rows than max_size, and while more wait it has no fewer."""
    gate = Gate()
    sizes = []

    @serve.endpoint("/", batch=Batch(size, max_wait=0))
    def model(number: Any) -> Any:
        sizes.append(len(number))
        gate.pass_through()
        return number

    requests = [Request(app, {"number": 0})]
    gate.await_calls()
    requests += send_in_order(app, ({"number": each} for each in range(1, 10)))
    gate.open()
    assert [request.response().json for request in requests] == list(range(10))
    assert sizes[0] == 1
    assert all(each == size for each in sizes[1:-1])
    assert sum(sizes) == 10


def test_batch_as_an_int(app: Flask, serve: ModelServe) -> None:
    """An int is max_size."""

    @serve.endpoint("/", batch=2)
    def size(number: Any) -> Any:
        return [len(number)] * len(number)

    assert {r.status_code for r in answers(app, [{"number": 1}] * 6)} == {200}


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_fork(app: Flask, serve: ModelServe) -> None:
    """A process forked after batches have run serves its own, whatever ran in the parent."""
    gate = Gate(shut=False)

    @serve.endpoint("/", batch=Batch(4, max_wait=0.001))
    def process(number: Any) -> Any:
        gate.pass_through()
        return [[os.getpid(), each] for each in number]

    assert Request(app, {"number": 1}).response().json == [os.getpid(), 1]
    gate.__init__()  # type: ignore[misc]  # shut: the parent forks in the middle of a call
    running = Request(app, {"number": 2})
    gate.await_calls()
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)  # kills a child that hangs
        gate.open()
        right = all(
            response.json == [os.getpid(), 3] for response in answers(app, [{"number": 3}] * 8)
        )
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    gate.open()
    assert running.response().json == [os.getpid(), 2]


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_runner_that_dies(
    app: Flask, serve: ModelServe, caplog: pytest.LogCaptureFixture, end: type[BaseException]
) -> None:
    """A function that ends its thread fails its own batch alone: 500, and the next are served."""
    gate = Gate()
    dying: list[threading.Thread] = []

    @serve.endpoint("/", batch=Batch(2, max_wait=0))
    def model(number: Any) -> Any:
        gate.pass_through()
        if 13 in number:
            dying.append(threading.current_thread())
            raise end
        return number

    first = Request(app, {"number": 13})
    gate.await_calls()
    rest = send_in_order(app, [{"number": 1}, {"number": 2}, {"number": 3}])
    gate.open()
    assert first.response().status_code == 500
    assert [request.response().json for request in rest] == [1, 2, 3]
    assert Request(app, {"number": 4}).response().json == 4
    assert end.__name__ in caplog.text, "the log names the cause"
    for thread in dying:  # what it says at its end would be taken for another test's
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_runner_ends_when_idle(
    app: Flask, serve: ModelServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batched endpoint without requests keeps no thread; the next request starts one."""
    monkeypatch.setattr(batching, "REST", 0.01)

    @serve.endpoint("/", batch=Batch(2, max_wait=0))
    def thread(number: Any) -> Any:
        runners.append(threading.current_thread())
        return number

    runners: list[threading.Thread] = []
    for count in (1, 2):
        assert Request(app, {"number": 1}).response().status_code == 200
        runners[-1].join(PATIENCE)
        assert not runners[-1].is_alive()
        assert len(set(runners)) == count


def test_app_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with batched endpoints is freed like any other once it is not used."""
    monkeypatch.setattr(batching, "REST", 0.01)
    app = Flask(__name__)
    serve = ModelServe(app)

    @serve.endpoint("/", batch=Batch(2, max_wait=0))
    def model(number: Any) -> Any:
        return number

    Request(app, {"number": 1}).response()
    freed = weakref.ref(app)
    del app, serve, model

    def is_freed() -> bool:
        gc.collect()
        return freed() is None

    until(is_freed)


def test_two_apps() -> None:
    """Two apps with one ModelServe have queues of their own."""
    serve = ModelServe()
    barrier = threading.Barrier(2)

    @serve.endpoint("/", batch=full(2))
    def model(number: Any) -> Any:
        barrier.wait(PATIENCE)  # both apps' batches run at once
        return [[current_app.name, each] for each in number]

    apps = [Flask(name) for name in ("one", "two")]
    for app in apps:
        serve.init_app(app)
    requests = [Request(app, {"number": n}) for n in (1, 2) for app in apps]
    assert [request.response().json for request in requests] == [
        ["one", 1],
        ["two", 1],
        ["one", 2],
        ["two", 2],
    ]


def test_async_function(app: Flask, serve: ModelServe) -> None:
    """An async function is batched as well."""

    @serve.endpoint("/", batch=full(2))
    async def double(number: Any) -> Any:
        await asyncio.sleep(0)
        return [2 * each for each in number]

    assert [r.json for r in answers(app, [{"number": 1}, {"number": 2}])] == [2, 4]


def test_class(app: Flask, serve: ModelServe) -> None:
    """A class is made into one instance, by the first batch."""
    made = []

    @serve.endpoint("/", batch=Batch(4, max_wait=0.001))
    class Model:
        def __init__(self) -> None:
            made.append(self)

        def __call__(self, number: Any) -> Any:
            return [2 * each for each in number]

    assert not made
    assert [r.json for r in answers(app, [{"number": n} for n in range(20)])] == [
        2 * n for n in range(20)
    ]
    assert len(made) == 1


def test_one_call_at_a_time(app: Flask, serve: ModelServe) -> None:
    """A batched function is never called twice at once: it may hold what threads can't share."""
    running = threading.Lock()

    @serve.endpoint("/", batch=Batch(3, max_wait=0))
    def model(number: Any) -> Any:
        assert running.acquire(blocking=False)
        try:
            return number
        finally:
            running.release()

    assert {r.status_code for r in answers(app, [{"number": 1}] * 100)} == {200}


def test_app_context(app: Flask, serve: ModelServe) -> None:
    """A batched function has the app's context; of requests there are many, so there is none."""
    app.config["FACTOR"] = 3

    @serve.endpoint("/", batch=full(2))
    def times(number: Any) -> Any:
        return [current_app.config["FACTOR"] * each for each in number]

    assert [r.json for r in answers(app, [{"number": 1}, {"number": 2}])] == [3, 6]


def test_metrics(app: Flask, serve: ModelServe) -> None:
    """The metrics tell how large batches are, how long they wait and how long they take."""

    @serve.endpoint("/", batch=full(4))
    def model(number: Any) -> Any:
        return number

    answers(app, [{"number": 1}] * 8)
    client = app.test_client()
    assert samples(client, "modelserve_batch_size_sum") == {("model",): 8}
    assert samples(client, "modelserve_batch_size_count") == {("model",): 2}
    assert samples(client, "modelserve_queue_seconds_count") == {("model",): 8}
    assert samples(client, "modelserve_predict_seconds_count") == {("model",): 2}
    assert samples(client, "modelserve_in_flight") == {("model",): 0}


def test_crash_is_logged_once(
    app: Flask, serve: ModelServe, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one traceback for each failed request, which leads into the function."""

    @serve.endpoint("/", batch=full(3))
    def divide(number: Any) -> Any:
        return [1 / each for each in number]

    responses = answers(app, [{"number": 1}, {"number": 0}, {"number": 2}])
    assert [response.status_code for response in responses] == [200, 500, 200]
    assert caplog.text.count("ZeroDivisionError") == 1
    assert "in divide" in caplog.text


def test_debugger_gets_the_exception(app: Flask, serve: ModelServe) -> None:
    """Under the debugger and in tests an exception propagates out of the app, as in Flask."""
    app.testing = True

    @serve.endpoint("/", batch=Batch(1))
    def divide(number: Any) -> Any:
        return [1 / each for each in number]

    with pytest.raises(ZeroDivisionError) as raised:
        Request(app, {"number": 0}).response()
    assert raised.traceback[-1].name == "<listcomp>" or raised.traceback[-1].name == "divide"


def test_http_errors_keep_their_status(app: Flask, serve: ModelServe) -> None:
    """What the function refuses by abort() has its status, for that request alone."""

    @serve.endpoint("/", batch=full(2))
    def find(number: Any) -> Any:
        if 0 in number:
            abort(404)
        return number

    assert [r.status_code for r in answers(app, [{"number": 0}, {"number": 1}])] == [404, 200]


def test_errors_are_freed(app: Flask, serve: ModelServe) -> None:
    """A failed request leaves nothing behind that only the garbage collector finds."""
    freed: list[weakref.ref[Any]] = []

    class Fault(Exception):  # noqa: N818 - only of this test
        pass

    @serve.endpoint("/", batch=Batch(1))
    def fail(number: Any) -> Any:
        raise Fault

    @app.errorhandler(Fault)
    def handle(fault: Fault) -> Any:
        freed.append(weakref.ref(fault))
        return "handled", 418

    gc.collect()
    gc.disable()
    try:
        response = app.test_client().post("/", json={"number": 1})
        assert response.status_code == 418
        until(lambda: freed[0]() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_size": 0}, ValueError, "max_size=0: write 1 or more"),
        ({"max_size": -1}, ValueError, "max_size=-1: write 1 or more"),
        ({"max_size": True}, TypeError, "max_size=True: write a whole number, such as 32"),
        ({"max_size": 2.5}, TypeError, "max_size=2.5: write a whole number, such as 32"),
        ({"max_size": "8"}, TypeError, "max_size='8': write a whole number, such as 32"),
        ({"max_wait": -1}, ValueError, "max_wait=-1: write seconds, 0 or more"),
        ({"max_wait": math.inf}, ValueError, "max_wait=inf: write seconds, 0 or more"),
        ({"max_wait": math.nan}, ValueError, "max_wait=nan: write seconds, 0 or more"),
        ({"max_wait": "1"}, TypeError, "max_wait='1': write seconds, such as 0.005"),
        ({"max_wait": True}, TypeError, "max_wait=True: write seconds, such as 0.005"),
    ],
    ids=str,
)
def test_wrong_batch(options: dict[str, Any], error: type[Exception], says: str) -> None:
    """A wrong Batch is refused where it is written, with what to write instead."""
    with pytest.raises(error, match=re.escape(says)):
        Batch(**options)


def test_batch_is_a_value() -> None:
    """Batches compare by value, have defaults, and don't change."""
    assert Batch() == Batch(32, max_wait=0.005)
    with pytest.raises(AttributeError):
        Batch().max_size = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"batch": 0}, ValueError, "max_size=0: write 1 or more"),
        ({"batch": True}, TypeError, "batch=True: write batch=32, or batch=Batch(32"),
        ({"batch": False}, TypeError, "batch=False: write batch=32, or batch=Batch(32"),
        ({"batch": "32"}, TypeError, "batch='32': write batch=32, or batch=Batch(32"),
        ({"batch": 32.0}, TypeError, "batch=32.0: write batch=32, or batch=Batch(32"),
        ({"batch": Batch}, TypeError, "write batch=32, or batch=Batch(32"),
        ({"batch": 8, "max_concurrency": 2}, ValueError, "leave max_concurrency out"),
        ({"batch": 8, "max_queue": 0}, ValueError, "every request waits for its batch"),
    ],
    ids=str,
)
def test_wrong_options(serve: ModelServe, options: Any, error: type[Exception], says: str) -> None:
    """Options that are wrong, or mean nothing together, are refused with what to write instead."""
    with pytest.raises(error, match=re.escape(says)):

        @serve.endpoint("/", **options)
        def model(number: Any) -> Any:
            return number


def test_functions_that_cannot_be_batched(serve: ModelServe) -> None:
    """A function without named parameters has no columns: it is refused."""
    for function in (lambda: None, lambda **fields: [], lambda a, **fields: []):
        with pytest.raises(TypeError, match="name its parameters"):
            serve.endpoint("/", endpoint="model", batch=8)(function)


def test_function_used_twice(serve: ModelServe) -> None:
    """A batched function serves one rule: a second one would call it from another thread."""

    def model(number: Any) -> Any:
        return number

    serve.endpoint("/one", batch=8)(model)
    for options in ({"batch": 8}, {}):
        with pytest.raises(ValueError, match="served at /one already, and batched"):
            serve.endpoint("/two", endpoint="two", **options)(model)  # type: ignore[arg-type]


def test_get(client: FlaskClient, serve: ModelServe) -> None:
    """With GET the query string's arguments are the columns."""

    @serve.endpoint("/", methods=["GET"], batch=Batch(1))
    def double(number: list[int]) -> Any:
        return [2 * each for each in number]

    assert client.get("/?number=21").json == 42


def test_plain_function(serve: ModelServe) -> None:
    """The decorated function is unchanged: it can be called with columns."""

    @serve.endpoint("/", batch=8)
    def double(number: Any) -> Any:
        return [2 * each for each in number]

    assert double([1, 2]) == [2, 4]


def test_no_thread_before_the_first_request(app: Flask, serve: ModelServe) -> None:
    """Nothing starts at set-up: the process may fork yet."""
    before = set(threading.enumerate())

    @serve.endpoint("/", batch=8, timeout=1)
    def double(number: Any) -> Any:
        return [2 * each for each in number]

    assert set(threading.enumerate()) == before
    assert "gevent" not in sys.modules
