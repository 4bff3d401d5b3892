"""Warm-up: models load and answer their example before /__ready says so."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, abort, current_app, g, redirect, request
from pydantic import BaseModel

from flask_modelserve import Batch, InvalidRequest, ModelServe, warmup

from .crowds import PATIENCE, Gate, answers, send, until
from .protos.every_pb2 import Every
from .test_metrics import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient

Calls = list[Any]


def is_ready(client: FlaskClient) -> bool:
    response = client.get("/__ready")
    assert response.status_code in {200, 503}
    return response.status_code == 200


def states(client: FlaskClient) -> Any:
    return (client.get("/__ready").json or {}).get("endpoints", {})


def failed(client: FlaskClient) -> bool:
    """Wait for the end of an attempt, and tell whether it failed."""
    until(lambda: not set(states(client).values()) & {"loading", "warming up"})
    return bool(states(client))


@pytest.fixture
def calls() -> Calls:
    return []


def plain(calls: Calls) -> Callable[..., Any]:
    def model(number: int, text: str = "") -> Any:
        calls.append((number, text))
        return {"number": number}

    return model


def asynchronous(calls: Calls) -> Callable[..., Any]:
    async def model(number: int, text: str = "") -> Any:
        calls.append((number, text))
        return number

    return model


def vectorised(calls: Calls) -> Callable[..., Any]:
    def model(number: list[int], text: list[str]) -> Any:
        calls.extend(zip(number, text, strict=True))
        return number

    return model


def endless(calls: Calls) -> Callable[..., Any]:
    def model(number: int, text: str = "") -> Iterator[int]:
        calls.append((number, text))
        try:
            while True:
                yield number
        finally:
            calls.append("closed")

    return model


def kept(calls: Calls) -> Callable[..., Any]:
    def model(number: int, text: str = "") -> Any:
        calls.append((number, text))
        return Response("own", 201)

    return model


def of_message(calls: Calls) -> Callable[..., Any]:
    def model(an_int64: int, a_string: str) -> Any:
        calls.append((an_int64, a_string))
        return {"an_int64": an_int64}

    return model


class Message(BaseModel):
    number: int
    text: str = ""


KINDS = {
    "function": (plain, {}),
    "async": (asynchronous, {}),
    "batch": (vectorised, {"batch": Batch(4, max_wait=0)}),
    "batch and timeout": (vectorised, {"batch": 4, "timeout": 20}),
    "timeout": (plain, {"timeout": 20}),
    "async and timeout": (asynchronous, {"timeout": 20}),
    "places": (plain, {"max_concurrency": 1}),
    "cache": (plain, {"cache": 60}),
    "GET": (plain, {"methods": ["GET"]}),
    "GET or PUT": (plain, {"methods": ["GET", "PUT"]}),
    "pydantic": (plain, {"schema": Message}),
    "pydantic by GET": (plain, {"schema": Message, "methods": ["GET"]}),
    "a message as the example": (
        plain,
        {"schema": Message, "example": Message(number=7, text="ä&")},
    ),
    "protobuf": (of_message, {"schema": Every, "response_schema": Every}),
    "protobuf by GET": (of_message, {"schema": Every, "methods": ["GET"]}),
    "stream": (endless, {}),
    "a response of its own": (kept, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(client: FlaskClient, serve: ModelServe, calls: Calls, kind: str) -> None:
    """An endpoint of any kind gets its example as a client would send it, once."""
    make, options = KINDS[kind]
    names = ("an_int64", "a_string") if make is of_message else ("number", "text")
    example = dict(zip(names, (7, "ä&"), strict=True))
    serve.endpoint("/", **({"example": example} | options))(make(calls))
    assert not calls
    until(lambda: is_ready(client))
    assert calls == [(7, "ä&")] + ["closed"] * (kind == "stream")
    assert is_ready(client)
    assert len(calls) <= 2


@pytest.mark.parametrize("options", [{}, {"timeout": 20}, {"batch": 4}, {"max_concurrency": 1}])
def test_class(app: Flask, client: FlaskClient, options: Any) -> None:
    """A class is loaded by the first probe, once, though requests and probes come meanwhile."""
    gate, made = Gate(), []
    serve = ModelServe(app)

    @serve.endpoint("/", **options)
    class Model:
        def __init__(self) -> None:
            made.append(current_app.name)
            gate.pass_through()

        def __call__(self, number: Any) -> Any:
            return number

    assert not made
    assert states(client) == {"Model": "loading"}
    gate.await_calls()
    requests = send(app, [{"number": 1}] * 4)
    assert states(client) == {"Model": "loading"}
    gate.open()
    assert [each.response().json for each in requests] == [1] * 4
    until(lambda: is_ready(client))
    assert made == [app.name]


def test_nothing_is_loaded_before_it_is_asked_for(app: Flask, client: FlaskClient) -> None:
    """Other routes load nothing: a process may fork after it has been set up, and even asked."""
    made = []
    serve = ModelServe(app)

    @serve.endpoint("/", example={})
    class Model:
        def __init__(self) -> None:
            made.append(self)

        def __call__(self) -> str:
            return "answer"

    client.get("/__ping")
    client.get("/__metrics")
    assert not made


def test_url_arguments(app: Flask, client: FlaskClient, calls: Calls) -> None:
    """The example holds the URL's arguments too, those of a blueprint's prefix among them."""
    serve = ModelServe(app)
    api = Blueprint("api", __name__, url_prefix="/<tenant>")

    @serve.endpoint(
        "/words/<int:count>/<path:where>",
        blueprint=api,
        example={"count": 3, "where": "a b/ü", "text": "so", "tenant": "t"},
    )
    def words(tenant: str, count: int, where: str, text: str) -> None:
        calls.append((tenant, count, where, text, request.path, request.view_args))

    app.register_blueprint(api)
    until(lambda: is_ready(client))
    url = {"tenant": "t", "count": 3, "where": "a b/ü"}
    assert calls == [("t", 3, "a b/ü", "so", "/t/words/3/a b/ü", url)]


def test_where_the_app_is(calls: Calls) -> None:
    """The root, the host and the app's own treatment of URLs are those of a real request."""
    app = Flask(__name__, subdomain_matching=True)
    app.config |= {"SERVER_NAME": "example.org", "APPLICATION_ROOT": "/root"}
    api = Blueprint("api", __name__, url_prefix="/<lang>", subdomain="models")
    serve = ModelServe(app)

    @api.url_value_preprocessor
    def take_language(_endpoint: Any, values: Any) -> None:
        g.language = values.pop("lang")

    @serve.endpoint("/", blueprint=api, example={"lang": "fr", "number": 1})
    def model(number: int) -> None:
        calls.append((g.language, number, request.url))

    app.register_blueprint(api)
    client = app.test_client()
    until(lambda: is_ready(client))
    assert calls == [("fr", 1, "http://models.example.org/root/fr/")]


