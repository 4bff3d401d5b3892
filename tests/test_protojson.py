"""ProtoJSON through HTTP: every form of its table, in and out, and every refusal."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from google.protobuf import json_format

from flask_modelserve import ModelServe
from tests.protojson_forms import ACCEPTED, FORGIVEN, NOT_JSON, REFUSED
from tests.protos import every_pb, every_pb2, legacy_pb2, modern_pb2

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PROTOBUF = "application/x-protobuf"
STOWAWAY = {"@type": "type.googleapis.com/modelserve.tests.Stowaway", "name": "a"}
NO_OBJECT = ["[]", '[{"anInt32": 1}]', '"a"', "1", "true", "null"]

accepted = pytest.mark.parametrize(("body", "arguments"), ACCEPTED.values(), ids=ACCEPTED)
refused = pytest.mark.parametrize(("body", "field"), REFUSED.values(), ids=REFUSED)
both_routes = pytest.mark.parametrize("route", ["/message", "/fields"])


@pytest.fixture(
    params=[every_pb2.Every, every_pb.Every], ids=["google", "protobuf-py"], scope="module"
)
def echo(request: pytest.FixtureRequest) -> FlaskClient:
    """Echo a message at ``/message``, and its fields at ``/fields``."""
    return _echo(request.param)


@pytest.fixture(scope="module")
def lenient_echo() -> FlaskClient:
    """The same, for clients that are ahead of the schema."""
    return _echo(every_pb2.Every, ignore_unknown_fields=True)


def _echo(schema: Any, **options: Any) -> FlaskClient:
    app = Flask(__name__)
    serve = ModelServe(app)

    def message(message):
        return message

    message.__annotations__["message"] = schema
    serve.endpoint("/message", schema=schema, response_schema=schema, **options)(message)

    @serve.endpoint("/fields", schema=schema, response_schema=schema, **options)
    def fields(**fields):
        app.config["SEEN"] = fields
        return fields

    return app.test_client()


def _google(body: str) -> every_pb2.Every:
    """What google's own parser makes of a body."""
    return json_format.Parse(body, every_pb2.Every())


def _bytes(message: every_pb2.Every) -> bytes:
    return message.SerializeToString(deterministic=True)


def _is_same(one: Any, other: Any) -> bool:
    """Compare like ==, but by type too, and with NaN and -0.0 told apart from all else."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and (math.isnan(one) or one == 0):
        return repr(one) == repr(other)
    return bool(one == other)


@accepted
def test_a_function_gets_each_json_form_as_the_python_value_it_means(echo, body, arguments):
    """Arguments have proto names and Python's own types, and only what was sent is among them."""
    answer = echo.post("/fields", data=body)
    assert answer.status_code == 200, answer.text
    assert _is_same(echo.application.config["SEEN"], arguments)


@accepted
@both_routes
def test_an_answer_in_json_is_what_google_makes_of_the_message(echo, route, body, arguments):
    """JSON in, JSON out: the same message, in the form that google's implementation writes."""
    answer = echo.post(route, data=body)
    expected = _google(body)
    assert answer.mimetype == "application/json"
    assert _bytes(_google(answer.text)) == _bytes(expected)
    if route == "/message":
        assert answer.json == json_format.MessageToDict(expected)


@accepted
@both_routes
def test_json_becomes_protobuf_and_comes_back(echo, route, body, arguments):
    """JSON in, protobuf out, and that protobuf in, JSON out: nothing is lost on the way."""
    expected = _google(body)
    answer = echo.post(route, data=body, headers={"Accept": PROTOBUF})
    assert answer.mimetype == PROTOBUF
    assert _bytes(every_pb2.Every.FromString(answer.data)) == _bytes(expected)
    back = echo.post(route, data=answer.data, content_type=PROTOBUF)
    assert back.json == json_format.MessageToDict(expected)


@accepted
def test_protobuf_becomes_the_arguments_that_it_sets(echo, body, arguments):
    """A protobuf body gives the same arguments as JSON, but for zeros, which it does not hold."""
    message = _google(body)
    answer = echo.post("/fields", data=message.SerializeToString(), content_type=PROTOBUF)
    assert answer.status_code == 200, answer.text
    seen = echo.application.config["SEEN"]
    assert seen.keys() == {field.name for field, _ in message.ListFields()}
    assert all(_is_same(value, arguments[name]) for name, value in seen.items())


