"""The id of a request: taken over from the client or made, and known wherever work is done for it.

It is kept in the WSGI environment, so that everything that sees the request sees one id.
"""

from __future__ import annotations

import random
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flask import current_app, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .threads import after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from contextvars import Context

    Headers = list[tuple[str, str]]

HEADER = "X-Request-ID"
ENVIRON_KEY = "modelserve.request_id"
MAX_LENGTH = 128
_LOWER = HEADER.lower()

# Visible ASCII: nothing that could end a header or a line of a log.
_is_valid = re.compile(rf"[!-~]{{1,{MAX_LENGTH}}}").fullmatch

# The requests that a batch works for, each as the context that it came in.
_gathered: ContextVar[Sequence[Context]] = ContextVar("modelserve_gathered")


class _Source:
    """Random bits for ids, which so say nothing of how many requests came before.

    The generator is our own, since users seed the module's, alike in all processes.
    """

    def __init__(self) -> None:
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self.bits: Callable[[int], int] = random.Random().getrandbits  # noqa: S311 - no secret


_source = _Source()


def request_id_of(environ: dict[str, Any]) -> str:
    """Return the id of a request: the one that its client sent, if valid, or else a new one."""
    known: str | None = environ.get(ENVIRON_KEY)
    if known is not None:
        return known
    made: str | None = environ.get("HTTP_X_REQUEST_ID")
    if made is None or not _is_valid(made):
        made = _source.bits(128).to_bytes(16).hex()
    environ[ENVIRON_KEY] = made
    return made


def identified(headers: Headers, environ: dict[str, Any], endpoints: Container[str]) -> Headers:
    """Return the headers of the current request's answer, with its id if it is at our rules."""
    if any(name.lower() == _LOWER for name, _ in headers) or not _is_at(endpoints):
        return headers
    return [*headers, (HEADER, request_id_of(environ))]


def _is_at(endpoints: Container[str]) -> bool:
    """Tell whether the current request's URL is one of these endpoints', if not its method."""
    if not has_request_context():  # a middleware answers without Flask
        return False
    if request.endpoint is not None:
        return request.endpoint in endpoints
    refusal = request.routing_exception
    if not isinstance(refusal, MethodNotAllowed):
        return False
    return any(_endpoint_by(method) in endpoints for method in refusal.valid_methods or ())


def _endpoint_by(method: str) -> str:
    """Return the endpoint that the current request would reach by another method, if any."""
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None  # there is a request
    try:
        endpoint: str = adapter.match(method=method)[0]
    except HTTPException:  # such as a redirect
        return ""
    return endpoint


def current_request() -> tuple[str | None, str | None]:
    """Return the id and the endpoint of the request that is being worked for, if there is one.

    A batch works for several: their ids stand in one text, with spaces between them.
    """
    gathered = _gathered.get(None)
    if gathered:
        # Copies: a function may have threads of its own that ask at the same time.
        found = [context.copy().run(_current) for context in gathered]
        return " ".join(known for known, _ in found if known), found[0][1]
    return _current()


def _current() -> tuple[str | None, str | None]:
    if not has_request_context():
        return None, None
    return request_id_of(request.environ), request.endpoint


class working_for:  # noqa: N801 - used like the functions of contextlib, at a third of their cost
    """Have what is logged in this block name the requests that came in these contexts."""

    def __init__(self, contexts: Sequence[Context]) -> None:
        self._contexts = contexts

    def __enter__(self) -> None:
        self._token = _gathered.set(self._contexts)

    def __exit__(self, *_: object) -> None:
        _gathered.reset(self._token)
