from __future__ import annotations

import functools
import json
import logging
import random
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, abort, current_app, redirect

from flask_modelserve import InvalidRequest, ModelServe
from flask_modelserve.logs import RequestIdFilter

from .crowds import Gate, Request, send_in_order, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

MADE = re.compile("[0-9a-f]{32}")
ID = "X-Request-ID"


@pytest.fixture
def echo(serve: ModelServe) -> None:
    @serve.endpoint("/", cache=60)
    def echo(number: int = 0) -> dict[str, int]:
        return {"number": number}


@pytest.fixture
def records(app: Flask) -> Iterator[list[logging.LogRecord]]:
    """What the app's logger gets, as a handler with the filter sees it."""
    seen: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler = Kept()
    handler.addFilter(RequestIdFilter())
    app.logger.addHandler(handler)
    yield seen
    app.logger.removeHandler(handler)


def test_made(client: FlaskClient, echo: None) -> None:
    """A request without an id gets one of its own, of 32 hexadecimal digits."""
    ids = [client.post("/", json={}).headers[ID] for _ in range(100)]
    assert all(MADE.fullmatch(each) for each in ids)
    assert len(set(ids)) == 100


@pytest.mark.parametrize(
    "sent", ["a", "order-4711", "1-5759e988-bd862e3fe1be46a994272793", "!~" * 64]
)
def test_taken_over(client: FlaskClient, echo: None, sent: str) -> None:
    """An id that the client sends, of up to 128 visible characters of ASCII, is taken over."""
    assert client.post("/", json={}, headers={ID: sent}).headers.getlist(ID) == [sent]


@pytest.mark.parametrize(
    "sent", ["", " ", "a b", "a" * 129, "é", "a\x7f", "\x00", "a\tb", "Ⅻ", "😀"]
)
def test_not_taken_over(client: FlaskClient, echo: None, sent: str) -> None:
    """Any other id is no error: the request gets a new one."""
    environ = {"HTTP_X_REQUEST_ID": sent.encode().decode("latin-1")}
    answer = client.post("/", json={}, environ_overrides=environ)
    assert answer.status_code == 200
    assert MADE.fullmatch(answer.headers[ID])


def refuse(**_: Any) -> None:
    raise InvalidRequest("no", errors=[{"field": "a", "message": "is odd"}])


def crash(**_: Any) -> None:
    raise RuntimeError("secret")


