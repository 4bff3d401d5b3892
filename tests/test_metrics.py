"""Metrics: ours per endpoint, the exporter's per route, and the user's own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
import requests
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from prometheus_flask_exporter import PrometheusMetrics

from flask_modelserve import InvalidRequest, ModelServe

from .servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient


def samples(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one name, by their labels' values."""
    text = client.get("/__metrics").text
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_outcomes(app: Flask, client: FlaskClient, serve: ModelServe) -> None:
    """Every request counts under the outcome that it had."""

    @serve.endpoint("/", cache=60)
    def model(kind: str) -> Any:
        if kind == "crash":
            raise ZeroDivisionError
        if kind == "invalid":
            raise InvalidRequest("no")
        return object() if kind == "bad" else kind

    for kind in ("ok", "ok", "ok", "crash", "invalid", "bad"):
        client.post("/", json={"kind": kind})
    client.post("/", data="[")
    counted = samples(client, "modelserve_requests_total")
    assert {labels: count for labels, count in counted.items() if count} == {
        ("model", "ok"): 1.0,
        ("model", "hit"): 2.0,
        ("model", "error"): 1.0,
        ("model", "invalid"): 2.0,
        ("model", "bad_response"): 1.0,
    }
    assert samples(client, "modelserve_predict_seconds_count") == {("model",): 4.0}
    assert samples(client, "modelserve_in_flight") == {("model",): 0.0}


def test_in_flight_while_answering(client: FlaskClient, serve: ModelServe, app: Flask) -> None:
    """modelserve_in_flight counts the requests that are being answered."""

    @serve.endpoint("/")
    def model() -> Any:
        return samples(app.test_client(), "modelserve_in_flight")[("model",)]

    assert client.post("/", json={}).json == 1.0


def test_every_route_is_recorded_by_the_exporter_s_names(
    app: Flask, client: FlaskClient, serve: ModelServe
) -> None:
    """Dashboards made for the exporter work: its names, labels endpoint, method and status."""
    app.add_url_rule("/page", "page", lambda: "page")

    @app.get("/crash")
    def crash() -> None:
        raise ZeroDivisionError

    @serve.endpoint("/model/<int:number>")
    def model(number: int) -> int:
        return number

    client.get("/page")
    client.get("/crash")
    for number in range(3):
        client.post(f"/model/{number}", json={})
    client.post("/model/1", data="[")
    durations = samples(client, "flask_http_request_duration_seconds_count")
    assert durations == {
        ("page", "GET", "200"): 1.0,
        ("crash", "GET", "500"): 1.0,
        ("model", "POST", "200"): 3.0,
        ("model", "POST", "400"): 1.0,
    }
    totals = samples(client, "flask_http_request_total")
    assert totals["POST", "200"] == 3.0
    assert samples(client, "flask_http_request_exceptions_total") == {("GET", "500"): 1.0}
    assert samples(client, "flask_exporter_info")


@pytest.mark.parametrize("asks_flask", [False, True])
def test_middleware_that_answers_by_itself(app: Flask, asks_flask: bool) -> None:
    """A middleware that the app had before ours may answer without Flask, or after it."""
    inner = app.wsgi_app

    def files(environ: Any, start_response: Any) -> Any:
        if asks_flask:
            inner(environ, lambda *_: None)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a file"]

    app.wsgi_app = files  # type: ignore[method-assign]
    ModelServe(app)
    answer = app.test_client().get("/static")
    assert (answer.status_code, answer.text) == (200, "a file")
    app.wsgi_app = inner  # type: ignore[method-assign]
    counted = samples(app.test_client(), "flask_http_request_total")
    assert counted == {("GET", "200"): 1.0}


def test_middleware_that_is_a_generator(app: Flask) -> None:
    """One that the app had before ours may ask Flask only when its answer is read."""
    inner = app.wsgi_app

    def lazy(environ: Any, start_response: Any) -> Any:
        yield from inner(environ, start_response)

    app.wsgi_app = lazy  # type: ignore[method-assign]
    ModelServe(app).endpoint("/", endpoint="one")(lambda: 1)
    client = app.test_client()
    answer = client.post("/", json={})
    assert (answer.json, "X-Request-ID" in answer.headers) == (1, True)
    assert samples(client, "flask_http_request_total") == {("POST", "200"): 1.0}


def test_labels_are_bounded(client: FlaskClient, serve: ModelServe) -> None:
    """Probed paths and invented methods make no new series."""
    client.get("/__metrics")
    before = len(samples(client, "flask_http_request_duration_seconds_count"))
    for number in range(50):
        client.get(f"/probe/{number}")
        client.open(f"/probe/{number}", method=f"M{number}")
    after = samples(client, "flask_http_request_duration_seconds_count")
    assert len(after) - before == 2
    assert after["None", "other", "404"] == 50.0


def test_pages_that_raise_are_recorded_under_the_debugger(
    app: Flask, client: FlaskClient, serve: ModelServe
) -> None:
    """A page that raises through Flask is recorded as 500."""
    app.testing = True

    @app.get("/crash")
    def crash() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.get("/crash")
    durations = samples(client, "flask_http_request_duration_seconds_count")
    assert durations["crash", "GET", "500"] == 1.0


@pytest.fixture
def own_counter() -> Iterator[prometheus_client.Counter]:
    """A user's counter in prometheus_client's global registry."""
    counter = prometheus_client.Counter("own_words", "Words that a user's code has seen")
    yield counter
    prometheus_client.REGISTRY.unregister(counter)