def test_the_request_of_nobody(app: Flask, client: FlaskClient, calls: Calls) -> None:
    """Hooks and logins of the app have no say; request, g and current_app are there."""
    serve = ModelServe(app)

    @app.before_request
    def login() -> None:
        if request.path != "/__ready":
            abort(401)

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        if request.path != "/__ready":
            calls.append(("teardown", error))

    @serve.endpoint("/model", example={"number": 2}, timeout=20)
    def model(number: int) -> int:
        g.number = number
        calls.append((request.method, request.path, request.json, current_app.name, g.number))
        return number

    until(lambda: is_ready(client))
    assert calls == [("POST", "/model", {"number": 2}, app.name, 2), ("teardown", None)]
    assert client.post("/model", json={"number": 2}).status_code == 401


def refusing(how: str) -> Callable[..., Any]:
    """Return a decorator that wants to know who is asking, as those of login extensions."""

    def login_required(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def asking(**arguments: Any) -> Any:
            if "Authorization" in request.headers:
                return function(**arguments)
            if how == "redirect":
                return redirect("/login")
            if how == "response":
                return Response("who?", 401)
            if how == "own":
                raise LookupError("no token")
            return abort(401)

        return asking

    return login_required


@pytest.mark.parametrize("how", ["redirect", "response", "own", "abort"])
@pytest.mark.parametrize("options", [{}, {"timeout": 20}])
def test_login_decorators(
    client: FlaskClient, serve: ModelServe, calls: Calls, how: str, options: Any
) -> None:
    """Beneath a decorator that asks for a login, the function itself answers the example."""
    serve.endpoint("/", example={"number": 7}, **options)(refusing(how)(plain(calls)))
    until(lambda: is_ready(client))
    assert calls == [(7, "")]


def test_other_decorators(client: FlaskClient, serve: ModelServe, calls: Calls) -> None:
    """A decorator that lets the example pass is part of the endpoint, as for any request."""

    def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def doubling(number: int) -> Any:
            return function(2 * number)

        return doubling

    serve.endpoint("/", example={"number": 7})(doubled(plain(calls)))
    until(lambda: is_ready(client))
    assert calls == [(14, "")]


def test_traffic_is_not_counted(client: FlaskClient, serve: ModelServe) -> None:
    """Neither ours nor the exporter's counters of requests know of the warm-up."""

    @serve.endpoint("/", example={"number": 7}, batch=4)
    def model(number: list[int]) -> list[int]:
        return number

    @serve.endpoint("/stream", example={})
    def stream() -> Iterator[int]:
        yield 1

    until(lambda: is_ready(client))
    assert sum(samples(client, "modelserve_requests_total").values()) == 0
    assert set(samples(client, "modelserve_in_flight").values()) == {0}
    routes = {labels[0] for labels in samples(client, "flask_http_request_duration_seconds_count")}
    assert routes == {"modelserve_ready"}


def test_cache_is_left_alone(client: FlaskClient, serve: ModelServe, calls: Calls) -> None:
    """A warm-up neither keeps its answer, nor takes one that is kept: the model itself answers."""
    serve.endpoint("/", example={"number": 7}, cache=60)(plain(calls))
    kept = client.post("/", json={"number": 7})
    assert kept.headers["Cache-Status"].endswith("stored")
    until(lambda: is_ready(client))
    assert len(calls) == 2
    other = ModelServe()
    other.endpoint("/", example={"number": 8}, cache=60)(plain(calls))
    app = Flask("other")
    other.init_app(app)
    client = app.test_client()
    until(lambda: is_ready(client))
    answer = client.post("/", json={"number": 8})
    assert answer.headers["Cache-Status"] == "modelserve; fwd=uri-miss; stored"


def wrong_answer() -> Any:
    return {"number": "none"}


def wrong_status() -> Any:
    return {"sorry": True}, 503


def invalid() -> Any:
    raise InvalidRequest("secret")


def crash() -> Any:
    raise ZeroDivisionError("secret")


def end_of_thread() -> Any:
    raise SystemExit("secret")


FAILURES = [wrong_answer, wrong_status, invalid, crash, end_of_thread]


@pytest.mark.parametrize("model", FAILURES)
@pytest.mark.parametrize("options", [{}, {"timeout": 20}])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_failure(
    client: FlaskClient,
    serve: ModelServe,
    caplog: pytest.LogCaptureFixture,
    model: Any,
    options: Any,
) -> None:
    """An example without a good answer keeps the process unready; why is for the log alone."""
    serve.endpoint("/", example={}, response_schema=Message, **options)(model)
    serve.endpoint("/good", example={"number": 1}, endpoint="good")(plain([]))
    assert failed(client)
    response = client.get("/__ready")
    assert response.json["endpoints"] == {model.__name__: "failed"}
    assert "secret" not in response.text
    assert f"Endpoint {model.__name__} failed to warm up" in caplog.text
    assert client.post("/good", json={"number": 1}).status_code == 200


@pytest.mark.parametrize("options", [{}, {"timeout": 20}, {"batch": 4}])
@pytest.mark.parametrize("error", [OSError, SystemExit])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_class_that_fails_to_load(
    client: FlaskClient, serve: ModelServe, options: Any, error: type[BaseException]
) -> None:
    """A class that can't be made, and may even end its thread, is failed rather than loading."""

    @serve.endpoint("/", **options)
    class Model:
        def __init__(self) -> None:
            raise error("secret")

        def __call__(self, number: Any) -> Any:
            return number

    assert failed(client)
    assert states(client) == {"Model": "failed"}


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_another_try(
    client: FlaskClient, serve: ModelServe, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that fails for a while is tried again by probes, after pauses that double."""
    clock = Clock()
    monkeypatch.setattr(warmup, "monotonic", clock)

    @serve.endpoint("/", example={})
    def model() -> str:
        calls.append(clock.now)
        if len(calls) < 4:
            raise ConnectionError("the store is not up yet")
        return "answer"

    assert failed(client)
    for pause in (1, 2, 4):
        assert client.get("/__ready").headers["Retry-After"] == str(pause)
        clock.now += pause - 0.01
        assert states(client) == {"model": "failed"}
        count = len(calls)
        clock.now += 0.02
        states(client)
        until(lambda count=count: len(calls) > count)
        failed(client)
    assert is_ready(client)
    assert len(calls) == 4


def test_a_first_call_beyond_the_timeout(
    client: FlaskClient, serve: ModelServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose first call takes longer than clients may wait is ready once it is faster."""
    gate = Gate()

    @serve.endpoint("/", example={}, timeout=0.05, max_concurrency=2)
    def model() -> str:
        gate.pass_through()
        return "answer"

    assert failed(client)
    gate.open()
    until(lambda: is_ready(client))


def test_a_model_that_hangs(app: Flask, client: FlaskClient, serve: ModelServe) -> None:
    """Probes, many at once, go on being answered, and no second attempt joins the hanging one."""
    gate, made = Gate(), []

    @serve.endpoint("/")
    class Model:
        def __init__(self) -> None:
            made.append(self)
            gate.pass_through()

        def __call__(self) -> str:
            return "answer"

    def probe(_: int) -> Any:
        return states(app.test_client())

    with ThreadPoolExecutor(16) as crowd:
        assert list(crowd.map(probe, range(64))) == [{"Model": "loading"}] * 64
    gate.await_calls()
    assert len(made) == 1
    gate.open()
    until(lambda: is_ready(client))


def test_two_apps() -> None:
    """Two apps with one ModelServe warm up each for itself."""
    serve, made = ModelServe(), []

    @serve.endpoint("/", example={})
    class Model:
        def __init__(self) -> None:
            made.append(current_app.name)

        def __call__(self) -> str:
            return current_app.name

    one, two = Flask("one"), Flask("two")
    for app in (one, two):
        serve.init_app(app)
    until(lambda: is_ready(one.test_client()))
    assert made == ["one"]
    until(lambda: is_ready(two.test_client()))
    assert made == ["one", "two"]


def test_warm_ups_of_what_is_served() -> None:
    """A server warms up the app that it serves; where middleware hides it, every app."""
    apps = [Flask(name) for name in ("one", "two")]
    for app in apps:
        ModelServe(app)
    warm_ups = [app.extensions["modelserve"].warm_up for app in apps]
    assert warmup.warm_ups(apps[0]) == warm_ups[:1]
    assert set(warm_ups) <= set(warmup.warm_ups(apps[0].wsgi_app))


@contextmanager
def forked() -> Iterator[bool]:
    """Run the block in a child too, which must not fail; yield whether this is the child."""
    child = os.fork()
    if child:
        yield False
        assert os.waitpid(child, 0)[1] == 0
        return
    signal.alarm(PATIENCE)  # kills a child that hangs
    try:
        yield True
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork(app: Flask, client: FlaskClient) -> None:
    """A process that was forked off a ready one, or one that was loading, loads its own models."""
    gate, made = Gate(shut=False), []
    serve = ModelServe(app)

    @serve.endpoint("/", example={})
    class Model:
        def __init__(self) -> None:
            gate.pass_through()
            made.append(os.getpid())

        def __call__(self) -> int:
            return made[-1]

    until(lambda: is_ready(client))
    gate.__init__()  # type: ignore[misc]  # shut
    with forked() as is_child:
        if is_child:
            assert states(client) == {"Model": "loading"}
            gate.open()
            until(lambda: is_ready(client))
            assert answers(app, [{}])[0].json == os.getpid()
    assert is_ready(client)


def test_probe_is_quick(client: FlaskClient, serve: ModelServe) -> None:
    """A probe is answered at once, however long models load."""
    gate = Gate()

    @serve.endpoint("/")
    class Model:
        def __init__(self) -> None:
            gate.pass_through()

        def __call__(self) -> str:
            return "answer"

    begun = time.monotonic()
    assert not is_ready(client)
    assert time.monotonic() - begun < 5
    gate.open()
    until(lambda: is_ready(client))
