"""Formats in and out, by Content-Type and Accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from flask_modelserve import ModelServe

BODY = '{"number": 1}'


@pytest.fixture(autouse=True)
def echo(serve: ModelServe) -> None:
    @serve.endpoint("/")
    def echo_number(number: Any) -> Any:
        return {"number": number}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/plain; charset=us-ascii",
        "text/json",
    ],
)
def test_read_as_json(client: FlaskClient, content_type: str | None) -> None:
    """JSON is read under its own types, none, and those that curl -d and browsers send."""
    response = client.post("/", data=BODY, content_type=content_type)
    assert response.json == {"number": 1}


@pytest.mark.parametrize(
    "content_type",
    ["application/xml", "multipart/form-data; boundary=x", "image/png", "nonsense", "a/b; c",
     "application/json; charset=latin-1", "application/x-protobuf"],
)  # fmt: skip
def test_other_types_are_415(client: FlaskClient, content_type: str) -> None:
    """Any other type is 415, and the document says which to send."""
    response = client.post("/", data=BODY, content_type=content_type)
    assert response.status_code == 415
    assert response.content_type == "application/problem+json"
    assert "application/json" in response.json["detail"] or "UTF-8" in response.json["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x"])
def test_content_encoding_is_415(client: FlaskClient, encoding: str) -> None:
    """A compressed body is 415, not garbage."""
    response = client.post("/", data=BODY, headers={"Content-Encoding": encoding})
    assert response.status_code == 415
    assert encoding in response.json["detail"]


def test_identity_encoding(client: FlaskClient) -> None:
    """Content-Encoding: identity is no encoding."""
    response = client.post("/", data=BODY, headers={"Content-Encoding": "identity"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/*", "text/html,*/*;q=0.1", "", None,
     "application/json;q=0.5, text/html", "APPLICATION/JSON"],
)  # fmt: skip
def test_json_is_accepted(client: FlaskClient, accept: str | None) -> None:
    """JSON is the answer wherever the client takes it."""
    headers = {} if accept is None else {"Accept": accept}
    response = client.post("/", data=BODY, headers=headers)
    assert (response.status_code, response.content_type) == (200, "application/json")


@pytest.mark.parametrize("accept", ["text/html", "application/x-protobuf", "application/json;q=0"])
def test_not_acceptable(client: FlaskClient, accept: str) -> None:
    """A client that takes nothing that the endpoint writes gets 406, before the function runs."""
    response = client.post("/", data=BODY, headers={"Accept": accept})
    assert response.status_code == 406
    assert response.json["detail"] == "This endpoint answers with application/json."


def test_accept_texts_are_not_kept_without_bound(app: Flask, client: FlaskClient) -> None:
    """Clients that vary their Accept header don't make the process grow."""
    for number in range(1000):
        headers = {"Accept": f"application/json, text/x-{number}"}
        assert client.post("/", data=BODY, headers=headers).status_code == 200
    endpoint = app.view_functions["echo_number"].__self__
    assert len(endpoint._accept._known) < 300


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "empty"),
        (b"{", "line 1 column 2"),
        (b'{"number": }', "line 1 column 12"),
        (b'{"number": 1,}', "line 1"),
        (b"\xff", "UTF-8"),
        (b'\xef\xbb\xbf{"number": 1}', "line 1 column 1"),
        (b'{"number": NaN}', "line 1 column 12"),
        (b'{"number": 1e999}', "infinity"),
        (b"[" * 100_000, "depth"),
        (b"[1]", "an array"),
        (b"5", "a number"),
        (b"null", "null"),
    ],
)
def test_bad_json(client: FlaskClient, body: bytes, place: str) -> None:
    """A body that is no JSON object is 400, and the document names the place."""
    response = client.post("/", data=body)
    assert response.status_code == 400
    assert place in response.json["detail"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ('{"number": 1, "number": 2}', ["number"]),
        ('{"number": 1, "number" : 1}', ["number"]),
        ('{"number": {"a": [0, {"b": 1, "c": 0, "b": 2}]}}', ["number.a[1].b"]),
        ('{"number": 1, "number": 2, "number": 3}', ["number", "number"]),
        (r'{"number": "\":", "number": "x"}', ["number"]),
        (r'{"number": 1, "n\u0075mber": 2}', ["number"]),
    ],
)
def test_duplicate_keys(client: FlaskClient, body: str, fields: list[str]) -> None:
    """A key given twice is refused, by its path, however it is written."""
    response = client.post("/", data=body)
    assert response.status_code == 400
    assert [error["field"] for error in response.json["errors"]] == fields


@pytest.mark.parametrize(
    "body",
    [r'{"number": "a\":b"}', r'{"number": "\\\":"}', '{"number": "a:b::"}', '{ "number"\n:\t1 }',
     r'{"number": ["\":", {"x\":": 1}]}'],
)  # fmt: skip
def test_no_duplicate_keys(client: FlaskClient, body: str) -> None:
    """Colons and quotes within texts are not taken for keys."""
    assert client.post("/", data=body).status_code == 200


def test_too_large(app: Flask, client: FlaskClient) -> None:
    """A body over MAX_CONTENT_LENGTH is 413, and the document names the limit."""
    app.config["MAX_CONTENT_LENGTH"] = 10
    response = client.post("/", data=BODY)
    assert response.status_code == 413
    assert "10 bytes" in response.json["detail"]
    assert client.post("/", data=b"{}").status_code == 400  # fits, but lacks the number


def test_form_read_by_the_app(app: Flask, client: FlaskClient) -> None:
    """Where the app has read the body as a form, as CSRF checks do, the message says so."""
    from flask import request

    app.before_request(lambda: request.form and None)
    response = client.post("/", data=BODY, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 400
    assert "as a form" in response.json["detail"]
    assert client.post("/", data=BODY, content_type="application/json").status_code == 200
