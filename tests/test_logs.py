from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from flask import Flask, current_app
from flask.logging import default_handler

from flask_modelserve import ModelServe
from flask_modelserve.logs import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADERS = {"X-Request-ID": "mine"}


LOGGERS = [logging.getLogger(name) for name in ("json", "text", "flask_modelserve")]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Any]]:
    """Return what has been printed, as JSON."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """Leave to other files' tests the loggers that they find."""
    yield
    for logger in LOGGERS:
        logger.propagate = True
        logger.handlers.clear()


def app_with(name: str = "json", *, json_logs: bool = True) -> Flask:
    # Now rather than in a fixture: pytest would give each its own handler, as it does the root.
    for logger in LOGGERS:
        logger.propagate = False
    app = Flask(name)
    app.config["MODELSERVE_JSON_LOGS"] = json_logs
    serve = ModelServe(app)

    @serve.endpoint("/talk")
    def talk(text: str) -> None:
        current_app.logger.warning(text)

    @serve.endpoint("/fail")
    def fail() -> None:
        raise RuntimeError("line\nline")

    @serve.endpoint("/odd")
    def odd() -> object:
        return object()

    return app


def test_line(lines: Callable[[], list[Any]]) -> None:
    """A line is one JSON object: when, how bad, which logger, what, which request and endpoint."""
    before = datetime.now(UTC)
    app_with().test_client().post("/talk", json={"text": "hello"}, headers=HEADERS)
    [line] = lines()
    time = line.pop("time")
    assert time.endswith("Z")
    assert before <= datetime.fromisoformat(time) <= datetime.now(UTC)
    assert line == {
        "level": "WARNING",
        "logger": "json",
        "message": "hello",
        "request_id": "mine",
        "endpoint": "talk",
    }


def test_crash(lines: Callable[[], list[Any]]) -> None:
    """A crash is one line too, with the whole traceback in it."""
    app_with().test_client().post("/fail", json={}, headers=HEADERS)
    [line] = lines()
    assert (line["level"], line["request_id"], line["endpoint"]) == ("ERROR", "mine", "fail")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("RuntimeError: line\nline")


def test_bad_answer(lines: Callable[[], list[Any]]) -> None:
    """So is an answer that breaks its contract."""
    app_with().test_client().post("/odd", json={}, headers=HEADERS)
    [line] = lines()
    assert "object cannot be written as JSON" in line["message"]
    assert line["request_id"] == "mine"


def test_our_own_logger(lines: Callable[[], list[Any]]) -> None:
    """What our modules log, outside of requests too, is JSON as well."""
    app_with()
    logging.getLogger("flask_modelserve.caching").warning("The cache fails: %r", KeyError("a"))
    [line] = lines()
    assert (line["logger"], line["message"]) == (
        "flask_modelserve.caching",
        "The cache fails: KeyError('a')",
    )
    assert "request_id" not in line


@pytest.mark.parametrize(
    "text", ["naïve 😀 Ⅻ", "two\nlines\r\n\u2028", '"quotes" \\ {}', "\x00\x1b[0m", "%s %d"]
)
def test_texts(lines: Callable[[], list[Any]], text: str) -> None:
    """Any text survives, on one line."""
    app_with().test_client().post("/talk", json={"text": text})
    [line] = lines()
    assert line["message"] == text


class Mute:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


LOOP: list[Any] = []
LOOP.append(LOOP)
VALUES = {
    "number": (1.5, 1.5),
    "dict": ({"a": [1, None]}, {"a": [1, None]}),
    "not a number": (float("nan"), "nan"),
    "huge": (10**30, 10**30),
    "object": (np.float32(0.5), "0.5"),
    "bytes": (b"a", "b'a'"),
    "odd keys": ({(1, 2): 3}, "{(1, 2): 3}"),
    "loop": (LOOP, "[[...]]"),
    "mute": (Mute(), "<Mute without a text>"),
    "mute within": ({(1,): Mute()}, "<dict without a text>"),
    "half a pair": ("\ud800", "?"),
    "whole pair": ("😀", "😀"),
}


