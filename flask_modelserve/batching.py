"""Batch and Batcher: many requests, one call of a vectorised function."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .errors import BadResponse, DeadlineExceeded, Overloaded
from .execution import ServiceTime, after_fork, native

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


class _Item:
    """One request in a batch."""

    __slots__ = (
        "answer",
        "arguments",
        "arrived",
        "deadline",
        "done",
        "error",
        "is_abandoned",
        "is_settled",
    )

    def __init__(self, arguments: Arguments, arrived: float, deadline: float) -> None:
        self.arguments = arguments
        self.arrived = arrived
        self.deadline = deadline
        self.answer: Any = None
        self.error: BaseException | None = None
        self.is_abandoned = False
        self.is_settled = False
        self.done = threading.Lock()
        self.done.acquire()

    def settle(self, answer: Any = None, error: BaseException | None = None) -> None:
        """Give the request its answer or its error, once."""
        if not self.is_settled:
            self.is_settled = True
            self.answer, self.error = answer, error
            self.done.release()


class Batcher:
    """Gathers the requests of one endpoint, and calls its function from one thread."""

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
        self._call = call
        self._metrics = metrics
        self._app = app
        self._max_size = batch.max_size
        self._max_wait = batch.max_wait
        self._max_queue = max_queue
        self._timeout = timeout
        self._defaults = defaults
        self._service = ServiceTime()
        self._start_afresh()
        after_fork(self._start_afresh)

    def run(self, arguments: Arguments, arrived: float) -> Any:
        """Return the answer to one request, as ``execution.Runner``."""
        timeout = self._timeout
        deadline = math.inf if timeout is None else arrived + timeout
        item = _Item(arguments, arrived, deadline)
        with self._changed:
            queued = len(self._queue)
            if queued >= self._max_queue:
                raise Overloaded(self._service.retry_after(queued / self._max_size + 1))
            self._queue.append(item)
            if self._runner is None or not self._runner.is_alive():
                self._start()
            elif queued == 0 or queued + 1 == self._max_size:
                self._changed.notify()
        self._await(item)
        if item.error is not None:
            raise item.error
        return item.answer

    def _await(self, item: _Item) -> None:
        """Wait until an item is settled or past its deadline."""
        while not item.done.acquire(
            timeout=max(0.0, min(_LOOK_EVERY, item.deadline - perf_counter()))
        ):
            with self._changed:
                if item.is_settled:
                    return
                if perf_counter() >= item.deadline:
                    item.is_settled = True  # the runner leaves it out, or drops its answer
                    if item in self._taken:  # it shows in the metrics until the call ends
                        item.is_abandoned = True
                        self._metrics.in_flight.inc()
                    assert self._timeout is not None
                    raise DeadlineExceeded(self._timeout, started=item.is_abandoned)
                if not (self._runner is not None and self._runner.is_alive()):
                    self._recover()

    def _start_afresh(self) -> None:
        self._queue: deque[_Item] = deque()
        self._taken: list[_Item] = []
        self._changed = threading.Condition(threading.Lock())
        self._runner: threading.Thread | None = None

    def _start(self) -> None:
        self._runner = threading.Thread(target=self._work, name="modelserve-batch", daemon=True)
        self._runner.start()

    def _recover(self) -> None:
        """Settle what a dead runner had taken, and start another for what still waits."""
        for item in self._taken:
            item.settle(error=RuntimeError("the thread that called the function has died"))
        self._release_taken()
        if self._queue:
            self._start()

    def _release_taken(self) -> None:
        for item in self._taken:
            if item.is_abandoned:
                self._metrics.in_flight.dec()
        self._taken = []

    def _work(self) -> None:
        """Run batches, for as long as the process lives."""
        call = native(self._call)
        try:
            while True:
                self._run_batch(call, self._take())
                with self._changed:
                    self._release_taken()
        finally:  # killed: what is taken gets an error, what waits gets another runner
            with self._changed:
                self._runner = None
                self._recover()

    def _take(self) -> list[_Item]:
        """Wait for a batch: full, or its oldest item has waited long enough."""
        with self._changed:
            while True:
                while not self._queue:
                    self._changed.wait()
                due = self._queue[0].arrived + self._max_wait
                while len(self._queue) < self._max_size and (left := due - perf_counter()) > 0:
                    self._changed.wait(left)
                now = perf_counter()
                while self._queue and len(self._taken) < self._max_size:
                    item = self._queue.popleft()
                    if not item.is_settled and item.deadline > now:
                        self._taken.append(item)
                if self._taken:
                    return self._taken

    def _run_batch(self, call: Callable[..., Any], items: list[_Item]) -> None:
        begun = perf_counter()
        for item in items:
            self._metrics.queue.observe(begun - item.arrived)
        with self._app.app_context():
            self._settle(call, items)
        seconds = perf_counter() - begun
        self._service.observe(seconds)
        self._metrics.predict.observe(seconds)

    def _settle(
        self, call: Callable[..., Any], items: list[_Item], *, holds_culprit: bool = False
    ) -> bool:
        """Call the function for some items; where it raises, halve them until one stands alone.

        Args:
            call: The function.
            items: The rows.
            holds_culprit: The call of these and others raised, and that of the others did not:
                there is no use in calling it for all of these.

        Returns:
            Whether it raised.
        """
        if len(items) == 1 or not holds_culprit:
            self._metrics.batch_size.observe(len(items))
            try:
                answers = call(**self._columns(items))
            except Exception as error:
                if len(items) == 1:
                    items[0].settle(error=error)
                    return True
            else:
                self._distribute(items, answers)
                return False
        middle = len(items) // 2
        raised = self._settle(call, items[:middle])
        self._settle(call, items[middle:], holds_culprit=not raised)
        return True

    def _columns(self, items: Sequence[_Item]) -> dict[str, list[Any]]:
        return {
            name: [item.arguments.get(name, default) for item in items]
            for name, default in self._defaults.items()
        }

    def _distribute(self, items: Sequence[_Item], answers: Any) -> None:
        """Give each item its answer, if there is one for each."""
        if isinstance(answers, str | bytes | dict) or not hasattr(answers, "__len__"):
            fault = f"a batched function returns a list, not {type(answers).__name__}"
        elif len(answers) != len(items):
            fault = f"a batched function returned {len(answers)} answers for {len(items)} rows"
        else:
            for item, answer in zip(items, answers, strict=True):
                if isinstance(answer, Exception):
                    item.settle(error=answer)
                else:
                    item.settle(answer)
            return
        for item in items:
            item.settle(error=BadResponse(fault))
