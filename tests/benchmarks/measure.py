"""How two or more things are timed against each other: alternately, in many short rounds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import NamedTuple

Call = Callable[[], object]


class Timing(NamedTuple):
    """Seconds of one call: the median round, and the fastest."""

    median: float
    minimum: float


def alternate(calls: Mapping[str, Call], *, rounds: int, seconds: float) -> dict[str, Timing]:
    """Time every call once in each round, so that a slow moment of the machine hits all of them.

    Args:
        calls: What to time, by name.
        rounds: How often each is timed.
        seconds: How long one call's share of one round is.
    """
    counts = {name: max(1, round(seconds / warm(call, seconds))) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        gc.collect()
        for name, call in calls.items():
            times[name].append(time(call, counts[name]))
    return {name: Timing(median(seen), min(seen)) for name, seen in times.items()}


def warm(call: Call, seconds: float) -> float:
    """Call for a while, and return the seconds of the fastest call."""
    end = perf_counter() + 5 * seconds
    fastest = time(call, 1)
    while perf_counter() < end:
        fastest = min(fastest, time(call, 1))
    return fastest


def time(call: Call, count: int) -> float:
    """Seconds of one of `count` calls in a row."""
    start = perf_counter()
    for _ in range(count):
        call()
    return (perf_counter() - start) / count
