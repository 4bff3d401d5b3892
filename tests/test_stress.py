"""Stress: a crowd, poison, time-outs and deaths at once; every answer is its request's own.

``MODELSERVE_STRESS=100000 python -m nox -s tests -- tests/test_stress.py`` sends so many requests.
Without it the tests here are left out: killing threads at any line is no thing for every run.
"""

from __future__ import annotations

import ctypes
import gc
import http.client
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from flask import Flask

from flask_modelserve import Batch, InvalidRequest, ModelServe, batching, threads
from flask_modelserve.threads import Handover

from .crowds import PATIENCE, until
from .fleet import KILL, Fleet, disturb, fleet, load
from .test_metrics import samples
from .test_processes import IN_FLIGHT, KINDS, OK, disturbances, files, oldest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    "MODELSERVE_STRESS" not in os.environ, reason="a long run, by MODELSERVE_STRESS=100000"
)
REQUESTS = int(os.environ.get("MODELSERVE_STRESS", "4000"))
CROWD = 64
# Each its own batch and time; what is called most may wait for long.
ENDPOINTS = [
    {"batch": Batch(32, max_wait=0.002)},
    {"batch": Batch(8, max_wait=0), "timeout": 0.05},
    {"batch": Batch(16, max_wait=0.005), "timeout": 0.02, "max_queue": 10},
    {"batch": 1, "max_queue": 4},
    {"timeout": 0.02, "max_concurrency": 4},
    {"max_concurrency": 3, "max_queue": 5},
]
POISON = 0.01
DEATHS = max(200, REQUESTS // 20)


def work() -> None:
    """Take some time, and now and then more than anyone has."""
    time.sleep(random.choice((0, 0, 0.0005, 0.002, 0.002, 0.03)))


def columns(number: Any, text: Any, poison: Any) -> Any:
    work()
    if any(poison):
        raise InvalidRequest("poison")
    return [{"number": n, "length": len(t)} for n, t in zip(number, text, strict=True)]


def row(number: int, text: str, poison: bool) -> Any:
    return columns([number], [text], [poison])[0]


def make_app() -> Flask:
    app = Flask(__name__)
    serve = ModelServe(app)
    for path, options in enumerate(ENDPOINTS):
        # A batched function serves one rule: each has its own.
        function: Callable[..., Any] = columns if "batch" in options else row
        copy = type(function)(function.__code__, function.__globals__)  # type: ignore[attr-defined]
        serve.endpoint(f"/{path}", endpoint=f"model{path}", **options)(copy)  # type: ignore[arg-type]
    return app


class Crowd:
    """Threads that send requests, and check each answer."""

    def __init__(self, app: Flask, requests: int) -> None:
        self._app = app
        self._numbers = iter(range(requests))
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.wrong: list[Any] = []

    def run(self) -> None:
        crowd = [threading.Thread(target=self._send, daemon=True) for _ in range(CROWD)]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join()

    def _send(self) -> None:
        client = self._app.test_client()
        while (number := self._next()) is not None:
            body = {
                "number": number,
                "text": "x" * random.randrange(2000),
                "poison": random.random() < POISON,
            }
            response = client.post(f"/{random.randrange(len(ENDPOINTS))}", json=body)
            with self._lock:
                self.statuses[response.status_code] += 1
                if not self._is_right(body, response):
                    self.wrong.append((body["number"], response.status_code, response.text))

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    @staticmethod
    def _is_right(body: dict[str, Any], response: Any) -> bool:
        if response.status_code == 200:
            answer = {"number": body["number"], "length": len(body["text"])}
            return not body["poison"] and bool(response.json == answer)
        if response.status_code == 400:
            return bool(body["poison"])
        return response.status_code in {500, 503, 504}


def is_at_work(thread: threading.Thread) -> bool:
    """Tell whether a thread is one of batching.py's, and in its code: not in Python's around it.

    Nor while it starts another one: until that runs, Python knows it by the same number, and the
    new one would die in its place, unseen by the first, which waits for it.
    """
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not batching.Batcher._work.__code__:
        if frame.f_code is threading.Thread.start.__code__:
            return False
        frame = frame.f_back
    return frame is not None


def alive() -> set[threading.Thread]:
    """Return the threads that run: Python may list one for ever that was killed while it ended."""
    return {each for each in threading.enumerate() if each.is_alive()}


def kill(thread: threading.Thread) -> bool:
    """Kill a thread that is at work, before any other has its turn, and return whether it was."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(PATIENCE)
    try:
        is_due = is_at_work(thread)
        if is_due:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
            )
    finally:
        sys.setswitchinterval(interval)
    return is_due


class Killer(threading.Thread):
    """Kills the threads that call batched functions, wherever they are by then."""

    def __init__(self, most: float) -> None:
        super().__init__(daemon=True)
        self._most = most
        self._ends = threading.Event()
        self.kills = 0

    def run(self) -> None:
        died: list[threading.Thread] = []
        while not self._ends.wait(random.uniform(0, self._most)):
            # Those that are dying may do so; one that swallows it, as in a destructor, dies later.
            died = died[-5:]
            for runner in threading.enumerate():
                if runner not in died and kill(runner):
                    died.append(runner)
                    self.kills += 1
                    break
            else:
                died = []

    def end(self) -> None:
        self._ends.set()
        self.join()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing keep, or report, the frames of threads that are killed in Python's own code."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)


@pytest.mark.usefixtures("quiet")
def test_stress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each request of a crowd gets one answer, its own, and nothing is left when all is done."""
    monkeypatch.setattr(batching, "REST", 0.2)
    monkeypatch.setattr(threads, "REST", 0.2)
    app = make_app()
    monkeypatch.setattr(app.logger, "disabled", True)  # the tracebacks of those killed
    before = alive()
    process = psutil.Process()
    Crowd(app, REQUESTS // 4).run()  # memory is what it is once all code has run
    gc.collect()
    resident = process.memory_info().rss

    killer = Killer(0.1)
    killer.start()
    crowd = Crowd(app, REQUESTS)
    begun = time.perf_counter()
    crowd.run()
    seconds = time.perf_counter() - begun
    killer.end()

    assert crowd.wrong == []
    assert crowd.statuses.total() == REQUESTS
    assert {200, 400, 503, 504} <= set(crowd.statuses)
    assert killer.kills
    outcomes = samples(app.test_client(), "modelserve_requests_total")
    assert sum(outcomes.values()) == REQUESTS + REQUESTS // 4
    until(lambda: not any(samples(app.test_client(), "modelserve_in_flight").values()))

    until(lambda: alive() <= before)
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, Handover)] == []
    grown = (process.memory_info().rss - resident) / 1e6
    assert grown < 30
    with capsys.disabled():
        if "MODELSERVE_STRESS" in os.environ:
            print(  # noqa: T201 - the figures, for whoever asked for the long run
                f"\n{REQUESTS} requests, {seconds:.0f} s, {killer.kills} kills,"
                f" {dict(crowd.statuses)}, memory {grown:+.1f} MB"
            )


