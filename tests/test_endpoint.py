"""The way of one request: arguments in, answers out, through plain functions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pydantic
import pytest
from flask import Flask, Response, abort, g, jsonify, request, session
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_modelserve import ModelServe

if TYPE_CHECKING:
    from flask.testing import FlaskClient


def serve_answer(serve: ModelServe, answer: Any) -> None:
    @serve.endpoint("/")
    def give() -> Any:
        return answer


def test_json_becomes_arguments(client: FlaskClient, serve: ModelServe) -> None:
    """The members of a JSON object arrive as keyword arguments, the answer leaves as JSON."""

    @serve.endpoint("/")
    def combine(text: str, times: int = 2, *, tags: Any = ()) -> dict[str, Any]:
        return {"text": text * times, "tags": tags}

    response = client.post("/", json={"text": "é", "tags": [1, {"a": None}]})
    assert response.json == {"text": "éé", "tags": [1, {"a": None}]}
    assert response.content_type == "application/json"
    assert response.content_length == len(response.data)


@pytest.mark.parametrize("value", [0, "", False, None, [], {}, 0.0])
def test_falsy_values_arrive(client: FlaskClient, serve: ModelServe, value: Any) -> None:
    """A sent zero is a value: it reaches the function, and its own default does not."""

    @serve.endpoint("/")
    def echo(value: Any = "default") -> Any:
        return {"value": value}

    assert client.post("/", json={"value": value}).json == {"value": value}
    assert client.post("/", json={}).json == {"value": "default"}


def test_missing_and_unexpected_arguments(client: FlaskClient, serve: ModelServe) -> None:
    """Missing and unexpected arguments are 400, and each is named."""

    @serve.endpoint("/")
    def two(first: Any, second: Any) -> None: ...

    missing = client.post("/", json={})
    assert missing.status_code == 400
    assert [e["field"] for e in missing.json["errors"]] == ["first", "second"]
    unexpected = client.post("/", json={"first": 1, "second": 2, "third": 3})
    assert unexpected.json["errors"] == [
        {"field": "third", "message": "is not an argument of this endpoint"}
    ]


def test_ignore_unknown_fields(client: FlaskClient, serve: ModelServe) -> None:
    """With ignore_unknown_fields what the function does not take is left out."""

    @serve.endpoint("/", ignore_unknown_fields=True)
    def one(first: Any) -> Any:
        return first

    assert client.post("/", json={"first": 1, "third": 3}).json == 1


def test_keyword_parameter_takes_all(client: FlaskClient, serve: ModelServe) -> None:
    """A **fields parameter takes every field."""

    @serve.endpoint("/")
    def everything(**fields: Any) -> Any:
        return sorted(fields)

    assert client.post("/", json={"b": 1, "a": 2}).json == ["a", "b"]


def test_no_arguments_need_no_body(client: FlaskClient, serve: ModelServe) -> None:
    """A function without parameters may be posted to without a body."""
    serve_answer(serve, "pong")
    assert client.post("/").json == "pong"
    assert client.post("/", json={}).json == "pong"


def test_url_arguments(client: FlaskClient, serve: ModelServe) -> None:
    """URL arguments are given too, converted; a body that contradicts them is 400."""

    @serve.endpoint("/users/<int:user>/score")
    def score(user: int, weight: float = 1.0) -> Any:
        return [user, weight]

    assert client.post("/users/7/score", json={"weight": 2}).json == [7, 2]
    assert client.post("/users/7/score", json={"user": 7}).json == [7, 1.0]
    refused = client.post("/users/7/score", json={"user": 8})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "user")


@pytest.mark.parametrize("cache", [None, 60])
def test_url_arguments_need_no_body(
    client: FlaskClient, serve: ModelServe, cache: int | None
) -> None:
    """Where the URL has all that a function takes, the body may be left out; not where not."""

    @serve.endpoint("/<int:first>/<int:second>", cache=cache)
    def add(first: int, second: int) -> int:
        return first + second

    @serve.endpoint("/<int:first>", cache=cache)
    def raised(first: int, by: int) -> int:
        return first + by

    assert client.post("/1/2").json == client.post("/1/2", json={}).json == 3
    assert client.post("/3/4", json={"first": 3}).json == 7
    assert client.post("/1/2", data=" ").status_code == 400
    refused = client.post("/1")
    assert refused.status_code == 400
    assert refused.json["detail"] == "The body is empty; send a JSON object, such as {}."
    assert client.post("/1", json={}).json["errors"][0]["field"] == "by"


def test_schemas_need_a_body(client: FlaskClient, serve: ModelServe) -> None:
    """With a schema of the body there must be one, whatever the function takes of it."""

    class Anything(pydantic.BaseModel):
        number: int = 0

    @serve.endpoint("/<int:first>", schema=Anything)
    def same(first: int) -> int:
        return first

    assert client.post("/1").status_code == 400
    assert client.post("/1", json={}).json == 1


def test_get_reads_the_query_string(client: FlaskClient, serve: ModelServe) -> None:
    """With GET the query string is the input, converted as the parameters are annotated."""

    @serve.endpoint("/", methods=["GET"])
    def query(
        text: str,
        number: int = 0,
        ratio: float | None = None,
        flag: bool = False,
        many: list[int] = [],  # noqa: B006 - never changed
    ) -> Any:
        return [text, number, ratio, flag, many]

    answer = client.get("/?text=a%20b&number=5&ratio=0.5&flag=true&many=1&many=2")
    assert answer.json == ["a b", 5, 0.5, True, [1, 2]]
    assert client.head("/?text=a").status_code == 200
    refused = client.get("/?text=a&text=b&number=x&flag=maybe")
    assert refused.status_code == 400
    assert {e["field"]: e["message"] for e in refused.json["errors"]} == {
        "text": "is given 2 times",
        "number": "must be an integer of 64 bits",
        "flag": "must be true or false",
    }


def test_annotated_parameters(client: FlaskClient, serve: ModelServe) -> None:
    """What Annotated adds to a parameter's type takes nothing away from it."""

    def query(number: Any = 0, maybe: Any = None, many: Any = ()) -> Any:
        return [number, maybe, many]

    number = Annotated[int, "a comment"]
    query.__annotations__ = {
        "number": Annotated[int, ["which can't be hashed"]],
        "maybe": number | None,
        "many": list[number],
    }
    serve.endpoint("/", methods=["GET", "POST"])(query)
    assert client.get("/?number=5&maybe=6&many=7").json == [5, 6, [7]]
    assert client.get("/?number=x&many=x").status_code == 400
    assert client.post("/", json={"number": "5"}).status_code == 400
    assert client.get("/__openapi.json").status_code == 200


