"""Bad input: each is a 4xx problem document that names the place, and no worker dies of it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile_app import MAX_CONTENT_LENGTH, app
from tests.protojson_forms import ACCEPTED
from tests.protos import every_pb2
from tests.servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MESSAGES = ("/fields", "/message", "/native", "/lenient", "/legacy", "/cached")
ROUTES = (*MESSAGES, "/model", "/signature")
SECONDS = 8  # what the slowest refusal may take: many times what it does on a slow machine

every_route = pytest.mark.parametrize("route", ROUTES)


def _nested(opening: str, closing: str, depth: int, kernel: str = "1") -> bytes:
    return (opening * depth + kernel + closing * depth).encode()


# JSON that no endpoint accepts.
BROKEN = {
    "nothing": b"",
    "white space": b" \n\t ",
    "NUL": b"\0",
    "broken UTF-8 in a value": b'{"aString": "\xff\xfe"}',
    "broken UTF-8 in a name": b'{"\xc3\x28": 1}',
    "broken UTF-8 in place of JSON": b"\xff\xfe\xfa",
    "UTF-8 of a surrogate": b'{"aString": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"aString": "\xc0\xaf"}',
    "UTF-16": '{"aString": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": b'{"aString": "\\ud800"}',
    "a lone surrogate in a name": b'{"\\ud800": 1}',
    "a lone surrogate deep within": b'{"aStruct": {"a": ["\\udfff"]}, "a_map": {"a": "\\udfff"}}',
    "arrays 100,000 deep": _nested("[", "]", 100_000),
    "arrays 100,000 deep that never end": b"[" * 100_000,
    "objects 100,000 deep": _nested('{"a":', "}", 100_000),
    "objects 100,000 deep that never end": b'{"a":' * 100_000,
    "messages 100,000 deep": _nested('{"anEvery":', "}", 100_000, "{}"),
    "a Struct 100,000 deep": b'{"aStruct":' + _nested('{"a":', "}", 100_000) + b"}",
    "a Value 100,000 deep": b'{"aValue":' + _nested("[", "]", 100_000) + b"}",
    "an argument 100,000 deep": b'{"a_list":' + _nested("[", "]", 100_000) + b"}",
    "an integer of 5,000 digits": b'{"anInt64": '
    + b"9" * 5_000
    + b', "an_int": '
    + b"9" * 5_000
    + b"}",
    "an integer of 5,000 digits in any": b'{"aValue": '
    + b"9" * 5_000
    + b', "a_list": '
    + b"9" * 5_000
    + b"}",
    "1e999999": b'{"aDouble": 1e999999, "a_list": [1e999999]}',
    "-1e999999": b'{"aDouble": -1e999999, "a_list": [-1e999999]}',
    "NaN": b'{"aDouble": NaN, "a_list": [NaN]}',
    "Infinity": b'{"aDouble": -Infinity, "a_list": [-Infinity]}',
    "an unknown name 100,000 times": b'{"x":1,' * 100_000,
    "a duplicate": b'{"a_text":"a", "a_text":"b", "aBool":true, "aBool":true,"name":"","name":""}',
    "a duplicate within": b'{"a_map": {"a": 1, "a": 2}, "aStruct": {"a": 1, "a": 2}}',
    "an array": b"[]",
    "an array of messages": b'[{"aBool": true}]',
    "100,000 arrays": b"[" + b"[]," * 100_000 + b"[]]",
    "a string": b'"aBool"',
    "a number": b"12",
    "null": b"null",
    "two documents": b"{}{}",
    "half a document": b'{"aBool": tr',
    "HTML": b"<html><body>hello</body></html>",
    "XML that grows": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "a form": b"aBool=true&an_int=1",
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00K\x01.",
}


def _is_place(problem: dict[str, Any]) -> bool:
    """Whether a problem names a field, or a place in the text, or says what the body is."""
    if problem.get("errors"):
        return all(set(error) == {"field", "message"} for error in problem["errors"])
    detail = problem["detail"]
    return "column" in detail or detail.startswith(("The body is ", "The body names "))


def _check(status: int, mimetype: str, problem: Any, size: int) -> None:
    assert 400 <= status < 500
    assert mimetype == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert _is_place(problem), problem
    assert size < 100_000


@every_route
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_broken_json_is_refused_with_its_place(route, body):
    """What can't be read is a 4xx problem document with its place, small and in short time."""
    begun = time.monotonic()
    answer = app.test_client().post(route, data=body, content_type=JSON)
    _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))
    assert time.monotonic() - begun < SECONDS


