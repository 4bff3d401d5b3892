"""Generated messages: what google's own parser reads, endpoints read alike, and cache alike."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from flask import Flask
from google.protobuf import descriptor, json_format
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flask_modelserve import ModelServe
from tests.protos import every_pb, every_pb2

PROTOBUF = "application/x-protobuf"
_Field = descriptor.FieldDescriptor
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    _Field.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    _Field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    _Field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    _Field.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    _Field.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    _Field.CPPTYPE_FLOAT: st.integers(-(2**20), 2**20).map(float),
    _Field.CPPTYPE_BOOL: st.booleans(),
    _Field.CPPTYPE_ENUM: st.sampled_from([0, 1, 2]),
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
_micros = st.integers(-(10**9), 10**9)
_WELL_KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "Timestamp": _micros.map(lambda n: {"seconds": n, "nanos": abs(n) % 1_000_000 * 1000}),
    "Duration": _micros.map(lambda n: {"seconds": n}),
    "FieldMask": st.lists(st.sampled_from(["a", "a_b", "a.b_c"]), max_size=2).map(
        lambda paths: {"paths": paths}
    ),
    "Empty": st.just({}),
}


@st.composite
def messages(draw: st.DrawFn, depth: int = 0) -> every_pb2.Every:
    """Messages of a few fields each, of any kind but Any."""
    message = every_pb2.Every()
    fields = list(every_pb2.Every.DESCRIPTOR.fields)
    for field in draw(st.lists(st.sampled_from(fields), max_size=5, unique=True)):
        if field.message_type is every_pb2.Every.DESCRIPTOR and depth > 1:
            continue
        if field.name == "choice_null":
            continue  # a null that is set looks like one that is not
        _fill(draw, message, field, depth)
    return message


def _fill(draw: st.DrawFn, message: Any, field: Any, depth: int) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        for _ in range(draw(st.integers(0, 3))):
            key = draw(_scalar(entry.fields_by_name["key"]))
            value = entry.fields_by_name["value"]
            held = getattr(message, field.name)
            if value.message_type is None:
                held[key] = draw(_scalar(value))
            else:
                held[key].CopyFrom(_message(draw, value.message_type, depth))
    elif field.is_repeated:
        for _ in range(draw(st.integers(0, 3))):
            held = getattr(message, field.name)
            if entry is None:
                held.append(draw(_scalar(field)))
            else:
                held.add().CopyFrom(_message(draw, entry, depth))
    elif entry is None:
        setattr(message, field.name, draw(_scalar(field)))
    elif entry.name != "Any":
        getattr(message, field.name).CopyFrom(_message(draw, entry, depth))


def _scalar(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None and field.enum_type.name == "NullValue":
        return st.just(0)
    if field.type == _Field.TYPE_STRING:
        return st.text(max_size=5)
    if field.type == _Field.TYPE_BYTES:
        return st.binary(max_size=5)
    return _SCALARS[field.cpp_type]


def _message(draw: st.DrawFn, description: Any, depth: int) -> Any:
    from google.protobuf import message_factory

    if description is every_pb2.Every.DESCRIPTOR:
        return draw(messages(depth + 1))
    made = message_factory.GetMessageClass(description)()
    if description.name in {"Struct", "Value", "ListValue"}:
        kinds = {"Struct": dict, "ListValue": list, "Value": object}
        value = draw(_JSON.filter(lambda value: isinstance(value, kinds[description.name])))
        return json_format.ParseDict(value, made)
    if description.name in _WELL_KNOWN:
        return type(made)(**draw(_WELL_KNOWN[description.name]))
    return type(made)(value=draw(_scalar(description.fields_by_name["value"])))


def _app() -> Flask:
    app = Flask(__name__)
    app.config.update(CACHE_TYPE="SimpleCache", CACHE_THRESHOLD=100_000)
    serve = ModelServe(app)
    for name, schema in (("google", every_pb2.Every), ("native", every_pb.Every)):

        def fields(**fields):
            return fields

        def message(message):
            return message

        message.__annotations__["message"] = schema
        for function in (fields, message):
            serve.endpoint(
                f"/{name}/{function.__name__}",
                schema=schema,
                response_schema=schema,
                endpoint=f"{name}_{function.__name__}",
            )(function)

    @serve.endpoint("/cached", schema=every_pb2.Every, response_schema=every_pb2.Every, cache=60)
    def cached(**fields):
        return fields

    return app


CLIENT = _app().test_client()
few = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize(
    "route", ["/google/fields", "/google/message", "/native/fields", "/native/message"]
)
@few
@given(message=messages())
def test_any_message_goes_through_and_comes_back(route, message):
    """What google writes as JSON an endpoint answers as the same message, in both formats."""
    body = json_format.MessageToJson(message)
    answer = CLIENT.post(route, data=body)
    assert answer.status_code == 200, answer.text
    assert json_format.Parse(answer.text, every_pb2.Every()) == message
    binary = CLIENT.post(route, data=body, headers={"Accept": PROTOBUF})
    assert every_pb2.Every.FromString(binary.data) == message
    back = CLIENT.post(route, data=message.SerializeToString(), content_type=PROTOBUF)
    assert json_format.Parse(back.text, every_pb2.Every()) == message


def _respelled(value: Any, source: random.Random) -> Any:
    """Put the keys of all objects in another order."""
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: _respelled(value[key], source) for key in keys}
    if isinstance(value, list):
        return [_respelled(item, source) for item in value]
    return value


@few
@given(message=messages(), seed=st.integers(0, 2**32), extra=st.text(min_size=1, max_size=8))
def test_one_meaning_is_one_entry_of_the_cache(message, seed, extra):
    """Order of keys, spelling of names and white space don't matter to the cache."""
    message.a_string = f"same {seed} {extra}"
    first = CLIENT.post("/cached", data=json_format.MessageToJson(message))
    source = random.Random(seed)
    proto_names = json_format.MessageToDict(message, preserving_proto_field_name=True)
    for body in (
        json.dumps(_respelled(json_format.MessageToDict(message), source)),
        json.dumps(
            _respelled(proto_names, source), indent=source.randrange(4), separators=(" ,", ": ")
        ),
        json_format.MessageToJson(message, use_integers_for_enums=True),
    ):
        again = CLIENT.post("/cached", data=body)
        assert "hit" in again.headers["Cache-Status"]
        assert again.data == first.data