def test_annotated_columns(client: FlaskClient, serve: ModelServe) -> None:
    """A column may be annotated with more than its type."""

    def double(number: Any) -> Any:
        return [2 * each for each in number]

    double.__annotations__ = {"number": Annotated[list[int], ["a comment"]]}
    serve.endpoint("/", batch=4)(double)
    assert client.post("/", json={"number": 2}).json == 4


def test_get_and_post_at_one_endpoint(client: FlaskClient, serve: ModelServe) -> None:
    """An endpoint may read both the query string and a body."""

    @serve.endpoint("/", methods=["GET", "POST"])
    def add(left: float, right: float) -> float:
        return left + right

    assert client.get("/?left=1&right=2").json == 3
    assert client.post("/", json={"left": 1, "right": 2}).json == 3
    assert "Accept" in client.get("/?left=1&right=2").headers.get("Vary", "Accept")


def test_instance(client: FlaskClient, serve: ModelServe) -> None:
    """An instance with __call__ is served, under its class's name."""

    class Model:
        def __init__(self, bias: float) -> None:
            self.bias = bias

        def __call__(self, number: float) -> float:
            return number + self.bias

    serve.endpoint("/")(Model(0.5))
    assert client.post("/", json={"number": 1}).json == 1.5


def test_class_is_instantiated_once(app: Flask, serve: ModelServe) -> None:
    """A class is made into one instance per process, by the first request, however many come."""
    made = []
    inside = threading.Barrier(8)

    class Model:
        def __init__(self) -> None:
            made.append(self)

        def __call__(self, number: int) -> int:
            return number + len(made)

    assert serve.endpoint("/")(Model) is Model
    assert made == []

    def ask(number: int) -> Any:
        inside.wait()
        return app.test_client().post("/", json={"number": number}).json

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == list(range(1, 9))
    assert len(made) == 1


def test_class_that_fails_to_load_is_tried_again(client: FlaskClient, serve: ModelServe) -> None:
    """A model that could not be loaded is 500, and loaded by a later request."""
    attempts = []

    @serve.endpoint("/")
    class Model:
        def __init__(self) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise OSError("the disk is not there yet")

        def __call__(self) -> str:
            return "ready"

    assert client.post("/", json={}).status_code == 500
    assert client.post("/", json={}).json == "ready"


