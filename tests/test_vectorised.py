"""Vectorised functions: columns of many requests in, and to each request its own answer."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flask import Flask

from flask_modelserve import InvalidRequest, ModelServe

from .crowds import Request, answers, send_in_order
from .protos.every_pb2 import Every
from .test_batching import full
from .test_metrics import samples

if TYPE_CHECKING:
    from collections.abc import Callable


def test_columns(app: Flask, serve: ModelServe) -> None:
    """Each parameter is a list; where a request leaves one out, it holds the function's default."""
    called: list[Any] = []

    @serve.endpoint("/", batch=full(3))
    def add(a: Any, b: Any = 7, *, c: Any = None) -> list[Any]:
        called.append(sorted(zip(a, b, c, strict=True)))
        return [{"sum": x + y} for x, y in zip(a, b, strict=True)]

    responses = answers(app, [{"a": 1}, {"a": 2, "b": 5, "c": "c"}, {"a": 3, "b": 0, "c": None}])
    assert [response.json for response in responses] == [{"sum": 8}, {"sum": 7}, {"sum": 3}]
    assert called == [[(1, 7, None), (2, 5, "c"), (3, 0, None)]]


def test_url_arguments_are_columns(app: Flask, serve: ModelServe) -> None:
    """Requests to different URLs of one rule share a batch; what the URL says is a column too."""

    @serve.endpoint("/times/<int:factor>", batch=full(2))
    def times(factor: Any, number: Any) -> list[Any]:
        return [{"is": x * y, "of": len(factor)} for x, y in zip(factor, number, strict=True)]

    first, second = (Request(app, {"number": 5}, f"/times/{factor}") for factor in (2, 3))
    assert first.response().json == {"is": 10, "of": 2}
    assert second.response().json == {"is": 15, "of": 2}


def test_messages_are_a_column(app: Flask, serve: ModelServe) -> None:
    """A parameter annotated with the message class gets a list of messages."""

    @serve.endpoint("/", schema=Every, batch=full(2))
    def lengths(messages: Every) -> list[Any]:
        assert all(type(message) is Every for message in messages)  # type: ignore[attr-defined]
        return [{"length": len(message.a_string)} for message in messages]  # type: ignore[attr-defined]

    responses = answers(app, [{"aString": "one"}, {"aString": "three"}])
    assert [response.json for response in responses] == [{"length": 3}, {"length": 5}]


def test_lists_in_annotations(app: Flask, serve: ModelServe) -> None:
    """A parameter annotated as the list that it gets takes one element from each request."""

    @serve.endpoint("/", batch=full(2))
    def double(number: list[float], flag: list[bool]) -> list[Any]:
        return [{"double": 2 * x, "flag": y} for x, y in zip(number, flag, strict=True)]

    responses = answers(app, [{"number": 1.5, "flag": True}, {"number": 2, "flag": False}])
    assert [r.json for r in responses] == [
        {"double": 3.0, "flag": True},
        {"double": 4, "flag": False},
    ]
    assert Request(app, {"number": "x", "flag": True}).response().status_code == 400


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda rows: np.array([[row, row] for row in rows])[:, 0],
        lambda rows: type("Tensor", (), {"__array__": lambda self: np.array(rows)})(),
    ],
    ids=["list", "tuple", "array", "strided", "tensor"],
)
def test_sequences(app: Flask, serve: ModelServe, make: Callable[[Any], Any]) -> None:
    """The function returns a list, a tuple, or an array of any library that numpy can read."""

    @serve.endpoint("/", batch=full(3))
    def double(number: Any) -> Any:
        return make([2 * x for x in number])

    assert [r.json for r in answers(app, [{"number": n} for n in (1, 2, 3)])] == [2, 4, 6]


