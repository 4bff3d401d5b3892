from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, request

from flask_modelserve import ModelServe

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

DEFAULT = 16_777_216


def app_with(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)

    @app.post("/own")
    def own() -> str:
        return str(len(request.get_data()))

    @ModelServe(app).endpoint("/size", cache=1)
    def size(text: str = "") -> int:
        return len(text)

    return app


def post(app: Flask, size: int, path: str = "/size", *, chunked: bool = False) -> TestResponse:
    """Send a JSON body of so many bytes."""
    body = b'{"text":"' + b"x" * (size - 11) + b'"}'
    assert len(body) == size
    if not chunked:
        return app.test_client().post(path, data=body)
    return app.test_client().post(
        path,
        input_stream=io.BytesIO(body),
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )


both_ways = pytest.mark.parametrize("chunked", [False, True])


@both_ways
def test_default(chunked: bool) -> None:
    """Without any setting, a body of up to 16 MiB is read, and one more byte is 413."""
    app = app_with()
    assert post(app, DEFAULT, chunked=chunked).json == DEFAULT - 11
    answer = post(app, DEFAULT + 1, chunked=chunked)
    assert (answer.status_code, answer.content_type) == (413, "application/problem+json")
    assert answer.json["detail"] == f"The body is larger than the {DEFAULT} bytes allowed."


@both_ways
@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"MODELSERVE_MAX_BODY_BYTES": 50}, 50),
        ({"MAX_CONTENT_LENGTH": 60}, 60),
        ({"MODELSERVE_MAX_BODY_BYTES": 50, "MAX_CONTENT_LENGTH": 60}, 50),
        ({"MODELSERVE_MAX_BODY_BYTES": 60, "MAX_CONTENT_LENGTH": 50}, 60),
        ({"MODELSERVE_MAX_BODY_BYTES": None, "MAX_CONTENT_LENGTH": 50}, 50),
    ],
)
def test_settings(config: dict[str, Any], limit: int, chunked: bool) -> None:
    """Our own key decides for endpoints; where it isn't set, the app's own limit does."""
    app = app_with(**config)
    assert post(app, limit, chunked=chunked).status_code == 200
    assert post(app, limit + 1, chunked=chunked).status_code == 413


@both_ways
def test_larger_app_limit(chunked: bool) -> None:
    """An app that takes larger bodies than our default takes them at endpoints too."""
    app = app_with(MAX_CONTENT_LENGTH=2 * DEFAULT)
    assert post(app, DEFAULT + 1, chunked=chunked).status_code == 200


@both_ways
def test_no_limit(chunked: bool) -> None:
    """None takes the limit off."""
    app = app_with(MODELSERVE_MAX_BODY_BYTES=None)
    assert post(app, DEFAULT + 1, chunked=chunked).status_code == 200


def test_limit_set_late() -> None:
    """The app's limit holds also when it is set after init_app."""
    app = app_with()
    app.config["MAX_CONTENT_LENGTH"] = 50
    assert post(app, 51).status_code == 413


@both_ways
def test_limit_of_one_request(chunked: bool) -> None:
    """A hook that sets the limit of its request decides."""
    app = app_with(MODELSERVE_MAX_BODY_BYTES=50)

    @app.before_request
    def more() -> None:
        request.max_content_length = 60

    assert post(app, 60, chunked=chunked).status_code == 200
    assert post(app, 61, chunked=chunked).status_code == 413


@both_ways
def test_body_that_a_hook_has_read(chunked: bool) -> None:
    """The limit holds also for a body that the app has read before."""
    app = app_with(MODELSERVE_MAX_BODY_BYTES=50)
    app.before_request(lambda: request.get_data() and None)
    assert post(app, 50, chunked=chunked).status_code == 200
    assert post(app, 51, chunked=chunked).status_code == 413


def test_other_routes() -> None:
    """The app's own routes have no limit of ours."""
    assert post(app_with(MODELSERVE_MAX_BODY_BYTES=50), 51, "/own").text == "51"


@pytest.mark.parametrize("value", [0, -1, True, "1000", 1e6])
def test_wrong_limits(value: Any) -> None:
    """What is no number of bytes is refused when the app is set up."""
    with pytest.raises(TypeError, match=r"MODELSERVE_MAX_BODY_BYTES.*such as 16_777_216"):
        app_with(MODELSERVE_MAX_BODY_BYTES=value)


def test_length_that_is_no_number() -> None:
    """A Content-Length that is no number, which a server may let through, is no error of ours."""
    answer = (
        app_with()
        .test_client()
        .post("/size", data=b"{}", environ_overrides={"CONTENT_LENGTH": "two"})
    )
    assert answer.status_code == 400