def test_async_function(client: FlaskClient, serve: ModelServe) -> None:
    """An async function works as in Flask."""

    @serve.endpoint("/")
    async def later(number: int) -> int:
        return number + 1

    assert client.post("/", json={"number": 1}).json == 2


def test_async_call_of_a_class(client: FlaskClient, serve: ModelServe) -> None:
    """An async __call__ works, of a class and of an instance."""

    class Model:
        async def __call__(self, number: int) -> int:
            return number + 1

    serve.endpoint("/class")(Model)
    serve.endpoint("/instance", endpoint="instance")(Model())
    assert client.post("/class", json={"number": 1}).json == 2
    assert client.post("/instance", json={"number": 2}).json == 3


def test_partial(client: FlaskClient, serve: ModelServe) -> None:
    """A partial is served, its fixed arguments as its defaults."""

    def power(base: float, exponent: float) -> float:
        return base**exponent

    serve.endpoint("/")(functools.partial(power, exponent=2))
    assert client.post("/", json={"base": 3}).json == 9


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Colour(Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    name: str
    when: dt.date


@pytest.mark.parametrize(
    ("answer", "json"),
    [
        ({"a": 1}, {"a": 1}),
        ([1, "é", None, True], [1, "é", None, True]),
        ((1, 2), [1, 2]),
        ((200, 404), [200, 404]),
        ("text", "text"),
        (1.5, 1.5),
        (None, None),
        (True, True),
        (2**70, 2**70),
        ({1: "a", 2.5: 2, False: "b", Colour.RED: 3}, {"1": "a", "2.5": 2, "false": "b", "red": 3}),
        ([float("nan"), float("inf"), 1.0], [None, None, 1.0]),
        ({1: float("-inf")}, {"1": None}),
        (Point(1.0, 2.0), {"x": 1.0, "y": 2.0}),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.array(["a", "b"]), ["a", "b"]),
        ({"a": np.arange(3, dtype=np.float16)}, {"a": [0.0, 1.0, 2.0]}),
        (Model(name="m", when=dt.date(2026, 1, 2)), {"name": "m", "when": "2026-01-02"}),
        ({"nested": [Model(name="m", when=dt.date(2026, 1, 2))]},
         {"nested": [{"name": "m", "when": "2026-01-02"}]}),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
        (dt.timedelta(seconds=1.5), "1.5s"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "red"),
        (b"bytes", "Ynl0ZXM="),
    ],
)  # fmt: skip
def test_answers(client: FlaskClient, serve: ModelServe, answer: Any, json: Any) -> None:
    """Whatever a model returns becomes valid JSON, NaN and the infinities as null."""
    serve_answer(serve, answer)
    response = client.post("/", json={})
    assert response.status_code == 200, response.text
    assert response.json == json


def test_deep_answer(client: FlaskClient, serve: ModelServe) -> None:
    """An answer nested some hundred levels deep is written."""
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    serve_answer(serve, deep)
    assert client.post("/", json={}).text == "[" * 401 + "]" * 401


