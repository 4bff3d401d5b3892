"""The testing module: what users write their own tests with."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from flask import Flask, abort, request
from pydantic import BaseModel

from flask_modelserve import Batch, ModelServe
from flask_modelserve.testing import (
    ProblemError,
    ServeClient,
    frozen_time,
    recorded_calls,
    without_batches,
    without_cache,
)

from .crowds import answers
from .protos import every_pb
from .protos.every_pb2 import Every, Stowaway


class Flat(BaseModel):
    rooms: int
    square_metres: float = 50


class Rent(BaseModel):
    rent: float


@dataclass
class Point:
    x: int
    y: int


@pytest.fixture
def ask(app):
    return ServeClient(app).ask


def test_protobuf_both_ways(serve, ask):
    """A message is sent in binary, and the answer is one of the class that is asked for."""
    formats = []

    @serve.endpoint("/", schema=Every, response_schema=Stowaway)
    def name(a_string="nobody"):
        formats.append((request.mimetype, request.headers.get("Accept")))
        return {"name": a_string}

    answer = ask("/", Every(a_string="ada"), returns=Stowaway)
    assert isinstance(answer, Stowaway)
    assert answer.name == "ada"
    assert formats == [("application/x-protobuf", "application/x-protobuf")]
    assert ask("/", {"aString": "bob"}) == {"name": "bob"}
    assert ask("/", {"aString": "bob"}, returns=Stowaway) == Stowaway(name="bob")


def test_messages_of_protobuf_py(serve, ask):
    """Messages of protobuf-py are sent and returned as well."""
    kind = every_pb.Stowaway

    @serve.endpoint("/", schema=kind, response_schema=kind)
    def echo(message: every_pb.Stowaway):
        return message

    assert ask("/", kind(name="ada"), returns=kind) == kind(name="ada")


def test_models_and_dataclasses(serve, ask):
    """Pydantic models and dataclasses are sent as JSON and made of the answer."""

    @serve.endpoint("/rent", schema=Flat)
    def rent(rooms, square_metres=50):
        return {"rent": rooms * square_metres}

    @serve.endpoint("/turn")
    def turn(x, y):
        return {"x": -y, "y": x}

    assert ask("/rent", Flat(rooms=2), returns=Rent) == Rent(rent=100)
    assert ask("/turn", Point(1, 2), returns=Point) == Point(-2, 1)


def test_plain_types(serve, ask):
    """A type of JSON is checked, and no type is whatever came."""

    @serve.endpoint("/double")
    def double(number):
        return 2 * number

    assert ask("/double", {"number": 2}, returns=int) == 4
    assert ask("/double", {"number": "ab"}) == "abab"
    with pytest.raises(TypeError, match="'abab', which is not of type int"):
        ask("/double", {"number": "ab"}, returns=int)


def test_get_and_streams(serve, ask):
    """With GET the input is the query string, and a stream is the list of its items."""

    @serve.endpoint("/count/<word>", methods=["GET"])
    def count(word, to: int, by: list[int]):
        for number in range(to):
            yield {word: number * sum(by)}

    assert ask("/count/n", {"to": 2, "by": [1, 2]}) == [{"n": 0}, {"n": 3}]


def test_problems(serve, ask):
    """An error is raised, with its status and the fields that are bad."""

    @serve.endpoint("/rent", schema=Flat)
    def rent(rooms, square_metres=50):
        if rooms > 9:
            abort(404)
        return 1 / 0

    with pytest.raises(ProblemError, match="400") as refused:
        ask("/rent", {"rooms": "many"})
    assert refused.value.status == 400
    assert [error["field"] for error in refused.value.errors] == ["rooms"]
    with pytest.raises(ProblemError) as missing:
        ask("/rent", {"rooms": 10})
    assert missing.value.document["title"] == "Not Found"
    with pytest.raises(ProblemError) as crashed:
        ask("/rent", {"rooms": 1})
    assert crashed.value.status == 500
    with pytest.raises(LookupError, match="did you mean /rent"):
        ask("/rant", {})


def test_headers(app, serve):
    """Headers of the client and of one request reach the app."""

    @serve.endpoint("/who")
    def who():
        return [request.headers.get("X-User"), request.headers.get("X-Day")]

    client = ServeClient(app, headers={"X-User": "ada"})
    assert client.ask("/who", headers={"X-Day": "monday"}) == ["ada", "monday"]


def test_without_cache(app, serve, ask):
    """Within the block every request calls the function, and nothing it answers is kept."""

    @serve.endpoint("/now", cache=60)
    def now():
        return time.perf_counter_ns()

    kept = ask("/now")
    with without_cache(app):
        other = ask("/now")
        assert len({kept, other, ask("/now")}) == 3
    assert ask("/now") == kept


def test_without_batches(app, serve, ask):
    """Within the block a batched function gets one row at once; errors are still a row's own."""
    sizes = []

    @serve.endpoint("/double", batch=Batch(8, max_wait=20))
    def double(number: list[int]):
        sizes.append(len(number))
        return [ValueError() if each < 0 else 2 * each for each in number]

    with without_batches(app):
        found = answers(app, [{"number": n} for n in range(8)], "/double")
        assert [answer.json for answer in found] == [0, 2, 4, 6, 8, 10, 12, 14]
        with pytest.raises(ProblemError, match="500"):
            ask("/double", {"number": -1})
    assert sizes == [1] * 9
    answers(app, [{"number": n} for n in range(8)], "/double")
    assert sum(sizes) == 17
    assert sizes[9:] == [8]


