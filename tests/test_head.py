"""Heads that are recognised mean what gunicorn's own parser takes them for."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser, wsgi
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_modelserve.head import Fields, HeadReader, Settings

CLIENT, PROXY, SERVER = ("192.0.2.1", 40001), ("127.0.0.1", 40002), ("10.0.0.1", 8000)
DIFFERENT = {"wsgi.input", "wsgi.errors", "wsgi.early_hints"}  # objects that are equal to none


class Socket:
    """A connection on which these bytes arrive, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def recv(self, _size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def send(self, _data: bytes) -> None: ...


def by_gunicorn(data: bytes, client: Any, config: Config, later: bytes = b"") -> Any:
    """Return the request, environ, body and rest that gunicorn reads."""
    sock = Socket(data, later)
    parser = RequestParser(config, sock, client)
    request = next(parser)
    _, environ = wsgi.create(request, sock, client, SERVER, config)
    environ["wsgi.multithread"] = True
    environ["gunicorn.socket"] = None
    body = environ["wsgi.input"].read()
    return request, environ, body, parser.unreader.take_buffered()


def by_head(data: bytes, client: Any, config: Config, later: bytes = b"") -> Any:
    """Return the same where the head is recognised, else None."""
    unreader = RequestParser(config, Socket(later), client).unreader
    found = HeadReader(Settings(config), None, client, SERVER).read(data, unreader)  # type: ignore[arg-type]
    if found is None:
        assert unreader.take_buffered() == b""
        return None
    request, environ = found
    body = environ["wsgi.input"].read()
    return request, environ, body, unreader.take_buffered()


def compare(data: bytes, client: Any = CLIENT, later: bytes = b"", **settings: Any) -> bool:
    """Check that both read the same, where the head is recognised; return whether it is."""
    config = Config()
    for name, value in settings.items():
        config.set(name, value)
    found = by_head(data, client, config, later)
    if found is None:
        return False
    request, environ, body, rest = found
    gunicorns, their_environ, their_body, their_rest = by_gunicorn(data, client, config, later)
    assert environ.keys() | DIFFERENT == their_environ.keys() | DIFFERENT
    for key in environ.keys() - DIFFERENT:
        assert environ[key] == their_environ[key], key
    assert (body, rest) == (their_body, their_rest)
    for name in ("method", "uri", "path", "query", "fragment", "version", "headers", "scheme"):
        assert getattr(request, name) == getattr(gunicorns, name), name
    assert request.remote_addr == gunicorns.remote_addr
    assert request.should_close() == gunicorns.should_close()
    return True


def head(*fields: str, line: str = "POST /detect?a=1&b=%20 HTTP/1.1") -> bytes:
    return "\r\n".join((line, *fields, "", "")).encode("latin-1")


COMMON = {
    "curl": head("Host: localhost:8000", "User-Agent: curl/8", "Accept: */*", "Content-Length: 2"),
    "keep-alive": head("host: a", "connection: keep-alive", "content-length: 2"),
    "close": head("Host: a", "Connection: close", "Content-Length: 2"),
    "no body": head("Host: a", line="GET / HTTP/1.1"),
    "no fields": head(line="DELETE /items/1 HTTP/1.1"),
    "spaces": head("Host:a", "Accept: \t text/html \t", "X-Empty:"),
    "escapes": head("Host: a", line="GET /caf%C3%A9/%2F;x=1?q=caf%C3%A9&r=?/ HTTP/1.1"),
    "latin-1": head("Host: a", "X-Name: caf\xe9 \x85 \xa0", "Cookie: a=b; c=\xff"),
    "one field with commas": head("Host: a", "X-Forwarded-For: 1.2.3.4, 5.6.7.8"),
    "dot segments": head("Host: a", line="GET /a/../b/./c HTTP/1.1"),
    "colons": head("Host: a", "X-Url: http://a/b:c", line="GET /a:b@c HTTP/1.1"),
}


@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize("body", [b"{}", b'{}GET / HTTP/1.1\r\nHost: "next"\r\n\r\n', b"{"])
def test_common_heads_are_recognised(name: str, body: bytes) -> None:
    """What clients send every day takes the short way, whether its body is there or comes later."""
    assert compare(COMMON[name] + body, later=b"} and more")


DOUBTFUL = {
    "not whole": head("Host: a")[:-1],
    "a line feed alone": head("Host: a").replace(b"\r\n", b"\n"),
    "a line feed in a field": head("Host: a\nX: b"),
    "a return in a field": head("Host: a\rX: b"),
    "a zero in a field": head("Host: a", "X: a\0b"),
    "a folded field": head("Host: a", "X: a", " b"),
    "a space before a colon": head("Host : a"),
    "no colon": head("Host"),
    "no name": head(": a"),
    "an underscore": head("X_Forwarded_For: a"),
    "a script name": head("Script_Name: /a"),
    "no US-ASCII in a name": head("X-\xe9: a"),
    "twice the same": head("Cookie: a", "cookie: b"),
    "two hosts": head("Host: a", "Host: b"),
    "two lengths": head("Content-Length: 1", "Content-Length: 1"),
    "two lengths in one": head("Content-Length: 1, 1"),
    "a signed length": head("Content-Length: +1"),
    "a negative length": head("Content-Length: -1"),
    "a length that is no number": head("Content-Length: \xb2"),
    "a huge length": head("Content-Length: 99999999999999999999"),
    "an empty length": head("Content-Length:"),
    "chunks": head("Transfer-Encoding: chunked"),
    "chunks and a length": head("Transfer-Encoding: chunked", "Content-Length: 1"),
    "an expectation": head("Expect: 100-continue", "Content-Length: 1"),
    "an upgrade": head("Connection: upgrade", "Upgrade: websocket"),
    "a list of connection options": head("Connection: close, x"),
    "a connection option in capitals": head("Connection: Close"),
    "HTTP/1.0": head("Host: a", line="GET / HTTP/1.0"),
    "HTTP/2.0": head("Host: a", line="GET / HTTP/2.0"),
    "another method": head("Host: a", line="PROPFIND / HTTP/1.1"),
    "a method in small letters": head("Host: a", line="get / HTTP/1.1"),
    "a tunnel": head("Host: a", line="CONNECT a:443 HTTP/1.1"),
    "an asterisk": head("Host: a", line="OPTIONS * HTTP/1.1"),
    "a whole URL": head("Host: a", line="GET http://b/ HTTP/1.1"),
    "two slashes": head("Host: a", line="GET //b/c HTTP/1.1"),
    "a fragment": head("Host: a", line="GET /a#b HTTP/1.1"),
    "a space in the path": head("Host: a", line="GET /a b HTTP/1.1"),
    "no US-ASCII in the path": head("Host: a", line="GET /caf\xe9 HTTP/1.1"),
    "an empty line first": b"\r\n" + head("Host: a"),
    "many fields": head(*(f"X-{number}: a" for number in range(101))),
    "long fields": head(*(f"X-{number}: {'a' * 999}" for number in range(9))),
    "nothing": b"",
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubtful_heads_are_left_to_gunicorn(name: str) -> None:
    """What needs a second look, or is refused, is read by the parser that knows all cases."""
    assert not compare(DOUBTFUL[name] + b"a")


def test_trusted_proxies_set_the_scheme() -> None:
    """Of a proxy that gunicorn trusts the field counts; of anybody else it is a field as others."""
    data = head("Host: a", "X-Forwarded-Proto: https")
    assert compare(data, CLIENT)
    assert not compare(data, PROXY)
    assert compare(head("Host: a"), PROXY)
    assert not compare(data, CLIENT, forwarded_allow_ips="*")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("limit_request_line", 20),
        ("limit_request_field_size", 20),
        ("limit_request_fields", 1),
    ],
)
def test_limits_hold(setting: str, value: int) -> None:
    """What comes near a limit of gunicorn's is measured by gunicorn."""
    assert not compare(head("Host: localhost", "Accept: */*"), **{setting: value})