@pytest.mark.parametrize("answer", [{"a": {"b": [1, {1, 2}]}}, object(), {(1, 2): 3}])
def test_answer_that_json_lacks(
    client: FlaskClient, serve: ModelServe, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that JSON can't hold is 500, and the log names its place."""
    serve_answer(serve, answer)
    assert client.post("/", json={}).status_code == 500
    assert "cannot be written as JSON" in caplog.text
    if isinstance(answer, dict) and "a" in answer:
        assert "a.b[1]" in caplog.text


def test_answer_that_holds_itself(
    client: FlaskClient, serve: ModelServe, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that holds itself is 500, not the end of the process."""
    loop: list[Any] = []
    loop.append(loop)
    serve_answer(serve, loop)
    assert client.post("/", json={}).status_code == 500
    assert "holds itself" in caplog.text


def test_flask_response_passes_through(client: FlaskClient, serve: ModelServe) -> None:
    """A Response that the function makes is sent as it is."""

    @serve.endpoint("/")
    def page() -> Response:
        return Response("<p>hello</p>", 203, {"X-Own": "1"}, mimetype="text/html")

    response = client.post("/", json={})
    assert (response.text, response.status_code) == ("<p>hello</p>", 203)
    assert response.headers["X-Own"] == "1"


def test_body_with_status(client: FlaskClient, serve: ModelServe) -> None:
    """A dict with a status, as Flask's views return it, keeps the status and the headers."""

    @serve.endpoint("/")
    def create() -> Any:
        return {"id": 1}, 201, {"Location": "/items/1"}

    response = client.post("/", json={})
    assert (response.status_code, response.json) == (201, {"id": 1})
    assert response.headers["Location"] == "/items/1"


def test_version_header(client: FlaskClient, serve: ModelServe) -> None:
    """The model's version is a header of every answer."""

    @serve.endpoint("/", version="2026.1")
    def give() -> int:
        return 1

    assert client.post("/", json={}).headers["X-Model-Version"] == "2026.1"


def test_app_around_the_endpoint(app: Flask, serve: ModelServe, client: FlaskClient) -> None:
    """Hooks, session, g, teardown, ProxyFix and the request itself work as in any view."""
    app.secret_key = "secret"
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    torn_down = []

    @app.before_request
    def start() -> None:
        g.started = True
        request.get_json()

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers["X-Body"] = str(len(request.get_data()))
        response.headers["X-Answer"] = str(len(response.get_data()))
        return response

    app.teardown_request(torn_down.append)

    @serve.endpoint("/")
    def look(number: int) -> Any:
        session["seen"] = number
        return [g.started, request.remote_addr, request.get_json()["number"]]

    response = client.post("/", json={"number": 1}, headers={"X-Forwarded-For": "1.2.3.4"})
    assert response.json == [True, "1.2.3.4", 1]
    assert response.headers["X-Body"] == str(len('{"number": 1}'))
    assert response.headers["X-Answer"] == str(len(response.data))
    assert "session=" in response.headers["Set-Cookie"]
    assert torn_down == [None]


def test_before_request_that_answers(app: Flask, serve: ModelServe, client: FlaskClient) -> None:
    """A login check in before_request keeps requests from the function."""
    app.before_request(lambda: ("log in first", 401))
    called = []
    serve.endpoint("/", endpoint="view")(lambda: called.append(1))
    assert client.post("/", json={}).text == "log in first"
    assert called == []


def test_app_s_json_provider(app: Flask, client: FlaskClient) -> None:
    """An app with a JSON provider of its own keeps it, in both directions."""

    class Tabbed(DefaultJSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return super().dumps(obj, **kwargs).replace(" ", "\t")

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return super().loads(s, parse_float=Decimal, **kwargs)

    app.json = Tabbed(app)
    serve = ModelServe(app)

    @serve.endpoint("/")
    def echo(number: Any, word: str = "") -> Any:
        return {"type": type(number).__name__, "word": word, "nan": float("nan")}

    response = client.post("/", data='{"number": 1.5, "word": "a"}')
    assert response.text == '{"nan":\tnull,\t"type":\t"Decimal",\t"word":\t"a"}'
    assert client.post("/", data='{"number": NaN}').status_code == 400


def test_custom_response_class(app: Flask, client: FlaskClient) -> None:
    """An app's own response class makes our responses too."""

    class Marked(Response):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.headers["X-Marked"] = "1"

    app.response_class = Marked
    serve = ModelServe(app)
    serve_answer(serve, 1)
    assert client.post("/", json={}).headers["X-Marked"] == "1"
    assert client.post("/", data="[").headers["X-Marked"] == "1"


def test_threads_never_mix_answers(app: Flask, serve: ModelServe) -> None:
    """A thousand requests from sixteen threads each get their own answer."""

    @serve.endpoint("/", cache=60)
    def echo(number: int) -> dict[str, int]:
        return {"number": number}

    def ask(number: int) -> bool:
        return app.test_client().post("/", json={"number": number}).json == {"number": number}

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, [n % 97 for n in range(1000)]))


def test_abort_keeps_its_status(client: FlaskClient, serve: ModelServe) -> None:
    """What a function aborts with keeps its status, as a problem document."""

    @serve.endpoint("/")
    def missing() -> None:
        abort(404, "no such model")

    response = client.post("/", json={})
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no such model",
        "request_id": response.headers["X-Request-ID"],
    }


