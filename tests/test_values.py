"""Metrics of a process in its files, as prometheus_client's own reader finds them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os
import sys
from threading import Thread

import flask_modelserve
from prometheus_client import Counter, Gauge, Histogram

words = Counter("words", "Words", ["word"])
for number in range(2000):  # more than a file has room for at first
    words.labels(f"{number} \\u00e7").inc(number)
size = Histogram("size", "Sizes", buckets=(1, 2))
seen = Gauge("seen", "A time", multiprocess_mode="mostrecent")
sys.setswitchinterval(1e-6)

def count():
    for _ in range(2000):
        words.labels("0 \\u00e7").inc()

threads = [Thread(target=count) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if not (child := os.fork()):
    seen.set(3)
    size.observe(1.5)
    words.labels("1999 \\u00e7").inc(0.5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
seen.set(2)
size.observe(7)
words.labels("1999 \\u00e7").inc(0.25)
assert words.labels("1999 \\u00e7")._value.get() == 1999.25
assert seen._value.get() == 2
"""


def test_a_process_and_its_child_write_what_others_read(tmp_path: Path) -> None:
    """No count is lost between threads, nor while a file grows, nor shared with a child."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-Werror", "-c", PROGRAM], env=environment, check=True)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))  # type: ignore[no-untyped-call]
    seen = {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    assert seen == {
        **{f"words_total {number} ç": number for number in range(2000)},
        "words_total 0 ç": 8000,
        "words_total 1999 ç": 1999.75,
        "size_sum": 8.5,
        "size_count": 2,
        "size_bucket 1.0": 0,
        "size_bucket 2.0": 1,
        "size_bucket +Inf": 2,
        "seen": 2,
    }
