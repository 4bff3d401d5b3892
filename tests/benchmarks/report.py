"""The figures as bars met or missed, as tables for the terminal, and as JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from . import batches, load
from .load import middle
from .peers.rows import MAX_SIZE, SECONDS
from .served import DEFAULT, PEER_SERVERS, RECOMMENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .edges import Edges
    from .inprocess import Pair, Ratio
    from .load import Load
    from .served import Served

CONNECTIONS = 16

Lines = tuple[Sequence[str], Iterable[Sequence[str]]]


class Bar(NamedTuple):
    """What was promised and what was measured; without a limit it is only reported."""

    work: str
    limit: float | None
    figure: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is within the limit."""
        if self.limit is None:
            return True
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


@dataclass
class Results:
    """All figures of one run; a part that was not asked for is empty."""

    quick: bool
    peers: dict[str, dict[str, str]] = field(default_factory=dict)
    inprocess: Mapping[Pair, Ratio] = field(default_factory=dict)
    served: Served = field(default_factory=dict)
    edges: Edges | None = None
    workers: dict[str, Served] = field(default_factory=dict)
    batches: Served = field(default_factory=dict)


PEER_BARS = {
    "FastAPI, def": 0.72,
    "LitServe": 0.17,
    "BentoML": 0.17,
    "FastAPI, async def": None,
    "MOSEC": None,
}
BATCH_PEERS = {"MOSEC": 1.0, "LitServe": 3.0, "BentoML": None}


def bars(results: Results) -> list[Bar]:
    """Every bar that the figures allow to judge."""
    found = list(in_process_bars(results.inprocess))
    if results.served:
        found += served_bars(results.served)
    if results.edges:
        found += edge_bars(results.edges)
    if results.batches:
        found += batch_bars(results.batches)
    return found


def in_process_bars(ratios: Mapping[Pair, Ratio]) -> Iterator[Bar]:
    """The bars of single requests in process."""
    for pair, ratio in ratios.items():
        if pair.limit is not None:
            yield Bar(f"{pair.name} over {pair.over_name}", pair.limit, ratio.medians)


def served_bars(served: Served) -> Iterator[Bar]:
    """The bars of CPU time per request behind a server."""
    loads = {name: counts[CONNECTIONS] for name, counts in served.items()}
    bare = {name: seen for name, seen in loads.items() if name.startswith("bare view")}
    for name, seen in bare.items():
        ours = loads[name.replace("bare view", "ours")]
        yield Bar(f"served: ours over {name}", 0.97, load.ratio(ours, seen))
    ours = loads[RECOMMENDED]
    own = bare.pop(f"bare view, {DEFAULT}")
    best = min(bare, key=lambda name: middle(bare[name]).cpu)  # on gunicorn's own classes
    yield Bar(f"served: recommended over the best {best}", 1.0, load.ratio(ours, bare[best]))
    yield Bar(f"served: recommended over bare view, {DEFAULT}", None, load.ratio(ours, own))
    for peer, limit in PEER_BARS.items():
        yield Bar(f"served: recommended over {peer}", limit, load.ratio(ours, loads[peer]))


def edge_bars(edges: Edges) -> Iterator[Bar]:
    """The bars beside requests."""
    yield Bar("import, over import flask", 80, edges.import_seconds * 1e3, " ms")
    yield Bar("memory of a worker, over a bare Flask one", 20, edges.worker_bytes / 1e6, " MB")
    yield Bar("set-up of 200 endpoints", 1, edges.set_up_seconds, " s")


def batch_bars(served: Served) -> Iterator[Bar]:
    """The bars of rows per second and of latency, in batches."""
    loads = {name: seen for name, counts in served.items() for seen in counts.values()}
    most = MAX_SIZE / SECONDS
    for name in batches.OURS:
        ours = loads[name]
        yield Bar(f"batches: {name}, of the limit", 0.8, middle(ours).rate / most, at_least=True)
        for peer, limit in BATCH_PEERS.items():
            gain = load.ratio(ours, loads[peer], "rate")
            yield Bar(f"batches: {name}, rate over {peer}", limit, gain, at_least=True)
        yield Bar(f"batches: {name}, p99", 4 * SECONDS * 1e3, middle(ours).p99 * 1e3, " ms")


