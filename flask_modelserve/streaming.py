"""Answers in pieces: what a generator yields, as lines of JSON or as server-sent events."""

from __future__ import annotations

from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Response, stream_with_context

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from .failures import Failures
    from .metrics import EndpointMetrics
    from .schema import ResponseSchema

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
STREAM_TYPES = (NDJSON, EVENTS, "application/jsonl")
_END = object()


class Streamer:
    """Sends what a generator yields, item by item, each checked like any answer.

    The first item is made before the response begins: an error up to then has its own status. A
    later one is the last item, as a problem document; as an event it is named ``error``.
    """

    def __init__(
        self, schema: ResponseSchema, failures: Failures, metrics: EndpointMetrics
    ) -> None:
        self._schema = schema
        self._failures = failures
        self._metrics = metrics

    def start(
        self, generator: Generator[Any], media_type: str, headers: Iterable[tuple[str, str]]
    ) -> Response:
        """Make the first item, and a response that sends it and all others."""
        begun = perf_counter()
        try:
            first = self._next(generator)
        except BaseException:
            generator.close()
            self._metrics.predict.observe(perf_counter() - begun)
            raise
        pieces = self._pieces(generator, first, media_type, begun)
        next(pieces)  # it has begun: closed before its first item, it still cleans up
        response = Response(stream_with_context(pieces), content_type=media_type)
        response.call_on_close(pieces.close)  # flask does not, where nothing of it was sent
        # Caches and proxies on the way would hold items back.
        unbuffered = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))
        response.headers.extend((*unbuffered, *headers))
        return response

    def try_first(self, generator: Generator[Any]) -> None:
        """Make the first item alone: a stream may be endless."""
        with closing(generator):
            self._next(generator)

    def _next(self, generator: Iterator[Any]) -> Any:
        item = next(generator, _END)
        return item if item is _END else self._schema.write_json(item)

    def _pieces(
        self, generator: Generator[Any], first: Any, media_type: str, begun: float
    ) -> Generator[bytes]:
        frame = _event if media_type == EVENTS else _line
        outcome = "ok"
        try:
            yield b""
            item = first
            while item is not _END:
                yield frame(item)
                item = self._next(generator)
        except Exception as error:  # the status has been sent: the client learns it in the stream
            document, outcome = self._failures.report(error)
            yield _error_event(document) if media_type == EVENTS else _line(document)
        finally:  # also when the client leaves
            generator.close()
            self._metrics.predict.observe(perf_counter() - begun)
            self._metrics.in_flight.finish(outcome)


def _line(item: bytes) -> bytes:
    return item + b"\n"


def _event(item: bytes) -> bytes:
    return b"data: " + item + b"\n\n"


def _error_event(document: bytes) -> bytes:
    return b"event: error\n" + _event(document)
