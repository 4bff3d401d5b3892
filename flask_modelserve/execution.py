"""How a function is called: at once, as places are free, or on a thread that can be left behind.

Threads start with the first request that needs them, so never before a fork.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
import os
import queue
import sys
import threading
import weakref
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from .errors import DeadlineExceeded, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from .metrics import EndpointMetrics
    from .parameters import Parameters
    from .schema import Arguments
    from .spec import EndpointSpec

# How much the latest call weighs in the measured service time.
_WEIGHT = 0.2
_MAX_RETRY = 60
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


class Inline:
    """Calls the function at once, on the thread of the request."""

    def __init__(self, call: Callable[..., Any], metrics: EndpointMetrics) -> None:
        self._call = call
        self._predict = metrics.predict

    def run(self, arguments: Arguments, arrived: float) -> Any:
        begun = perf_counter()
        try:
            return self._call(**arguments)
        finally:
            self._predict.observe(perf_counter() - begun)


class ServiceTime:
    """The measured time of a call, in seconds: what Retry-After is computed from."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Learn from one call."""
        known = self._seconds
        self._seconds = seconds if not known else known + _WEIGHT * (seconds - known)

    def retry_after(self, ahead: float) -> int:
        """Return the whole seconds until as many calls, one after the other, will be done."""
        return max(1, min(_MAX_RETRY, math.ceil(self._seconds * ahead)))


class Admission:
    """The places for calls that run at once, and the queue for them, first come, first served."""

    def __init__(self, max_concurrency: int, max_queue: int) -> None:
        self._places = max_concurrency
        self._max_queue = max_queue
        self._service = ServiceTime()
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._free = self._places
        self._lock = threading.Lock()
        self._waiting: deque[Any] = deque()

    def enter(self, timeout: float | None, arrived: float) -> None:
        """Take a place, waiting for one if need be.

        Args:
            timeout: Seconds from ``arrived`` that the request may take, or None.
            arrived: When the request came, by ``perf_counter``.

        Raises:
            Overloaded: 503, when the queue is full.
            DeadlineExceeded: 504, when no place was free in time.
        """
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._waiting) >= self._max_queue:
                ahead = (len(self._waiting) + 1) / self._places
                raise Overloaded(self._service.retry_after(ahead))
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=-1 if timeout is None else _left(timeout, arrived)):
            return
        with self._lock:
            try:
                self._waiting.remove(turn)
            except ValueError:  # the place came in this very moment: hand it on
                self._hand_on()
        assert timeout is not None
        raise DeadlineExceeded(timeout, started=False)

    def leave(self, seconds: float) -> None:
        """Give the place back after a call of so many seconds, to whoever has waited longest."""
        with self._lock:
            self._service.observe(seconds)
            self._hand_on()

    def _hand_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()
        else:
            self._free += 1


class Admitted:
    """Calls the function on the thread of the request, once a place is free."""

    def __init__(
        self, call: Callable[..., Any], metrics: EndpointMetrics, admission: Admission
    ) -> None:
        self._call = call
        self._metrics = metrics
        self._admission = admission

    def run(self, arguments: Arguments, arrived: float) -> Any:
        self._admission.enter(None, arrived)
        begun = perf_counter()
        self._metrics.queue.observe(begun - arrived)
        try:
            return self._call(**arguments)
        finally:
            seconds = perf_counter() - begun
            self._admission.leave(seconds)
            self._metrics.predict.observe(seconds)


