from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, current_app
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from flask_modelserve import InvalidRequest, ModelServe
from flask_modelserve.logs import JsonFormatter

from .crowds import Gate, Request, until
from .serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    """The process's one provider, as an app sets it up."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def app() -> Iterator[Flask]:
    """An app that the real instrumentation traces."""
    app = Flask("traced")
    FlaskInstrumentor().instrument_app(app)
    EXPORTER.clear()
    yield app
    FlaskInstrumentor.uninstrument_app(app)


def spans(count: int) -> dict[str, list[ReadableSpan]]:
    """Wait for so many spans, and return them by name; those of requests are ``request``."""
    until(lambda: len(EXPORTER.get_finished_spans()) >= count)
    found: dict[str, list[ReadableSpan]] = {}
    for span in EXPORTER.get_finished_spans():
        name = "request" if span.kind is SpanKind.SERVER else span.name.removeprefix("modelserve.")
        found.setdefault(name, []).append(span)
    assert sum(map(len, found.values())) == count, found
    return found


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return (
        span.parent is not None
        and span.parent.span_id == parent.context.span_id
        and span.context.trace_id == parent.context.trace_id
        and parent.start_time <= span.start_time <= span.end_time
    )


PLAIN = [{}, {"cache": 60}]
QUEUED = [{"timeout": 9}, {"max_concurrency": 2}, {"timeout": 9, "max_concurrency": 2}]


@pytest.mark.parametrize("options", PLAIN)
def test_predict(app: Flask, serve: ModelServe, options: Any) -> None:
    """A call of the function is a span within its request's, and names the endpoint."""
    serve.endpoint("/", endpoint="one", **options)(lambda: 1)
    assert app.test_client().post("/", json={}).json == 1
    found = spans(2)
    [request], [predict] = found["request"], found["predict"]
    assert is_child(predict, request)
    assert predict.attributes == {"modelserve.endpoint": "one"}
    assert predict.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("options", QUEUED)
def test_queue(app: Flask, serve: ModelServe, options: Any) -> None:
    """Where calls are limited, waiting for one is a span too, and it comes first."""
    serve.endpoint("/", endpoint="one", **options)(lambda: 1)
    assert app.test_client().post("/", json={}).json == 1
    found = spans(3)
    [request], [queue], [predict] = found["request"], found["queue"], found["predict"]
    assert is_child(queue, request)
    assert is_child(predict, request)
    assert queue.end_time <= predict.start_time


def test_time_in_the_queue(app: Flask, serve: ModelServe) -> None:
    """The queue's span lasts until the call before has ended."""
    gate = Gate()

    @serve.endpoint("/", max_concurrency=1)
    def slow() -> int:
        gate.pass_through()
        return 1

    first = Request(app, {})
    gate.await_calls()
    second = Request(app, {})
    until(second.is_waiting)
    gate.open()
    assert (first.response().json, second.response().json) == (1, 1)
    found = spans(6)
    earlier, later = sorted(found["predict"], key=lambda span: span.start_time)
    _, waited = sorted(found["queue"], key=lambda span: span.start_time)
    assert waited.start_time < earlier.end_time
    assert waited.end_time <= later.start_time


def test_batch(app: Flask, serve: ModelServe) -> None:
    """A batch is a span in one of its requests, and linked with all; and they with it."""
    gate = Gate(shut=False)

    @serve.endpoint("/", batch=4, endpoint="rows")
    def rows(number: list[int]) -> list[int]:
        gate.pass_through()
        return number

    requests = [Request(app, {"number": n}) for n in range(4)]
    assert [request.response().json for request in requests] == [0, 1, 2, 3]
    batches = until_batches(4)
    found = spans(8 + 2 * batches)
    by_id = {span.context.span_id: span for span in found["request"]}
    linked = [link.context.span_id for batch in found["batch"] for link in batch.links]
    assert sorted(linked) == sorted(by_id)
    for batch in found["batch"]:
        assert batch.parent is not None
        parent = by_id[batch.parent.span_id]
        assert is_child(batch, parent)
        assert batch.links[0].context.span_id == parent.context.span_id
        assert dict(batch.attributes or {}) == {
            "modelserve.endpoint": "rows",
            "modelserve.batch.size": len(batch.links),
        }
        assert [is_child(span, batch) for span in found["predict"]].count(True) == 1
    for queue in found["queue"]:
        assert queue.parent is not None
        assert is_child(queue, by_id[queue.parent.span_id])
        [link] = queue.links
        [batch] = [b for b in found["batch"] if b.context.span_id == link.context.span_id]
        assert queue.parent.span_id in {each.context.span_id for each in batch.links}
        assert queue.end_time <= batch.end_time


