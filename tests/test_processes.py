"""What many processes count together, and what restarts lose: nothing."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from .crowds import PATIENCE, until
from .fleet import APP, HUP, KILL, TERM, Fleet, disturb, exchange, fleet, load
from .servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS = "modelserve_requests_total"
OK = f"{REQUESTS} double ok"
IN_FLIGHT = "modelserve_in_flight double"
# What each process of a server may have: one file for each of its kinds of metrics.
KINDS = 6


def files(server: Fleet) -> list[str]:
    """Return the names of the metrics' files."""
    return [file.name for file in server.temporary.glob("flask_modelserve-*/*.db")]


def disturbances(server: Fleet) -> list[Any]:
    """Return what happens to workers in production, short of their sudden death."""
    return [
        lambda: oldest(server, TERM),
        lambda: server.signal(HUP),
        lambda: server.signal(signal.SIGTTIN),
        lambda: oldest(server, TERM),
        lambda: server.signal(signal.SIGTTOU),
    ]


def oldest(server: Fleet, number: int) -> None:
    """Send a signal to the worker that has lived longest, if there is one."""
    for worker in sorted(server.workers())[:1]:
        server.signal(number, worker)


@pytest.mark.parametrize(
    ("options", "requests"),
    [([], 2000), (["--preload", "--max-requests", "150"], 1000)],
    ids=str,
)
def test_restarts_lose_nothing(options: list[str], requests: int, tmp_path: Path) -> None:
    """TERM of workers, HUP, TTIN, TTOU and recycling: each answer is there, right, and counted."""
    with fleet(tmp_path, *options, WEB_CONCURRENCY="2") as server:
        with load(server) as sending:
            disturb(sending, *disturbances(server), requests=requests, pause=0.2)
        metrics = server.metrics()
        written = files(server)
    assert sending.lost == []
    assert sending.right == sending.sent >= requests
    assert metrics[OK] == sending.sent
    assert metrics["flask_http_request_total POST 200"] == sending.sent
    assert metrics["modelserve_predict_seconds_count double"] == sending.sent
    assert metrics[IN_FLIGHT] == 0
    assert len(written) < 10 * KINDS


def test_a_killed_worker_loses_only_what_it_was_answering(tmp_path: Path) -> None:
    """kill -9 of workers: the service goes on, and counts all that was answered, once."""
    clients = 8
    with fleet(tmp_path, WEB_CONCURRENCY="2") as server:
        kills = 0
        with load(server, clients) as sending:
            for _ in range(3):
                server.await_workers(2)
                answered = sending.right
                server.signal(KILL, max(server.workers()))
                kills += 1
                until(lambda answered=answered: sending.right > answered + 100)  # type: ignore[misc]
        server.await_workers(2)
        metrics = server.metrics()
        written = files(server)
    assert len(sending.lost) <= kills * clients
    assert sending.right + len(sending.lost) == sending.sent
    assert sending.right <= metrics[OK] <= sending.sent
    assert metrics[IN_FLIGHT] == 0
    assert len(written) <= 4 * KINDS