DEEP: dict[str, Callable[[int], bytes]] = {
    "arrays": lambda depth: b'{"aValue":' + _nested("[", "]", depth) + b"}",
    "objects": lambda depth: b'{"aStruct":' + _nested('{"a":', "}", depth) + b"}",
    "a list of arrays": lambda depth: b'{"aList":' + _nested("[", "]", depth, "") + b"}",
    "messages": lambda depth: _nested('{"anEvery":', "}", depth, "{}"),
    "messages with a fault": lambda depth: _nested('{"anEvery":', "}", depth, '{"aBool":1}'),
    "messages of a oneof": lambda depth: _nested('{"choiceEvery":', "}", depth, "{}"),
    "messages in lists": lambda depth: _nested('{"manyEvery":[', "]}", depth, "{}"),
    "messages in maps": lambda depth: _nested('{"everyByInt32":{"1":', "}}", depth, "{}"),
    "messages of proto2": lambda depth: _nested('{"name":"a","inner":', "}", depth, '{"name":"a"}'),
    "Any in Any": lambda depth: (
        b'{"anAny":'
        + _nested(
            '{"@type":"a/google.protobuf.Any","value":',
            "}",
            depth,
            '{"@type":"a/google.protobuf.Empty"}',
        )
        + b"}"
    ),
    "unknown fields": lambda depth: b'{"nothing":' + _nested("[", "]", depth) + b"}",
    "any argument": lambda depth: b'{"a_list":' + _nested("[", "]", depth) + b"}",
    "models": lambda depth: _nested('{"a_leaf":', "}", depth, "{}"),
    "duplicates": lambda depth: _nested('{"a_map":{},"a_map":', "}", depth, "{}"),
}


@every_route
@pytest.mark.parametrize("shape", DEEP.values(), ids=DEEP)
def test_no_depth_is_a_crash(route, shape):
    """Around each limit of each parser a body is either accepted, or refused with its place."""
    client = app.test_client()
    for depth in (
        48,
        88,
        89,
        90,
        98,
        99,
        101,
        102,
        128,
        200,
        253,
        256,
        330,
        489,
        520,
        970,
        1022,
        1030,
    ):
        answer = client.post(route, data=shape(depth), content_type=JSON)
        if answer.status_code != 200:
            _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))


WIDE = {
    "300,000 numbers, 90 deep, the last one bad": _nested(
        '{"anEvery":', "}", 90, '{"manyInt64":[' + "1," * 300_000 + '"x"]}'
    ),
    "300,000 numbers, 90 deep, beside a bad field": b'{"aBool":1,'
    + _nested('{"anEvery":', "}", 90, '{"manyInt64":[' + "1," * 300_000 + "1]}")[1:],
    "a key of 2 MB above 100,000 unknown ones": b'{"everyByInt32":{"%s":{' % (b"9" * 2_000_000)
    + b",".join(b'"k%d":1' % i for i in range(100_000))
    + b"}}}",
    "100,000 unknown keys": b"{" + b",".join(b'"k%d":1' % i for i in range(100_000)) + b"}",
    "100,000 keys of a map with a bad one": b'{"byString":{'
    + b",".join(b'"k%d":"v"' % i for i in range(100_000))
    + b',"z":1}, "a_map":{'
    + b",".join(b'"k%d":1' % i for i in range(100_000))
    + b',"z":"x"},"name":1,"a_text":1}',
    "100,000 bad elements": b'{"manyInt64":[%s1],"a_list":[%s1],"an_int":"x","name":1,"a_text":1}'
    % (b'"x",' * 100_000, b'"x",' * 100_000),
    "100,000 keys, each twice": b'{"aStruct":{'
    + b",".join(b'"k%d":1,"k%d":1' % (i, i) for i in range(100_000))
    + b'},"a_map":{'
    + b",".join(b'"k%d":1,"k%d":1' % (i, i) for i in range(100_000))
    + b"}}",
    "a string of 2 MB in place of a number": b'{"anInt32":"%s","an_int":"%s","name":1}'
    % (b"9" * 2_000_000, b"9" * 2_000_000),
}  # fmt: skip


