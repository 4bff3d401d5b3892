"""Caching: what is one entry, what is none, and stores that fail."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

import flask_caching
import pytest
from flask import Flask, abort, request
from flask_httpauth import HTTPTokenAuth

from flask_modelserve import InvalidRequest, ModelServe

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient


class Calls(list[Any]):
    """An endpoint function that remembers what it was called with."""

    def __call__(self, text: Any = None, other: Any = None) -> Any:
        self.append((text, other))
        return {"text": text, "calls": len(self)}


@pytest.fixture
def calls() -> Calls:
    return Calls()


def status(response: Any) -> str:
    """Return what Cache-Status says first: hit, or why not."""
    return response.headers["Cache-Status"].split("; ")[1]


def test_second_request_is_a_hit(client: FlaskClient, serve: ModelServe, calls: Calls) -> None:
    """The same input is answered once by the function, then from the cache, byte for byte."""
    serve.endpoint("/", cache=60)(calls)
    first, second = (client.post("/", json={"text": "a"}) for _ in range(2))
    assert first.headers["Cache-Status"] == "modelserve; fwd=uri-miss; stored"
    assert "Age" not in first.headers
    assert second.headers["Cache-Status"] in {
        "modelserve; hit; ttl=59",
        "modelserve; hit; ttl=60",
    }
    assert second.headers["Age"] == "0"
    assert (second.data, second.content_type) == (first.data, first.content_type)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "same",
    ['{"other":2,"text":"é"}', ' {"text" : "é",\n"other":2}', r'{"text":"\u00e9","other":2}'],
)
def test_same_meaning_is_one_entry(
    client: FlaskClient, serve: ModelServe, calls: Calls, same: str
) -> None:
    """Order of keys, white space and escapes don't matter."""
    serve.endpoint("/", cache=60)(calls)
    client.post("/", data='{"text":"é","other":2}')
    assert status(client.post("/", data=same)) == "hit"


@pytest.mark.parametrize(
    "different",
    ['{"text":1,"other":"2"}', '{"text":1}', '{"text":1,"other":null}', '{"text":2,"other":2}',
     '{"text":true,"other":2}', '{"text":[1],"other":2}', '{"text":"1","other":2}'],
)  # fmt: skip
def test_different_meaning_is_another_entry(
    client: FlaskClient, serve: ModelServe, calls: Calls, different: str
) -> None:
    """Inputs of another meaning never share an answer."""
    serve.endpoint("/", cache=60)(calls)
    client.post("/", data='{"text":1,"other":2}')
    response = client.post("/", data=different)
    assert status(response) == "fwd=uri-miss"
    assert response.json["calls"] == 2


def test_routes_versions_and_urls_are_apart(client: FlaskClient, serve: ModelServe) -> None:
    """Two routes, two versions and two URLs never share an answer."""

    def answer(of: Any) -> Callable[..., Any]:
        return lambda user=None: [of, user]

    serve.endpoint("/one", cache=60, endpoint="one")(answer("one"))
    serve.endpoint("/two", cache=60, endpoint="two")(answer("two"))
    serve.endpoint("/users/<user>", cache=60, endpoint="users")(answer("users"))
    for _ in range(2):
        assert client.post("/one", json={}).json == ["one", None]
        assert client.post("/two", json={}).json == ["two", None]
        assert client.post("/users/a", json={}).json == ["users", "a"]
        assert client.post("/users/b", json={}).json == ["users", "b"]


def test_versions_share_a_store_but_no_answers() -> None:
    """A new version of a model does not answer with what the old one said."""
    shared = {"CACHE_TYPE": "FileSystemCache", "CACHE_NO_NULL_WARNING": True}

    def make(version: str, directory: Any) -> FlaskClient:
        app = Flask("versions")
        app.config.update(shared, CACHE_DIR=str(directory))
        ModelServe(app).endpoint("/", cache=60, version=version, endpoint="model")(lambda: version)
        return app.test_client()

    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        for version in ("1", "2", "1"):
            assert make(version, directory).post("/", json={}).json == version
        assert status(make("2", directory).post("/", json={})) == "hit"


def test_raw_forms_are_apart(client: FlaskClient, serve: ModelServe, calls: Calls) -> None:
    """The same bytes as a body and as a query string are different inputs."""
    serve.endpoint("/", cache=60, methods=["GET", "POST"])(calls)
    text = '{"text":1}'
    assert client.post("/", data=text).json["text"] == 1
    assert client.get("/", query_string=text).status_code == 400
    assert client.get("/?text=1").json["text"] == "1"
    assert status(client.get("/?text=1")) == "hit"


