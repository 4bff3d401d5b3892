"""Responses: the class of answers, and what functions return in its place.

The class is werkzeug's, without what a finished body of bytes can't need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response
from werkzeug.datastructures import Headers

from .request_id import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_OK = ("200 OK", 200)
_REWRITTEN = {"location", "content-location"}
_STATUSES = range(100, 600)


class Answer(Response):
    """A response that is sent as it stands, as long as it is 200 with one body of bytes.

    werkzeug copies the headers and wraps the body in two iterators at each send, which costs as
    much as decoding the request. Whatever a hook of the app changes, the body included, is sent;
    all that needs more than this falls back on werkzeug.
    """

    _must_close = False

    @classmethod
    def of(cls, body: bytes, headers: Iterable[tuple[str, str]]) -> Answer:
        """Make a 200 out of headers that are known to be valid.

        It is what the constructor makes, without looking each of them over again.
        """
        answer = cls.__new__(cls)
        answer._become(body, headers)  # noqa: SLF001 - its own
        return answer

    def _become(self, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
        self.headers = Headers()
        add_known(self.headers, headers)
        self._status, self._status_code = _OK
        self.direct_passthrough = False
        self._on_close = []
        self.response = [body]

    def call_on_close(self, func: Callable[[], Any]) -> Callable[[], Any]:
        self._must_close = True
        return super().call_on_close(func)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = self._whole_body()
        if body is None or self._must_close or environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        headers = self.headers.to_wsgi_list()
        has_length = False
        for name, _ in headers:
            lower = name.lower()
            if lower in _REWRITTEN:
                return super().__call__(environ, start_response)
            has_length = has_length or lower == "content-length"
        if not has_length:
            headers.append(("Content-Length", str(len(body))))
        start_response(self.status, headers)
        return (body,)

    def _whole_body(self) -> bytes | None:
        """Return the body where it is one piece of bytes of a plain 200, else None."""
        parts = self.response
        if type(parts) is list and len(parts) == 1 and self.status_code == 200:  # noqa: PLR2004
            body = parts[0]
            if type(body) is bytes:
                return body
        return None


def add_known(headers: Headers, known: Iterable[tuple[str, str]]) -> None:
    """Add headers that are known to be valid; ``add`` looks each over, which costs five times."""
    headers._list.extend(known)  # noqa: SLF001 - there is no other way in


def unidentified(response: Response) -> Response:
    """Take the request id off a response that the user made: it may be sent again and again."""
    response.headers.remove(HEADER)
    return response


def split(answer: tuple[Any, ...]) -> tuple[Any, int | None, Sequence[tuple[str, str]]]:
    """Take ``(body, status)`` and ``(body, status, headers)`` apart, as Flask's views return them.

    Only behind a dict: any other tuple is an array.
    """
    match answer:
        case (dict() as body, int() as status, *rest) if status in _STATUSES and len(rest) < 2:  # noqa: PLR2004 - one, the headers
            headers = tuple(dict(rest[0]).items()) if rest else ()
            return body, int(status), headers
    return answer, None, ()


def answer_class(base: type[Response]) -> type[Response]:
    """Return the class of an app's answers: ``Answer``, unless the app has a class of its own."""
    return Answer if base is Response else base
