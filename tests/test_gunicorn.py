"""The config module: what one line sets, and what overrides it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from .crowds import until
from .fleet import APP, TERM, exchange, fleet, gunicorn, workers_of
from .servers import free_port


def run(
    folder: Path, *options: str, app: str = APP, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run gunicorn to its end."""
    (folder / "app.py").write_text(app)
    config = (folder / "conf.py").exists()
    command = [*gunicorn(folder, *options, config=config, **env), "app:app"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def settings(folder: Path, *options: str, **env: str) -> dict[str, str]:
    """Return the settings that gunicorn would run with."""
    shown = run(folder, "--print-config", *options, **env)
    assert shown.returncode == 0, shown.stderr
    return dict(re.findall(r"^(\w+) += (.*)$", shown.stdout, re.MULTILINE))


def test_defaults(tmp_path: Path) -> None:
    """One line listens for everybody on port 8000, with gevent, and two workers at least."""
    shown = settings(tmp_path, MODELSERVE_ACCESS_LOG="")
    assert shown["bind"] == "['0.0.0.0:8000']"
    assert shown["worker_class"] == "flask_modelserve.gevent_worker.GeventWorker"
    assert shown["threads"] == "32"
    assert 2 <= int(shown["workers"]) <= 8
    assert (shown["timeout"], shown["graceful_timeout"], shown["keepalive"]) == ("120", "25", "75")
    assert shown["accesslog"] == "None"
    assert shown["preload_app"] == "False"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_everything_can_be_overridden(tmp_path: Path) -> None:
    """gunicorn's command line comes first, then GUNICORN_CMD_ARGS, then the environment."""
    shown = settings(
        tmp_path,
        *("--threads", "9", "--access-logfile", "log"),
        GUNICORN_CMD_ARGS="--threads 7 --timeout 11",
        WEB_CONCURRENCY="5",
        PORT="8088",
        MODELSERVE_ACCESS_LOG="json",
    )
    assert (shown["threads"], shown["timeout"], shown["workers"]) == ("9", "11", "5")
    assert (shown["bind"], shown["accesslog"]) == ("['0.0.0.0:8088']", "log")
    assert settings(tmp_path, "-w", "3", WEB_CONCURRENCY="5")["workers"] == "3"


OWN = """
from flask_modelserve import gunicorn as modelserve
from flask_modelserve.gunicorn import *

threads = 3

def child_exit(server, worker):
    modelserve.child_exit(server, worker)
    server.log.info("gone: %s", worker.pid)
"""


def test_own_config_file_changes_two_lines(tmp_path: Path) -> None:
    """A config file that starts from ours keeps the rest, and its hooks go on to ours."""
    with fleet(tmp_path, config=OWN, WEB_CONCURRENCY="2") as server:
        server.await_workers(2)
        for _ in range(20):
            server.ask()
        gone = server.workers()
        for pid in gone:
            server.signal(signal.SIGKILL, pid)
        server.await_workers(2, without=gone)
        metrics = server.metrics()
        log = server.log()
    assert set(map(int, re.findall(r"gone: (\d+)", log))) >= gone
    assert "Using worker: flask_modelserve.gevent_worker.GeventWorker" in log
    assert metrics["modelserve_requests_total double ok"] == 20


FROZEN = """
import gc

from flask import Flask
from flask_modelserve import ModelServe


class Model:
    def __init__(self):
        self.parts = [[] for _ in range(50_000)]

    def __call__(self, number: int):
        return {"frozen": gc.get_freeze_count()}


app = Flask(__name__)
ModelServe(app).endpoint("/", example={"number": 1})(Model)
"""


def test_what_is_loaded_is_no_garbage(tmp_path: Path) -> None:
    """No collection in a worker stops its requests to look over the model and the app."""
    with fleet(tmp_path, app=FROZEN, WEB_CONCURRENCY="1") as server:
        assert server.ask()["frozen"] > 50_000


def test_wrong_access_log_is_refused(tmp_path: Path) -> None:
    """A kind of access log that there is not stops gunicorn with an error that names those."""
    ended = run(tmp_path, "--check-config", MODELSERVE_ACCESS_LOG="xml")
    assert ended.returncode == 1
    assert "MODELSERVE_ACCESS_LOG='xml': write line, json, off" in ended.stderr


def test_metrics_made_too_early_are_refused(tmp_path: Path) -> None:
    """Metrics that a config file makes before the folder is known don't fail silently."""
    (tmp_path / "conf.py").write_text(
        "import prometheus_client\n"
        "prometheus_client.Counter('own_words', 'Words')\n"
        "from flask_modelserve.gunicorn import *\n"
    )
    ended = run(tmp_path, "--check-config")
    assert ended.returncode == 1
    assert "own_words: made before flask_modelserve.gunicorn was loaded" in ended.stderr


def test_env_option_is_refused_for_the_folder(tmp_path: Path) -> None:
    """gunicorn's own --env comes too late to move the metrics, and says so."""
    ended = run(tmp_path, "--env", "PROMETHEUS_MULTIPROC_DIR=/tmp", "--bind", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "set it in the environment that gunicorn is started in" in ended.stderr


def test_access_log_line(tmp_path: Path) -> None:
    """MODELSERVE_ACCESS_LOG=line makes each request a line, with its id."""
    log = tmp_path / "access"
    with fleet(tmp_path, "--access-logfile", str(log), MODELSERVE_ACCESS_LOG="line") as server:
        server.ask()
        until(lambda: log.exists() and log.read_text().endswith("\n"))
    assert re.fullmatch(
        r'\[.*\] 127\.0\.0\.1 "POST / HTTP/1\.1" 200 \d+ bytes 0\.\d+ s [0-9a-f]{32}\n',
        log.read_text(),
    )


def test_access_log_json(tmp_path: Path) -> None:
    """MODELSERVE_ACCESS_LOG=json makes each an object, whatever a client sends."""
    log = tmp_path / "access"
    options = ["--access-logfile", str(log), "--workers", "1"]
    with fleet(tmp_path, *options, MODELSERVE_ACCESS_LOG="json") as server:
        agent = 'User-Agent: "a\\"\t{%s} \u00e9'
        status, _ = exchange(server.port, f'GET /a%22%0A\\?q="\\%(x)s HTTP/1.1\r\n{agent}')
        until(lambda: log.exists() and log.read_text().endswith("\n"))
    [line] = log.read_text().splitlines()
    shown = json.loads(line)
    assert status == shown["status"] == 404
    assert (shown["method"], shown["path"], shown["query"]) == ("GET", '/a"\n\\', 'q="\\%(x)s')
    assert shown["user_agent"].startswith('"a\\"\t{%s} ')
    assert 0 < shown["seconds"] < 10
    assert shown["bytes"] > 0
    assert shown["request_id"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", shown["time"])


def test_servers_of_one_user_don_t_meet(tmp_path: Path) -> None:
    """Two servers at once have folders and control sockets of their own, and remove them."""
    with tempfile.TemporaryDirectory() as shared, ExitStack() as both:  # a short path, for sockets
        folder = Path(shared)
        servers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(both.enter_context(fleet(tmp_path / name, TMPDIR=shared)))
        for count, server in enumerate(servers, 1):
            for _ in range(count):
                server.ask()
        until(lambda: len(list(folder.glob("flask_modelserve-*/*.ctl"))) == 2)
        counted = [server.metrics()["modelserve_requests_total double ok"] for server in servers]
        assert counted == [1, 2]
        for server in servers:
            [path] = re.findall(r"Control socket listening at (\S+)", server.log())
            shown = subprocess.run(
                [*gunicornc(path), "show stats"], capture_output=True, text=True, check=False
            )
            assert str(server.process.pid) in shown.stdout, shown
        both.close()
        assert list(folder.glob("flask_modelserve-*")) == []


def gunicornc(path: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn.ctl.cli", "--socket", path, "--json", "-c"]


def test_given_folder_is_kept(tmp_path: Path) -> None:
    """A folder that the user gives is made, freed of what dead processes left, and kept."""
    given = tmp_path / "given" / "metrics"
    env = {"PROMETHEUS_MULTIPROC_DIR": str(given)}
    with fleet(tmp_path, **env) as server:
        server.ask()
        server.kill()  # leaves its files behind
    assert list(given.glob("counter_*.db"))
    (given / "counter_999999999.db").write_bytes(next(given.glob("counter_*.db")).read_bytes())
    (given / "notes.txt").write_text("mine")
    with fleet(tmp_path, **env) as server:
        server.ask()
        server.ask()
        assert server.metrics()["modelserve_requests_total double ok"] == 2
    assert (given / "notes.txt").read_text() == "mine"
    assert list(given.glob("*.db")) == []


def test_folder_of_a_killed_server_is_removed_by_the_next(tmp_path: Path) -> None:
    """What a server that was killed leaves among temporary files does not stay for ever."""
    for _ in range(2):
        with fleet(tmp_path) as server:
            server.ask()
            [folder] = server.temporary.glob("flask_modelserve-*")
            server.kill()
        os.utime(folder, (0, 0))  # not as young as one that is just being made


def test_usr2_goes_on_counting(tmp_path: Path) -> None:
    """A new master, by USR2, takes the old one's metrics over, and their port."""
    port = free_port()
    pidfile = tmp_path / "pid"
    env = {"MODELSERVE_METRICS_PORT": f"127.0.0.1:{port}", "WEB_CONCURRENCY": "2"}
    with fleet(tmp_path, "--pid", str(pidfile), **env) as server:
        old = server.process.pid
        for _ in range(10):
            server.ask()
        server.signal(signal.SIGUSR2)
        new = tmp_path / "pid.2"
        until(lambda: new.exists() and new.read_text().strip())
        master = int(new.read_text())
        try:
            until(lambda: len(workers_of(master)) == 2)
            pids = {server.ask()["pid"] for _ in range(40)}
            assert server.metrics(port)["modelserve_requests_total double ok"] == 50
            server.signal(TERM, old)
            server.process.wait(30)
            pids |= {server.ask()["pid"] for _ in range(10)}
            assert pids & workers_of(master)
            assert server.metrics(port)["modelserve_requests_total double ok"] == 60
        finally:
            server.signal(TERM, master)
            until(lambda: not psutil.pid_exists(master))
    assert list(server.temporary.iterdir()) == []


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_daemon(tmp_path: Path) -> None:
    """As a daemon, whose master is not the process that read the config, it cleans up as well."""
    (tmp_path / "app.py").write_text(APP)
    port, pidfile = free_port(), tmp_path / "pid"
    options = ["--daemon", "--pid", str(pidfile), "--bind", f"127.0.0.1:{port}"]
    run(tmp_path, *options, WEB_CONCURRENCY="2")
    until(lambda: pidfile.exists() and pidfile.read_text().strip())
    master = psutil.Process(int(pidfile.read_text()))
    try:
        until(lambda: listens(port))
        assert exchange(port, "GET /__ping HTTP/1.1")[0] == 200
        assert len(list((tmp_path / "tmp").glob("flask_modelserve-*/counter_*.db"))) > 0
    finally:
        master.terminate()
        until(lambda: not master.is_running())
    assert list((tmp_path / "tmp").iterdir()) == []


def test_stop_while_workers_start(tmp_path: Path) -> None:
    """A server that is stopped while its workers start stops at once, not by their deaths."""
    with fleet(tmp_path, "-k", "gevent", WEB_CONCURRENCY="3") as server:
        begun = time.monotonic()
    assert time.monotonic() - begun < 15
    assert "SIGKILL" not in server.log()