@refused
@both_routes
def test_a_bad_field_is_named_by_its_path(echo, route, body, field):
    """What the table refuses is 400, and the answer says which field it was."""
    answer = echo.post(route, data=body)
    assert answer.status_code == 400, answer.text
    assert answer.mimetype == "application/problem+json"
    assert field in [error["field"] for error in answer.json["errors"]]
    assert all(error["message"] for error in answer.json["errors"])


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused_with_its_place(echo, body):
    """Broken JSON is 400, and the answer says in which line and column it breaks."""
    answer = echo.post("/fields", data=body.encode())
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert "column" in answer.json["detail"] or answer.json["detail"].startswith(
        "The body is empty"
    )


@pytest.mark.parametrize("body", NO_OBJECT)
@both_routes
def test_a_message_is_a_json_object(echo, route, body):
    """An array, a text, a number or null in place of the message is 400."""
    answer = echo.post(route, data=body)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["message"].startswith("must be an object, not ")


def test_of_several_names_of_one_enum_value_a_function_gets_the_first(echo):
    """allow_alias: however a client spells a value, the function compares with one name."""
    for spelling in ("SHADE_PALE", "SHADE_LIGHT", 1):
        assert echo.post("/fields", json={"aShade": spelling}).status_code == 200
        assert echo.application.config["SEEN"] == {"a_shade": "SHADE_PALE"}


@pytest.mark.parametrize("field", ["byInt32", "everyByInt32"])
def test_two_spellings_of_one_key_of_a_map_are_refused(echo, field):
    """ "1" and "01" are one key: a function that takes the map would get only one of the two."""
    item = 1 if field == "byInt32" else {}
    answer = echo.post("/fields", json={field: {"1": item, "01": item}})
    assert answer.status_code == 400
    assert "twice" in answer.json["errors"][0]["message"]


def test_a_null_behind_the_other_name_is_refused(echo):
    """The engine clears what the first name has set: a client's value must not be lost."""
    answer = echo.post("/fields", data='{"a_list":[],"aList":null}')
    assert answer.status_code == 400
    assert "can't be given together" in answer.json["errors"][0]["message"]


def test_every_bad_field_is_named_at_once(echo):
    """A client learns of all its mistakes from one answer."""
    body = {
        "anInt32": "x",
        "aBool": 1,
        "manyInt64": [1, None, {}],
        "anEvery": {"nothing": 1, "aString": 2},
        "byInt32": {"a": 1},
    }
    answer = echo.post("/fields", json=body)
    assert {error["field"] for error in answer.json["errors"]} == {
        "anInt32",
        "aBool",
        "manyInt64[1]",
        "manyInt64[2]",
        "anEvery.nothing",
        "anEvery.aString",
        'byInt32["a"]',
    }


def test_a_field_that_was_not_sent_leaves_the_default_of_the_function(app, serve, client):
    """A sent 0, "" or false reaches the function; null and absence leave its own default."""

    @serve.endpoint("/", schema=every_pb2.Every)
    def defaults(an_int32=5, a_string="default", a_bool=True, a_color="COLOR_RED"):
        return [an_int32, a_string, a_bool, a_color]

    zeros = {"anInt32": 0, "a_string": "", "aBool": False, "aColor": 0}
    assert client.post("/", json=zeros).json == [0, "", False, "COLOR_UNSPECIFIED"]
    assert client.post("/", json={}).json == [5, "default", True, "COLOR_RED"]
    assert client.post("/", json=dict.fromkeys(zeros)).json == [5, "default", True, "COLOR_RED"]


def test_a_default_leaves_a_field_out_of_the_answer_unless_it_is_returned(app, serve, client):
    """A function that answers 0, "" or false is heard: the client gets just that."""

    @serve.endpoint("/", response_schema=every_pb2.Every)
    def zeros():
        return {
            "an_int32": 0,
            "a_bool": False,
            "an_int64": 0,
            "many_string": [],
            "an_every": {"a_string": ""},
        }

    assert client.post("/").json == {
        "anInt32": 0,
        "aBool": False,
        "anInt64": "0",
        "manyString": [],
        "anEvery": {"aString": ""},
    }


# Fields that the schema does not have.

