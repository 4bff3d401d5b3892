"""Batch and Batcher: many requests, one call of a vectorised function."""

from __future__ import annotations

import contextvars
import math
import sys
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .admission import ServiceTime
from .errors import BadResponse, DeadlineExceeded, Overloaded
from .request_id import working_for
from .threads import REST, Handover, after_fork, native_lock, start_thread, wake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask

    from .metrics import EndpointMetrics
    from .schema import Arguments

# How often a waiting request looks whether the runner lives, in seconds.
_LOOK_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """How requests are gathered into one call.

    The function gets every parameter as a list, all of one length, and returns a list, tuple or
    numpy array of that length; an exception in it goes to its request alone.

    Attributes:
        max_size: The most rows of one call.
        max_wait: Seconds that the oldest request waits for company.
    """

    max_size: int = 32
    max_wait: float = 0.005

    def __post_init__(self) -> None:
        if isinstance(self.max_size, bool) or not isinstance(self.max_size, int):
            raise TypeError(f"max_size={self.max_size!r}: write a whole number, such as 32")
        if self.max_size < 1:
            raise ValueError(f"max_size={self.max_size!r}: write 1 or more")
        if isinstance(self.max_wait, bool) or not isinstance(self.max_wait, int | float):
            raise TypeError(f"max_wait={self.max_wait!r}: write seconds, such as 0.005")
        if not (math.isfinite(self.max_wait) and self.max_wait >= 0):
            raise ValueError(f"max_wait={self.max_wait!r}: write seconds, 0 or more")


class Item(Handover):
    """One request in a batch."""

    __slots__ = (
        "arguments",
        "arrived",
        "batch_span",
        "begun",
        "context",
        "deadline",
        "is_abandoned",
    )

    def __init__(self, arguments: Arguments, arrived: float, deadline: float) -> None:
        super().__init__()
        self.arguments = arguments
        self.arrived = arrived
        self.deadline = deadline
        self.begun = 0.0
        self.is_abandoned = False
        # The request's own: what is logged and traced in the batch tells by it whom that is for.
        self.context = contextvars.copy_context()
        self.batch_span: Any = None


