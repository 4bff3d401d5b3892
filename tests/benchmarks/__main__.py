"""Run the benchmarks: `python -m tests.benchmarks [--quick] [--parts ...]`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from . import batches, chart, edges, inprocess, report, served, workers
from .load import wrk
from .report import Results
from .served import DEFAULT, PEER_SERVERS, WORKER_CLASSES, Folders, Schedule
from .works import LANGUAGE

PARTS = ("inprocess", "served", "edges", "workers", "batches")

QUICK: dict[str, dict[str, Any]] = {
    "inprocess": {"processes": 2, "rounds": 10, "seconds": 0.01},
    "served": {"schedule": Schedule(rounds=1, turns={16: 4})},
    "edges": {"rounds": 3},
    "workers": {"schedule": Schedule(rounds=1, turns={16: 1})},
    "batches": {"schedule": Schedule(rounds=1, turns={64: 2})},
}
FULL: dict[str, dict[str, Any]] = {
    "inprocess": {"processes": 7, "rounds": 40, "seconds": 0.01},
    # Many starts: two of the same server differ by more than two turns of one.
    "served": {"schedule": Schedule(rounds=4, turns={1: 1, 16: 5, 64: 1})},
    "edges": {"rounds": 10},
    "workers": {"schedule": Schedule(rounds=1, turns={16: 4})},
    "batches": {"schedule": Schedule(rounds=1, turns={64: 10})},
}
QUICK_WORKER_CLASSES = (DEFAULT, "gevent")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="under 3 minutes, with less certain figures"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    parser.add_argument(
        "--environments", type=Path, default=Path(".bench/environments"), help="kept between runs"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(".bench/results"),
        help="figures, tables, chart and servers' logs",
    )
    return parser.parse_args()


def measure(parts: tuple[str, ...], *, quick: bool, folders: Folders) -> Results:
    """Run the parts that were asked for."""
    options = QUICK if quick else FULL
    results = Results(quick)
    if "inprocess" in parts:
        results.inprocess = inprocess.measure(**options["inprocess"])
    if "served" in parts:
        results.peers = {
            server.name: served.versions(server, folders.environments) for server in PEER_SERVERS
        }
        worker_classes = QUICK_WORKER_CLASSES if quick else tuple(WORKER_CLASSES)
        servers = (*served.flask_servers(worker_classes), *PEER_SERVERS)
        results.served = served.measure(servers, folders, LANGUAGE.question, **options["served"])
    if "edges" in parts:
        results.edges = edges.measure(folders, **options["edges"])
    if "workers" in parts:
        names = QUICK_WORKER_CLASSES if quick else workers.WORKERS
        results.workers = workers.measure(names, folders, **options["workers"])
    if "batches" in parts:
        results.batches = batches.measure(folders, **options["batches"])
    return results


def main() -> None:
    """Measure, print the tables, and write figures and chart."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that servers are stopped
    options = arguments()
    folders = Folders(options.environments.absolute(), options.output.absolute())
    folders.output.mkdir(parents=True, exist_ok=True)
    if {"served", "workers", "batches"} & set(options.parts):
        wrk()
    results = measure(tuple(options.parts), quick=options.quick, folders=folders)
    sys.stdout.write(f"{report.text(results)}\n")
    document = report.document(results)
    (folders.output / "benchmarks.json").write_text(json.dumps(document, indent=2) + "\n")
    if results.workers:
        table = report.worker_table(document)
        (folders.output / "workers.md").write_text(f"{table}\n")
    if results.served:
        drawing = chart.bars(
            "CPU time per request",
            "335 bytes of JSON, validated both ways; one worker, 16 connections; less is better",
            report.chart_figures(results.served),
            highlighted="flask_modelserve",
        )
        (folders.output / "benchmarks.svg").write_text(drawing)


if __name__ == "__main__":
    main()