class Timed:
    """Calls the function on a thread of its own, which the request leaves behind when it hangs.

    A call that hangs keeps its place: a model that hangs for all costs ``max_concurrency`` threads,
    and the requests that follow are refused.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        metrics: EndpointMetrics,
        admission: Admission,
        timeout: float,
    ) -> None:
        self.call = call
        self.metrics = metrics
        self._admission = admission
        self._timeout = timeout
        self._threads = Threads()

    def run(self, arguments: Arguments, arrived: float) -> Any:
        self._admission.enter(self._timeout, arrived)
        job = _Job(self, arguments)
        self.metrics.queue.observe(job.begun - arrived)
        self._threads.submit(job.work)
        if not job.done.acquire(timeout=_left(self._timeout, arrived)) and job.abandon():
            raise DeadlineExceeded(self._timeout, started=True)
        if job.error is not None:
            raise job.error
        return job.answer

    def finish(self, job: _Job) -> None:
        """Account for a call that has ended, in time or not."""
        seconds = perf_counter() - job.begun
        self._admission.leave(seconds)
        self.metrics.predict.observe(seconds)


class _Job:
    """One call, between the request's thread and the one that it runs on."""

    def __init__(self, runner: Timed, arguments: Arguments) -> None:
        self._runner = runner
        self._arguments = arguments
        # The function may use flask.request and its like, though it runs elsewhere.
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._has_ended = False
        self.begun = perf_counter()
        self.done = threading.Lock()
        self.done.acquire()
        self.answer: Any = None
        self.error: BaseException | None = None

    def work(self) -> None:
        """Call the function; never raises."""
        try:
            self.answer = self._context.run(native(self._runner.call), **self._arguments)
        except BaseException as error:
            self.error = error
        with self._lock:
            self._has_ended = True
            if self._is_abandoned:
                self._runner.metrics.in_flight.dec()
        self._runner.finish(self)
        self.done.release()

    def abandon(self) -> bool:
        """Leave the call behind, and tell whether that was in time: it may just have ended.

        It stays in flight for the metrics until it ends: that is how a hanging model shows.
        """
        with self._lock:
            if self._has_ended:
                return False
            self._is_abandoned = True
            self._runner.metrics.in_flight.inc()
            return True


class Threads:
    """Daemon threads that are made as they are needed, and wait for the next job.

    Unlike those of ``concurrent.futures`` they don't keep the process from ending: one that hangs
    would stall every shutdown.
    """

    def __init__(self) -> None:
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job at once, on an idle thread or a new one."""
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False):
            threading.Thread(target=self._work, name="modelserve-call", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            self._idle.release()


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls a function on a native thread where threads are gevent's greenlets.

    A model that ran in a greenlet would stop all others, health checks included.
    """
    if "gevent" not in sys.modules:
        return function
    from gevent import get_hub, monkey

    if not monkey.is_module_patched("threading"):
        return function
    pool = get_hub().threadpool

    def call(**arguments: Any) -> Any:
        context = contextvars.copy_context()
        return pool.apply(context.run, (function,), arguments)

    return call


def after_fork(reset: Callable[[], None]) -> None:
    """Have a child process start afresh: threads and held locks don't survive a fork."""
    kept = weakref.WeakMethod(reset)  # or no app would ever be freed

    def call() -> None:
        method = kept()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=call)


def _left(timeout: float, arrived: float) -> float:
    return max(0.0, arrived + timeout - perf_counter())


def runner_of(
    spec: EndpointSpec,
    app: Flask,
    call: Callable[..., Any],
    parameters: Parameters,
    metrics: EndpointMetrics,
) -> Runner:
    """Return what calls an endpoint's function, as its options say."""
    if spec.batch is not None:
        from .batching import Batcher

        size = spec.batch.max_size
        return Batcher(
            call,
            metrics,
            app,
            batch=spec.batch,
            max_queue=max(_QUEUE, 4 * size) if spec.max_queue is None else spec.max_queue,
            timeout=spec.timeout,
            defaults={name: parameters.defaults.get(name) for name in parameters.names},
        )
    if spec.max_concurrency is None and spec.timeout is None:
        return Inline(call, metrics)
    places = spec.max_concurrency or _CONCURRENCY
    admission = Admission(places, _QUEUE if spec.max_queue is None else spec.max_queue)
    if spec.timeout is None:
        return Admitted(call, metrics, admission)
    return Timed(call, metrics, admission, spec.timeout)


def caller_of(app: Flask, handler: Any) -> Callable[..., Any]:
    """Return what calls a handler: a class is made into an instance by its first request."""
    if not isinstance(handler, type):
        is_function = inspect.isroutine(handler) or isinstance(handler, functools.partial)
        return app.ensure_sync(handler if is_function else handler.__call__)
    instance: Callable[..., Any] | None = None
    lock = threading.Lock()

    def call(**arguments: Any) -> Any:
        nonlocal instance
        if instance is None:
            with lock:  # one model per process, however many requests come first
                if instance is None:
                    instance = app.ensure_sync(handler().__call__)
        return instance(**arguments)

    return call