@pytest.mark.parametrize("route", [route for route in ROUTES if route != "/signature"])
@pytest.mark.parametrize("body", WIDE.values(), ids=WIDE)
def test_the_time_and_the_size_of_a_refusal_are_bounded(route, body):
    """However much is wrong with a body, the answer comes soon, and names not more than 100."""
    begun = time.monotonic()
    answer = app.test_client().post(route, data=body, content_type=JSON)
    if answer.status_code == 200:
        assert route == "/lenient"
        assert body is WIDE["100,000 unknown keys"]
    else:
        _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))
        assert len(answer.json["errors"]) <= 100
    assert time.monotonic() - begun < SECONDS


def test_100_000_keys_are_read_where_they_are_right():
    """Size alone is no fault."""
    body = b'{"byString":{' + b",".join(b'"k%d":"v"' % i for i in range(100_000)) + b"}}"
    begun = time.monotonic()
    answer = app.test_client().post("/fields", data=body)
    assert len(answer.json["byString"]) == 100_000
    assert time.monotonic() - begun < SECONDS


# Generated JSON against every kind of schema.

_names = st.sampled_from(
    [
        "anInt32", "an_int32", "anInt64", "aBool", "aString", "aBytes", "aDouble", "aColor",
        "anEvery",
        "manyInt64", "manyEvery", "manyColor", "byString", "byInt32", "everyByInt32", "choiceInt32",
        "choiceEvery", "choiceNull", "int64Value", "aTimestamp", "aDuration", "aMask", "aStruct",
        "aValue", "aList", "anAny", "@type", "value", "anEmpty", "name", "inner", "closed",
        "manyClosed", "an_int", "a_text", "a_list", "a_map", "an_any", "a_leaf", "1", "true", "",
    ]
)  # fmt: skip
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(
        [
            "NaN", "1", "-0", "1e400", "COLOR_RED", "2024-01-01T00:00:00Z", "1.5s", "a,b", "YQ==",
            "type.googleapis.com/modelserve.tests.Every", "type.googleapis.com/google.protobuf.Any",
            "type.googleapis.com/google.protobuf.Value", "/", "9223372036854775807",
        ]
    )
)  # fmt: skip
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_names | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)
_objects = st.dictionaries(_names, _values, max_size=6)


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=_objects | _values)
def test_generated_json_is_accepted_or_refused(route, value):
    """Whatever types stand at whatever depth, the answer is 200, or a problem with its places."""
    answer = app.test_client().post(route, json=value)
    if answer.status_code != 200:
        _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))
        assert answer.json.get("errors") or not isinstance(value, dict)


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=40) | st.text('{}[]":,0123e-tfn \\u', max_size=40).map(str.encode))
def test_random_bytes_are_no_json(route, body):
    """Random bytes in place of JSON are refused, or were JSON by chance."""
    answer = app.test_client().post(route, data=body, content_type=JSON)
    if answer.status_code != 200:
        _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))


# Protobuf.


@pytest.mark.parametrize("route", MESSAGES)
def test_a_message_cut_anywhere_is_refused_or_shorter(route):
    """Each beginning of a valid message is a message of fewer fields, or is 400."""
    from google.protobuf import json_format

    whole = every_pb2.Every()
    for name in (
        "double",
        "string",
        "map by int64",
        "list of messages",
        "Any of a message",
        "Struct",
        "Timestamp",
    ):
        whole.MergeFrom(json_format.Parse(ACCEPTED[name][0], every_pb2.Every()))
    body = whole.SerializeToString()
    client = app.test_client()
    statuses = set()
    for length in range(1, len(body)):
        answer = client.post(route, data=body[:length], content_type=PROTOBUF)
        statuses.add(answer.status_code)
        if answer.status_code != 200:
            _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))
    assert 400 in statuses
    assert statuses <= {200, 400}