class Batcher:
    """Gathers the requests of one endpoint for one thread, the runner, which calls its function.

    The runner may die at any line, as when the function ends its thread. So each step leaves every
    request in the queue, among those taken, or settled; and a request that waits for long looks
    whether there is a runner.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        metrics: EndpointMetrics,
        app: Flask,
        *,
        batch: Batch,
        max_queue: int,
        timeout: float | None,
        defaults: Mapping[str, Any],
    ) -> None:
        """Bind a function.

        Args:
            call: The vectorised function.
            metrics: The endpoint's instruments.
            app: The app, in whose context the function is called.
            batch: Sizes and times.
            max_queue: The most requests that wait; more are refused.
            timeout: Seconds from a request's arrival until it gets 504, or None.
            defaults: The columns, each with what stands for a request that leaves it out.
        """
        self._model = _Model(call, metrics, defaults)
        self._metrics = metrics
        self._app = app
        self._max_size = batch.max_size
        self._max_wait = batch.max_wait
        self._max_queue = max_queue
        self._timeout = timeout
        self._service = ServiceTime()
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._lock = native_lock()
        self._queue: deque[Item] = deque()
        self._taken: list[Item] = []
        self._runner: Callable[[], _Runner | None] = _nobody
        # How many must wait for the runner to be woken.
        self._rings_at = math.inf

    def run(self, arguments: Arguments, arrived: float) -> Any:
        """Return the answer to one request, as ``execution.Runner``."""
        timeout = self._timeout
        deadline = math.inf if timeout is None else arrived + timeout
        return self._await(Item(arguments, arrived, deadline))

    def _await(self, item: Item) -> Any:
        self._enqueue(item)
        while not item.wait(max(0.0, min(_LOOK_EVERY, item.deadline - perf_counter()))):
            if perf_counter() >= item.deadline:
                self._abandon(item)
            elif self._runner() is None:
                self._start()
        if item.begun:
            self._metrics.queue.observe(item.begun - item.arrived)
        return item.result()

    def run_rows(self, rows: Sequence[Arguments]) -> list[Any]:
        """Call the function in whole batches on this thread, as ``execution.Runner``."""
        begun = perf_counter()
        items = [Item(arguments, begun, math.inf) for arguments in rows]
        with self._app.app_context():
            for start in range(0, len(items), self._max_size):
                self._model.settle(items[start : start + self._max_size])
        return [item.outcome() for item in items]

    def _enqueue(self, item: Item) -> None:
        with self._lock:
            waiting = len(self._queue) + 1
            if waiting > self._max_queue:
                raise Overloaded(self._service.retry_after(1 + waiting / self._max_size))
            self._queue.append(item)
            runner = self._runner()
            if runner is not None and waiting >= self._rings_at:
                self._rings_at = math.inf
                runner.bell.release()
        if runner is None:
            self._start()

    def _abandon(self, item: Item) -> None:
        """Give up on an item past its deadline, unless it is settled in this very moment.

        Raises:
            DeadlineExceeded: 504.
        """
        with self._lock:
            if item.is_settled:
                return
            item.is_settled = True
            started = item in self._taken
            if started:  # it shows in the metrics until the call ends
                item.is_abandoned = True
                self._metrics.in_flight.inc()
            with suppress(ValueError):
                self._queue.remove(item)
        assert self._timeout is not None
        raise DeadlineExceeded(self._timeout, started=started)

    def _start(self) -> None:
        """Start a runner: of several all but one resign at once."""
        start_thread(self._work, "modelserve-batch")

    def _work(self) -> None:
        """Run batches until there are no requests for a while."""
        runner = _Runner()
        try:
            if self._take_over(runner):
                # No name for the batch: it would keep the last one's requests for a long time.
                while self._take(runner):
                    self._run_batch(self._taken)
        finally:
            self._resign(runner)

    def _take_over(self, runner: _Runner) -> bool:
        """Become the runner, unless there is one."""
        with self._lock:
            if self._runner() is not None:
                return False
            self._release_taken()
            self._runner = weakref.ref(runner)
            return True

    def _resign(self, runner: _Runner) -> None:
        with self._lock:
            if self._runner() is not runner:
                return
            self._release_taken()
            self._runner = _nobody
            is_needed = bool(self._queue)
        if is_needed:
            self._start()

    def _release_taken(self) -> None:
        """Be done with what was taken: all is settled, unless the runner died."""
        for item in self._taken:
            if item.is_abandoned:
                item.is_abandoned = False
                item.tell(self._metrics.in_flight.dec)
            if not item.is_settled:
                died = RuntimeError("the thread that called the function has ended")
                died.__cause__ = sys.exception()
                item.settle(error=died)
        self._taken = []

    def _take(self, runner: _Runner) -> bool:
        """Take a batch once it is full, or its oldest item has waited long enough.

        Returns:
            False if there were no requests for a while.
        """
        while True:
            with self._lock:
                self._release_taken()
                left = self._time_left()
                if left <= 0:
                    if self._pop():
                        return True
                    continue
                self._rings_at = self._max_size if self._queue else 1
                runner.bell.acquire(blocking=False)
            if not (runner.bell.acquire(timeout=left) or self._queue):
                return False

    def _time_left(self) -> float:
        """Return the seconds until a batch starts, if no more requests come."""
        if len(self._queue) >= self._max_size:
            return 0.0
        if not self._queue:
            return REST
        return min(REST, self._queue[0].arrived + self._max_wait - perf_counter())

    def _pop(self) -> bool:
        """Take the oldest items, but for those past their deadline, and tell whether there are."""
        now = perf_counter()
        oldest = list(islice(self._queue, self._max_size))
        self._taken = [item for item in oldest if not item.is_settled and item.deadline > now]
        for _ in oldest:
            self._queue.popleft()
        return bool(self._taken)

    def _run_batch(self, items: list[Item]) -> None:
        begun = perf_counter()
        for item in items:
            item.begun = begun
        with self._app.app_context(), working_for([item.context for item in items]):
            self._model.settle(items)
        self._service.observe(perf_counter() - begun)


class _Runner:
    """One life of the runner. Only its thread keeps it, so that it is gone when the thread is."""

    def __init__(self) -> None:
        self.bell = native_lock()
        self.bell.acquire()


def _nobody() -> None:
    """Stand for the reference to a runner while there is none."""


class _Model:
    """Calls the vectorised function for items, and gives each of them what comes of it."""

    def __init__(
        self, call: Callable[..., Any], metrics: EndpointMetrics, defaults: Mapping[str, Any]
    ) -> None:
        self._call = call
        self._metrics = metrics
        self._defaults = defaults

    def settle(self, items: list[Item]) -> None:
        """Call the function for some items; where it raises, find out for which of them.

        One culprit among n costs at most ``log2(n) + 2`` more calls. With each that is found fewer
        items are tried at once, so that a function that always raises is called for most of them
        just once.
        """
        size = 2 * len(items)
        while items:
            group, items = items[:size], items[size:]
            if self._attempt(group):
                size *= 2
            else:
                size = max(1, size // 2)
                items = self._isolate(group) + items

    def _isolate(self, items: list[Item]) -> list[Item]:
        """Find one culprit among items whose call raised, by halving.

        Returns:
            Those that are not settled yet.
        """
        rest: list[Item] = []
        while len(items) > 1:
            middle = len(items) // 2
            left, right = items[:middle], items[middle:]
            if self._attempt(left):
                items = right
            else:
                items, rest = left, right + rest
        self._attempt(items)
        return rest

    def _attempt(self, items: list[Item]) -> bool:
        """Call the function for those items that are not settled, and tell whether it returned."""
        items = [item for item in items if not item.is_settled]
        if not items:
            return True
        begun = perf_counter()
        try:
            answers = self._call(**self._columns(items))
        except Exception as error:
            if len(items) == 1:
                items[0].settle(error=error)
            return False
        finally:
            items[0].tell(self._measure, len(items), perf_counter() - begun)
        _distribute(items, answers)
        return True

    def _measure(self, rows: int, seconds: float) -> None:
        self._metrics.batch_size.observe(rows)
        self._metrics.predict.observe(seconds)

    def _columns(self, items: list[Item]) -> dict[str, list[Any]]:
        return {
            name: [item.arguments.get(name, default) for item in items]
            for name, default in self._defaults.items()
        }


def _distribute(items: list[Item], answers: Any) -> None:
    """Give each item its answer, if there is one for each."""
    try:
        rows = _rows(answers, len(items))
    except Exception as error:  # an array type may raise anything
        rows = [BadResponse(str(error)) for _ in items]
    wake(
        [
            item
            for item, row in zip(items, rows, strict=True)
            if (item.keep(error=row) if isinstance(row, Exception) else item.keep(row))
        ]
    )


def _rows(answers: Any, count: int) -> Sequence[Any]:
    """Return what a function returned as so many rows.

    Raises:
        TypeError: When it is not a sequence.
        ValueError: When it has another length.
    """
    if hasattr(answers, "__array__"):  # numpy's, and what converts: a data frame has rows then
        answers = list(answers.__array__())
    if not isinstance(answers, Sequence) or isinstance(answers, str | bytes | bytearray):
        raise TypeError(f"a batched function returns a list, not {type(answers).__name__}")
    if len(answers) != count:
        raise ValueError(f"a batched function returned {len(answers)} answers for {count} rows")
    return answers
