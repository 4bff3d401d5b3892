"""How a function is called: at once, as places are free, or on a thread that can be left behind.

Threads start with the first request that needs them, so never before a fork.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
import os
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
# Seconds that an idle thread waits for work before it ends.
REST = 60.0


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


class Handover:
    """What comes of one call, on its way from the thread that makes it to the request's."""

    __slots__ = ("_answer", "_done", "_error", "is_settled")

    def __init__(self) -> None:
        self._answer: Any = None
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()
        self.is_settled = False

    def settle(self, answer: Any = None, error: BaseException | None = None) -> None:
        """Hand over the answer or the error, once."""
        if not self.is_settled:
            self._answer, self._error = answer, error
            self.is_settled = True  # only now: a thread may die between any two lines
            self._done.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, and tell whether it is there."""
        return self._done.acquire(timeout=seconds) or self.is_settled

    def result(self) -> Any:
        """Return the answer, or raise the error."""
        if self._error is None:
            return self._answer
        try:
            raise self._error
        finally:
            self._error = None  # its traceback leads here: a cycle that only the collector frees


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

    def leave(self, seconds: float | None = None) -> None:
        """Give the place back to whoever has waited longest, after a call of so many seconds."""
        with self._lock:
            if seconds is not None:
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
        if not job.wait(_left(self._timeout, arrived)) and job.abandon():
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
        self._metrics.predict.observe(seconds)
        job.end(answer, error)
        del error  # its traceback leads here


class _Job(Handover):
    """One call that a request may leave behind."""

    __slots__ = ("_in_flight", "_is_abandoned", "_lock", "begun")

    def __init__(self, metrics: EndpointMetrics) -> None:
        super().__init__()
        self._in_flight = metrics.in_flight
        self._is_abandoned = False
        self._lock = threading.Lock()
        self.begun = perf_counter()

    def end(self, answer: Any, error: BaseException | None) -> None:
        """Hand over what came of the call."""
        with self._lock:
            self.settle(answer, error)
            if self._is_abandoned:
                self._in_flight.dec()

    def abandon(self) -> bool:
        """Leave the call behind, and tell whether that was in time: it may just have ended.

        It stays in flight for the metrics until it ends: that is how a hanging model shows.
        """
        with self._lock:
            if not self.is_settled:
                self._is_abandoned = True
                self._in_flight.inc()
            return self._is_abandoned


class Threads:
    """Daemon threads that are made as they are needed, and wait for the next job for a while.

    Unlike those of ``concurrent.futures`` they don't keep the process from ending: one that hangs
    would stall every shutdown.
    """

    def __init__(self) -> None:
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._idle: list[_Worker] = []

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job at once, on the thread that was busy last, or a new one.

        Raises:
            RuntimeError: When the system has no more threads.
        """
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._idle)
            threading.Thread(target=worker.work, name="modelserve-call", daemon=True).start()
        worker.give(job)


class _Worker:
    """What one of the threads does."""

    def __init__(self, idle: list[_Worker]) -> None:
        self._idle = idle
        self._job: Callable[[], None] | None = None
        self._given = threading.Lock()
        self._given.acquire()

    def give(self, job: Callable[[], None]) -> None:
        self._job = job
        self._given.release()

    def work(self) -> None:
        while self._is_given():
            job, self._job = self._job, None
            assert job is not None
            job()
            del job  # or the last request's data would stay as long as the thread
            self._idle.append(self)

    def _is_given(self) -> bool:
        """Wait for a job, and tell whether there is one; if not, none will come any more."""
        if self._given.acquire(timeout=REST):
            return True
        try:
            self._idle.remove(self)
        except ValueError:  # somebody has chosen it in this very moment
            return self._given.acquire()
        return False


class Native:
    """Calls a function on native threads where threads are gevent's greenlets, else at once.

    A model that ran in a greenlet would stop all others, health checks included. The threads are
    not those of gevent's hub, which resolves names with them: hung models would stop that.
    """

    def __init__(self, call: Callable[..., Any], threads: int) -> None:
        self._call = call
        self._threads = threads
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._pool: Any = None

    def __call__(self, **arguments: Any) -> Any:
        if "gevent" not in sys.modules:
            return self._call(**arguments)
        from gevent import monkey, threadpool

        if not monkey.is_module_patched("threading"):
            return self._call(**arguments)
        if self._pool is None:
            self._pool = threadpool.ThreadPool(self._threads)
        context = contextvars.copy_context()
        return self._pool.spawn(_outcome, context, self._call, arguments).get().result()


def _outcome(
    context: contextvars.Context, call: Callable[..., Any], arguments: Arguments
) -> Handover:
    """Call a function, and keep what it raises: gevent would write it to stderr."""
    outcome = Handover()
    try:
        outcome.settle(context.run(call, **arguments))
    except BaseException as error:
        outcome.settle(error=error)
    return outcome


class Instance:
    """Calls an instance of a class, which the first request of the process makes."""

    def __init__(self, app: Flask, kind: type) -> None:
        self._app = app
        self._kind = kind
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._call: Callable[..., Any] | None = None
        self._locks: dict[None, Any] = {}

    def __call__(self, **arguments: Any) -> Any:
        call = self._call or self._make()
        return call(**arguments)

    def _make(self) -> Callable[..., Any]:
        # A lock made before gevent patches threads would stop all greenlets: it is made now, and
        # setdefault has all first requests take the same.
        with self._locks.setdefault(None, threading.Lock()):
            if self._call is None:
                self._call = self._app.ensure_sync(self._kind().__call__)
            return self._call


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
            Native(call, 1),
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
    return Timed(Native(call, places), metrics, admission, spec.timeout)


def caller_of(app: Flask, handler: Any) -> Callable[..., Any]:
    """Return what calls a handler: a class is made into an instance by its first request."""
    if isinstance(handler, type):
        return Instance(app, handler)
    is_function = inspect.isroutine(handler) or isinstance(handler, functools.partial)
    return app.ensure_sync(handler if is_function else handler.__call__)