@few
@given(one=messages(), other=messages())
def test_two_meanings_are_never_one_entry_of_the_cache(one, other):
    """A different message is a miss, and gets its own answer."""
    assume(one != other)
    for message in (one, other):
        CLIENT.post("/cached", data=json_format.MessageToJson(message))
    for message in (one, other):
        answer = CLIENT.post("/cached", data=json_format.MessageToJson(message))
        assert "hit" in answer.headers["Cache-Status"]
        assert json_format.Parse(answer.text, every_pb2.Every()) == message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"anInt32": 0}),
        ({"anInt32": 0}, {"anInt64": 0}),
        ({}, {"maybeInt32": 0}),
        ({}, {"manyInt64": []}),
        ({}, {"byString": {}}),
        ({}, {"anEvery": {}}),
        ({"anEvery": {}}, {"anEvery": {"aString": ""}}),
        ({"manyEvery": [{}, {"aBool": False}]}, {"manyEvery": [{"aBool": False}, {}]}),
        (
            {"everyByInt32": {"1": {}, "2": {"aBool": False}}},
            {"everyByInt32": {"1": {"aBool": False}, "2": {}}},
        ),
        ({"manyInt64": [1, 2]}, {"manyInt64": [2, 1]}),
        ({"aString": "1"}, {"aString": "1 "}),
        ({"aValue": None}, {}),
        ({"aValue": "1"}, {"aValue": 1}),
        ({"choiceInt32": 0}, {"choiceBool": False}),
        ({"choiceNull": None}, {}),
        ({"aDouble": 0.0}, {"aDouble": -0.0}),
        ({"aColor": 5}, {"aColor": 6}),
        ({"aTimestamp": "2024-01-01T00:00:00Z"}, {"aTimestamp": "2024-01-01T00:00:01Z"}),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_function_can_tell_apart_the_cache_tells_apart(one, other):
    """A zero that was sent is not an absent field, to the function and to the cache."""
    client = _app().test_client()
    assert "miss" in client.post("/cached", json=one).headers["Cache-Status"]
    assert "miss" in client.post("/cached", json=other).headers["Cache-Status"]
    assert "hit" in client.post("/cached", json=one).headers["Cache-Status"]
