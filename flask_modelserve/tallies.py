"""Metrics written behind: counted here, and handed to prometheus_client when it is asked.

A request writes six metrics, which in prometheus_client cost as much as to decode and to check it
(44,000 against 46,000 instructions). Here each is appended to a queue, which needs no lock. Where
several processes share theirs (``slots``) each write goes to the process's file at once, so that
no death of a worker loses one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counts
from collections import deque
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


# How many are kept at most until they are handed over without being asked for.
_MOST = 1024


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

    def observations(self, child: Histogram, total: Counter | None = None) -> Observations:
        """Return what takes the observations of a histogram, and counts them if that is asked."""
        return self._choose(Observations(child, total), TallyObservations(child, total))

    def _choose(self, direct: Direct, tally: Tally) -> Direct | Tally:
        if are_shared():
            return direct
        self._tallies.append(tally)
        return tally


class InFlight:
    """The requests that are being answered, and the outcomes of those that are not any more."""

    def __init__(self, gauge: Gauge, outcomes: Mapping[str, Counter]) -> None:
        # prometheus_client's own methods check what is known here, at each call.
        self._gauge: Any = gauge._value  # noqa: SLF001
        self._outcomes: Any = {name: outcome._value for name, outcome in outcomes.items()}  # noqa: SLF001

    def inc(self) -> None:
        self._gauge.inc(1)

    def dec(self) -> None:
        self._gauge.inc(-1)

    def finish(self, outcome: str) -> None:
        """Count a request that has been answered."""
        self._gauge.inc(-1)
        self._outcomes[outcome].inc(1)


class TallyInFlight:
    """The same, written behind."""

    def __init__(self, gauge: Gauge, outcomes: Mapping[str, Counter]) -> None:
        self._gauge = gauge
        self._outcomes = outcomes
        self._lock = Lock()
        self._changes: deque[int] = deque()
        self._ended: deque[str] = deque()

    def inc(self) -> None:
        self._changes.append(1)

    def dec(self) -> None:
        self._changes.append(-1)

    def finish(self, outcome: str) -> None:
        """Count a request that has been answered."""
        self._ended.append(outcome)
        if len(self._ended) >= _MOST:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            outcomes = Counts(_taken(self._ended))
            self._gauge.inc(sum(_taken(self._changes)) - outcomes.total())
            for outcome, count in outcomes.items():
                self._outcomes[outcome].inc(count)


class Observations:
    """Those of a histogram, and a counter of how many there were, if there is one."""

    def __init__(self, child: Histogram, total: Counter | None = None) -> None:
        self._sum: Any = child._sum  # noqa: SLF001
        self._buckets: Any = child._buckets  # noqa: SLF001
        self._bounds: list[float] = child._upper_bounds  # noqa: SLF001
        self._total: Any = None if total is None else total._value  # noqa: SLF001

    def observe(self, amount: float) -> None:
        self._buckets[bisect_left(self._bounds, amount)].inc(1)
        self._sum.inc(amount)
        if self._total is not None:
            self._total.inc(1)


class TallyObservations(Observations):
    """The same, written behind."""

    def __init__(self, child: Histogram, total: Counter | None = None) -> None:
        super().__init__(child, total)
        self._lock = Lock()
        self._seen: deque[float] = deque()

    def observe(self, amount: float) -> None:
        self._seen.append(amount)
        if len(self._seen) >= _MOST:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            seen = _taken(self._seen)
            if self._total is not None:
                self._total.inc(len(seen))
            self._sum.inc(sum(seen))
            for bucket, count in Counts(bisect_left(self._bounds, each) for each in seen).items():
                self._buckets[bucket].inc(count)


def _taken(seen: deque[Any]) -> list[Any]:
    """Take out what a queue holds now; other threads may go on to append."""
    return [seen.popleft() for _ in range(len(seen))]