UNKNOWN = {
    "a field": ('{"nothing": {"at": [1]}, "anInt32": 1}', {"an_int32": 1}),
    "a field of a field": (
        '{"anEvery": {"nothing": 1, "aBool": true}}',
        {"an_every": {"a_bool": True}},
    ),
    "a field in a list": ('{"manyEvery": [{"nothing": 1}]}', {"many_every": [{}]}),
    "a field in a map": ('{"everyByInt32": {"1": {"nothing": 1}}}', {"every_by_int32": {1: {}}}),
    "the name of an enum value": ('{"aColor": "COLOR_GREEN", "aBool": true}', {"a_bool": True}),
    "such a name in a list": (
        '{"manyColor": ["COLOR_GREEN", "COLOR_RED"]}',
        {"many_color": ["COLOR_RED"]},
    ),
    "such a name in a map": (
        '{"colorByString": {"a": "COLOR_GREEN", "b": "COLOR_BLUE"}}',
        {"color_by_string": {"b": "COLOR_BLUE"}},
    ),
    "the number of an enum value, which is kept": (
        '{"nothing": 1, "aColor": 77, "manyColor": [77], "colorByString": {"a": 77}}',
        {"a_color": 77, "many_color": [77], "color_by_string": {"a": 77}},
    ),
    "a field in an Any": (
        json.dumps({"anAny": STOWAWAY | {"size": 1}}),
        {"an_any": STOWAWAY},
    ),
}


@pytest.mark.parametrize(("body", "arguments"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_fields_are_ignored_where_the_endpoint_says_so(lenient_echo, body, arguments):
    """ignore_unknown_fields leaves out what the schema does not have, and nothing else."""
    expected = json_format.Parse(body, every_pb2.Every(), ignore_unknown_fields=True)
    answer = lenient_echo.post("/fields", data=body)
    assert _is_same(lenient_echo.application.config["SEEN"], arguments), answer.text
    assert answer.json == json_format.MessageToDict(expected)
    assert lenient_echo.post("/message", data=body).json == json_format.MessageToDict(expected)


@pytest.mark.parametrize("name", REFUSED)
@both_routes
def test_ignoring_unknown_fields_forgives_nothing_else(lenient_echo, route, name):
    """With ignore_unknown_fields a bad value of a known field is refused as ever."""
    body, field = REFUSED[name]
    answer = lenient_echo.post(route, data=body)
    if name in FORGIVEN:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400
        assert field in [error["field"] for error in answer.json["errors"]]


# proto2 and editions.

LEGACY = {
    "required": ({"name": "a"}, {"name": "a"}),
    "zeros": ({"name": "", "count": 0}, {"name": "", "count": 0}),
    "closed enum": (
        {"name": "a", "closed": "LOW", "manyClosed": [2, "LOW"]},
        {"name": "a", "closed": "LOW", "many_closed": ["HIGH", "LOW"]},
    ),
    "group": ({"name": "a", "result": {"score": 1}}, {"name": "a", "result": {"score": 1.0}}),
    "nested": ({"name": "a", "inner": {"name": "b"}}, {"name": "a", "inner": {"name": "b"}}),
}


@pytest.mark.parametrize(("body", "arguments"), LEGACY.values(), ids=LEGACY)
def test_proto2_messages_are_schemas(body, arguments):
    """Required fields, closed enums and groups of proto2 arrive, and are answered."""
    echo = _echo(legacy_pb2.Legacy)
    expected = json_format.ParseDict(body, legacy_pb2.Legacy())
    for route in ("/fields", "/message"):
        assert echo.post(route, json=body).json == json_format.MessageToDict(expected)
        answer = echo.post(route, json=body, headers={"Accept": PROTOBUF})
        assert legacy_pb2.Legacy.FromString(answer.data) == expected
    assert _is_same(echo.application.config["SEEN"], arguments)


def test_proto2_defaults_are_left_to_the_function():
    """An absent field is absent, whatever default the .proto declares for it."""
    echo = _echo(legacy_pb2.Legacy)
    assert echo.post("/fields", json={"name": "a"}).json == {"name": "a"}
    assert echo.application.config["SEEN"] == {"name": "a"}


def test_extensions_reach_a_function_that_takes_the_message():
    """A proto2 extension is read and written by its name in brackets."""
    body = {"name": "a", "[modelserve.tests.note]": "hi"}
    answer = _echo(legacy_pb2.Legacy).post("/message", json=body)
    assert answer.json == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "a", "inner": {"count": 1}}, "inner.name"),
        ({"name": "a", "closed": 3}, "closed"),
        ({"name": "a", "closed": "NONE"}, "closed"),
        ({"name": "a", "manyClosed": [1, 9]}, "manyClosed[1]"),
        ({"name": "a", "result": {"score": "x"}}, "result.score"),
    ],
)
def test_what_proto2_refuses_is_named(body, field):
    """A missing required field, or a number that a closed enum does not have, is 400."""
    answer = _echo(legacy_pb2.Legacy).post("/fields", json=body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json["errors"]] == [field]