FAILURES = {
    "a refusal": (refuse, {}, {}, 400),
    "a crash": (crash, {}, {}, 500),
    "an abort": (lambda: abort(404), {}, {}, 404),
    "a bad answer": (lambda: {"a": object()}, {}, {}, 500),
    "bad JSON": (lambda: 1, {}, {"data": "{"}, 400),
    "a bad field": (lambda: 1, {}, {"json": {"odd": 1}}, 400),
    "a missing field": (lambda a: 1, {}, {"json": {}}, 400),
    "a bad type": (lambda: 1, {}, {"data": "x", "content_type": "image/png"}, 415),
    "a bad encoding": (lambda: 1, {}, {"data": "x", "headers": {"Content-Encoding": "br"}}, 415),
    "a bad Accept": (lambda: 1, {}, {"json": {}, "headers": {"Accept": "image/png"}}, 406),
    "a large body": (lambda: 1, {}, {"data": b" " * 16_777_217}, 413),
    "no time": (lambda: threading.Event().wait(0.2), {"timeout": 0.01}, {"json": {}}, 504),
    "a crash in a batch": (lambda a=0: crash(), {"batch": 4}, {"json": {}}, 500),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_problem(client: FlaskClient, serve: ModelServe, case: str) -> None:
    """Every failure has its request's id, as a header and in the problem document."""
    function, options, request, status = FAILURES[case]
    serve.endpoint("/fail", endpoint="fail", **options)(function)
    request = {"json": {}} | request if "data" not in request else dict(request)
    request["headers"] = {ID: "mine"} | request.get("headers", {})
    answer = client.post("/fail", **request)
    assert answer.status_code == status
    assert answer.headers.getlist(ID) == ["mine"]
    assert answer.json["request_id"] == "mine"


def test_responses_of_the_users_own(app: Flask, client: FlaskClient, serve: ModelServe) -> None:
    """A response that a function or a handler makes has one id, also if it is sent repeatedly."""
    kept = Response("kept")

    @serve.endpoint("/kept")
    def keep() -> Response:
        return kept

    @serve.endpoint("/elsewhere")
    def elsewhere() -> Any:
        return redirect("/kept")

    @serve.endpoint("/fail")
    def fail() -> None:
        raise KeyError

    app.register_error_handler(KeyError, lambda _: kept)
    for path in ("/kept", "/fail", "/elsewhere"):
        for sent in ("one", "two"):
            answer = client.post(path, json={}, headers={ID: sent})
            assert answer.headers.getlist(ID) == [sent]


def test_stream(client: FlaskClient, serve: ModelServe) -> None:
    """A stream has its request's id, and so has the problem that may end it."""

    @serve.endpoint("/stream")
    def stream() -> Iterator[int]:
        yield 1
        raise RuntimeError("secret")

    answer = client.post("/stream", json={}, headers={ID: "mine"})
    assert answer.headers.getlist(ID) == ["mine"]
    _, last = answer.text.splitlines()
    assert json.loads(last)["request_id"] == "mine"


def test_hit(client: FlaskClient, serve: ModelServe) -> None:
    """An answer from the cache has the id of its own request, which is not part of the key."""

    def decorator(function: Any) -> Any:
        return functools.wraps(function)(functools.partial(function))

    @serve.endpoint("/", cache=60)
    @decorator  # so that headers count, but for those that say nothing of who is asking
    def echo(number: int) -> int:
        return number

    answers = [client.post("/", json={"number": 1}, headers={ID: sent}) for sent in "ab"]
    assert [answer.headers.getlist(ID) for answer in answers] == [["a"], ["b"]]
    assert "hit" in answers[1].headers["Cache-Status"]


def test_coalesced(app: Flask, serve: ModelServe) -> None:
    """Requests that share one call's answer keep ids of their own."""
    gate = Gate()

    @serve.endpoint("/", cache=60)
    def slow() -> int:
        gate.pass_through()
        return 1

    first = Request(app, {}, headers={ID: "first"})
    gate.await_calls()
    second = Request(app, {}, headers={ID: "second"})
    until(second.is_waiting)
    gate.open()
    assert first.response().headers.getlist(ID) == ["first"]
    assert second.response().headers.getlist(ID) == ["second"]
    assert "collapsed" in second.response().headers["Cache-Status"]


def test_other_routes(app: Flask, client: FlaskClient, serve: ModelServe) -> None:
    """The app's own routes and our service routes get no header."""
    app.add_url_rule("/own", view_func=lambda: "own", endpoint="own")
    for path in ("/own", "/__ping", "/nowhere"):
        assert ID not in client.get(path, headers={ID: "mine"}).headers


@pytest.mark.parametrize("options", [{}, {"timeout": 9}, {"max_concurrency": 1}, {"batch": 4}])
def test_log_lines_of_the_function(
    client: FlaskClient, serve: ModelServe, records: list[logging.LogRecord], options: Any
) -> None:
    """What a function logs names its request, whichever thread calls it."""

    @serve.endpoint("/", endpoint="talk", **options)
    def talk(number: Any = 0) -> Any:
        current_app.logger.warning("hello")
        return [number] if "batch" in options else number

    client.post("/", json={}, headers={ID: "mine"})
    assert [(r.request_id, r.endpoint) for r in records] == [("mine", "talk")]  # type: ignore[attr-defined]


def test_log_lines_of_a_batch(
    app: Flask, serve: ModelServe, records: list[logging.LogRecord]
) -> None:
    """What a batched function logs names all requests that it was called for."""
    gate = Gate(shut=False)

    @serve.endpoint("/", batch=4, endpoint="talk")
    def talk(number: list[int]) -> Any:
        gate.pass_through()
        current_app.logger.warning("hello")
        return number

    # The batch starts when it is full.
    requests = [Request(app, {"number": n}, headers={ID: f"id-{n}"}) for n in range(4)]
    assert [request.response().json for request in requests] == [0, 1, 2, 3]
    logged = " ".join(r.request_id for r in records).split()  # type: ignore[attr-defined]
    assert sorted(logged) == [f"id-{n}" for n in range(4)]


def test_ids_of_a_batch_end_with_it(app: Flask, serve: ModelServe) -> None:
    """After its batch a request is let go of, although the thread waits for the next."""
    import gc
    import weakref

    alive: list[Any] = []

    class Held:
        pass

    @app.before_request
    def hold() -> None:
        from flask import g

        g.held = Held()
        alive.append(weakref.ref(g.held))

    @serve.endpoint("/", batch=4)
    def rows(number: list[int]) -> list[int]:
        return number

    assert [r.response().status_code for r in send_in_order(app, [{"number": 1}] * 3)] == [200] * 3

    def is_gone() -> bool:
        gc.collect()
        return not any(ref() for ref in alive)

    until(is_gone)


def test_lines_of_ours(
    client: FlaskClient, serve: ModelServe, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines for crashes and for bad answers name the request in their very text."""
    serve.endpoint("/crash", endpoint="crash")(crash)
    serve.endpoint("/odd", endpoint="odd")(lambda: {"a": object()})
    client.post("/crash", json={}, headers={ID: "one"})
    client.post("/odd", json={}, headers={ID: "two"})
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Exception on /crash [POST], request one"
    assert lines[1].startswith("Bad answer of endpoint odd, request two: ")


def test_log_exception_of_the_apps_own() -> None:
    """An app that overrides ``log_exception`` goes on logging in its own way."""
    seen = []

    class Own(Flask):
        def log_exception(self, exc_info: Any) -> None:
            seen.append(exc_info[0])

    app = Own("own")
    ModelServe(app).endpoint("/", endpoint="crash")(crash)
    assert app.test_client().post("/", json={}).status_code == 500
    assert seen == [RuntimeError]


def test_record_factories(client: FlaskClient, serve: ModelServe) -> None:
    """A log record factory of the app that sets a request_id gets in nobody's way."""
    serve.endpoint("/", endpoint="crash")(crash)
    former = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = former(*args, **kwargs)
        record.request_id = "theirs"
        return record

    logging.setLogRecordFactory(factory)
    try:
        assert client.post("/", json={}).json["status"] == 500
    finally:
        logging.setLogRecordFactory(former)


def test_before_the_endpoint(
    app: Flask, client: FlaskClient, serve: ModelServe, records: list[logging.LogRecord]
) -> None:
    """What a hook logs before the endpoint is reached has the id that the answer has."""
    blueprint = Blueprint("api", __name__)
    blueprint.before_request(lambda: current_app.logger.warning("hello"))

    @serve.endpoint("/", blueprint=blueprint)
    def one() -> int:
        return 1

    app.register_blueprint(blueprint)
    made = client.post("/", json={}).headers[ID]
    assert [(r.request_id, r.endpoint) for r in records] == [(made, "api.one")]  # type: ignore[attr-defined]


def leave() -> Response:
    return redirect("/login")


EARLY = {
    "an abort": (lambda: abort(401), "POST", 401),
    "a refusal": (lambda: ("no", 403), "POST", 403),
    "a crash": (crash, "POST", 500),
    "a redirect": (leave, "POST", 302),
    "another method": (lambda: None, "GET", 405),
    "a method that HTTP does not have": (lambda: None, "BREW", 405),
    "OPTIONS": (lambda: None, "OPTIONS", 200),
}


@pytest.mark.parametrize("case", EARLY)
def test_answers_before_the_endpoint(app: Flask, client: FlaskClient, case: str) -> None:
    """What a hook of the app, or Flask itself, answers at an endpoint's URL has the id too."""
    hook, method, status = EARLY[case]
    app.before_request(hook)
    api = Blueprint("api", __name__, url_prefix="/api")
    ModelServe(app).endpoint("/<int:n>", endpoint="one", blueprint=api)(lambda n: n)
    app.register_blueprint(api)
    for sent in ("one", "two"):
        answer = client.open("/api/1", method=method, headers={ID: sent})
        assert (answer.status_code, answer.headers.getlist(ID)) == (status, [sent])


def test_answers_before_the_endpoint_that_have_an_id(
    app: Flask, client: FlaskClient, echo: None
) -> None:
    """An id that the app itself has given its answer stays the only one."""
    app.before_request(lambda: Response("no", 401, {ID.lower(): "theirs"}))
    assert client.post("/", json={}).headers.getlist(ID) == ["theirs"]


def test_answers_before_other_routes(app: Flask, client: FlaskClient, echo: None) -> None:
    """What is refused at the app's own routes gets no header, nor where there is no route."""
    app.add_url_rule("/own", view_func=lambda: "own", endpoint="own")
    refused = [client.post("/own"), client.post("/"), client.get("/nowhere")]
    app.before_request_funcs.setdefault(None, []).append(lambda: abort(401))
    refused += [client.get("/own"), client.get("/nowhere")]
    assert [answer.status_code for answer in refused] == [405, 400, 404, 401, 401]
    assert [ID in answer.headers for answer in refused] == [False, True, False, False, False]


def test_outside_of_requests(app: Flask, records: list[logging.LogRecord]) -> None:
    """A line that belongs to no request has dashes."""
    app.logger.warning("hello")
    assert [(r.request_id, r.endpoint) for r in records] == [("-", "-")]  # type: ignore[attr-defined]


def test_seeded_models(client: FlaskClient, echo: None) -> None:
    """A model that seeds Python's random numbers makes no ids repeat."""
    ids = set()
    for _ in range(3):
        random.seed(1)
        ids.add(client.post("/", json={}).headers[ID])
    assert len(ids) == 3


def run(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


FORKED = """
import os
from flask import Flask
from flask_modelserve import ModelServe

app = Flask("forked")
ModelServe(app).endpoint("/", endpoint="one")(lambda: 1)
client = app.test_client()

def show(count):
    for _ in range(count):
        made = client.post("/", json={}).headers["X-Request-ID"]
        os.write(1, f"{made}\\n".encode())  # in one piece

show(2)
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        show(50)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
show(2)
"""


def test_forks() -> None:
    """Processes that were forked from one, as gunicorn's workers are, make different ids."""
    ids = run(FORKED) + run(FORKED)
    assert len(ids) == len(set(ids)) == 2 * 204


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, logging
from flask import Flask, current_app
from flask_modelserve import ModelServe
from flask_modelserve.logs import RequestIdFilter

app = Flask("greenlets")
serve = ModelServe(app)
seen = []

class Kept(logging.Handler):
    def handle(self, record):  # without the lock, which here is gevent's, and the stream
        self.filter(record)
        seen.append(record)

handler = Kept()
handler.addFilter(RequestIdFilter())
app.logger.handlers[:] = [handler]

@serve.endpoint("/batched", batch=4)
def batched(a):
    current_app.logger.warning("batched")
    return a

@serve.endpoint("/timed", timeout=9)
def timed(a):
    current_app.logger.warning("timed")
    return a

def post(path, sent):
    app.test_client().post(path, json={"a": 1}, headers={"X-Request-ID": sent})

gevent.joinall([gevent.spawn(post, path, path[1:] + sent) for path in ("/batched", "/timed")
                for sent in "0123"], raise_error=True)
print(*(f"{record.getMessage()}={record.request_id}" for record in seen))
"""


def test_greenlets() -> None:
    """Under gevent, too, what is logged on native threads names its requests."""
    words = {word.rpartition("=")[2] for word in run(GREENLETS)}
    assert words == {kind + number for kind in ("batched", "timed") for number in "0123"}


def test_paths_in_logs(
    client: FlaskClient, serve: ModelServe, caplog: pytest.LogCaptureFixture
) -> None:
    """A path can't begin a line of its own in the log."""
    serve.endpoint("/<name>", endpoint="crash")(crash)
    assert client.post("/a%0AERROR é", json={}, headers={ID: "one"}).status_code == 500
    assert caplog.messages == ["Exception on /a%0AERROR%20%C3%A9 [POST], request one"]