def until_batches(requests: int) -> int:
    """Wait for all requests' batches, and return how many there were."""

    def sizes() -> list[int]:
        return [
            len(span.links)
            for span in EXPORTER.get_finished_spans()
            if span.name == "modelserve.batch"
        ]

    until(lambda: sum(sizes()) == requests)
    return len(sizes())


def test_culprit_in_a_batch(app: Flask, serve: ModelServe) -> None:
    """Each call of a batched function is a span; those that raise are marked."""
    gate = Gate()

    @serve.endpoint("/", batch=2)
    def rows(number: list[int]) -> list[int]:
        gate.pass_through()
        if 1 in number:
            raise RuntimeError("not 1")
        return number

    requests = [Request(app, {"number": n}) for n in (0, 1)]
    gate.open()
    assert sorted(request.response().status_code for request in requests) == [200, 500]
    until_batches(2)
    calls = [s for s in EXPORTER.get_finished_spans() if s.name == "modelserve.predict"]
    statuses = {span.status.status_code for span in calls}
    assert statuses == {StatusCode.UNSET, StatusCode.ERROR}


def failed(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("options", [*PLAIN, *QUEUED])
def test_errors(app: Flask, serve: ModelServe, options: Any) -> None:
    """A crash marks the function's span; what the client did wrong does not."""
    serve.endpoint("/crash", endpoint="crash", **options)(failed(RuntimeError("no")))
    serve.endpoint("/refuse", endpoint="refuse", **options)(failed(InvalidRequest("no")))
    client = app.test_client()
    assert client.post("/crash", json={}).status_code == 500
    assert client.post("/refuse", json={}).status_code == 400
    found = spans(6 if options in QUEUED else 4)
    crashed, refused = found["predict"]
    assert crashed.status.status_code is StatusCode.ERROR
    assert [event.name for event in crashed.events] == ["exception"]
    assert refused.status.status_code is StatusCode.UNSET
    assert not refused.events


@pytest.mark.parametrize("options", [{"batch": 1}, {"max_concurrency": 1}])
def test_too_late(app: Flask, serve: ModelServe, options: Any) -> None:
    """A request whose time passes in the queue has a queue span, marked, and no other."""
    gate = Gate()

    @serve.endpoint("/", timeout=0.2, endpoint="slow", **options)
    def slow(number: Any = 0) -> Any:
        gate.pass_through()
        return [0] if "batch" in options else 0

    first = Request(app, {})
    gate.await_calls()
    second = Request(app, {})
    assert [request.response().status_code for request in (first, second)] == [504, 504]
    gate.open()
    until(lambda: any(s.name == "modelserve.predict" for s in EXPORTER.get_finished_spans()))
    queues = [s for s in EXPORTER.get_finished_spans() if s.name == "modelserve.queue"]
    statuses = [span.status.status_code for span in sorted(queues, key=lambda s: s.start_time)]
    assert statuses == [StatusCode.UNSET, StatusCode.ERROR]


def test_stream(app: Flask, serve: ModelServe) -> None:
    """The span of a stream lasts until its last item."""

    @serve.endpoint("/")
    def count() -> Iterator[int]:
        yield 1
        with trace.get_tracer("user").start_as_current_span("between"):
            pass
        yield 2

    assert app.test_client().post("/", json={}).text == "1\n2\n"
    found = spans(3)
    [predict], [between] = found["predict"], found["between"]
    assert predict.start_time < between.start_time
    assert between.end_time < predict.end_time


@pytest.mark.parametrize("options", [{}, {"timeout": 9}])
def test_spans_of_the_function(app: Flask, serve: ModelServe, options: Any) -> None:
    """Spans that the function makes are children of its own, on whichever thread it runs."""

    @serve.endpoint("/", **options)
    def one() -> int:
        with trace.get_tracer("user").start_as_current_span("inner"):
            return 1

    app.test_client().post("/", json={})
    found = spans(4 if options else 3)
    assert is_child(found["inner"][0], found["predict"][0])


def test_async(app: Flask, serve: ModelServe) -> None:
    """An async function's call is a span too."""

    @serve.endpoint("/")
    async def one() -> int:
        return 1

    app.test_client().post("/", json={})
    found = spans(2)
    assert is_child(found["predict"][0], found["request"][0])


def test_trace_of_the_caller(app: Flask, serve: ModelServe) -> None:
    """A trace that began at the client goes on to the function."""
    serve.endpoint("/", endpoint="one")(lambda: 1)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    app.test_client().post("/", json={}, headers=headers)
    assert format(spans(2)["predict"][0].context.trace_id, "032x") == trace_id


def test_cached(app: Flask, serve: ModelServe) -> None:
    """An answer from the cache is no call of the function."""
    serve.endpoint("/", endpoint="one", cache=60)(lambda: 1)
    for _ in range(2):
        app.test_client().post("/", json={})
    assert len(spans(3)["predict"]) == 1


def test_untraced_requests() -> None:
    """An app that nothing instruments makes no spans, although the process has a provider."""
    EXPORTER.clear()
    app = Flask("untraced")
    serve = ModelServe(app)
    variants: list[Any] = [*PLAIN, *QUEUED, {"batch": 2}]
    for number, options in enumerate(variants):
        serve.endpoint(f"/{number}", endpoint=f"f{number}", **options)(lambda a=0: [1])
    for number in range(len(variants)):
        assert app.test_client().post(f"/{number}", json={}).status_code == 200
    assert EXPORTER.get_finished_spans() == ()


def test_switched_off() -> None:
    """MODELSERVE_TRACES = False leaves the request's own span alone."""
    EXPORTER.clear()
    app = Flask("off")
    app.config["MODELSERVE_TRACES"] = False
    FlaskInstrumentor().instrument_app(app)
    ModelServe(app).endpoint("/", endpoint="one")(lambda: 1)
    assert app.test_client().post("/", json={}).json == 1
    assert list(spans(1)) == ["request"]


def test_ids_in_logs(app: Flask, serve: ModelServe) -> None:
    """A JSON line says to which trace and span it belongs."""
    lines = []

    class Kept(JsonFormatter):
        def format(self, record: Any) -> str:
            lines.append(super().format(record))
            return lines[-1]

    import io
    import json
    import logging

    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(Kept())
    app.logger.addHandler(handler)

    @serve.endpoint("/")
    def talk() -> int:
        current_app.logger.warning("hello")
        return 1

    app.test_client().post("/", json={})
    app.logger.removeHandler(handler)
    [predict] = spans(2)["predict"]
    line = json.loads(lines[0])
    assert line["trace_id"] == format(predict.context.trace_id, "032x")
    assert line["span_id"] == format(predict.context.span_id, "016x")


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None  # as where it is not installed
from flask import Flask
from flask_modelserve import ModelServe

app = Flask("without")
serve = ModelServe(app)
for number, options in enumerate([{}, {"timeout": 9}, {"max_concurrency": 1}, {"batch": 2}]):
    serve.endpoint(f"/{number}", endpoint=f"f{number}", **options)(lambda a=0: [1])
for number in range(4):
    assert app.test_client().post(f"/{number}", json={}).status_code == 200
assert "flask_modelserve.traces" not in sys.modules
"""


def test_without_the_extra() -> None:
    """OpenTelemetry need not be installed."""
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=60)


SERVED = """
import atexit, json, sys, threading
from flask import Flask, jsonify
from flask_modelserve import ModelServe
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
app = Flask("served")
FlaskInstrumentor().instrument_app(app, excluded_urls="spans")
serve = ModelServe(app)

@serve.endpoint("/batched", batch=4)
def batched(a):
    return a

@serve.endpoint("/timed", timeout=9)
def timed(a):
    return a

@app.get("/spans")
def spans():
    return jsonify([
        [span.name, span.context.span_id, span.parent and span.parent.span_id,
         [link.context.span_id for link in span.links]]
        for span in exporter.get_finished_spans()
    ])
"""


@pytest.mark.parametrize("options", ["gthread --threads 8", "gevent"])
def test_served(options: str, tmp_path: Path) -> None:
    """Under gunicorn's threads and greenlets, spans keep to their requests."""
    import requests

    (tmp_path / "app.py").write_text(SERVED, "utf-8")
    line = f"gunicorn --worker-class {options} --bind 127.0.0.1:8000 app:app"
    with served(line, tmp_path) as address:

        def post(path: str) -> None:
            for a in range(5):
                assert requests.post(address + path, json={"a": a}, timeout=20).json() == a

        threads = [
            threading.Thread(target=post, args=(path,)) for path in ["/batched", "/timed"] * 4
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found: list[Any] = []

        def is_complete() -> bool:  # a batch's span may end after those of its requests
            found[:] = requests.get(address + "/spans", timeout=20).json()
            return (
                sum(len(links) for name, _, _, links in found if name == "modelserve.batch") == 20
            )

        until(is_complete)
    roots = {span: name for name, span, parent, _ in found if parent is None}
    assert sorted(set(roots.values())) == ["POST /batched", "POST /timed"]
    assert len(roots) == 40
    queues = [parent for name, _, parent, _ in found if name == "modelserve.queue"]
    assert sorted(queues) == sorted(roots)  # each request waited once
    links = [link for name, _, _, links in found if name == "modelserve.batch" for link in links]
    assert sorted(links) == sorted(s for s, name in roots.items() if name == "POST /batched")
    batches = {span for name, span, _, _ in found if name == "modelserve.batch"}
    timed = {s for s, name in roots.items() if name == "POST /timed"}
    predicted = [parent for name, _, parent, _ in found if name == "modelserve.predict"]
    assert sorted(predicted) == sorted(batches | timed)