@pytest.mark.usefixtures("quiet")
def test_runner_killed_anywhere(
    app: Flask, serve: ModelServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the runner is killed, at whatever line, requests go on to be answered."""
    monkeypatch.setattr(app.logger, "disabled", True)
    monkeypatch.setattr(batching, "REST", 0.2)
    before = alive()
    statuses: Counter[int] = Counter()
    numbers = itertools.count()
    ends = threading.Event()

    @serve.endpoint("/", batch=Batch(4, max_wait=0))
    def model(number: Any) -> Any:
        return [2 * each for each in number]

    def ask() -> None:
        client = app.test_client()
        while not ends.is_set():
            number = next(numbers)
            response = client.post("/", json={"number": number})
            assert response.status_code == 500 or response.json == 2 * number
            statuses[response.status_code] += 1

    askers = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    killer = Killer(0.002)
    for each in (*askers, killer):
        each.start()
    until(lambda: killer.kills >= DEATHS)
    killer.end()
    ends.set()
    for asker in askers:
        asker.join(PATIENCE)
        assert not asker.is_alive()
    assert set(statuses) <= {200, 500}
    assert statuses[200]
    assert app.test_client().post("/", json={"number": 1}).json == 2
    until(lambda: alive() <= before)


def show(capsys: pytest.CaptureFixture[str], *figures: object) -> None:
    """Print the figures of a long run, for whoever asked for it."""
    with capsys.disabled():
        print("\n" + ", ".join(map(str, figures)))  # noqa: T201


@pytest.mark.parametrize("options", [[], ["--max-requests", "500"]], ids=str)
def test_restarts_of_workers(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """20,000 requests at 32 connections while workers come and go: each is answered and counted."""
    with fleet(tmp_path, *options, WEB_CONCURRENCY="2") as server:
        with load(server, clients=32) as sending:
            disturbed = disturb(sending, *disturbances(server), requests=20_000)
        metrics = server.metrics()
    show(
        capsys,
        f"{sending.right} of {sending.sent} right, {disturbed} signals",
        f"{len(sending.by_worker)} workers, slowest {max(sending.seconds):.2f} s",
    )
    assert sending.lost == []
    assert sending.right == sending.sent == metrics[OK] >= 20_000
    assert metrics[IN_FLIGHT] == 0


def test_a_worker_killed_every_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """kill -9 for 20 seconds: only what the worker was answering is lost, and counts stay right."""
    with fleet(tmp_path, WEB_CONCURRENCY="2") as server:
        with load(server, clients=32) as sending:
            for _ in range(20):
                server.await_workers(2)
                oldest(server, KILL)
                sending.join(1)
        metrics = server.metrics()
        written = files(server)
    show(
        capsys,
        f"{sending.right} of {sending.sent} right, {len(sending.lost)} lost",
        f"counted {metrics[OK]:.0f}, slowest {max(sending.seconds):.2f} s, {len(written)} files",
    )
    assert len(sending.lost) <= 20 * 32
    assert sending.right <= metrics[OK] <= sending.sent
    assert metrics[IN_FLIGHT] == 0
    assert len(written) <= 4 * KINDS


DAY = """
from flask import Flask
from flask_modelserve import Batch, ModelServe

app = Flask(__name__)
serve = ModelServe(app)

@serve.endpoint("/plain")
def plain(number: int):
    return 2 * number

@serve.endpoint("/kept", cache=1)
def kept(number: int):
    return 2 * number

@serve.endpoint("/batched", batch=Batch(8, max_wait=0.001))
def batched(number: int):
    return [2 * each for each in number]

@serve.endpoint("/limited", timeout=5)
def limited(number: int):
    return 2 * number

@serve.endpoint("/stream")
def stream(number: int):
    yield number
    yield number
"""


class Day(threading.Thread):
    """A client that sends to all endpoints of a day's app, on a connection that it keeps."""

    def __init__(self, server: Fleet, requests: int) -> None:
        super().__init__(daemon=True)
        self._port = server.port
        self._requests = requests
        self.wrong: list[Any] = []
        self.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        for number in range(self._requests):
            path = ("plain", "kept", "batched", "limited", "stream", "nowhere")[number % 6]
            value: Any = number % 300 if number % 11 else "x" * (number % 3000)
            connection.request("POST", f"/{path}", json.dumps({"number": value}))
            response = connection.getresponse()
            body = response.read()
            if path == "nowhere":
                right = response.status == 404
            elif isinstance(value, str):
                right = response.status == 400
            elif path == "stream":
                right = body == b"%d\n%d\n" % (value, value)
            else:
                right = body == b"%d" % (2 * value)
            if not right:
                self.wrong.append((path, value, response.status, body))
        connection.close()


def test_a_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A day's requests to all kinds of endpoints: memory stays what it was, and so do files."""

    def send(server: Fleet, requests: int) -> list[Any]:
        days = [Day(server, requests // 8) for _ in range(8)]
        for day in days:
            day.join()
        return [wrong for day in days for wrong in day.wrong]

    def resident(server: Fleet) -> dict[int, float]:
        return {pid: psutil.Process(pid).memory_info().rss / 1e6 for pid in server.workers()}

    begun = time.perf_counter()
    with fleet(tmp_path, "--threads", "8", app=DAY, WEB_CONCURRENCY="2") as server:
        assert (
            send(server, 8 * (REQUESTS // 40)) == []
        )  # memory is what it is once all code has run
        server.metrics()
        before = resident(server)
        assert send(server, 8 * (REQUESTS // 10)) == []
        metrics = server.metrics()
        after = resident(server)
        for _ in range(10):
            workers = server.workers()
            server.signal(signal.SIGHUP)
            until(lambda workers=workers: server.workers().isdisjoint(workers))  # type: ignore[misc]
            server.await_workers(2)
        kept = {name: value for name, value in server.metrics().items() if name in metrics}
        written = files(server)
    counted = sum(value for name, value in metrics.items() if "modelserve_requests_total" in name)
    show(
        capsys,
        f"{REQUESTS} requests in {time.perf_counter() - begun:.0f} s, {counted:.0f} counted",
        f"memory before {before}, after {after} MB, {len(written)} files after 10 HUPs",
    )
    to_endpoints = sum(number % 6 != 5 for number in range(REQUESTS // 40))
    to_endpoints += sum(number % 6 != 5 for number in range(REQUESTS // 10))
    assert counted == 8 * to_endpoints
    assert before.keys() == after.keys()
    assert all(after[pid] - before[pid] < 10 for pid in before)
    assert all(kept[name] >= metrics[name] for name in kept if name.endswith("_total"))
    assert len(written) <= 8 * KINDS
