"""The dashboard and the alerts, on a real Prometheus that scrapes a real service."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from .crowds import until
from .monitored_app import app as monitored_app
from .servers import free_port, program, prometheus, redis, running

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
MONITORING = TESTS.parent / "examples" / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text("utf-8"))
RULES = {rule["alert"]: rule for group in ALERTS["groups"] for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}: {target['legendFormat']}")
    for panel in PANELS
    for target in panel["targets"]
]
VARIABLES = [each for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
ENDPOINTS = {"cached", "batched", "crashes", "breaks", "busy", "late", "slow"}
# One client each. Of three one always finds /busy busy, whichever of two workers they ask.
PATHS = ["/cached", "/batched", "/batched", "/busy", "/busy", "/busy", "/late", "/crashes"]
PATHS += ["/breaks", *["/slow"] * 5]
SCRAPE = "200ms"
MINUTE = 0.2  # seconds that a minute of the alerts takes here


class Monitored:
    """A service with its Prometheus, under load until told otherwise."""

    def __init__(
        self,
        service: int,
        prometheus: int,
        cache: contextlib.ExitStack,
        server: contextlib.ExitStack,
    ) -> None:
        self.stop_cache = cache.close
        self.stop_service = server.close
        self._service = f"http://127.0.0.1:{service}"
        self._prometheus = f"http://127.0.0.1:{prometheus}/api/v1"
        self._numbers = itertools.count()
        self._is_over = threading.Event()
        self._clients = [threading.Thread(target=self._ask, args=(path,)) for path in PATHS]

    def start_load(self) -> None:
        for client in self._clients:
            client.start()

    def stop_load(self) -> None:
        self._is_over.set()
        for client in self._clients:
            client.join(30)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now: samples with a value that is a number."""
        found = self._get("query", query=expression)["result"]
        return [each for each in found if not math.isnan(float(each["value"][1]))]

    def values(self, label: str, series: str) -> set[str]:
        """Return the values that a label has in some series."""
        return set(self._get(f"label/{label}/values", **{"match[]": series}))

    def firing(self) -> set[tuple[str, str]]:
        """Return the alerts that fire, each with the endpoint that it names."""
        return {
            (alert["labels"]["alertname"], alert["labels"].get("endpoint", ""))
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def _get(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self._prometheus}/{path}", query, timeout=30)
        document = answer.json()
        assert document["status"] == "success", document
        return document["data"]

    def _ask(self, path: str) -> None:
        with requests.Session() as session:
            while not self._is_over.wait(0.05):  # a pace that leaves others some of the machine
                body = {"number": next(self._numbers) // 50}
                session.post(self._service + path, json=body, timeout=30)
                if path == "/cached":
                    session.post(self._service + path, data="[", timeout=30)
                    session.get(f"{self._service}/page", timeout=30)


def shorten(rules: str) -> str:
    """Have the alerts' minutes pass quickly."""
    length = {"m": MINUTE, "h": 60 * MINUTE}

    def milliseconds(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * length[found[3]] * 1000:.0f}ms"

    return re.sub(r"(\[|for: )(\d+)([mh])\b", milliseconds, rules)


def configure(folder: Path, service: int) -> Path:
    """Write the example's configuration for a service here, and quicker."""
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text("utf-8"))
    config["global"] = {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE}
    for job in config["scrape_configs"]:
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{service}"]
    rules = (MONITORING / "alerts.yaml").read_text("utf-8")
    (folder / "alerts.yaml").write_text(shorten(rules), "utf-8")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return folder / "prometheus.yaml"


@contextlib.contextmanager
def serving(port: int, store: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve monitored_app by two workers."""
    (folder / "metrics").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "metrics"))
        patch.setenv("FLASK_CACHE_TYPE", "RedisCache")
        patch.setenv("FLASK_CACHE_REDIS_URL", f"redis://127.0.0.1:{store}/0")
        patch.setenv("FLASK_MODELSERVE_CACHE_RETRY_SECONDS", "0.2")
        options = f"-w 2 -k gthread --threads 32 -b 127.0.0.1:{port} --no-control-socket".split()
        options += ["--chdir", str(TESTS.parent), "--log-file", str(folder / "log")]
        with running("gunicorn", *options, "tests.monitored_app:app", port=port) as process:
            yield process


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """A monitored service under load, with a cache, of which every outcome has been seen."""
    folder = tmp_path_factory.mktemp("monitored")
    service, store, port = free_port(), free_port(), free_port()
    with (
        contextlib.ExitStack() as cache,
        contextlib.ExitStack() as server,
        prometheus(port, configure(folder, service)),
    ):
        cache.enter_context(redis(store))
        server.enter_context(serving(service, store, folder))
        monitored = Monitored(service, port, cache, server)
        monitored.start_load()
        try:
            until(
                lambda: len(monitored.query("rate(modelserve_requests_total[5s]) > 0")) >= 10,
                every=0.1,
            )
            yield monitored
        finally:
            monitored.stop_load()


def filled_in(query: str) -> str:
    """Put in what Grafana puts in for the variables, where all is chosen."""
    values = {"job": "(digits)", "instance": ".+", "endpoint": f"({'|'.join(sorted(ENDPOINTS))})"}
    query = query.replace("$__rate_interval", "5s")
    for name, value in values.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


@pytest.mark.parametrize("query", QUERIES)
def test_panels_have_data(monitored: Monitored, query: str) -> None:
    """Every query of the dashboard finds numbers in what a service under load exports."""
    until(lambda: monitored.query(filled_in(query)), every=0.1)


def test_panels_show_what_happens(monitored: Monitored) -> None:
    """Panels by endpoint name all endpoints, and the one by outcome all that came of requests."""
    by_label: dict[str, set[str]] = {}

    def look() -> bool:
        for panel in PANELS:
            for sample in monitored.query(filled_in(panel["targets"][0]["expr"])):
                if float(sample["value"][1]):
                    by_label.setdefault(panel["title"], set()).update(sample["metric"].values())
        return (
            by_label.get("Requests by endpoint") == ENDPOINTS
            and by_label["Time to answer by endpoint"] == ENDPOINTS
            and by_label["Error ratio by endpoint"] == {"crashes", "breaks"}
            and by_label["Overload and time-outs by endpoint"]
            == {"busy", "overloaded", "late", "timeout"}
            and by_label["Cache hit ratio"] == {"cached"}
            and by_label["Rows in a batch"] == {"batched"}
            and by_label["Requests by outcome"] - {"coalesced"}
            == {"ok", "hit", "invalid", "overloaded", "timeout", "error", "bad_response"}
            and by_label["Requests by status"] == {"200", "400", "500", "503", "504"}
        )

    until(look, every=0.1)


def test_variables_offer_what_there_is(monitored: Monitored) -> None:
    """The dashboard's variables find the jobs, instances and endpoints."""
    offered = {}
    for variable in VARIABLES:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert found
        offered[variable["name"]] = monitored.values(found[2], filled_in(found[1]))
    assert offered["job"] == {"digits"}
    assert len(offered["instance"]) == 1
    assert offered["endpoint"] == ENDPOINTS


# The last of those that look at the service: it stops everything.
def test_alerts_fire(monitored: Monitored) -> None:
    """Each alert fires when its fault is provoked, names the endpoint, and no others do."""
    faults = {
        ("ModelserveErrors", "crashes"),
        ("ModelserveErrors", "breaks"),
        ("ModelserveOverloaded", "busy"),
        ("ModelserveTimeouts", "late"),
        ("ModelserveSlow", "slow"),
    }
    until(lambda: monitored.firing() >= faults, every=0.1)
    # A busy machine may well make others slow, or the cache: not so the outcomes of requests.
    uncertain = {"ModelserveSlow", "ModelserveCacheSick"}
    assert {each for each in monitored.firing() - faults if each[0] not in uncertain} == set()
    monitored.stop_cache()
    until(lambda: ("ModelserveCacheSick", "") in monitored.firing(), every=0.1)
    monitored.stop_load()
    silent = {("ModelserveNoRequests", endpoint) for endpoint in ENDPOINTS}
    until(lambda: monitored.firing() >= silent, every=0.1)
    monitored.stop_service()
    until(lambda: monitored.firing() >= {("ModelserveDown", ""), ("ModelserveGone", "")}, every=0.1)


def test_every_metric_is_shown() -> None:
    """The dashboard shows every metric of the extension, and those of all routes."""
    page = monitored_app.test_client().get("/__metrics").text
    names = {
        family.name
        for family in text_string_to_metric_families(page)
        if family.name.startswith(("modelserve_", "flask_http_"))
        and not family.name.endswith("_created")
    }
    shown = " ".join(query.values[0] for query in QUERIES)  # type: ignore[call-overload]
    assert names
    assert {name for name in names if name not in shown} == set()


def test_panels_are_laid_out() -> None:
    """Every panel has a title, a description, a unit and a place of its own on the dashboard."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        across = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(across, range(place["y"], place["y"] + place["h"])))
        assert panel["title"]
        assert max(across) < 24
        assert taken.isdisjoint(cells)
        taken |= cells
    assert all(panel["description"] for panel in PANELS)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    # An import asks for the data source: no panel names one that only its author has.
    uids = set(re.findall(r'"uid": "([^"]+)"', json.dumps(DASHBOARD["panels"])))
    assert uids == {"${datasource}"}


def test_guide_names_rows_and_alerts() -> None:
    """docs/monitoring.md tells of every row of the dashboard, and of every alert."""
    guide = (TESTS.parent / "docs" / "monitoring.md").read_text("utf-8")
    firsts = re.findall(r"^\| (.+?) \|", guide, re.MULTILINE)
    rows = {panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"}
    assert rows <= set(firsts)
    assert {first.strip("`") for first in firsts if "`M" in first} == RULES.keys()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_rules_are_valid() -> None:
    """Prometheus accepts the alert rules and the configuration that loads them."""
    for kind, name in (("rules", "alerts.yaml"), ("config", "prometheus.yaml")):
        done = promtool("check", kind, MONITORING / name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert all({"summary", "description"} <= rule["annotations"].keys() for rule in RULES.values())


def test_rules_do_what_they_should() -> None:
    """Alerts fire in time and not before, and a healthy service is quiet."""
    done = promtool("test", "rules", TESTS / "alerts_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", RULES)
def test_rules_are_all_tested(alert: str, tmp_path: Path) -> None:
    """The tests of the rules notice when an alert stays away."""
    rules = (MONITORING / "alerts.yaml").read_text("utf-8")
    tests = (TESTS / "alerts_test.yaml").read_text("utf-8")
    (tmp_path / "alerts.yaml").write_text(rules.replace(f"alert: {alert}\n", "alert: Other\n"))
    (tmp_path / "alerts_test.yaml").write_text(re.sub(r"\S+/alerts.yaml", "alerts.yaml", tests))
    assert promtool("test", "rules", tmp_path / "alerts_test.yaml").returncode == 1