@pytest.mark.parametrize("error", [InvalidRequest("no"), ZeroDivisionError("crash"), "abort"])
def test_failures_are_never_kept(client: FlaskClient, serve: ModelServe, error: Any) -> None:
    """A 4xx or a 5xx is not kept: the next request calls the function again."""
    left = [error]

    @serve.endpoint("/", cache=60)
    def sometimes() -> str:
        if left:
            failure = left.pop()
            abort(404) if failure == "abort" else None
            raise failure
        return "fine"

    assert client.post("/", json={}).status_code >= 400
    assert client.post("/", json={}).json == "fine"
    assert status(client.post("/", json={})) == "hit"


def test_own_statuses_and_responses_are_not_kept(client: FlaskClient, serve: ModelServe) -> None:
    """An answer with a status of its own, or a Response, is made anew each time."""
    count = []

    @serve.endpoint("/", cache=60)
    def create() -> Any:
        count.append(1)
        return {"id": len(count)}, 201

    assert [client.post("/", json={}).json["id"] for _ in range(2)] == [1, 2]
    assert client.post("/", json={}).headers["Cache-Status"] == "modelserve; fwd=uri-miss"


def test_no_cache_and_no_store(client: FlaskClient, serve: ModelServe, calls: Calls) -> None:
    """no-cache asks the function and keeps the new answer; no-store keeps nothing."""
    serve.endpoint("/", cache=60)(calls)

    def ask(control: str | None = None) -> Any:
        headers = {} if control is None else {"Cache-Control": control}
        return client.post("/", json={}, headers=headers)

    not_stored = ask("no-store")
    assert not_stored.headers["Cache-Status"] == "modelserve; fwd=request"
    assert status(ask()) == "fwd=uri-miss"
    fresh = ask("no-cache")
    assert fresh.headers["Cache-Status"] == "modelserve; fwd=request; stored"
    assert ask().json == fresh.json
    assert ask("no-store").json["calls"] == 4
    assert ask().json == fresh.json
    assert status(ask("max-age=60")) == "hit"