@pytest.mark.parametrize(
    "options", [{}, {"max_concurrency": 2}, {"timeout": 30}, {"batch": 1}], ids=str
)
def test_recorded_calls(app, serve, ask, options):
    """The calls of a function are recorded with their arguments, however it is called."""

    @serve.endpoint("/add", **options)
    def add(left, right=0):
        return [left[0] + right[0]] if "batch" in options else left + right

    with recorded_calls(app, "/add") as calls:
        assert ask("/add", {"left": 1, "right": 2}) == 3
    assert ask("/add", {"left": 1, "right": 2}) == 3
    expected = {"left": 1, "right": 2}
    assert calls == [
        {name: [value] for name, value in expected.items()} if "batch" in options else expected
    ]


def test_recorded_calls_of_a_class(app, serve, ask):
    """Those of a class's instance are recorded too."""

    @serve.endpoint("/model")
    class Model:
        def __call__(self, text):
            return text

    with recorded_calls(app, "Model") as calls:
        ask("/model", {"text": "a"})
    assert calls == [{"text": "a"}]


def test_frozen_time(app, serve, ask):
    """Answers age as the test says: kept to the last second, and not a second longer."""

    @serve.endpoint("/now", cache=60)
    def now():
        return time.perf_counter_ns()

    with frozen_time() as clock:
        first = ask("/now")
        clock.advance(59)
        assert ask("/now") == first
        assert app.test_client().post("/now").headers["Age"] == "59"
        clock.advance(1)
        assert ask("/now") != first


def test_frozen_time_leaves_batches_alone(serve, ask):
    """Time-outs and batches go on by the real clock."""

    @serve.endpoint("/double", batch=Batch(8, max_wait=0.001), timeout=30)
    def double(number: list[int]):
        return [2 * each for each in number]

    with frozen_time():
        assert ask("/double", {"number": 1}) == 2


def test_all_at_once(app, serve, ask):
    """The blocks can be nested, as fixtures do, and leave other apps alone."""
    other = Flask("other")
    ModelServe(other)
    serve.init_app(other)

    @serve.endpoint("/now", cache=60, batch=4)
    def now(number: list[int]):
        return number

    with (
        without_cache(app),
        without_batches(app),
        frozen_time(),
        recorded_calls(app, "/now") as calls,
    ):
        ask("/now", {"number": 1})
        ask("/now", {"number": 1})
        assert ServeClient(other).ask("/now", {"number": 1}) == 1
        assert other.test_client().post("/now", json={"number": 1}).headers["Age"] == "0"
    assert calls == [{"number": [1]}] * 2


def test_app_without_endpoints():
    """An app that has no ModelServe is told so."""
    with pytest.raises(LookupError, match=r"write ModelServe\(app\)"), without_cache(Flask("none")):
        pass
