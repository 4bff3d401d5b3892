"""Admission: how many calls run at once, how many wait for their turn, and who is refused."""

from __future__ import annotations

import math
from collections import deque
from time import perf_counter

from .errors import DeadlineExceeded, Overloaded
from .threads import Handover, after_fork, native_lock

# How much the latest call weighs in the measured service time.
_WEIGHT = 0.2
_MAX_RETRY = 60


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
        self._lock = native_lock()
        self._waiting: deque[Handover] = deque()

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
            turn = Handover()
            self._waiting.append(turn)
        if turn.wait(seconds_left(timeout, arrived)):
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
            self._waiting.popleft().settle()
        else:
            self._free += 1


def seconds_left(timeout: float | None, arrived: float) -> float:
    """Return the seconds that a request may still take; -1 stands for any time."""
    return -1 if timeout is None else max(0.0, arrived + timeout - perf_counter())