def test_expiry_and_age(
    client: FlaskClient, serve: ModelServe, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer ages in whole seconds, is refused to max-age, and ends after its time."""
    serve.endpoint("/", cache=10.5)(calls)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    client.post("/", json={})
    now += 7.9
    hit = client.post("/", json={})
    assert (hit.headers["Age"], status(hit)) == ("7", "hit")
    assert status(client.post("/", json={}, headers={"Cache-Control": "max-age=5"})) != "hit"
    now += 10.4
    assert status(client.post("/", json={})) == "hit"
    now += 0.2
    assert status(client.post("/", json={})) == "fwd=uri-miss"
    now -= 1000
    set_back = client.post("/", json={})
    assert (status(set_back), set_back.headers["Age"]) == ("hit", "0")


def test_less_than_a_second(
    client: FlaskClient, serve: ModelServe, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cache=0.5 is half a second, whatever the backend's own grain."""
    serve.endpoint("/", cache=0.5)(calls)
    now = time.time()
    monkeypatch.setattr("flask_modelserve.caching.time.time", lambda: now)
    client.post("/", json={})
    now += 0.4
    assert status(client.post("/", json={})) == "hit"
    now += 0.2
    assert status(client.post("/", json={})) == "fwd=uri-miss"


@pytest.mark.parametrize("header", ["Authorization", "Cookie"])
def test_credentials_don_t_share_answers(app: Flask, serve: ModelServe, header: str) -> None:
    """What was answered to one caller is not given to another."""
    client = app.test_client(use_cookies=False)

    @serve.endpoint("/", cache=60)
    def secret() -> Any:
        return request.headers.get(header)

    for who in ("k=alice", "k=bob", None, "k=alice"):
        headers = {header: who} if who else {}
        assert client.post("/", json={}, headers=headers).json == who


@pytest.mark.parametrize("header", [None, "X-Api-Key"])
def test_login_check_beneath_is_not_skipped(
    client: FlaskClient, serve: ModelServe, header: str | None
) -> None:
    """A cached answer is not given to callers whom a decorator beneath would turn away."""
    auth = HTTPTokenAuth("Bearer", header=header)
    auth.verify_token(lambda token: token == "right")
    calls = []

    @serve.endpoint("/", cache=60)
    @auth.login_required
    def secret() -> str:
        calls.append(1)
        return "secret"

    name = header or "Authorization"
    right = {name: "right" if header else "Bearer right"}
    wrong = {name: "wrong" if header else "Bearer wrong"}
    assert client.post("/", json={}, headers=right).json == "secret"
    assert client.post("/", json={}).status_code == 401
    assert client.post("/", json={}, headers=wrong).status_code == 401
    assert status(client.post("/", json={}, headers=right)) == "hit"
    assert len(calls) == 1


def test_large_answers_are_not_kept(app: Flask) -> None:
    """An answer over the limit is answered, and not kept."""
    app.config["MODELSERVE_CACHE_MAX_BYTES"] = 100
    serve = ModelServe(app)
    serve.endpoint("/", cache=60, endpoint="model")(lambda size: "x" * size)
    client = app.test_client()
    for _ in range(2):
        assert status(client.post("/", json={"size": 99})) == "fwd=uri-miss"
    client.post("/", json={"size": 98})
    assert status(client.post("/", json={"size": 98})) == "hit"


def test_keys_are_not_kept_without_bound(
    app: Flask, client: FlaskClient, serve: ModelServe
) -> None:
    """Inputs that never repeat don't make the process grow."""
    serve.endpoint("/", cache=60, endpoint="model")(lambda number: number)
    for number in range(5000):
        client.post("/", json={"number": number})
    assert len(app.view_functions["model"].__self__._cache._keys) <= 4096


def test_own_cache_of_the_app_is_used(app: Flask, calls: Calls) -> None:
    """The app's own Flask-Caching instance keeps the answers, even one set up after ours."""
    serve = ModelServe(app)
    serve.endpoint("/", cache=60)(calls)
    own = flask_caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    client = app.test_client()
    client.post("/", json={})
    assert [key.startswith("modelserve:") for key in app.extensions["cache"][own]._cache] == [True]
    own_backend = app.extensions["cache"][own]
    own_backend.clear()
    assert status(client.post("/", json={})) == "fwd=uri-miss"


def test_several_caches(app: Flask, calls: Calls) -> None:
    """With several caches the app's user is asked for one, and cache= names it."""
    first = flask_caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    second = flask_caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    with pytest.raises(RuntimeError, match=r"ModelServe\(app, cache=...\)"):
        ModelServe(app).endpoint("/", cache=60)(calls)
    ModelServe(app, cache=second).endpoint("/", cache=60)(calls)
    app.test_client().post("/", json={})
    assert len(app.extensions["cache"][second]._cache) == 1
    assert len(app.extensions["cache"][first]._cache) == 0


def test_cache_of_another_app_is_refused(app: Flask, calls: Calls) -> None:
    """A cache that was never set up for the app is refused, with the call to add."""
    serve = ModelServe(app, cache=flask_caching.Cache())
    with pytest.raises(RuntimeError, match=r"cache.init_app\(app\)"):
        serve.endpoint("/", cache=60)(calls)


def test_cache_keys_of_the_config(app: Flask, calls: Calls, tmp_path: Any) -> None:
    """Without a cache of its own, the app's CACHE_ keys say what ours is."""
    app.config.update(CACHE_TYPE="FileSystemCache", CACHE_DIR=str(tmp_path))
    ModelServe(app).endpoint("/", cache=60)(calls)
    app.test_client().post("/", json={})
    assert list(tmp_path.iterdir())


class Broken:
    """A backend that does what the test tells it to."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error

    def get(self, key: str) -> Any:
        if self.error:
            raise self.error
        return self.value

    def set(self, key: str, value: Any, timeout: int) -> Any:
        if self.error:
            raise self.error
        return False


@pytest.mark.parametrize(
    "backend",
    [
        Broken(error=ConnectionError("down")),
        Broken(error=pickle.UnpicklingError("garbage")),
        Broken(error=TypeError("libmc")),
        Broken(b"short"),
        Broken(""),
        Broken({"foreign": 1}),
        Broken(),
    ],
)
def test_sick_store_costs_a_miss(
    app: Flask, serve: ModelServe, calls: Calls, backend: Broken
) -> None:
    """Whatever a store does, the request is answered by the function."""
    cache = flask_caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    app.extensions["cache"][cache] = backend
    serve.endpoint("/", cache=60)(calls)
    client = app.test_client()
    for number in (1, 2):
        response = client.post("/", json={"text": "a"})
        assert (response.status_code, response.json["calls"]) == (200, number)
        assert response.headers["Cache-Status"] == "modelserve; fwd=uri-miss"