def test_abort_with_a_response(client: FlaskClient, serve: ModelServe) -> None:
    """What a function aborts with a response of its own is sent as it is."""

    @serve.endpoint("/")
    def teapot() -> None:
        response = jsonify(kettle="on")
        response.status_code = 418
        abort(response)

    response = client.post("/", json={})
    assert (response.status_code, response.json) == (418, {"kettle": "on"})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"number": "1"}, "must be an integer of 64 bits, not a string"),
        ({"number": 1.5}, "must be an integer of 64 bits, not a fraction"),
        ({"number": True}, "must be an integer of 64 bits, not a boolean"),
        ({"number": 2**70}, "must be an integer of 64 bits, not a fraction"),
        ({"ratio": "x"}, "must be a number, not a string"),
        ({"ratio": {}}, "must be a number, not an object"),
        ({"text": 5}, "must be a string, not a number"),
        ({"text": None}, "must be a string, not null"),
        ({"flag": 1}, "must be true or false, not a number"),
        ({"items": {}}, "must be an array, not an object"),
        ({"options": []}, "must be an object, not an array"),
        ({"either": []}, "must be an integer of 64 bits or a string, not an array"),
    ],
)
def test_annotations_are_checked(
    client: FlaskClient, serve: ModelServe, wrong: dict[str, Any], says: str
) -> None:
    """Without a schema a JSON value must fit a plain annotation: no function trips on it."""

    @serve.endpoint("/")
    def typed(  # noqa: PLR0917 - a user's function
        number: int = 0,
        ratio: float = 0.0,
        text: str = "",
        flag: bool = False,
        items: list[int] = [],  # noqa: B006 - never changed
        options: dict[str, Any] | None = None,
        either: int | str = 0,
        anything: complex | None = None,
    ) -> Any:
        return "fine"

    response = client.post("/", json=wrong)
    assert response.status_code == 400
    assert response.json["errors"] == [{"field": next(iter(wrong)), "message": says}]
    right = {"number": 1, "ratio": 1, "text": "a", "flag": True, "items": [], "options": None}
    assert client.post("/", json=right | {"either": "a", "anything": "?"}).json == "fine"


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "1_0", "\u0661", "0x1", " 1", ""])
def test_query_numbers(client: FlaskClient, serve: ModelServe, text: str) -> None:
    """A number in a query string is written as everywhere else, and finite."""

    @serve.endpoint("/", methods=["GET"], cache=60)
    def typed(ratio: float = 0.0, number: int = 0) -> Any:
        return [ratio, number]

    for name in ("ratio", "number"):
        refused = client.get("/", query_string={name: text})
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, name)
    assert client.get("/?ratio=.5&number=-7").json == [0.5, -7]
    assert client.get(f"/?number={'9' * 30}").json == [0.0, int("9" * 30)]


def test_annotations_of_names_unseen(client: FlaskClient, serve: ModelServe) -> None:
    """An annotation that only type checkers can resolve leaves the others as they are."""

    @serve.endpoint("/")
    def typed(number: int, client: FlaskClient | None = None) -> Iterator[int]:  # noqa: F821
        return number

    assert client.post("/", json={"number": "x"}).status_code == 400
    assert client.post("/", json={"number": 1}).json == 1


def test_message_class_out_of_reach(client: FlaskClient, serve: ModelServe) -> None:
    """A parameter annotated with a class made within a function gets the whole model."""

    class Request(pydantic.BaseModel):
        number: int

    @serve.endpoint("/", schema=Request)
    def whole(request: Request) -> int:
        return request.number + 1

    assert client.post("/", json={"number": 1}).json == 2


@pytest.mark.parametrize(
    ("sent", "got"), [("1.0", 1), ("-3e2", -300), ("9007199254740992.0", 2**53)]
)
def test_a_whole_number_is_an_integer_however_it_is_written(serve, client, sent, got):
    """1.0 is an integer to JSON Schema, and to functions that ask for one."""

    @serve.endpoint("/number")
    def number(it: int):
        return {"type": type(it).__name__, "it": it}

    answer = client.post("/number", data=f'{{"it": {sent}}}')
    assert answer.json == {"type": "int", "it": got}


@pytest.mark.parametrize("sent", ["1.5", "1e300", "9007199254740994.0", "-9223372036854775809"])
def test_a_number_that_may_have_been_another_is_no_integer(serve, client, sent):
    """What a float can't hold exactly is refused rather than changed."""

    @serve.endpoint("/number")
    def number(it: int):
        return it

    answer = client.post("/number", data=f'{{"it": {sent}}}')
    assert answer.status_code == 400
    assert answer.json["errors"] == [
        {"field": "it", "message": "must be an integer of 64 bits, not a fraction"}
    ]


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_wrapped_bool_in_a_query_string(serve, client, text):
    """A google.protobuf.BoolValue is true or false, as a plain bool is."""
    from tests.protos import every_pb2

    @serve.endpoint("/every", schema=every_pb2.Every, methods=["GET"])
    def every(bool_value):
        return bool_value

    assert client.get(f"/every?boolValue={text}").json is (text == "true")
