"""Spans of OpenTelemetry for the queue, the batch and the function, within the request's own.

A request without a span that records, as when nothing instruments the app, makes none.
"""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Status, StatusCode, get_current_span
from werkzeug.exceptions import HTTPException

from .admission import Admission
from .batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from opentelemetry.trace import Span

    from .vectorised import Item

_QUEUE = "modelserve.queue"
_BATCH = "modelserve.batch"
_PREDICT = "modelserve.predict"


class Traces:
    """The spans of one endpoint."""

    def __init__(self, endpoint: str) -> None:
        # Until the app has set up a provider this stands for the tracer that will be.
        self._tracer = trace.get_tracer("flask_modelserve")
        self._attributes = {"modelserve.endpoint": endpoint}

    def of_call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with a span for each of its calls."""

        def traced(**arguments: Any) -> Any:
            if not get_current_span().is_recording():
                return function(**arguments)
            with self.span(_PREDICT):
                return function(**arguments)

        return traced

    def of_stream(self, function: Callable[..., Iterator[Any]]) -> Callable[..., Generator[Any]]:
        """Return a generator function with a span for each generator, until that is closed."""

        def traced(**arguments: Any) -> Generator[Any]:
            # It is not the current span: what is sent between two items is not part of it.
            span = self.start(_PREDICT)
            try:
                yield from function(**arguments)
            except Exception as error:
                blame(span, error)
                raise
            finally:
                span.end()

        return traced

    def admission(self, max_concurrency: int, max_queue: int) -> Admission:
        """Return what ``Admission`` makes, but traced."""
        return TracedAdmission(self, max_concurrency, max_queue)

    def batcher(self, *arguments: Any, **options: Any) -> Batcher:
        """Return what ``Batcher`` makes, but traced."""
        return TracedBatcher(self, *arguments, **options)

    def start(self, name: str) -> Span:
        """Start a span in the current one."""
        return self._tracer.start_span(name, attributes=self._attributes)

    @contextmanager
    def span(self, name: str, **options: Any) -> Generator[Span]:
        """Have a span be the current one in this block."""
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False, **options
        ) as span:
            span.set_attributes(self._attributes)
            try:
                yield span
            except Exception as error:
                blame(span, error)
                raise


class TracedAdmission(Admission):
    """Admission, with a span for the time that a request waits for its place."""

    def __init__(self, traces: Traces, max_concurrency: int, max_queue: int) -> None:
        super().__init__(max_concurrency, max_queue)
        self._traces = traces

    def enter(self, timeout: float | None, arrived: float) -> None:
        if not get_current_span().is_recording():
            super().enter(timeout, arrived)
            return
        with self._traces.span(_QUEUE):
            super().enter(timeout, arrived)


class TracedBatcher(Batcher):
    """Batcher, with a span for the time that a request waits, and one for its batch.

    A span has one parent: the batch is a child of its oldest request's span, and linked with those
    of all its requests.
    """

    def __init__(self, traces: Traces, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._traces = traces

    def _await(self, item: Item) -> Any:
        if not get_current_span().is_recording():
            return super()._await(item)
        span = self._traces.start(_QUEUE)
        epoch = time_ns() - perf_counter_ns()
        try:
            return super()._await(item)
        except Exception as error:
            if not item.begun:
                blame(span, error)
            raise
        finally:
            if item.batch_span is not None:
                span.add_link(item.batch_span.get_span_context())
            span.end(epoch + int(item.begun * 1e9) if item.begun else None)

    def _run_batch(self, items: list[Item]) -> None:
        spans = [item.context.run(get_current_span) for item in items]
        recording = [span for span in spans if span.is_recording()]
        if not recording:
            super()._run_batch(items)
            return
        with self._traces.span(
            _BATCH,
            context=trace.set_span_in_context(recording[0], Context()),
            links=[Link(span.get_span_context()) for span in recording],
        ) as batch:
            batch.set_attribute("modelserve.batch.size", len(items))
            for item in items:
                item.batch_span = batch
            super()._run_batch(items)


def blame(span: Span, error: Exception) -> None:
    """Mark a span as failed, unless the error is the client's."""
    if isinstance(error, HTTPException) and (error.code or 0) < 500:  # noqa: PLR2004 - HTTP's
        return
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
