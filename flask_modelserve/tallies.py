"""Metrics written behind: counted here, and handed to prometheus_client when it is asked.

A request writes six metrics, which in prometheus_client cost as much as to decode and to check it
(44,000 against 46,000 instructions). With several processes (``PROMETHEUS_MULTIPROC_DIR``) each
write goes to the process's file at once, so that no death of a worker loses one.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric


class _Tally(Protocol):
    def flush(self) -> None: ...


class Tallies:
    """All tallies of one registry: its first collector, which flushes them before any other."""

    _known: ClassVar[WeakKeyDictionary[CollectorRegistry, Tallies]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._tallies: list[_Tally] = []

    @classmethod
    def of(cls, registry: CollectorRegistry) -> Tallies:
        """Return the tallies of a registry."""
        known = cls._known.get(registry)
        if known is None:
            known = cls._known[registry] = cls()
            registry.register(known)
        return known

    def collect(self) -> Iterable[Metric]:
        """Flush all tallies; there are no metrics of its own."""
        for tally in self._tallies:
            tally.flush()
        return ()

    def counter(self, child: Counter) -> Counter | TallyCounter:
        """Return what a request increments for a counter."""
        return self._add(child, TallyCounter(child))

    def gauge(self, child: Gauge) -> Gauge | TallyGauge:
        """Return what a request increments and decrements for a gauge."""
        return self._add(child, TallyGauge(child))

    def histogram(self, child: Histogram) -> Histogram | TallyHistogram:
        """Return what a request observes for a histogram."""
        return self._add(child, TallyHistogram(child))

    def _add(self, child: Any, tally: _Tally) -> Any:
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            return child
        self._tallies.append(tally)
        return tally


class TallyCounter:
    """Counts by one."""

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._lock = Lock()
        self._count = 0

    def inc(self) -> None:
        with self._lock:
            self._count += 1

    def flush(self) -> None:
        with self._lock:
            count, self._count = self._count, 0
        if count:
            self._child.inc(count)


class TallyGauge:
    """Counts up and down by one."""

    def __init__(self, child: Gauge) -> None:
        self._child = child
        self._lock = Lock()
        self._change = 0

    def inc(self) -> None:
        with self._lock:
            self._change += 1

    def dec(self) -> None:
        with self._lock:
            self._change -= 1

    def flush(self) -> None:
        with self._lock:
            change, self._change = self._change, 0
        if change:
            self._child.inc(change)


class TallyHistogram:
    """Counts observations by bucket."""

    def __init__(self, child: Histogram) -> None:
        # prometheus_client takes observations one by one; many at once go where it keeps them.
        self._child_sum: Any = child._sum  # noqa: SLF001
        self._child_buckets: Any = child._buckets  # noqa: SLF001
        self._bounds: list[float] = child._upper_bounds  # noqa: SLF001
        self._lock = Lock()
        self._clear()

    def observe(self, amount: float) -> None:
        with self._lock:
            self._sum += amount
            self._counts[bisect_left(self._bounds, amount)] += 1

    def flush(self) -> None:
        with self._lock:
            total, counts = self._sum, self._counts
            self._clear()
        self._child_sum.inc(total)
        for bucket, count in zip(self._child_buckets, counts, strict=True):
            if count:
                bucket.inc(count)

    def _clear(self) -> None:
        self._sum = 0.0
        self._counts = [0] * len(self._bounds)
