"""Apps with ``host_matching``, whose routes are each of one host."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask, request, url_for
from werkzeug.routing import BuildError

from flask_modelserve import ModelServe
from flask_modelserve.cli import modelserve
from flask_modelserve.testing import ServeClient

from .crowds import until

HOSTS = ["a.example", "b.example:8000", "10.0.0.1", "localhost", "[::1]:5000"]


@pytest.fixture
def app() -> Flask:
    return Flask("hosts", host_matching=True, static_folder=None)


@pytest.fixture
def words(app: Flask, serve: ModelServe) -> None:
    api = Blueprint("api", __name__, url_prefix="/api")

    @serve.endpoint(
        "/words/<language>", blueprint=api, cache=60, example={"language": "en", "text": "a b"}
    )
    def words(language: str, text: str = "") -> Any:
        return [language, len(text.split()), sorted(request.view_args or {})]

    app.register_blueprint(api)


@pytest.mark.parametrize("host", HOSTS)
def test_endpoints_and_service_routes_answer_on_every_host(
    app: Flask, words: None, host: str
) -> None:
    """Endpoints, and the service routes beside them, answer whatever host they are asked by."""
    client = app.test_client()
    at = {"base_url": f"http://{host}"}
    answer = client.post("/api/words/en", json={"text": "a b"}, **at)
    assert answer.json == ["en", 2, ["language"]]
    until(lambda: client.get("/__ready", **at).status_code == 200)
    for path in ("/__ping", "/__metrics", "/__openapi.json", "/__docs"):
        assert client.get(path, **at).status_code == 200, path
    assert client.get("/__docs/assets/none.js", **at).status_code == 404
    refused = client.get("/api/words/en", headers={"X-Request-ID": "mine"}, **at)
    assert (refused.status_code, refused.headers["X-Request-ID"]) == (405, "mine")


def test_answers_are_kept_for_all_hosts(app: Flask, words: None) -> None:
    """The host is no part of what an answer depends on."""
    client = app.test_client()
    answers = [client.post("/api/words/en", json={}, base_url=f"http://{host}") for host in HOSTS]
    assert ["hit" in each.headers["Cache-Status"] for each in answers] == [False] + [True] * 4


def test_urls_are_made_without_a_host(app: Flask, words: None) -> None:
    """``url_for`` needs no host: it is that of the request, or of SERVER_NAME."""
    with app.test_request_context(base_url="http://a.example"):
        assert url_for("api.words", language="en") == "/api/words/en"
        assert url_for("modelserve_ping", _external=True) == "http://a.example/__ping"
        with pytest.raises(BuildError):
            url_for("nothing")
    app.config["SERVER_NAME"] = "b.example"
    with app.app_context():
        assert url_for("api.words", language="en") == "http://b.example/api/words/en"


def test_the_app_s_own_routes_stay(app: Flask, serve: ModelServe) -> None:
    """A route of the app comes first on its own host; its URLs, and those of other hosts, stay."""
    app.add_url_rule("/", view_func=lambda: "a page", endpoint="page", host="www.example")
    app.add_url_rule("/", view_func=lambda shop: shop, endpoint="shop", host="<shop>.shops.example")
    serve.endpoint("/", endpoint="model", methods=["GET"])(lambda: "a model")
    client = app.test_client()

    def ask(host: str) -> str:
        return client.get("/", base_url=f"http://{host}").text

    assert ask("www.example") == "a page"
    assert ask("a.shops.example") == "a"
    assert ask("api.example") == '"a model"'
    with app.test_request_context(base_url="http://www.example"):
        assert url_for("page") == "/"
        assert url_for("shop", shop="b") == "http://b.shops.example/"


def test_a_rule_that_is_taken(app: Flask, serve: ModelServe) -> None:
    """Two endpoints at one rule are refused, as in other apps."""
    serve.endpoint("/", endpoint="one")(lambda: 1)
    with pytest.raises(ValueError, match="is a route of the app already"):
        ModelServe(app).endpoint("/", endpoint="two")(lambda: 2)


def test_tools(app: Flask, words: None) -> None:
    """The document, the command line and the test client know nothing of hosts."""
    client = ServeClient(app)
    assert client.ask("/api/words/en", {"text": "a"}) == ["en", 1, ["language"]]
    run = app.test_cli_runner().invoke
    called = run(modelserve, ["call", "/api/words/<language>", "language=fr", "text=a b"])
    assert (called.exit_code, called.output.strip()) == (0, '["fr",2,["language"]]')
    assert "modelserve_host" not in run(modelserve, ["endpoints"]).output
    document = app.test_client().get("/__openapi.json").json
    assert list(document["paths"]) == ["/api/words/{language}"]
    assert "modelserve_host" not in str(document)