def test_counters_never_go_back(tmp_path: Path) -> None:
    """Whatever happens to workers, each scrape shows all that was answered before it."""
    with fleet(tmp_path, WEB_CONCURRENCY="2") as server, load(server, 4) as sending:
        before: dict[str, float] = {}
        events = [*disturbances(server), lambda: oldest(server, KILL)]
        for number in range(40):
            if number % 5 == 0:
                events[number // 5 % len(events)]()
            answered = sending.right
            try:
                now = server.metrics()
            except (OSError, AssertionError):  # asked a worker that was killed
                continue
            assert now.get(OK, 0) >= answered
            gone_back = [
                name
                for name, value in before.items()
                if name.split()[0].endswith(("_total", "_count", "_bucket", "_sum"))
                and now.get(name, 0) < value
            ]
            assert gone_back == []
            before = now


GAUGES = """
import prometheus_client
from flask import request

from prometheus_flask_exporter import PrometheusMetrics

words = prometheus_client.Counter("own_words", "Words", ["language"])
size = prometheus_client.Summary("own_size", "Sizes")
gauges = {
    mode: prometheus_client.Gauge(f"own_{mode}", "A gauge", multiprocess_mode=mode)
    for mode in ("all", "liveall", "livesum", "max", "min", "sum", "mostrecent")
}

@app.get("/own")
def own():
    words.labels("fr\\u00e7").inc(2)
    size.observe(5)
    for gauge in gauges.values():
        gauge.set(request.args.get("value", 1, type=float))
    return str(os.getpid())
"""


def own(server: Fleet, worker: int | None = None, value: int = 1) -> None:
    """Have one worker set its gauges, or each of them."""
    asked: set[int] = set()
    wanted = server.workers() if worker is None else {worker}
    until(lambda: asked.add(int(server.get(f"/own?value={value}"))) or asked >= wanted)  # type: ignore[func-returns-value]


def test_users_own_metrics(tmp_path: Path) -> None:
    """A user's own metrics are merged, gauges by their modes; those of the dead are out."""
    with fleet(tmp_path, app=APP + GAUGES, WEB_CONCURRENCY="3") as server:
        server.await_workers(3)
        own(server, value=2)
        shown = server.metrics()
        assert shown["own_livesum"] == shown["own_sum"] == 6
        assert shown["own_max"] == shown["own_min"] == shown["own_mostrecent"] == 2
        everyone = {f"own_{mode} worker-{n}" for mode in ("all", "liveall") for n in (1, 2, 3)}
        assert everyone <= shown.keys()
        counted = shown["own_words_total fr\u00e7"]
        assert counted == 2 * shown["own_size_count"] >= 6

        server.signal(signal.SIGTTOU)
        until(lambda: server.metrics()["own_livesum"] == 4)
        shown = server.metrics()
        assert len(everyone & shown.keys()) == 4
        assert shown["own_sum"] == 6
        assert shown["own_max"] == 2
        assert shown["own_words_total fr\u00e7"] == counted


OWN_EXPORTER = """
from prometheus_flask_exporter import PrometheusMetrics

metrics = PrometheusMetrics(app, group_by="endpoint")
"""


def test_users_own_exporter(tmp_path: Path) -> None:
    """An app's own PrometheusMetrics shows the sums of all workers on its page as well.

    A scraper can choose names, and OpenMetrics.
    """
    first, rest = APP.split("serve = ModelServe(app)")
    app = first + OWN_EXPORTER + "serve = ModelServe(app)" + rest
    with fleet(tmp_path, app=app, WEB_CONCURRENCY="2") as server:
        workers = {server.ask()["pid"] for _ in range(50)}
        assert server.metrics()[OK] == 50
        page = server.get("/metrics")
        assert f'{REQUESTS}{{endpoint="double",outcome="ok"}} 50.0' in page
        assert 'flask_http_request_total{method="POST",status="200"} 50.0' in page
        chosen = server.get(f"/__metrics?name[]={REQUESTS}&name[]=modelserve_in_flight")
        names = {family.name for family in text_string_to_metric_families(chosen)}
        assert names == {"modelserve_requests", "modelserve_in_flight"}
        page = urlopen(
            Request(
                f"http://127.0.0.1:{server.port}/__metrics",
                headers={"Accept": "application/openmetrics-text; version=1.0.0"},
            ),
            timeout=PATIENCE,
        )
        with page:
            assert page.headers["Content-Type"].startswith("application/openmetrics-text")
            families = list(openmetrics(page.read().decode()))
        assert {"modelserve_requests", "modelserve_predict_seconds"} <= {
            each.name for each in families
        }
        for worker in workers:
            server.signal(TERM, worker)
        server.await_workers(2, without=workers)
        assert f'{REQUESTS}{{endpoint="double",outcome="ok"}} 50.0' in server.get("/metrics")


FORKING = """
import multiprocessing

def count_in_child(number):
    with app.test_request_context():
        words.inc(number)

import prometheus_client
words = prometheus_client.Counter("own_words", "Words")

@app.get("/fork")
def fork():
    words.inc()
    child = multiprocessing.get_context("fork").Process(target=count_in_child, args=(10,))
    child.start()
    words.inc()
    child.join()
    words.inc()
    return ""
"""


def test_children_of_workers_count_for_themselves(tmp_path: Path) -> None:
    """What a process counts that a worker has forked is added, and disturbs nobody's counts."""
    with fleet(tmp_path, "-k", "sync", app=APP + FORKING, WEB_CONCURRENCY="1") as server:
        for _ in range(5):
            server.get("/fork")
        assert server.metrics()["own_words_total"] == 65
        assert len([name for name in files(server) if name.startswith("counter")]) == 2


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_port_of_its_own(worker_class: str, tmp_path: Path) -> None:
    """MODELSERVE_METRICS_PORT serves the metrics, and the public port does not any more."""
    port = free_port()
    env = {"MODELSERVE_METRICS_PORT": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "2"}
    with fleet(tmp_path, "-k", worker_class, **env) as server:
        for number in range(20):
            assert server.ask(number)["double"] == 2 * number
        assert server.metrics(port)[OK] == 20
        assert exchange(server.port, "GET /__metrics HTTP/1.1")[0] == 404
        for _ in range(3):
            killed = server.workers()
            for worker in killed:
                server.signal(KILL, worker)
            assert server.metrics(port)[OK] == 20  # waits for the next worker
            server.await_workers(2, without=killed)
        chosen = server.get(f"/metrics?name[]={REQUESTS}", port)
        assert "modelserve_predict_seconds" not in chosen
        with ThreadPoolExecutor(2) as pool:
            busy = [pool.submit(server.ask, seconds=1) for _ in range(2)]
            until(lambda: server.metrics(port).get(IN_FLIGHT) == 2)  # while the models compute
            assert [each.result()["double"] for each in busy] == [2, 2]


def test_port_that_is_taken(tmp_path: Path) -> None:
    """A port that something else listens on stops the server, with an error that names it."""
    with fleet(tmp_path) as other:
        env = {"MODELSERVE_METRICS_PORT": f"127.0.0.1:{other.port}"}
        (tmp_path / "two").mkdir()
        with pytest.raises(RuntimeError, match="ended with 1"), fleet(tmp_path / "two", **env):
            pass
    # gunicorn has no log for it yet.


def test_scrapes_are_fast_with_many_workers(tmp_path: Path) -> None:
    """A page of 16 workers is read and summed up in less than a second."""
    with fleet(tmp_path, "-k", "sync", WEB_CONCURRENCY="16") as server:
        server.await_workers(16)
        seen: set[int] = set()
        until(lambda: seen.add(server.ask(seconds=0.01)["pid"]) or len(seen) > 8)  # type: ignore[func-returns-value]
        begun = time.monotonic()
        for _ in range(5):
            server.metrics()
        assert (time.monotonic() - begun) / 5 < 1
    assert list(server.temporary.iterdir()) == []


TWO_APPS = """
from flask import Flask
from flask_modelserve import ModelServe
from werkzeug.middleware.dispatcher import DispatcherMiddleware


def make(name):
    app = Flask(name)

    @ModelServe(app).endpoint("/")
    def double(number: int, seconds: float = 0):
        return {"double": 2 * number, "pid": 0}

    return app


app = DispatcherMiddleware(make("one"), {"/two": make("two")})
"""


def test_two_apps_of_a_process_lose_no_count(tmp_path: Path) -> None:
    """Apps that one server serves add up to one sum, whichever of them answers."""
    with fleet(tmp_path, app=TWO_APPS, WEB_CONCURRENCY="2") as server:
        for _ in range(10):
            server.ask()
            exchange(server.port, "POST /two/ HTTP/1.1", b'{"number": 1}')
        metrics = server.metrics()
    assert metrics["modelserve_requests_total double ok"] == 20
    assert metrics["flask_http_request_total POST 200"] == 20
