# pyright: reportAttributeAccessIssue=false
# The stubs of gunicorn that pyright brings are of an older one.
"""The head of the common request, read by one pattern; gunicorn's parser reads all others.

What is recognised here is a part of what gunicorn accepts (RFC 9112), and gives the same environ.
In doubt a head is not recognised.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.message import HeaderPolicy, Request
from gunicorn.http.wsgi import WSGIErrorsWrapper, base_environ
from gunicorn.util import unquote_to_wsgi_str

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import WSGIEnvironment
    from gevent import socket as gevent_socket
    from gunicorn.config import Config
    from gunicorn.http.unreader import Unreader

_END = b"\r\n\r\n"
# No "//" at the start of a path, no fragment, and no "_" in names: those need a second look.
_HEAD = re.compile(
    r"(DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (/(?!/)[!\"$-~]*|/) HTTP/1\.1\r\n"
    r"((?:[!#$%&'*+.^`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)"
)
_LENGTH = re.compile("[0-9]{1,15}")
# What changes how the message or its connection is read.
_DECIDING = {"EXPECT", "HTTP2-SETTINGS", "TRANSFER-ENCODING", "UPGRADE"}
_CLOSES = {None: False, "keep-alive": False, "close": True}
MOST_NAMES = 1000  # of header fields that are remembered: a client may make up any number
_LONGEST = 8190  # as gunicorn has it where a limit is off


class Field(NamedTuple):
    """The name of a header field as gunicorn's hooks see it, and its key in the environ."""

    name: str
    key: str


class Fields(dict[str, Field | None]):
    """The header fields by their names as they are sent; None for those left to gunicorn."""

    def __init__(self, left: Iterable[str]) -> None:
        super().__init__()
        self._left = frozenset(left)

    def __missing__(self, sent: str) -> Field | None:
        name = sent.upper()
        field = None
        if name not in self._left:
            key = name.replace("-", "_")
            field = Field(name, key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}")
        if len(self) < MOST_NAMES:
            self[sent] = field
        return field


class Errors:
    """``wsgi.errors``: finds gunicorn's log when it is written to, which is almost never."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(WSGIErrorsWrapper(self._config), name)


class CommonRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request whose head was recognised; with what gunicorn's hooks and logs ask for."""

    version = (1, 1)
    scheme = "http"
    fragment = ""
    proxy_protocol_info = None
    must_close = False

    def __init__(  # the base class would parse
        self,
        environ: WSGIEnvironment,
        path: str,
        headers: list[tuple[str, str]],
        client: tuple[str, int],
        *,
        closes: bool,
    ) -> None:
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ["RAW_URI"]
        self.path = path
        self.query = environ["QUERY_STRING"]
        self.body = environ["wsgi.input"]
        self.headers = headers
        self.peer_addr = self.remote_addr = client
        self.trailers: list[tuple[str, str]] = []
        self._closes = closes

    def should_close(self) -> bool:
        return self._closes or self.must_close


class Settings:
    """What a worker's settings say of heads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        given = (config.limit_request_line, config.limit_request_field_size)
        self.longest = min(limit if limit > 0 else _LONGEST for limit in given)
        self.most_fields = config.limit_request_fields if config.limit_request_fields > 0 else 100
        self._fields = Fields(_DECIDING)
        self._trusted_fields = Fields({*_DECIDING, *config.secure_scheme_headers})
        self._environ = {
            **base_environ(config),
            "wsgi.errors": Errors(config),
            "wsgi.multithread": True,
            "wsgi.url_scheme": "http",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
        }

    def fields(self, client: tuple[str, int]) -> Fields:
        """Return the fields of a client's heads: a proxy that is trusted may set the scheme."""
        policy = HeaderPolicy()
        policy.cfg, policy.peer_addr = self.config, client
        trusted = policy._peer_is_trusted_proxy()  # noqa: SLF001 - the one place of this rule
        return self._trusted_fields if trusted else self._fields

    def environ(
        self, sock: gevent_socket.socket, client: tuple[str, int], server: tuple[str, int]
    ) -> WSGIEnvironment:
        """Return what is common to the environs of one connection's requests."""
        return {
            **self._environ,
            "gunicorn.socket": sock,
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
        }


class HeadReader:
    """Recognises the heads of one connection.

    Args:
        settings: The worker's.
        sock: The connection.
        client: The client's address.
        server: The listener's.
    """

    def __init__(
        self,
        settings: Settings,
        sock: gevent_socket.socket,
        client: tuple[str, int],
        server: tuple[str, int],
    ) -> None:
        self._settings = settings
        self._client = client
        self._fields = settings.fields(client)
        self._environ = settings.environ(sock, client, server)

    def read(self, data: bytes, unreader: Unreader) -> tuple[CommonRequest, WSGIEnvironment] | None:
        """Return the request that data begin with, and its environ; or None.

        What follows its head goes back to the unreader, but for a body that is there as a whole.
        """
        end = data.find(_END)
        settings = self._settings
        if not 0 < end <= settings.longest:
            return None
        head = _HEAD.fullmatch(data[: end + 2].decode("latin-1"))
        if head is None:
            return None
        method, target, lines = head.groups()
        path, _, query = target.partition("?")
        environ = self._environ.copy()
        environ["REQUEST_METHOD"] = method
        environ["RAW_URI"] = target
        environ["QUERY_STRING"] = query
        environ["PATH_INFO"] = unquote_to_wsgi_str(path) if "%" in path else path
        headers = []
        fields = self._fields
        for line in lines[:-2].split("\r\n") if lines else ():  # splitlines knows other ends too
            sent, _, value = line.partition(":")
            field = fields[sent]
            if field is None or field.key in environ:
                return None
            environ[field.key] = value = value.strip(" \t")
            headers.append((field.name, value))
        length = environ.get("CONTENT_LENGTH", "0")
        closes = _CLOSES.get(environ.get("HTTP_CONNECTION"))
        if closes is None or not _LENGTH.fullmatch(length) or len(headers) > settings.most_fields:
            return None
        begin = end + len(_END)
        stop = begin + int(length)
        if stop <= len(data):
            environ["wsgi.input"] = BytesIO(data[begin:stop])
            if stop < len(data):
                unreader.unread(data[stop:])
        else:
            unreader.unread(data[begin:])
            environ["wsgi.input"] = Body(LengthReader(unreader, int(length)))
        return CommonRequest(environ, path, headers, self._client, closes=closes), environ