@pytest.mark.parametrize("name", VALUES)
def test_extras(lines: Callable[[], list[Any]], capsys: Any, name: str) -> None:
    """What is logged as extra is part of the object, whatever it is; any parser takes the line."""
    value, written = VALUES[name]
    app = app_with()
    app.logger.error("hello", extra={"thing": value})
    printed = capsys.readouterr().err
    assert printed.isascii()
    line = orjson.loads(printed) if name != "huge" else json.loads(printed)
    assert (line["message"], line["thing"]) == ("hello", written)


def test_extras_replace_nothing(lines: Callable[[], list[Any]]) -> None:
    """An extra of the name of a member does not take its place."""
    app_with().logger.error("hello", extra={"level": "low", "time": 0})
    [line] = lines()
    assert line["level"] == "ERROR"
    assert line["time"] != 0


def test_message_that_does_not_fit(lines: Callable[[], list[Any]]) -> None:
    """A message whose arguments don't fit is logged with them, rather than lost."""
    app_with().logger.error("%d rows", "many")
    [line] = lines()
    assert line["message"] == "%d rows ('many',)"


def test_stack(lines: Callable[[], list[Any]]) -> None:
    """A stack that was asked for is a member."""
    app_with().logger.error("hello", stack_info=True)
    [line] = lines()
    assert "test_stack" in line["stack"]


def test_not_asked_for(lines: Callable[[], list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing becomes JSON unless asked for, and one app's choice is not another's."""
    asks, silent = app_with("json"), app_with("text", json_logs=False)
    for app in (asks, silent):
        app.test_client().post("/talk", json={"text": "hello"})
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["message"] == "hello"
    assert second.startswith("[")
    assert second.endswith("WARNING in test_logs: hello")
    assert not isinstance(default_handler.formatter, JsonFormatter)


def test_several_extensions(lines: Callable[[], list[Any]]) -> None:
    """Two apps of one name, or two extensions of one app, print each line once."""
    app = app_with()
    ModelServe(app)
    app_with()
    app.logger.warning("hello")
    logging.getLogger("flask_modelserve").warning("hello")
    assert len(lines()) == 2


def test_own_configuration(
    lines: Callable[[], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Logging that the app has set up stays as it is, and a line says what to do instead."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("own: %(message)s"))
    logging.getLogger("json").addHandler(handler)
    app = app_with()
    app.logger.warning("hello")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("own: MODELSERVE_JSON_LOGS changes nothing")
    assert "flask_modelserve.logs.JsonFormatter()" in first
    assert second == "own: hello"


def test_own_configuration_with_our_formatter(lines: Callable[[], list[Any]]) -> None:
    """An app that gives our formatter to a handler of its own has JSON, and no complaint."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("json").addHandler(handler)
    app_with().test_client().post("/talk", json={"text": "hello"}, headers=HEADERS)
    [line] = lines()
    assert (line["message"], line["request_id"]) == ("hello", "mine")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_wrong_switch(value: Any) -> None:
    """A switch that is neither True nor False is refused."""
    with pytest.raises(TypeError, match=r"JSON_LOGS.*write True or False"):
        app_with(json_logs=value)


IMPORTED = """
import logging, sys
def handlers():
    known = [logging.getLogger(), *map(logging.getLogger, list(logging.Logger.manager.loggerDict))]
    return [handler for logger in known for handler in logger.handlers]
import flask
before = handlers()
import flask_modelserve, flask_modelserve.logs
assert handlers() == before, handlers()
app = flask.Flask("quiet")
flask_modelserve.ModelServe(app).endpoint("/", endpoint="one")(lambda: 1)
app.test_client().post("/", json={})
assert handlers() == before, handlers()
"""


def test_no_handlers_on_import() -> None:
    """Neither the import nor the set-up adds a handler to any logger, unless asked for."""
    subprocess.run([sys.executable, "-c", IMPORTED], check=True, timeout=60)