def text(results: Results) -> str:
    """All tables, one after the other."""
    parts = []
    if results.inprocess:
        parts.append(table("In process", *in_process_rows(results.inprocess)))
    if results.served:
        parts.append(table("Served, one worker", *served_rows(results.served)))
    for model, served in results.workers.items():
        parts.append(table(f"Worker classes, {model} model", *served_rows(served)))
    if results.batches:
        parts.append(table("Batches, one copy of the model", *served_rows(results.batches)))
    parts.append(table("Bars", *bar_rows(bars(results))))
    return "\n\n".join(parts)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as aligned text: the first column to the left, figures to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(pairs)
        )
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )
    return "\n".join([title, "-" * len(title), *aligned])


def in_process_rows(ratios: Mapping[Pair, Ratio]) -> Lines:
    """Time of one request of both sides, and their ratio."""
    header = ("work", "us", "over", "us", "ratio", "of minima")
    return header, [
        (
            pair.name,
            f"{ratio.seconds * 1e6:.1f}",
            pair.over_name,
            f"{ratio.over_seconds * 1e6:.1f}",
            f"{ratio.medians:.3f}",
            f"{ratio.minima:.3f}",
        )
        for pair, ratio in ratios.items()
    ]


def served_rows(served: Served) -> Lines:
    """CPU time, rate and latencies of each server at each number of connections."""
    header = ("server", "connections", "CPU us/request", "requests/s", "p50 ms", "p99 ms")
    return header, [
        (name, str(count), *load_cells(middle(loads)))
        for name, counts in served.items()
        for count, loads in counts.items()
    ]


def load_cells(seen: Load) -> tuple[str, str, str, str]:
    """One load's figures."""
    return (
        f"{seen.cpu * 1e6:.0f}",
        f"{seen.rate:.0f}",
        f"{seen.p50 * 1e3:.2f}",
        f"{seen.p99 * 1e3:.2f}",
    )


def bar_rows(bars: Sequence[Bar]) -> Lines:
    """Each bar with its verdict."""
    return ("work", "bar", "figure", ""), [
        (
            bar.work,
            "report" if bar.limit is None else f"{'<>'[bar.at_least]}= {bar.limit:g}{bar.unit}",
            f"{bar.figure:.3g}{bar.unit}",
            "" if bar.limit is None else "met" if bar.met else "MISSED",
        )
        for bar in bars
    ]


def document(results: Results) -> dict[str, object]:
    """Everything as one JSON document."""
    packages = (
        "flask",
        "werkzeug",
        "gunicorn",
        "gevent",
        "protobuf",
        "protobuf-py",
        "orjson",
        "flask-caching",
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": results.quick,
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        },
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "peers": results.peers,
        "bars": [{**bar._asdict(), "met": bar.met} for bar in bars(results)],
        "in process": [
            {**pair._asdict(), **ratio._asdict()} for pair, ratio in results.inprocess.items()
        ],
        "served": load_objects(results.served),
        "workers": {model: load_objects(served) for model, served in results.workers.items()},
        "batches": load_objects(results.batches),
        "edges": results.edges._asdict() if results.edges else None,
    }


def load_objects(served: Served) -> dict[str, dict[int, dict[str, float]]]:
    """The median loads as objects with names."""
    return {
        name: {count: middle(loads)._asdict() for count, loads in counts.items()}
        for name, counts in served.items()
    }


def worker_table(document: Mapping[str, Any]) -> str:
    """The Markdown table of docs/deploying.md, out of the JSON document of a run."""
    header = ("model", "worker class", "requests/s", "p50 ms", "p99 ms", "CPU µs per request")
    rows = [
        (model, name, f"{seen['rate']:,.0f}", *milliseconds(seen), f"{seen['cpu'] * 1e6:,.0f}")
        for model, served in document["workers"].items()
        for name, counts in served.items()
        for seen in counts.values()
    ]
    rule = ("---", "---", *["---:"] * 4)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def milliseconds(seen: Mapping[str, float]) -> Iterator[str]:
    """Both latencies of a load."""
    return (f"{seen[name] * 1e3:,.1f}" for name in ("p50", "p99"))


def chart_figures(served: Served) -> dict[str, float]:
    """Microseconds of CPU per request of what README compares."""
    flask = {
        "flask_modelserve": RECOMMENDED,
        "bare Flask view, no checks": "bare view, gevent",
        "json_format by hand": "predecessor's way, gevent",
    }
    names = flask | {server.name: server.name for server in PEER_SERVERS}
    return {label: middle(served[name][CONNECTIONS]).cpu * 1e6 for label, name in names.items()}