ANYTHING = st.text(st.characters(max_codepoint=255), max_size=8)
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)
NAMES = st.sampled_from(
    ["Host", "host", "Accept", "COOKIE", "X-A", "Content-Type", "Connection", "X-Forwarded-Proto"]
    + ["Content-Length"] * 4
    + ["Transfer-Encoding", "Expect", "X_A", "X-\xe9", "", "X A"]
)
VALUES = st.one_of(
    st.sampled_from(["0", "3"]),
    st.sampled_from(["", "close", "keep-alive", "chunked", "a", "\t3 ", "3,3", "+3", "3 3"]),
    PRINTABLE,
    ANYTHING,
)
TARGETS = st.one_of(
    st.sampled_from(["/", "/a?b=c", "/%41?%41", "/?"]),
    st.sampled_from(["//a", "*", "http://a/", "/a#b", ""]),
    *[PRINTABLE.map("/".__add__)] * 3,
    ANYTHING.map("/".__add__),
)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT"] * 3 + ["get", "BREW", "CONNECT", ""])
VERSIONS = st.sampled_from(["HTTP/1.1"] * 9 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2", ""])
ENDS = st.sampled_from(["\r\n"] * 19 + ["\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Make a request out of parts that are mostly right."""
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    lines = [f"{draw(METHODS)} {draw(TARGETS)} {draw(VERSIONS)}"]
    lines += [f"{name}: {value}" for name, value in fields]
    text = draw(ENDS).join([*lines, "", ""])
    return text.encode("latin-1") + draw(st.binary(max_size=6))


@settings(max_examples=500, deadline=None)
@given(requests(), st.sampled_from([CLIENT, PROXY]))
def test_whatever_is_recognised_means_the_same(data: bytes, client: tuple[str, int]) -> None:
    """No head, however strange, means one thing here and another thing to gunicorn."""
    compare(data, client)


def test_names_are_remembered_within_bounds() -> None:
    """A client that makes up names fills no memory."""
    fields = Fields(())
    for number in range(2000):
        field = fields[f"X-{number}"]
        assert field is not None
        assert field == (f"X-{number}", f"HTTP_X_{number}")
    assert len(fields) == 1000


def test_errors_go_to_gunicorns_log(capsys: pytest.CaptureFixture[str]) -> None:
    """What an app writes to wsgi.errors appears."""
    found = by_head(COMMON["no body"], CLIENT, Config())
    errors = found[1]["wsgi.errors"]
    errors.write("first\n")
    errors.writelines(["second\n"])
    errors.flush()
    assert capsys.readouterr().err == "first\nsecond\n"
