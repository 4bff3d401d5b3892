"""How a function is called: at once, as places are free, or on a thread that can be left behind.

Threads start with the first request that needs them, so never before a fork.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from .admission import Admission, seconds_left
from .batching import Batcher
from .errors import DeadlineExceeded
from .threads import (
    Handover,
    Threads,
    after_fork,
    native_lock,
    runs_greenlets,
    start_thread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask

    from .metrics import EndpointMetrics
    from .parameters import Parameters
    from .schema import Arguments
    from .spec import EndpointSpec
    from .traces import Traces

# What holds where an endpoint gives no figures of its own; README documents both.
_CONCURRENCY = 32
_QUEUE = 128


class Runner(Protocol):
    """Calls an endpoint's function for one request.

    Raises:
        Overloaded: 503, when too many calls run and wait already.
        DeadlineExceeded: 504, when the endpoint's time-out has passed.
        Exception: Whatever the function raises.
    """

    def run(self, arguments: Arguments, arrived: float) -> Any: ...

    def run_rows(self, rows: Sequence[Arguments]) -> list[Any]:
        """Call the function for rows that nobody waits for: neither queues nor time-outs apply.

        Returns:
            What it returns for each row, or the exception that it raises.
        """
        ...


class _RowByRow:
    """Calls the function for one row after the other."""

    _call: Callable[..., Any]

    def run_rows(self, rows: Sequence[Arguments]) -> list[Any]:
        return [self._run_row(arguments) for arguments in rows]

    def _run_row(self, arguments: Arguments) -> Any:
        try:
            return self._call(**arguments)
        except Exception as error:
            return error


class Inline(_RowByRow):
    """Calls the function at once, on the thread of the request."""

    def __init__(self, call: Callable[..., Any], metrics: EndpointMetrics) -> None:
        self._call = call
        self._predict = metrics.predict

    def run(self, arguments: Arguments, arrived: float) -> Any:  # noqa: ARG002 - the protocol's
        begun = perf_counter()
        try:
            return self._call(**arguments)
        finally:
            self._predict.observe(perf_counter() - begun)


class Admitted(_RowByRow):
    """Calls the function on the thread of the request, once a place is free.

    Not where that is a greenlet: all of them share one thread, so that calls would run one after
    the other, whatever the number of places, and stop all else meanwhile.
    """

    def __init__(
        self, call: Callable[..., Any], metrics: EndpointMetrics, admission: Admission
    ) -> None:
        self._call = call
        self._metrics = metrics
        self._admission = admission
        self._apart = Apart(call, metrics, admission, None)

    def run(self, arguments: Arguments, arrived: float) -> Any:
        if runs_greenlets():
            return self._apart.run(arguments, arrived)
        self._admission.enter(None, arrived)
        begun = perf_counter()
        self._metrics.queue.observe(begun - arrived)
        try:
            return self._call(**arguments)
        finally:
            seconds = perf_counter() - begun
            self._admission.leave(seconds)
            self._metrics.predict.observe(seconds)


class Apart(_RowByRow):
    """Calls the function on a thread of its own, which the request leaves behind when it hangs.

    A call that hangs keeps its place: a model that hangs for all costs ``max_concurrency`` threads,
    and the requests that follow are refused.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        metrics: EndpointMetrics,
        admission: Admission,
        timeout: float | None,
    ) -> None:
        self._call = call
        self._metrics = metrics
        self._admission = admission
        self._timeout = timeout
        self._threads = Threads()

    def run(self, arguments: Arguments, arrived: float) -> Any:
        self._admission.enter(self._timeout, arrived)
        job = _Job(self._metrics)
        self._metrics.queue.observe(job.begun - arrived)
        # The function may use flask.request and its like, though it runs elsewhere.
        context = contextvars.copy_context()
        try:
            self._threads.submit(lambda: self._work(job, context, arguments))
        except RuntimeError:  # the system has no more threads
            self._admission.leave()
            raise
        if not job.wait(seconds_left(self._timeout, arrived)) and job.abandon():
            assert self._timeout is not None
            raise DeadlineExceeded(self._timeout, started=True)
        return job.result()

    def _work(self, job: _Job, context: contextvars.Context, arguments: Arguments) -> None:
        """Call the function, and account for it before its answer is seen; never raises."""
        answer = error = None
        try:
            answer = context.run(self._call, **arguments)
        except BaseException as raised:
            error = raised
        seconds = perf_counter() - job.begun
        self._admission.leave(seconds)
        job.tell(self._metrics.predict.observe, seconds)
        job.end(answer, error)
        del error  # its traceback leads here