def test_users_own_metrics_appear(
    client: FlaskClient, serve: ModelServe, own_counter: prometheus_client.Counter
) -> None:
    """What a user measures with prometheus_client alone is in /__metrics, name[] included."""
    own_counter.inc(3)
    assert samples(client, "own_words_total") == {(): 3.0}
    assert "process_cpu_seconds_total" in client.get("/__metrics").text
    chosen = client.get("/__metrics?name[]=own_words_total&name[]=modelserve_cache_errors_total")
    families = {family.name for family in text_string_to_metric_families(chosen.text)}
    assert families == {"own_words", "modelserve_cache_errors"}


def test_exposition_has_each_name_once(app: Flask, client: FlaskClient, serve: ModelServe) -> None:
    """An exporter that the user adds after ours does not break what Prometheus reads."""
    late = PrometheusMetrics(app, registry=prometheus_client.REGISTRY)
    try:
        serve.endpoint("/", endpoint="model")(lambda: 1)
        client.post("/", json={})
        text = client.get("/__metrics").text
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(names) == len(set(names))
        assert samples(client, "flask_http_request_total")["POST", "200"] == 1.0
    finally:
        for collector in list(late.registry._collector_to_names):
            if "flask_" in str(late.registry._collector_to_names[collector]):
                late.registry.unregister(collector)


@pytest.mark.parametrize("given", [True, False])
def test_existing_exporter_is_used(given: bool) -> None:
    """An app's own PrometheusMetrics records our endpoints in its own way, once."""
    app = Flask(__name__)
    registry = prometheus_client.CollectorRegistry()
    own = PrometheusMetrics(app, path="/metrics", group_by="url_rule", registry=registry)
    serve = ModelServe(app, metrics=own) if given else ModelServe(app)
    serve.endpoint("/model/<int:number>", endpoint="model")(lambda number: number)
    client = app.test_client()
    client.post("/model/1", json={})
    client.post("/model/2", json={})
    assert samples(client, "modelserve_requests_total")["model", "ok"] == 2.0
    durations = samples(client, "flask_http_request_duration_seconds_count")
    assert durations == {("POST", "200", "/model/<int:number>"): 2.0}
    assert "modelserve_requests_total" in client.get("/metrics").text


def test_apps_that_share_a_registry() -> None:
    """Two apps whose user gives both one registry don't collide in it."""
    registry = prometheus_client.CollectorRegistry()
    clients = []
    for name in ("one", "two"):
        app = Flask(name)
        own = PrometheusMetrics(app, path=None, export_defaults=False, registry=registry)
        serve = ModelServe(app, metrics=own)
        serve.endpoint("/", endpoint=name)(lambda: 1)
        clients.append(app.test_client())
        clients[-1].post("/", json={})
    counted = samples(clients[0], "modelserve_requests_total")
    assert counted["one", "ok"] == counted["two", "ok"] == 1.0


def test_openmetrics_by_accept(client: FlaskClient, serve: ModelServe) -> None:
    """A scraper that asks for OpenMetrics gets it."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = client.get("/__metrics", headers=accept)
    assert response.content_type.startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_metrics_under_the_reloader(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """/__metrics answers under flask run --debug too, where the exporter's own route is off."""
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    ModelServe(app)
    assert app.test_client().get("/__metrics").status_code == 200


WORKERS_APP = """
from flask import Flask
from flask_modelserve import ModelServe

app = Flask(__name__)

@ModelServe(app).endpoint("/")
def model(number: int):
    return number
"""


def test_metrics_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PROMETHEUS_MULTIPROC_DIR any worker shows the sums of all, to the unit."""
    (tmp_path / "app.py").write_text(WORKERS_APP)
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    options = ["--workers", "2", "--chdir", str(tmp_path), "--bind", f"127.0.0.1:{port}"]
    with running("gunicorn", *options, "--no-control-socket", "app:app", port=port):

        def ask(number: int) -> int:
            return requests.post(f"{address}/", json={"number": number}, timeout=30).status_code

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(ask, range(200)))
        assert statuses == [200] * 200
        text = requests.get(f"{address}/__metrics", timeout=30).text
    values = {
        (sample.name, sample.labels.get("outcome") or sample.labels.get("method")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["modelserve_requests_total", "ok"] == 200.0
    assert values["modelserve_predict_seconds_count", None] == 200.0
    assert values["flask_http_request_total", "POST"] == 200.0
    assert values["modelserve_in_flight", None] == 0.0


def test_metrics_are_exact_beyond_what_is_kept_back(
    client: FlaskClient, serve: ModelServe, app: Flask
) -> None:
    """However many requests come between two scrapes, from several threads, each counts once."""
    app.add_url_rule("/page", "page", lambda: "page")
    serve.endpoint("/")(constant)

    def ask(_: int) -> None:
        app.test_client().post("/", json={})
        app.test_client().get("/page")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(1500)))
    assert samples(client, "modelserve_requests_total")[("constant", "ok")] == 1500
    assert samples(client, "modelserve_predict_seconds_count") == {("constant",): 1500.0}
    assert samples(client, "modelserve_in_flight") == {("constant",): 0.0}
    total = samples(client, "flask_http_request_total")
    assert (total["POST", "200"], total["GET", "200"]) == (1500, 1500)


def constant() -> int:
    return 1
