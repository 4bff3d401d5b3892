"""Errors: problem documents of our endpoints, and nothing else of the host app changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, got_request_exception
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from flask_modelserve import InvalidRequest, ModelServe, ModelServeError

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PROBLEM = "application/problem+json"


@pytest.fixture
def failing(serve: ModelServe) -> dict[str, Any]:
    """An endpoint whose function raises what the test puts under "error"."""
    box: dict[str, Any] = {}

    @serve.endpoint("/fail")
    def fail() -> None:
        raise box["error"]

    return box


def test_invalid_request(client: FlaskClient, failing: dict[str, Any]) -> None:
    """InvalidRequest is a 400 problem document with the text and the fields."""
    failing["error"] = InvalidRequest(
        "not \ud800 so", errors=[{"field": "a[1]", "message": "is odd"}]
    )
    response = client.post("/fail", json={})
    assert (response.status_code, response.content_type) == (400, PROBLEM)
    assert response.json == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "not \ud800 so",
        "errors": [{"field": "a[1]", "message": "is odd"}],
        "request_id": response.headers["X-Request-ID"],
    }


def test_hierarchy() -> None:
    """InvalidRequest is both the project's error and werkzeug's."""
    assert issubclass(InvalidRequest, ModelServeError)
    assert issubclass(InvalidRequest, HTTPException)
    assert InvalidRequest.code == 400


def test_headers_of_an_error_are_kept(client: FlaskClient, failing: dict[str, Any]) -> None:
    """Headers that belong to an error, such as Retry-After, are sent."""
    failing["error"] = ServiceUnavailable("warming up", retry_after=7)
    response = client.post("/fail", json={})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
    assert response.json["detail"] == "warming up"


def test_crash(
    client: FlaskClient, failing: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A crash is 500 without a word of it to the client; the log has the traceback, once."""
    failing["error"] = KeyError("secret-of-the-model")
    response = client.post("/fail", json={})
    assert (response.status_code, response.content_type) == (500, PROBLEM)
    assert "secret" not in response.text
    assert "KeyError" not in response.text
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert caplog.text.count("Traceback") == 1


def test_crash_sends_flask_s_signal(
    app: Flask, client: FlaskClient, failing: dict[str, Any]
) -> None:
    """got_request_exception fires once per crash, as Sentry and its like need."""
    failing["error"] = error = ZeroDivisionError("x")
    sent: list[BaseException] = []
    with got_request_exception.connected_to(
        lambda sender, exception, **extra: sent.append(exception), app
    ):
        client.post("/fail", json={})
        failing["error"] = InvalidRequest("no")
        client.post("/fail", json={})
    assert sent == [error]


@pytest.mark.parametrize("flag", ["DEBUG", "TESTING", "PROPAGATE_EXCEPTIONS"])
def test_crash_propagates_where_flask_lets_it(
    app: Flask, client: FlaskClient, failing: dict[str, Any], flag: str
) -> None:
    """Under the debugger and in tests a crash propagates, with one signal."""
    app.config[flag] = True
    failing["error"] = ZeroDivisionError("x")
    sent: list[BaseException] = []
    with (
        got_request_exception.connected_to(lambda s, exception, **e: sent.append(exception), app),
        pytest.raises(ZeroDivisionError),
    ):
        client.post("/fail", json={})
    assert sent == [failing["error"]]
    assert 'outcome="error"} 1.0' in client.get("/__metrics").text


def test_handler_for_a_class_wins(app: Flask, client: FlaskClient, failing: dict[str, Any]) -> None:
    """A handler that the app registers for InvalidRequest or for its own error wins."""
    app.register_error_handler(InvalidRequest, lambda e: (f"own {e.description}", 422))
    app.register_error_handler(KeyError, lambda e: ("own key", 409))
    failing["error"] = InvalidRequest("text")
    response = client.post("/fail", json={})
    assert (response.status_code, response.text) == (422, "own text")
    failing["error"] = KeyError("x")
    response = client.post("/fail", json={})
    assert (response.status_code, response.text) == (409, "own key")


@pytest.mark.parametrize("registered", [500, Exception, HTTPException])
def test_handler_for_a_crash_wins(
    app: Flask, client: FlaskClient, failing: dict[str, Any], registered: Any
) -> None:
    """A handler for 500, for HTTPException or for Exception answers a crash."""
    app.register_error_handler(registered, lambda e: (f"sorry: {type(e).__name__}", 500))
    failing["error"] = ZeroDivisionError("x")
    response = client.post("/fail", json={})
    expected = "ZeroDivisionError" if registered is Exception else "InternalServerError"
    assert (response.status_code, response.text) == (500, f"sorry: {expected}")


def test_handler_for_a_status_wins(
    app: Flask, client: FlaskClient, failing: dict[str, Any]
) -> None:
    """A handler for a status answers our own refusals too."""
    app.register_error_handler(400, lambda e: ("own 400", 400))
    app.register_error_handler(415, lambda e: ("own 415", 415))
    assert client.post("/fail", data="[").text == "own 400"
    assert client.post("/fail", data="x", content_type="image/png").text == "own 415"


def test_handler_that_crashes(
    app: Flask, client: FlaskClient, failing: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """An error handler that crashes is a crash: 500, and the log says of what."""

    @app.errorhandler(InvalidRequest)
    def broken(error: InvalidRequest) -> None:
        raise OSError("the handler's own")

    failing["error"] = InvalidRequest("x")
    assert client.post("/fail", json={}).status_code == 500
    assert "the handler's own" in caplog.text


def test_host_app_s_errors_stay(app: Flask, client: FlaskClient, serve: ModelServe) -> None:
    """The host's own pages keep Flask's HTML errors, 404, 405 and 500."""

    @app.get("/page")
    def page() -> None:
        raise ZeroDivisionError

    app.register_error_handler(404, lambda e: ("<h1>own 404</h1>", 404))
    for response in (client.get("/nowhere"), client.post("/page"), client.get("/page")):
        assert response.content_type == "text/html; charset=utf-8"
    assert client.get("/nowhere").text == "<h1>own 404</h1>"


def test_bad_answer_goes_to_the_log(
    client: FlaskClient, serve: ModelServe, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that can't be written is 500, even in tests, and signalled like a crash."""
    app.testing = True
    serve.endpoint("/", endpoint="bad")(lambda: {"deep": [object()]})
    sent: list[BaseException] = []
    with got_request_exception.connected_to(
        lambda sender, exception, **extra: sent.append(exception), app
    ):
        response = client.post("/", json={})
    assert response.status_code == 500
    assert "deep" not in response.text
    assert "deep[0]" in caplog.text
    assert len(sent) == 1
