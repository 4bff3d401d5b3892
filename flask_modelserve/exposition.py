"""The metrics of all processes, read from their files and merged.

prometheus_client's own collector makes an object of each value in each file, which with 16 workers
is most of a scrape's time, and fails on a file that a worker is just making.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.utils import floatToGoString

from .slots import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Labels = tuple[tuple[str, str], ...]
    Merge = Callable[[list[tuple[float, float]]], float]


@dataclass(frozen=True)
class Key:
    """What a value in a file is of; a metric's documentation may change while files stay."""

    metric: str
    sample: str
    labels: Labels
    documentation: str = field(compare=False)

    @classmethod
    def of(cls, text: str, **more: str) -> Key:
        metric, sample, labels, documentation = json.loads(text)
        return cls(metric, sample, tuple((labels | more).items()), documentation)


class SharedMetrics:
    """What the processes that share a folder have measured; a registry, to those who show one.

    Args:
        names: The samples to collect; by default all.
    """

    def __init__(self, names: Iterable[str] | None = None) -> None:
        self._names = None if names is None else set(names)

    def collect(self) -> Iterator[Metric]:
        for metric in self._merge():
            if self._names is not None:
                metric.samples = [each for each in metric.samples if each.name in self._names]
            if metric.samples:
                yield metric

    def restricted_registry(self, names: Iterable[str]) -> SharedMetrics:
        """Return the samples of some names."""
        return SharedMetrics(names)

    @staticmethod
    def _merge() -> Iterator[Metric]:
        files = defaultdict(list)
        for file in Path(os.environ[VARIABLE]).glob("*.db"):
            files[file.name.split("_")[0]].append(file)
        for kind in ("counter", "summary"):
            yield from _metrics(kind, _sums(files[kind]))
        yield from _metrics("histogram", _cumulate(_sums(files["histogram"])))
        yield from _metrics("gauge", _gauges(files["gauge"]))


def expose(accept_header: str | None = None, names: Sequence[str] | None = None) -> tuple[str, str]:
    """Return the metrics of all processes as text, and the type of it.

    Args:
        accept_header: The scraper's, which chooses between Prometheus's formats.
        names: The samples to return; by default all.
    """
    encode, content_type = choose_encoder(accept_header or "")
    metrics: Any = SharedMetrics(names or None)
    return encode(metrics).decode(), content_type


def _read(file: Path) -> Iterable[tuple[str, float, float, int]]:
    try:
        if file.stat().st_size:  # else it is just being made
            return MmapedDict.read_all_values_from_file(file)  # type: ignore[no-any-return, no-untyped-call]
    except FileNotFoundError:  # the process, or the server, has just ended
        pass
    return ()


def _sums(files: Iterable[Path]) -> dict[Key, float]:
    """Add up the values of all files."""
    by_text: dict[str, float] = defaultdict(float)
    for file in files:
        for text, value, _, _ in _read(file):
            by_text[text] += value
    sums: dict[Key, float] = defaultdict(float)
    for text, value in by_text.items():
        sums[Key.of(text)] += value
    return sums


def _cumulate(counts: dict[Key, float]) -> dict[Key, float]:
    """Make a histogram's buckets hold the counts of those below them, as Prometheus has it."""
    sums: dict[Key, float] = {}
    buckets: dict[tuple[str, Labels], dict[float, float]] = defaultdict(dict)
    for key, value in counts.items():
        labels = tuple(label for label in key.labels if label[0] != "le")
        if len(labels) == len(key.labels):
            sums[key] = value
        else:
            buckets[key.metric, labels][float(dict(key.labels)["le"])] = value
    cumulated: dict[Key, float] = {}
    for key, value in sums.items():
        count = 0.0
        for bound, number in sorted(buckets[key.metric, key.labels].items()):
            count += number
            le = ("le", floatToGoString(bound))  # type: ignore[no-untyped-call]
            bucket = replace(key, sample=f"{key.metric}_bucket", labels=(*key.labels, le))
            cumulated[bucket] = count
        cumulated[replace(key, sample=f"{key.metric}_count")] = count
        cumulated[key] = value
    return cumulated


def _gauges(files: Iterable[Path]) -> dict[Key, float]:
    """Merge gauges, each by its ``multiprocess_mode``, which is in the name of its file."""
    merge: dict[Key, str] = {}
    values: dict[Key, list[tuple[float, float]]] = defaultdict(list)
    for file in files:
        _, mode, process = file.stem.split("_")
        mode = mode.removeprefix("live")
        labels = {"pid": process} if mode == "all" else {}
        for text, value, timestamp, _ in _read(file):
            key = Key.of(text, **labels)
            merge[key] = mode
            values[key].append((timestamp, value))
    return {key: _MERGES[merge[key]](found) for key, found in values.items()}


# What to make of the times and values that processes have set.
_MERGES: dict[str, Merge] = {
    "all": lambda found: found[-1][1],
    "min": lambda found: min(value for _, value in found),
    "max": lambda found: max(value for _, value in found),
    "sum": lambda found: sum(value for _, value in found),
    "mostrecent": lambda found: max(found)[1],
}


def _metrics(kind: str, values: dict[Key, float]) -> Iterable[Metric]:
    metrics: dict[str, Metric] = {}
    for key, value in values.items():
        metric = metrics.get(key.metric)
        if metric is None:
            metric = metrics[key.metric] = Metric(key.metric, key.documentation, kind)
        metric.add_sample(key.sample, dict(key.labels), value)
    return metrics.values()
