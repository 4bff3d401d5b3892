"""Endpoint: one spec bound to one app, and the way of one request through it.

body -> content.read -> schema.decode -> caching.lookup -> admission -> call
     -> schema.check -> content.write -> caching.store -> metrics.observe -> response
"""

from __future__ import annotations

from copy import copy
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
    read_format,
)
from .errors import InvalidRequest
from .example import Example
from .execution import Inline, Instance, caller_of, runner_of
from .failures import Failures, outcome_of
from .parameters import innermost, merge
from .request_id import HEADER, request_id_of
from .response import Answer, add_known, answer_class, split, unidentified
from .rows import Rows
from .streaming import STREAM_TYPES, Streamer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask, Request, Response
    from werkzeug.routing import Rule

    from .body import BodyReader
    from .caching import AnswerCache
    from .metrics import EndpointMetrics
    from .schema import Arguments
    from .spec import EndpointSpec
    from .traces import Traces

    Headers = Sequence[tuple[str, str]]
    Read = Callable[[bytes], tuple[Arguments, Any]]


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
        body: BodyReader,
        traces: Traces | None,
    ) -> None:
        self._spec = spec
        self._app = app
        self._read_body = body.read
        self._in_flight = metrics.in_flight
        self._cache = cache
        self._request, self._parameters = spec.compile_request(loads_of(app))
        self._response = spec.compile_response(dumps_of(app))
        self._response_class = answer_class(app.response_class)
        self._failures = Failures(app, spec.endpoint, self._response_class)
        self._accept = Accept(self._offers())
        self._headers = self._constant_headers()
        self._known_headers = {
            offer: [("Content-Type", offer), *self._headers] for offer in self._accept.offers
        }
        self._metrics = metrics
        self._call = caller_of(app, spec.handler)
        self._runner = runner_of(spec, app, self._call, self._parameters, metrics, traces=traces)
        self._example: Example | None = None
        self._streamer = Streamer(self._response, self._failures, metrics) if spec.streams else None

    @property
    def spec(self) -> EndpointSpec:
        """What the user declared."""
        return self._spec

    def answer(self, **url: Any) -> Response:
        """Answer one request; ``url`` holds the URL's arguments."""
        in_flight = self._in_flight
        outcome: str | None = "error"
        request = _current_request()
        in_flight.inc()
        try:
            response, outcome = self._respond(request, url)
        except Exception as error:
            response, outcome = self._failures.respond(error)
        finally:
            if outcome is not None:  # a stream counts when it ends
                in_flight.finish(outcome)
        add_known(response.headers, ((HEADER, request_id_of(request.environ)),))
        return response

    def take_example(self, rule: Rule) -> None:
        """Make a request of the declared example, as the app routes it, and check it.

        Raises:
            ValueError: For an example that the endpoint would refuse.
        """
        declared = self._spec.example
        example = Example.of(self._spec, rule, dumps_of(self._app))
        read = self._read_query if example.method == "GET" else self._request.read_json
        try:
            self._decode(read, example.raw, example.url)
        except InvalidRequest as error:
            faults = "; ".join(f"{e['field']} {e['message']}" for e in error.errors)
            raise ValueError(
                f"example={declared!r} is refused by the endpoint itself: "
                f"{error.description} {faults}"
            ) from None
        self._example = example

    @property
    def needs_warm_up(self) -> bool:
        """Whether there is a class to load, or an example to answer."""
        return self._example is not None or isinstance(self._call, Instance)

    def load(self) -> None:
        """Make the instance of a class, unless that has been done; it may raise anything."""
        if isinstance(self._call, Instance):
            self._call.load()

    def answer_example(self) -> None:
        """Answer the example: uncached, uncounted, and without the app's hooks.

        Raises:
            Exception: What the function raises, or RuntimeError for an answer that is no success.
        """
        example = self._example
        if example is None:
            return
        failure = None
        with example.request_context(self._app):
            try:
                self._rehearse(_current_request(), example)
            except Exception as error:  # the app's teardown functions have no part in it
                failure = error
        if failure is not None:
            raise failure

    def _rehearse(self, request: Request, example: Example) -> None:
        if request.url_rule is not example.rule:
            raise RuntimeError(f"{example.path} leads to {request.url_rule!r}")
        url: dict[str, Any] = request.view_args or {}
        for name in (None, *reversed(request.blueprints)):
            for preprocess in self._app.url_value_preprocessors.get(name, ()):
                preprocess(request.endpoint, url)
        try:
            self._succeed(request, url)
        except Exception as refusal:
            if not self._spec.is_decorated or self._spec.batch is not None:
                raise
            # A decorator may want to know who is asking: the function beneath it does not.
            beneath = copy(self)
            call = self._app.ensure_sync(innermost(self._spec.handler))
            beneath._runner = Inline(call, self._metrics)  # noqa: SLF001 - its own class's
            try:
                beneath._succeed(request, url)  # noqa: SLF001
            except Exception:
                raise refusal from None

    def _succeed(self, request: Request, url: dict[str, Any]) -> None:
        arrived = perf_counter()
        arguments, _ = self._decode(*self._take(request), url)
        if self._streamer is not None:
            self._streamer.try_first(self._runner.run(arguments, arrived))
            return
        response, _ = self._answer(arguments, JSON, arrived)
        response.close()
        if outcome_of(response.status_code) != "ok" or response.location is not None:
            raise RuntimeError(f"the example is answered with {response.status}")

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
            return self._request.read_json, self._read_body(request)
        if not self._request.binary:
            raise UnsupportedMediaType(f"This endpoint reads {JSON}.")
        return self._request.read_binary, self._read_body(request)

    def _read_query(self, raw: bytes) -> tuple[Arguments, Any]:
        pairs = parse_qsl(raw.decode(errors="replace"), keep_blank_values=True, errors="replace")
        return self._request.read_query(MultiDict(pairs))

    def _decode(self, read: Read, raw: bytes, url: dict[str, Any]) -> tuple[Arguments, Any]:
        try:
            arguments, state = read(raw)
        except InvalidRequest:
            if raw or not self._is_all_in(url):
                raise
            arguments, state = read(b"{}")
        if url:
            merge(arguments, url)
        self._parameters.refuse_missing(arguments)
        return arguments, state

    def _is_all_in(self, url: dict[str, Any]) -> bool:
        """Tell whether a URL has all that the endpoint takes, so that a body may be left out."""
        return self._spec.schema is None and self._parameters.names.keys() <= url.keys()

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
            return unidentified(self._app.make_response(answer)), None
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
        response: Response
        if self._response_class is Answer:
            response = Answer.of(body, self._known_headers[media_type])
        else:
            response = self._response_class([body], headers=self._headers, content_type=media_type)
        for name, value in headers:
            response.headers.add(name, value)
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