GARBAGE = {
    "an end of a group": b"\x0c",
    "an open group": b"\x0b",
    "100,000 open groups": b"\x0b" * 100_000,
    "100,000 unknown groups": b"\xfb\x3f" * 100_000,
    "messages 100,000 deep": b"\x9a\x01\xff\xff\x7f" * 100_000,
    "a field of number 0": b"\x00\x01",
    "a length that is not there": b"\x72\xff\xff\xff\xff\x07",
    "a length over 64 bits": b"\x72" + b"\xff" * 10,
    "a varint of 11 bytes": b"\x18" + b"\xff" * 10 + b"\x01",
    "a wire type that is none": b"\x1f",
    "broken UTF-8": b"\x72\x02\xff\xfe",
    "broken UTF-8 in a map": b"\xf2\x03\x04\x0a\x02\xff\xfe",
    "JSON": b'{"aBool": true}',
}


def _nested_messages(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        size, length = len(body), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        body = b"\x9a\x01" + bytes([*length, size]) + body
    return body


@pytest.mark.parametrize("route", MESSAGES)
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_in_place_of_protobuf_is_refused(route, body):
    """Bytes that are no message are 400, and the answer says of what message."""
    answer = app.test_client().post(route, data=body, content_type=PROTOBUF)
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert "modelserve.tests." in answer.json["detail"]


@pytest.mark.parametrize("route", MESSAGES)
def test_random_bytes_are_no_crash_as_protobuf(route):
    """Random bytes as protobuf are refused, or are unknown fields by chance."""
    source = random.Random(1)
    client = app.test_client()
    for _ in range(400):
        answer = client.post(
            route, data=source.randbytes(source.randrange(1, 40)), content_type=PROTOBUF
        )
        assert answer.status_code in {200, 400}, answer.text


@pytest.mark.parametrize("route", [route for route in MESSAGES if route != "/legacy"])
def test_no_depth_of_protobuf_is_a_crash(route):
    """Messages nested around and over each limit of the wire format are accepted or 400."""
    client = app.test_client()
    for depth in (50, 98, 99, 101, 102, 130, 1000, 5000):
        answer = client.post(route, data=_nested_messages(depth), content_type=PROTOBUF)
        assert answer.status_code == (200 if depth < 100 else 400), depth


@pytest.mark.parametrize("route", ["/model", "/signature"])
def test_protobuf_is_415_where_no_message_is_the_schema(route):
    """An endpoint without a message class reads JSON only, and says so."""
    answer = app.test_client().post(route, data=b"\x08\x01", content_type=PROTOBUF)
    assert answer.status_code == 415
    assert "application/json" in answer.json["detail"]


def test_values_that_json_has_no_form_for_are_refused():
    """A Timestamp out of range is a message, but none that a function could get."""
    body = every_pb2.Every()
    body.a_timestamp.seconds = 2**60
    answer = app.test_client().post("/fields", data=body.SerializeToString(), content_type=PROTOBUF)
    assert answer.status_code == 400
    assert "modelserve.tests.Every" in answer.json["detail"]


# Query strings.


@pytest.mark.parametrize("route", ["/fields", "/message", "/model", "/signature"])
@pytest.mark.parametrize(
    "query",
    [
        "%ff=1", "an_int=%ff", "aBool=%00", "=", "=1", "&&&", "an_int=1&an_int=2", "anEvery=1",
        ".=1",
        "a..b=1", "anEvery.=1", "anEvery.aBool=maybe", "anEvery.anEvery.anEvery.nothing=1",
        "anInt32=1&an_int32=2", "anInt32.x=1", "anInt32=1&anInt32.x=1", "aBool=true&aBool=false",
        "anEvery=x&anEvery.aBool=true",
        "aStruct.a=1", "byString.a=b", "manyEvery.aBool=true", "anAny=1", "aValue=1", "an_int=1_0",
        "an_int=%D9%A1", "an_int=" + "9" * 5_000, "aDouble=1e999", "a.b.c." * 2_000 + "=1",
        "anEvery." * 2_000 + "aBool=true", "&".join(f"k{i}=1" for i in range(20_000)),
        "aColor=COLOR_GREEN", "aTimestamp=now", "choiceInt32=1&choiceBool=true",
    ],
    ids=lambda query: query[:40],
)  # fmt: skip
def test_odd_query_strings_are_accepted_or_refused(route, query):
    """A query string that the endpoint can't read is a 4xx problem with its places."""
    begun = time.monotonic()
    answer = app.test_client().get(f"{route}?{query}")
    if answer.status_code != 200:
        _check(answer.status_code, answer.mimetype, answer.json, len(answer.data))
    assert time.monotonic() - begun < SECONDS


# Headers.


@every_route
@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"Content-Type": "application/xml"}, 415, "application/xml"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415, "multipart/form-data"),
        ({"Content-Type": "application/msgpack"}, 415, "application/msgpack"),
        ({"Content-Type": "nonsense"}, 415, "nonsense"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "utf-16"),
        ({"Content-Type": "application/json; charset=latin1"}, 415, "latin1"),
        ({"Content-Encoding": "gzip"}, 415, "gzip"),
        ({"Content-Encoding": "br, deflate"}, 415, "br, deflate"),
        ({"Accept": "text/html"}, 406, "application/json"),
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused_by_its_name(route, headers, status, word):
    """A wrong Content-Type, charset, Content-Encoding or Accept gets the status that is its own."""
    answer = app.test_client().post(route, data=gzip.compress(b"{}"), headers=headers)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert word in answer.json["detail"]