def test_rows_of_an_array(app: Flask, serve: ModelServe) -> None:
    """Of an array with more dimensions each request gets a row."""

    @serve.endpoint("/", batch=full(2))
    def corners(number: Any) -> Any:
        return np.array([[x, -x] for x in number]).T.copy().T

    assert [r.json for r in answers(app, [{"number": n} for n in (1, 2)])] == [[1, -1], [2, -2]]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([1], "returned 1 answers for 2 rows"),
        ([1, 2, 3], "returned 3 answers for 2 rows"),
        ([], "returned 0 answers for 2 rows"),
        (np.zeros(3), "returned 3 answers for 2 rows"),
        (None, "returns a list, not NoneType"),
        (2, "returns a list, not int"),
        ("ab", "returns a list, not str"),
        (b"ab", "returns a list, not bytes"),
        ({1: 2, 3: 4}, "returns a list, not dict"),
        ({1, 2}, "returns a list, not set"),
        pytest.param(iter([1, 2]), "returns a list, not list_iterator", id="an iterator"),
        (np.array(1), "0-d array"),
    ],
    ids=repr,
)
def test_wrong_answers(
    app: Flask, serve: ModelServe, caplog: pytest.LogCaptureFixture, answer: Any, says: str
) -> None:
    """Answers that are not one for each row are 500 to all of the batch; the log tells why."""
    calls = []

    @serve.endpoint("/", batch=full(2))
    def wrong(number: Any) -> Any:
        calls.append(number)
        return answer

    assert [r.status_code for r in answers(app, [{"number": 1}, {"number": 2}])] == [500, 500]
    assert [says in record.getMessage() for record in caplog.records] == [True, True]
    assert samples(app.test_client(), "modelserve_requests_total")["wrong", "bad_response"] == 2
    assert len(calls) == 1


def test_exceptions_in_the_list(
    app: Flask, serve: ModelServe, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception among the answers goes to its request alone, with its status."""

    @serve.endpoint("/", batch=full(4))
    def judge(kind: Any) -> list[Any]:
        made = {
            "good": "fine",
            "invalid": InvalidRequest("no such kind"),
            "crash": ZeroDivisionError("secret"),
        }
        return [made[each] for each in kind]

    kinds = ("good", "invalid", "crash", "good")
    responses = answers(app, [{"kind": kind} for kind in kinds])
    assert [response.status_code for response in responses] == [200, 400, 500, 200]
    assert responses[1].json["detail"] == "no such kind"
    assert "secret" not in responses[2].text
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["secret"]


def test_statuses_and_responses_in_the_list(app: Flask, serve: ModelServe) -> None:
    """Each answer in the list may be what a function without a batch could return."""

    @serve.endpoint("/", batch=full(2))
    def make(kind: Any) -> list[Any]:
        made = {"status": ({"made": 1}, 201), "response": app.response_class("text", 202)}
        return [made[each] for each in kind]

    created, accepted = answers(app, [{"kind": "status"}, {"kind": "response"}])
    assert (created.status_code, created.json) == (201, {"made": 1})
    assert (accepted.status_code, accepted.text) == (202, "text")


def count_calls(bad: set[int], size: int) -> tuple[int, list[int]]:
    """Send a batch with so many bad items; return how often the function was called, and whom."""
    app = Flask(__name__)
    serve = ModelServe(app)
    calls = 0

    @serve.endpoint("/", batch=full(size))
    def model(number: Any) -> Any:
        nonlocal calls
        calls += 1
        for each in number:
            if each in bad:
                raise InvalidRequest(f"{each} is bad")
        return [{"is": each} for each in number]

    requests = send_in_order(app, ({"number": each} for each in range(size)))
    failed = []
    for number, request in enumerate(requests):
        response = request.response()
        if response.status_code == 200:
            assert response.json == {"is": number}
        else:
            assert response.json["detail"] == f"{number} is bad"
            failed.append(number)
    return calls, failed


@pytest.mark.parametrize(
    "bad",
    [(0,), (15,), (16,), (21,), (31,), (0, 1), (7, 24), (30, 31), (0, 9, 18, 27), (4, 5, 6, 7)],
    ids=repr,
)
def test_culprits_are_isolated(bad: tuple[int, ...]) -> None:
    """Of 32 items k bad ones alone fail, each as it would alone, for some k*log2(32) more calls."""
    calls, failed = count_calls(set(bad), 32)
    assert failed == list(bad)
    assert calls - 1 <= len(bad) * (math.log2(32) + 2)


def test_every_pair_of_culprits() -> None:
    """Whichever two of a batch are bad, exactly these two fail."""
    for bad in combinations(range(5), 2):
        assert count_calls(set(bad), 5)[1] == list(bad)


def test_all_bad(app: Flask, serve: ModelServe) -> None:
    """A function that always raises is called little more than once for each request."""
    calls, failed = count_calls(set(range(32)), 32)
    assert failed == list(range(32))
    assert calls <= 2 * 32


def test_items_that_fail_only_together(app: Flask, serve: ModelServe) -> None:
    """Items that the function can't take together are answered one by one."""

    @serve.endpoint("/", batch=full(3))
    def stack(row: Any) -> Any:
        if len({len(each) for each in row}) > 1:
            raise ValueError("ragged")
        return [sum(each) for each in row]

    rows = ([1], [1, 2], [1, 2, 3])
    assert [r.json for r in answers(app, [{"row": row} for row in rows])] == [1, 3, 6]