class _Job(Handover):
    """One call that a request may leave behind."""

    __slots__ = ("_in_flight", "_is_abandoned", "_lock", "begun")

    def __init__(self, metrics: EndpointMetrics) -> None:
        super().__init__()
        self._in_flight = metrics.in_flight
        self._is_abandoned = False
        self._lock = native_lock()
        self.begun = perf_counter()

    def end(self, answer: Any, error: BaseException | None) -> None:
        """Hand over what came of the call."""
        with self._lock:
            self.settle(answer, error)
            if self._is_abandoned:
                self.tell(self._in_flight.dec)

    def abandon(self) -> bool:
        """Leave the call behind, and tell whether that was in time: it may just have ended.

        It stays in flight for the metrics until it ends: that is how a hanging model shows.
        """
        with self._lock:
            if not self.is_settled:
                self._is_abandoned = True
                self._in_flight.inc()
            return self._is_abandoned


class Instance:
    """Calls an instance of a class, made by the warm-up or the first request of the process."""

    def __init__(self, app: Flask, kind: type) -> None:
        self._app = app
        self._kind = kind
        self.is_on_native_threads = False
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._call: Callable[..., Any] | None = None
        self._locks: dict[None, Any] = {}

    def __call__(self, **arguments: Any) -> Any:
        call = self._call or self._make()
        return call(**arguments)

    def load(self) -> None:
        """Make the instance now, on a thread of the kind that calls it."""
        if self._call is not None:
            return
        if self.is_on_native_threads:
            made = Handover()
            start_thread(lambda: self._make_for(made), "modelserve-load")
            while not made.wait(1.0):  # a greenlet that waits for ever, and alone, is an error
                pass
            made.result()
        else:
            with self._app.app_context():
                self._make()

    def _make_for(self, made: Handover) -> None:
        try:
            with self._app.app_context():
                self._make()
        except BaseException as error:  # that of a model that ends its thread, too
            made.settle(error=error)
        else:
            made.settle()

    def _make(self) -> Callable[..., Any]:
        # A lock that was made before gevent patches threads would stop all greenlets: it is made
        # now, and setdefault has all first requests take the same.
        lock = native_lock() if self.is_on_native_threads else threading.Lock()
        with self._locks.setdefault(None, lock):
            if self._call is None:
                self._call = self._app.ensure_sync(self._kind().__call__)
            return self._call


def runner_of(
    spec: EndpointSpec,
    app: Flask,
    call: Callable[..., Any],
    parameters: Parameters,
    metrics: EndpointMetrics,
    *,
    traces: Traces | None,
) -> Runner:
    """Return what calls an endpoint's function, as its options say."""
    is_inline = not (spec.batch or spec.timeout or spec.max_concurrency)
    if isinstance(call, Instance):
        call.is_on_native_threads = not is_inline
    if traces is not None:
        call = traces.of_stream(call) if spec.streams else traces.of_call(call)
    if is_inline:
        return Inline(call, metrics)
    if spec.batch is not None:
        make: Callable[..., Runner] = Batcher if traces is None else traces.batcher
        size = spec.batch.max_size
        return make(
            call,
            metrics,
            app,
            batch=spec.batch,
            max_queue=max(_QUEUE, 4 * size) if spec.max_queue is None else spec.max_queue,
            timeout=spec.timeout,
            defaults={name: parameters.defaults.get(name) for name in parameters.names},
        )
    places = spec.max_concurrency or _CONCURRENCY
    admit = Admission if traces is None else traces.admission
    admission = admit(places, _QUEUE if spec.max_queue is None else spec.max_queue)
    if spec.timeout is None:
        return Admitted(call, metrics, admission)
    return Apart(call, metrics, admission, spec.timeout)


def caller_of(app: Flask, handler: Any) -> Callable[..., Any]:
    """Return what calls a handler: a class is made into an instance by its first request."""
    if isinstance(handler, type):
        return Instance(app, handler)
    is_function = inspect.isroutine(handler) or isinstance(handler, functools.partial)
    return app.ensure_sync(handler if is_function else handler.__call__)