def test_editions_choose_presence_and_enums_field_by_field():
    """A message of an edition follows its features: presence, open and closed enums, groups."""
    echo = _echo(modern_pb2.Modern)
    body = {
        "explicitText": "",
        "implicitText": "",
        "requiredText": "",
        "open": 5,
        "closed": "CLOSED_TWO",
        "unpacked": ["1", 2],
        "part": {"score": 0.5},
    }
    expected = json_format.ParseDict(body, modern_pb2.Modern())
    assert echo.post("/message", json=body).json == json_format.MessageToDict(expected)
    answer = echo.post("/fields", json=body, headers={"Accept": PROTOBUF})
    assert modern_pb2.Modern.FromString(answer.data) == expected
    assert echo.application.config["SEEN"] == {
        "explicit_text": "",
        "implicit_text": "",
        "required_text": "",
        "open": 5,
        "closed": "CLOSED_TWO",
        "unpacked": [1, 2],
        "part": {"score": 0.5},
    }
    answer = echo.post("/fields", json={"closed": 5})
    assert {error["field"] for error in answer.json["errors"]} == {"closed", "required_text"}


# Well-known types as the schema itself.


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Struct", '{"a": [1, null, {"b": "c"}]}'),
        ("Value", "[1, 2]"),
        ("ListValue", '[1, "a"]'),
        ("Timestamp", '"2024-01-01T00:00:00Z"'),
        ("Duration", '"1.500s"'),
        ("FieldMask", '"aB,c"'),
        ("Int64Value", '"5"'),
        ("StringValue", '"x"'),
        ("Empty", "{}"),
        ("Any", '{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}'),
    ],
)
def test_a_well_known_type_may_be_the_whole_schema(app, serve, client, name, body):
    """A function may take a Struct, a Timestamp or any other type with a JSON form of its own."""
    schema = _well_known(name)

    def echo(message):
        return message

    echo.__annotations__["message"] = schema
    serve.endpoint("/", schema=schema, response_schema=schema)(echo)
    answer = client.post("/", data=body)
    assert answer.status_code == 200, answer.text
    assert json_format.Parse(answer.text, schema()) == json_format.Parse(body, schema())
    refusal = client.post("/", data='{"a": 1, "a": 2}')
    assert refusal.status_code == 400
    assert refusal.json["errors"]


def test_a_mask_as_the_whole_schema_is_written_as_it_was_read(serve, client):
    """A FieldMask that can't be written again is refused when it is read."""
    from google.protobuf import field_mask_pb2

    @serve.endpoint("/", schema=field_mask_pb2.FieldMask, response_schema=field_mask_pb2.FieldMask)
    def same(mask: field_mask_pb2.FieldMask):
        return mask

    assert client.post("/", data='"a,bC"').json == "a,bC"
    assert client.post("/", data='"a,"').status_code == 400


def _well_known(name: str) -> Any:
    from google.protobuf import (
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    modules = (
        any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2,
    )  # fmt: skip
    return next(getattr(module, name) for module in modules if hasattr(module, name))


# Answers.


@pytest.mark.parametrize(
    "answer",
    [
        {"an_int32": "x"},
        {"nothing": 1},
        {"a_color": "COLOR_GREEN"},
        {"a_mask": ["camelCase"]},
        {"a_value": float("nan")},
        {"choice_int32": 1, "choice_string": "a"},
        "text",
        [1],
        None,
    ],
    ids=str,
)
def test_an_answer_that_the_schema_refuses_is_500(app, serve, client, answer, caplog):
    """The client learns nothing of a bad answer; the log names the schema."""

    @serve.endpoint("/", response_schema=every_pb2.Every)
    def bad():
        return answer

    response = client.post("/")
    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert "modelserve.tests.Every" not in response.text
    assert "modelserve.tests.Every" in caplog.text


def test_an_answer_may_hold_python_values(app, serve, client):
    """Times, bytes, NaN, masks and enum names are answered in their ProtoJSON forms."""

    @serve.endpoint("/", response_schema=every_pb2.Every)
    def values():
        return (
            ACCEPTED["Timestamp"][1]
            | ACCEPTED["Duration, negative"][1]
            | {
                "a_bytes": b"\xff",
                "a_double": float("nan"),
                "many_double": [math.inf, 1.0],
                "a_mask": ["a.last_name"],
                "an_every": {"a_mask": []},
                "a_color": "COLOR_RED",
            }
        )

    assert client.post("/").json == {
        "aTimestamp": "2024-02-29T12:30:00Z",
        "aDuration": "-0.500s",
        "aBytes": "/w==",
        "aDouble": "NaN",
        "manyDouble": ["Infinity", 1.0],
        "aMask": "a.lastName",
        "anEvery": {"aMask": ""},
        "aColor": "COLOR_RED",
    }
