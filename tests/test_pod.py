"""The image of examples/deploy runs as a pod of its Deployment would: its files, user, command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from .crowds import PATIENCE, until
from .deployment import (
    CACHE,
    COMPOSE,
    CONTAINER,
    ENVIRONMENT,
    FOLDER,
    POD,
    PORTS,
    PROBES,
    copied,
    image_command,
    image_environment,
    last,
)
from .documents import Request, commands
from .servers import free_port, program, redis

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARE = 5  # seconds that processes have to end in, when all requests are answered


@cache
def settings() -> dict[str, str]:
    """Return the settings that gunicorn has for the image's command, in the pod's environment.

    Raises:
        CalledProcessError: When gunicorn does not accept them, or does not find the app.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", *image_command(), "--check-config", "--print-config"],
            cwd=FOLDER,
            env=os.environ | ENVIRONMENT | {"TMPDIR": folder, "HOME": folder},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        assert list(Path(folder).rglob("*")) == []  # it leaves nothing behind
    return dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))


def test_configuration_is_valid() -> None:
    """Gunicorn accepts the image's command in the pod's environment, and finds the app."""
    found = settings()
    assert found["workers"] == ENVIRONMENT["WEB_CONCURRENCY"]
    # As many requests meet in a process as a batch has rows.
    [size] = re.findall(r"max_size=(\d+)", (FOLDER / "service.py").read_text("utf-8"))
    assert int(found["threads"]) >= int(size)


def test_pods_have_time_to_end() -> None:
    """Before anyone kills the processes, the drain and the graceful time-out have passed."""
    found = settings()
    graceful = int(found["graceful_timeout"])
    drain = float(ENVIRONMENT["MODELSERVE_DRAIN_SECONDS"])
    ready = CONTAINER["readinessProbe"]
    assert POD["spec"]["terminationGracePeriodSeconds"] >= drain + graceful + SPARE
    assert drain >= ready["periodSeconds"] * ready["failureThreshold"]
    composed = float(COMPOSE["digits"]["environment"]["MODELSERVE_DRAIN_SECONDS"])
    allowed = float(COMPOSE["digits"]["stop_grace_period"].removesuffix("s"))
    assert allowed >= composed + graceful + SPARE
    assert float(re.findall(r"timeout=(\d+)", (FOLDER / "service.py").read_text())[0]) < graceful


def test_ports_are_those_of_the_configuration() -> None:
    """The port that gunicorn listens on is the one that image, pods and Compose name."""
    [port] = re.findall(r":(\d+)", settings()["bind"])
    assert last("EXPOSE") == port
    assert PORTS["http"] == int(port)
    assert COMPOSE["digits"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    health = last("HEALTHCHECK")
    assert f"127.0.0.1:{port}{PROBES['readinessProbe']}" in health


def other_user() -> dict[str, Any]:
    """Return by what Popen runs a process as the image's user, where it may."""
    if os.geteuid():
        return {}
    user, group = map(int, last("USER").split(":"))
    options = {"user": user, "group": group, "extra_groups": []}
    try:
        subprocess.run([sys.executable, "-c", "import flask"], check=True, cwd="/", **options)
    except (OSError, subprocess.CalledProcessError):
        return {}  # root's own Python, which nobody else may run
    return options


def health_check(port: int) -> int:
    """Run the image's own check of its health, and return its exit status."""
    command = yaml.safe_load(last("HEALTHCHECK").partition("CMD")[2])
    command[-1] = command[-1].replace(":8000/", f":{port}/")
    command[0] = sys.executable
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL, timeout=60).returncode


class Pod:
    """The image's command in what the image holds, as a pod of the Deployment runs it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, metrics: int) -> None:
        self.process = process
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.metrics = (
            f"http://127.0.0.1:{metrics}{POD['metadata']['annotations']['prometheus.io/path']}"
        )

    def status(self, path: str) -> int:
        """Return the status of an answer, as a probe sees it: 0 for none."""
        try:
            return requests.get(self.address + path, timeout=PATIENCE).status_code
        except requests.ConnectionError:
            return 0

    def ask(self, line: str, answers: list[requests.Response]) -> requests.Response:
        """Send what a curl line sends, and add the answer to those that there are."""
        asked = Request.of(line)
        url = self.address + asked.path
        answers.append(requests.post(url, asked.data, headers=asked.headers, timeout=PATIENCE))
        return answers[-1]


@contextmanager
def pod(folder: Path) -> Iterator[Pod]:
    """Run what the Dockerfile makes: its files, read-only, its variables, user and command."""
    image, tmp = folder / "srv", folder / "tmp"
    image.mkdir()
    for source in copied():
        if (FOLDER / source).is_file():
            shutil.copy(FOLDER / source, image)
    tmp.mkdir()
    tmp.chmod(0o777)
    for path in (*image.iterdir(), image):
        path.chmod(0o555)
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o011)  # pytest's folders are for its user alone
    port, metrics, store = free_port(), free_port(), free_port()
    environment = {**image_environment(), **ENVIRONMENT}
    environment |= {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp),
        "TMPDIR": str(tmp),
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
        "MODELSERVE_METRICS_PORT": f"127.0.0.1:{metrics}",
        "MODELSERVE_DRAIN_SECONDS": "3",
        "FLASK_CACHE_REDIS_URL": f"redis://127.0.0.1:{store}/0",
    }
    command = [program(image_command()[0]), *image_command()[1:]]
    with redis(store, *CACHE["args"]), (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=image, env=environment, stdout=log, stderr=log, **other_user()
        )
        try:
            yield Pod(process, port, metrics)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)


def test_image_serves_as_a_pod(tmp_path: Path) -> None:
    """The image's command serves without root or a disk to write to, as probes and clients see.

    Its answers are cached in a Redis with the manifest's options, its metrics are on their own
    port, and from TERM on it is not ready, while it still answers.
    """
    with pod(tmp_path) as service:
        until(lambda: service.status(PROBES["startupProbe"]) == 200, every=0.1)
        until(lambda: service.status(PROBES["readinessProbe"]) == 200, every=0.1)
        assert service.status(PROBES["livenessProbe"]) == 200
        assert health_check(service.port) == 0

        (line, output), *_ = commands(FOLDER / "README.md", "curl")
        answers: list[requests.Response] = []
        until(lambda: "hit" in service.ask(line, answers).headers["Cache-Status"], every=0.1)
        assert {answer.text.strip() for answer in answers} == {output}

        metrics = requests.get(service.metrics, timeout=PATIENCE).text
        counted = {
            sample.labels["outcome"]: sample.value
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == "modelserve_requests_total" and sample.value
        }
        assert counted.keys() == {"ok", "hit"}
        assert sum(counted.values()) == len(answers)
        assert service.status("/__metrics") == 404

        service.process.terminate()
        until(lambda: service.status(PROBES["readinessProbe"]) == 503, every=0.02)
        assert health_check(service.port) == 1
        assert service.status(PROBES["livenessProbe"]) == 200
        assert service.process.wait(POD["spec"]["terminationGracePeriodSeconds"]) == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log, log
    assert {path.name for path in (tmp_path / "srv").iterdir()} <= set(copied())
    assert list((tmp_path / "tmp").rglob("*.db")) == []  # its metrics are gone with it
