"""Metrics written behind: counted here, and handed to prometheus_client when it is asked.

A request writes six metrics, which in prometheus_client cost as much as to decode and to check it
(44,000 against 46,000 instructions). Where several processes share theirs (``slots``) each write
goes to the process's file at once, so that no death of a worker loses one.
"""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

from .slots import are_shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeVar

    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

    Direct = TypeVar("Direct")
    Tally = TypeVar("Tally", bound="_Tally")


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

    def in_flight(self, gauge: Gauge, outcomes: Mapping[str, Counter]) -> InFlight | TallyInFlight:
        """Return what counts an endpoint's requests, while they are answered and when they end."""
        return self._choose(InFlight(gauge, outcomes), TallyInFlight(gauge, outcomes))

    def histogram(self, child: Histogram) -> Histogram | TallyHistogram:
        """Return what takes the observations of a histogram."""
        return self._choose(child, TallyHistogram(child))

    def timer(self, seconds: Histogram, total: Counter) -> Timer | TallyHistogram:
        """Return what takes the observations of a histogram whose number is a counter too."""
        return self._choose(Timer(seconds, total), TallyHistogram(seconds, total))

    def _choose(self, direct: Direct, tally: Tally) -> Direct | Tally:
        if are_shared():
            return direct
        self._tallies.append(tally)
        return tally


class InFlight:
    """The requests that are being answered, and the outcomes of those that are not any more."""

    def __init__(self, gauge: Gauge, outcomes: Mapping[str, Counter]) -> None:
        self._outcomes = outcomes
        self.inc = gauge.inc
        self.dec = gauge.dec

    def finish(self, outcome: str) -> None:
        """Count a request that has been answered."""
        self.dec()
        self._outcomes[outcome].inc()


class TallyInFlight:
    """The same, written behind."""

    def __init__(self, gauge: Gauge, outcomes: Mapping[str, Counter]) -> None:
        self._gauge = gauge
        self._outcomes = outcomes
        self._lock = Lock()
        self._change = 0
        self._counts = dict.fromkeys(outcomes, 0)

    def inc(self) -> None:
        with self._lock:
            self._change += 1

    def dec(self) -> None:
        with self._lock:
            self._change -= 1

    def finish(self, outcome: str) -> None:
        """Count a request that has been answered."""
        with self._lock:
            self._change -= 1
            self._counts[outcome] += 1

    def flush(self) -> None:
        with self._lock:
            change, self._change = self._change, 0
            counts, self._counts = self._counts, dict.fromkeys(self._outcomes, 0)
        self._gauge.inc(change)
        for outcome, count in counts.items():
            self._outcomes[outcome].inc(count)


class Timer:
    """A histogram of seconds, and a counter of how many there were."""

    def __init__(self, seconds: Histogram, total: Counter) -> None:
        self._seconds = seconds
        self._total = total

    def observe(self, amount: float) -> None:
        self._seconds.observe(amount)
        self._total.inc()


class TallyHistogram:
    """Counts observations by bucket."""

    def __init__(self, child: Histogram, total: Counter | None = None) -> None:
        self._total = total
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
        if self._total is not None:
            self._total.inc(sum(counts))
        self._child_sum.inc(total)
        for bucket, count in zip(self._child_buckets, counts, strict=True):
            if count:
                bucket.inc(count)

    def _clear(self) -> None:
        self._sum = 0.0
        self._counts = [0] * len(self._bounds)
