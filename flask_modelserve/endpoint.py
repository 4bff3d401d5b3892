"""Endpoint: one spec bound to one app, and the way of one request through it.

body -> content.read -> schema.decode -> caching.lookup -> call
     -> schema.check -> content.write -> caching.store -> metrics.observe -> response
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from flask import request as current_request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wrappers import Response as BaseResponse

from .content import (
    JSON,
    PROTOBUF_TYPES,
    Accept,
    dumps_of,
    loads_of,
    read_body,
    read_format,
)
from .errors import InvalidRequest
from .execution import caller_of, runner_of
from .failures import Failures, outcome_of
from .response import answer_class
from .streaming import STREAM_TYPES, Streamer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask, Request, Response

    from .caching import AnswerCache
    from .metrics import EndpointMetrics
    from .rows import Rows
    from .schema import Arguments
    from .spec import EndpointSpec

    Headers = Sequence[tuple[str, str]]
    Read = Callable[[bytes], tuple[Arguments, Any]]


_STATUSES = range(100, 600)
# The request itself: each look through its proxy costs as much as a call.
_current_request: Callable[[], Request] = current_request._get_current_object  # type: ignore[attr-defined]  # noqa: SLF001 - flask types it as what it stands for


class Endpoint:
    """The view function of one endpoint; all that a request needs is an attribute of it."""

    def __init__(
        self,
        spec: EndpointSpec,
        app: Flask,
        *,
        metrics: EndpointMetrics,
        cache: AnswerCache | None,
    ) -> None:
        self._spec = spec
        self._app = app
        self._config = app.config
        self._in_flight = metrics.in_flight
        self._cache = cache
        self._request, self._parameters = spec.compile_request(loads_of(app))
        self._response = spec.compile_response(dumps_of(app))
        self._response_class = answer_class(app.response_class)
        self._failures = Failures(app, spec.endpoint, self._response_class)
        self._accept = Accept(self._offers())
        self._headers = self._constant_headers()
        call = caller_of(app, spec.handler)
        self._runner = runner_of(spec, app, call, self._parameters, metrics)
        self._streamer = Streamer(self._response, self._failures, metrics) if spec.streams else None

    @property
    def spec(self) -> EndpointSpec:
        """What was declared."""
        return self._spec

    def answer(self, **url: Any) -> Response:
        """Answer one request; ``url`` holds the URL's arguments."""
        in_flight = self._in_flight
        outcome: str | None = "error"
        in_flight.inc()
        try:
            response, outcome = self._respond(_current_request(), url)
        except Exception as error:
            response, outcome = self._failures.respond(error)
        finally:
            if outcome is not None:  # a stream counts when it ends
                in_flight.finish(outcome)
        return response

    def _respond(self, request: Request, url: dict[str, Any]) -> tuple[Response, str | None]:
        arrived = perf_counter()
        media_type = self._accept.choose(request.environ.get("HTTP_ACCEPT", ""))
        read, raw = self._take(request)
        if self._cache is not None:
            return self._respond_cached(self._cache, request, url, media_type, read, raw, arrived)
        arguments, _ = self._decode(read, raw, url)
        if self._streamer is not None:
            generator = self._runner.run(arguments, arrived)
            return self._streamer.start(generator, media_type, self._headers), None
        response, _ = self._answer(arguments, media_type, arrived)
        return response, outcome_of(response.status_code)

    def _respond_cached(  # noqa: PLR0917 - each is a stage's result
        self,
        cache: AnswerCache,
        request: Request,
        url: dict[str, Any],
        media_type: str,
        read: Read,
        raw: bytes,
        arrived: float,
    ) -> tuple[Response, str]:
        """Answer with what is kept, or with what another request is being answered, or keep it."""
        context = cache.context(request, media_type, url)
        seen, key = cache.known_key(context, read.__name__, raw)
        decoded = None
        if key is None:
            decoded = self._decode(read, raw, url)
            key = cache.key(context, seen, self._request.canonical(decoded[1]))
        landed = cache.landed
        hit = cache.lookup(request, key)
        if hit is None and cache.may_share(request):
            flight, hit = cache.board(request, key, landed)
        else:
            flight = None
        if hit is not None:
            return self._make(hit.body, media_type, cache.hit_headers(hit)), "hit"
        if flight is not None and not flight.leads():
            shared = flight.wait(self._spec.timeout, arrived)
            if shared is not None:
                return self._make(shared, media_type, cache.shared_headers()), "coalesced"
            flight = None  # the leader failed: everyone asks on his own account
        body = None
        try:
            arguments, _ = decoded or self._decode(read, raw, url)
            response, body = self._answer(arguments, media_type, arrived)
            stored = body is not None and cache.keep(request, key, body)
        finally:
            if flight is not None:
                cache.land(key, flight, body)
        response.headers.extend(cache.miss_headers(request, stored=stored))
        return response, outcome_of(response.status_code)

    def _take(self, request: Request) -> tuple[Read, bytes]:
        """Take a request's input as it came, and how to read it.

        It is the query string where HTTP gives no meaning to a body, else the body.
        """
        environ = request.environ
        if request.method in {"GET", "HEAD"}:
            return self._read_query, environ.get("QUERY_STRING", "").encode("latin-1")
        body_format = read_format(environ.get("CONTENT_TYPE", ""))
        if body_format is JSON:
            return self._request.read_json, read_body(request, self._config)
        if not self._request.binary:
            raise UnsupportedMediaType(f"This endpoint reads {JSON}.")
        return self._request.read_binary, read_body(request, self._config)

    def _read_query(self, raw: bytes) -> tuple[Arguments, Any]:
        pairs = parse_qsl(raw.decode(errors="replace"), keep_blank_values=True, errors="replace")
        return self._request.read_query(MultiDict(pairs))

    def _decode(self, read: Read, raw: bytes, url: dict[str, Any]) -> tuple[Arguments, Any]:
        arguments, state = read(raw)
        if url:
            merge(arguments, url)
        self._parameters.refuse_missing(arguments)
        return arguments, state

    def _answer(
        self, arguments: Arguments, media_type: str, arrived: float
    ) -> tuple[Response, bytes | None]:
        """Call the function, and write what it returns.

        Returns:
            The response, and the body where it may be cached: not that of a ``Response`` that
            the function made, nor one with a status of its own.
        """
        answer = self._runner.run(arguments, arrived)
        if isinstance(answer, BaseResponse):
            return self._app.make_response(answer), None
        status: int | None = None
        headers: Headers = ()
        if type(answer) is tuple:
            answer, status, headers = split(answer)
        if media_type is JSON:
            body = self._response.write_json(answer)
        else:
            body = self._response.write_binary(answer)
        response = self._make(body, media_type, headers)
        if status is None:
            return response, body
        response.status_code = status
        return response, None

    def rows(self) -> Rows:
        """Return the way of inputs that no request brings."""
        from .rows import Rows

        return Rows(
            self._app,
            self._spec,
            schema=self._request,
            parameters=self._parameters,
            runner=self._runner,
            response=self._response,
            failures=self._failures,
        )

    def _make(self, body: bytes, media_type: str, headers: Headers = ()) -> Response:
        response = self._response_class([body], content_type=media_type)
        if self._headers or headers:
            response.headers.extend((*self._headers, *headers))
        return response

    def _offers(self) -> tuple[str, ...]:
        """Return the media types that the endpoint can answer with, the preferred one first."""
        if self._spec.streams:
            return STREAM_TYPES
        return (JSON, *PROTOBUF_TYPES) if self._response.binary else (JSON,)

    def _constant_headers(self) -> list[tuple[str, str]]:
        """Return the headers of every answer."""
        headers = []
        if len(self._accept.offers) > 1 and not {"GET", "HEAD"}.isdisjoint(self._spec.methods):
            headers.append(("Vary", "Accept"))  # no cache on the way keeps what POST answers
        if self._spec.version is not None:
            headers.append(("X-Model-Version", self._spec.version))
        return headers


def merge(arguments: Arguments, url: dict[str, Any]) -> None:
    """Add the URL's arguments; the body may repeat one, but not contradict it."""
    errors = [
        {"field": name, "message": "differs from the URL's"}
        for name in url.keys() & arguments.keys()
        if arguments[name] != url[name]
    ]
    if errors:
        raise InvalidRequest("The body contradicts the URL.", errors=errors)  # type: ignore[arg-type]  # dicts of the TypedDict's shape
    arguments.update(url)


def split(answer: tuple[Any, ...]) -> tuple[Any, int | None, Headers]:
    """Take ``(body, status)`` and ``(body, status, headers)`` apart, as Flask's views return them.

    Only behind a dict: any other tuple is an array.
    """
    match answer:
        case (dict() as body, int() as status, *rest) if status in _STATUSES and len(rest) < 2:  # noqa: PLR2004 - one, the headers
            headers = tuple(dict(rest[0]).items()) if rest else ()
            return body, int(status), headers
    return answer, None, ()