@every_route
def test_a_body_over_the_limit_is_413(route):
    """MAX_CONTENT_LENGTH of the app holds, and the answer says what it is."""
    answer = app.test_client().post(route, data=b" " * (MAX_CONTENT_LENGTH + 1), content_type=JSON)
    assert answer.status_code == 413
    assert answer.mimetype == "application/problem+json"
    assert str(MAX_CONTENT_LENGTH) in answer.json["detail"]


# Real servers.


class Server:
    """gunicorn with one worker, and the pid of that worker."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pid = self.worker()

    def worker(self) -> bytes:
        """Return the pid of the worker that answers."""
        return self.send(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[2]

    def post(self, route: str, body: bytes, content_type: str = JSON, **headers: str) -> Any:
        """Post a body as clients do."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": content_type} | headers
            connection.request("POST", route, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()

    def send(self, request: bytes) -> tuple[int, str, bytes]:
        """Send bytes as they stand, close this side, and read the answer: status 0 for none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return _answer(connection)


def _answer(connection: socket.socket) -> tuple[int, str, bytes]:
    with contextlib.closing(http.client.HTTPResponse(connection)) as answer:
        try:
            answer.begin()
        except (http.client.BadStatusLine, ConnectionError):
            return 0, "", b""
        return answer.status, answer.headers.get_content_type(), answer.read()


@pytest.fixture(scope="module", params=["sync", "gthread"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    port = free_port()
    root = Path(__file__).parent.parent
    command = [
        sys.executable, "-W", "error", "-m", "gunicorn", "tests.hostile_app:app", "--workers=1",
        f"--worker-class={request.param}", f"--threads={4 if request.param == 'gthread' else 1}",
        f"--bind=127.0.0.1:{port}", f"--chdir={root}", "--timeout=30", "--no-control-socket",
        "--log-level=critical",
    ]  # fmt: skip
    with running(*command, port=port):
        yield Server(port)


@pytest.fixture(autouse=True)
def _worker_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test of a server, the worker of before answers."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        assert server.worker() == server.pid


def _check_bytes(answer: tuple[int, str, bytes]) -> None:
    import json

    status, mimetype, body = answer
    _check(status, mimetype, json.loads(body), len(body))


@pytest.mark.parametrize("body", [*BROKEN.values(), *WIDE.values()], ids=[*BROKEN, *WIDE])
def test_a_server_refuses_bad_json(server, body):
    """Under gunicorn bad JSON is the same 4xx, whatever kind of schema reads it."""
    for route in ("/fields", "/message", "/model", "/signature"):
        if body not in WIDE.values() or route != "/signature":
            _check_bytes(server.post(route, body))


@pytest.mark.parametrize("shape", DEEP.values(), ids=DEEP)
def test_a_server_survives_any_depth(server, shape):
    """No depth of JSON ends a worker, not even one that overflows the stack of a parser."""
    for route in ("/fields", "/native", "/model", "/signature"):
        for depth in (89, 101, 260, 1000, 20_000, 100_000):
            answer = server.post(route, shape(depth))
            if answer[0] != 200:
                _check_bytes(answer)


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_a_server_refuses_garbage_as_protobuf(server, body):
    """Under gunicorn garbage in place of protobuf is 400."""
    for route in ("/fields", "/message", "/native"):
        assert server.post(route, body, PROTOBUF)[0] == 400


HEAD = b"POST /fields HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CUT = {
    "shorter than its Content-Length": HEAD + b'Content-Length: 100\r\n\r\n{"aBool": true}',
    "none of its Content-Length": HEAD + b"Content-Length: 100\r\n\r\n",
    "half of its JSON": HEAD + b'Content-Length: 16\r\n\r\n{"aBool"',
    "a chunk size that is no number": CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with an underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    "a chunk that is cut": CHUNKED + b"64\r\n{}",
    "a chunk longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "no chunk at all": CHUNKED,
}


@pytest.mark.parametrize("request_bytes", CUT.values(), ids=CUT)
def test_a_body_that_is_cut_or_badly_chunked_is_400(server, request_bytes):
    """Even where what has arrived is good JSON, the function never sees half a request."""
    status, mimetype, body = server.send(request_bytes)
    assert status == 400, body
    assert mimetype == "application/problem+json"
    assert b"The body" in body


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: two\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"Content-Length: 999999999999999999999\r\n\r\n{}",
    ],
)
def test_a_length_that_is_none_is_refused(server, headers):
    """A request that is framed wrongly never reaches the function, and ends no worker."""
    status, _, _ = server.send(HEAD + headers)
    assert 400 <= status < 500 or status == 501


def test_a_chunked_body_is_read(server):
    """Chunks make one body."""
    status, _, body = server.send(CHUNKED + b'5\r\n{"aBo\r\nA\r\nol": true}\r\n0\r\n\r\n')
    assert (status, body) == (200, b'{"aBool":true}')


def test_a_body_over_the_limit_is_413_by_its_length(server):
    """A body that says it is too large is refused before it has arrived."""
    length = b"Content-Length: %d\r\n\r\n{" % (MAX_CONTENT_LENGTH + 1)
    status, mimetype, _ = server.send(HEAD + length)
    assert (status, mimetype) == (413, "application/problem+json")


def test_a_body_over_the_limit_is_413_in_chunks_too(server):
    """A body that does not say how long it is, is read up to the limit."""
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            connection.sendall(
                CHUNKED
                + b"1\r\n{\r\n"
                + chunk * (MAX_CONTENT_LENGTH // 0x100000 + 2)
                + b"1\r\n}\r\n0\r\n\r\n"
            )
        except ConnectionError:
            return  # it is refused, and the rest is not even read
        assert _answer(connection)[:2] == (413, "application/problem+json")


def test_clients_that_leave_are_no_crash(server):
    """A client that goes away in the middle of its request takes no worker with it."""
    for request in (
        HEAD,
        HEAD + b"Content-Length: 100\r\n\r\n{",
        CHUNKED + b"64\r\n{",
        b"\x16\x03\x01\x02\x00",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(request)
            linger = (1).to_bytes(4, sys.byteorder) + bytes(4)  # closed by a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert server.worker() == server.pid
    assert server.pid != str(os.getpid()).encode()
