from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# The example in model-serving 2.0.6's documentation, as published there: some of its
# lines with nothing but a bracket are lost, so it counts fewer than it had.
THEIRS = """
import examples.example_schema_pb2 as schema
from aylien_model_serving.app_factory import FlaskAppWrapper, InvalidRequest

def predict_lang(text):
    return "en", 0.71

def predict(title=None, body=None, enrichments=None):
    if body is None:
        body = enrichments["extracted"]["value"]["body"]
    if title is None and body is None:
        raise InvalidRequest("Missing text")
    article_text = f"{title} {body}"
    detected_lang, confidence = predict_lang(article_text)
    return {
        'language': detected_lang,
        'confidence': confidence,
        'error': 'Not an error',
        'version': '0.0.1'

def process_request():
    return FlaskAppWrapper.process_json(predict, schema=schema)

def run_app():
    routes = [
            "endpoint": "/",
            "callable": process_request,
            "methods": ["POST"]
    return FlaskAppWrapper.create_app(routes)
"""

OURS = """
import language_pb2 as schema
from flask import Flask
from flask_modelserve import InvalidRequest, ModelServe

app = Flask(__name__)
serve = ModelServe(app)

def predict_lang(text):
    return "en", 0.71

@serve.endpoint("/", schema=schema)
def predict(title=None, body=None, enrichments=None):
    if body is None and enrichments is not None:
        body = enrichments["extracted"]["value"]["body"]
    if title is None and body is None:
        raise InvalidRequest("Missing text")
    article_text = f"{title} {body}"
    detected_lang, confidence = predict_lang(article_text)
    return {
        'language': detected_lang,
        'confidence': confidence,
        'error': 'Not an error',
        'version': '0.0.1'
    }
"""

ANSWER = {"language": "en", "confidence": 0.71, "error": "Not an error", "version": "0.0.1"}


def lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


@pytest.fixture
def ported(monkeypatch) -> dict:
    monkeypatch.syspath_prepend(EXAMPLES / "language")  # its messages are the predecessor's
    names = {"__name__": "ported"}
    exec(OURS, names)
    return names


@pytest.mark.parametrize(
    "article",
    [
        {"id": "1", "title": "A title", "body": "a body"},
        {"title": "A title"},
        {"enrichments": {"extracted": {"value": {"body": "a body"}}}},
    ],
)
def test_port_answers(ported, article):
    """The predecessor's example, ported, answers what it answered."""
    answer = ported["app"].test_client().post("/", json=article)
    assert (answer.status_code, answer.json) == (200, ANSWER)


def test_port_refuses(ported):
    """Where the predecessor's example raised InvalidRequest, its client still gets a 400."""
    answer = ported["app"].test_client().post("/", json={"id": "1"})
    assert (answer.status_code, answer.json["detail"]) == (400, "Missing text")


def test_port_validates(ported):
    """The schema given as a module is enforced on requests."""
    answer = ported["app"].test_client().post("/", json={"enrichments": {"extracted": 5}})
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json["errors"]] == ["enrichments.extracted"]


def test_port_stays_a_function(ported):
    """The ported function can be called without HTTP."""
    assert ported["predict"](title="A title") == ANSWER


def test_port_is_not_longer():
    """The port takes no more lines than the original."""
    assert lines(OURS) <= lines(THEIRS)


def test_handler_class(app, serve, client):
    """The predecessor's handler, a class that loads its classifier, is served as it is."""

    @serve.endpoint("/classify")
    class ClassifyHandler:
        def __init__(self) -> None:
            self.classifier = {"bonjour": "fr"}

        def __call__(self, text: str) -> str | None:
            return self.classifier.get(text)

    assert client.post("/classify", json={"text": "bonjour"}).json == "fr"
