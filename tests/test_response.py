"""The response class of answers is werkzeug's, made by a shorter way."""

from __future__ import annotations

from flask import Response

from flask_modelserve.response import Answer


def test_an_answer_is_what_the_constructor_makes() -> None:
    """Whatever werkzeug's constructor sets is set, and to the same."""
    short = Answer.of(b"{}", [("Content-Type", "application/json"), ("X-Model-Version", "1")])
    made = Response([b"{}"], headers={"X-Model-Version": "1"}, content_type="application/json")
    assert short.headers == made.headers
    assert {**vars(short), "headers": None} == {**vars(made), "headers": None}


def test_answers_share_nothing() -> None:
    """What a hook does to one answer, another one does not see."""
    constant = [("Content-Type", "application/json")]
    one, other = (Answer.of(b"{}", constant) for _ in range(2))
    one.headers["X-Mine"] = "1"
    one.call_on_close(list)
    one.status_code = 202
    one.set_data(b"changed")
    assert vars(other) == vars(Answer.of(b"{}", constant))
    assert constant == [("Content-Type", "application/json")]
