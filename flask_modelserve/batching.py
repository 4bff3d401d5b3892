"""Batch and Batcher: many requests, one call of a vectorised function."""

from __future__ import annotations

import math
import sys
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .admission import ServiceTime
from .errors import DeadlineExceeded, Overloaded
from .request_id import working_for
from .threads import REST, after_fork, native_lock, start_thread
from .vectorised import Item, Vectorised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        self._model = Vectorised(call, metrics, defaults)
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
