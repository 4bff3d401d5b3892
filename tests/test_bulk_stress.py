"""Bulk scoring of a long file of digits: its gain over HTTP, its memory, kills at any moment.

``MODELSERVE_STRESS=100000 python -m nox -s tests -- tests/test_bulk_stress.py`` scores as many.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from .crowds import until
from .serving import served

pytestmark = pytest.mark.skipif(
    "MODELSERVE_STRESS" not in os.environ, reason="a long run, by MODELSERVE_STRESS=100000"
)
ROWS = int(os.environ.get("MODELSERVE_STRESS", "4000"))
KILLS = 8
SENT = 500  # one by one
DIGITS = Path(__file__).parents[1] / "examples" / "digits"


@pytest.fixture(scope="module")
def bodies():
    """An input of each image."""
    from sklearn.datasets import load_digits  # only for a long run

    return [json.dumps({"pixels": image.tolist()}) for image in load_digits(return_X_y=True)[0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bodies):
    """A folder with the rows, some of them bad."""
    folder = tmp_path_factory.mktemp("digits")
    with (folder / "rows.jsonl").open("w", encoding="ascii") as rows:
        for number in range(ROWS):
            rows.write((bodies[number % len(bodies)] if number % 1000 else "{}") + "\n")
    return folder


def start(folder: Path, output: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flask", "--app", str(DIGITS / "digits.py"), "modelserve"]
    return subprocess.Popen(
        [*command, "predict", "/digit", "-i", "rows.jsonl", "-o", output, *options],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def one_by_one(path: str, options: str, bodies: list[str]) -> float:
    """Return the rows that a server answers per second, asked for one after the other."""
    with served(f"gunicorn {options} --bind 127.0.0.1:8000 digits:app", DIGITS) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        headers = {"Content-Type": "application/json"}
        for number in range(SENT + 1):
            if number == 1:  # the forest has learned
                begun = time.perf_counter()
            connection.request("POST", path, bodies[number], headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
        seconds = time.perf_counter() - begun
        connection.close()
    return SENT / seconds


def test_gain_and_memory(folder, bodies):
    """Rows are scored at least five times faster than one by one, in memory that does not grow."""
    begun = time.perf_counter()
    run = start(folder, "whole.jsonl")
    memory: list[int] = []

    def watch() -> None:
        process = psutil.Process(run.pid)
        while run.poll() is None:
            memory.append(process.memory_info().rss >> 20)
            time.sleep(0.1)  # between two looks

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, told = run.communicate()
    watcher.join()
    in_bulk = ROWS / (time.perf_counter() - begun)
    assert run.returncode == 4, told
    best = max(
        one_by_one("/alone", "--worker-class sync", bodies),
        one_by_one("/digit", "--worker-class gthread --threads 4", bodies),
    )
    half = memory[len(memory) // 2]
    sys.stderr.write(
        f"\nbulk {in_bulk:.0f} rows/s, one by one {best:.0f}; "
        f"{half} MB half-way, {memory[-2]} MB at the end\n{told}"
    )
    assert in_bulk > 5 * best
    assert memory[-2] < half + 10


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_at_any_moment(folder, workers):
    """Killed again and again, the run ends with the bytes of one that was not."""
    if not (folder / "whole.jsonl").exists():
        start(folder, "whole.jsonl").communicate()
    output = folder / f"answers{workers}.jsonl"
    kills = 0
    for _ in range(KILLS):
        before = size(output)
        with start(folder, output.name, "--resume", "--workers", workers) as run:
            try:
                until(
                    lambda run=run, before=before: run.poll() is not None or size(output) > before
                )
                time.sleep(2 * random.random())  # any moment
            finally:
                run.kill()
                run.communicate()
        kills += run.returncode == -9
        if run.returncode == 4:  # it came to its end, which a run can't go on from
            break
    else:
        run = start(folder, output.name, "--resume", "--workers", workers)
        _, told = run.communicate()
        assert run.returncode == 4, told
    assert kills > 2
    assert output.read_bytes() == (folder / "whole.jsonl").read_bytes()
    errors = (folder / "whole.errors.jsonl").read_bytes()
    assert output.with_suffix(".errors.jsonl").read_bytes() == errors
    assert errors.count(b"\n") == len(range(0, ROWS, 1000))


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
