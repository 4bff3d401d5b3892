"""Settings for gunicorn: ``gunicorn -c python:flask_modelserve.gunicorn app:app``.

gunicorn's command line and ``GUNICORN_CMD_ARGS`` override each of them. A config file of your own
starts from them, and calls the hooks that it replaces:

    from flask_modelserve import gunicorn as modelserve
    from flask_modelserve.gunicorn import *

    threads = 8

    def child_exit(server, worker):
        modelserve.child_exit(server, worker)
        print("gone:", worker.pid)

Loading this module makes a folder for the metrics of all workers, before the app makes any metric,
so that it works with ``preload_app`` too; it is removed when gunicorn ends.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from . import metrics_port, slots
from .access_log import JSON_FORMAT, LINE_FORMAT, JsonLogger
from .drain import drain_on_term
from .warmup import warm_ups

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

__all__ = [
    "access_log_format",
    "accesslog",
    "bind",
    "child_exit",
    "control_socket",
    "graceful_timeout",
    "keepalive",
    "logger_class",
    "on_starting",
    "post_fork",
    "post_worker_init",
    "pre_exec",
    "pre_fork",
    "threads",
    "timeout",
    "worker_class",
    "worker_tmp_dir",
    "workers",
]

# The predecessor's port, or the one that a platform assigns.
PORT = 8000
# The least CPU time per request (docs/deploying.md has the figures), and a client that is slow, or
# that only keeps its connection open, holds no thread. Functions with batch, timeout or
# max_concurrency are called on native threads.
WORKER_CLASS = "flask_modelserve.gevent_worker.GeventWorker"
# For `--worker-class gthread`: as many as a batch has rows, and more than a few slow clients hold.
THREADS = 32
# With two, one goes on while the other restarts; each has its copy of the model, hence a limit.
FEWEST_WORKERS, MOST_WORKERS = 2, 8
# A worker is killed that shows no life for so many seconds, such as those that a model loads for.
TIMEOUT = 120
# Kubernetes kills 30 seconds after it has asked: by then the last answers must be out.
GRACEFUL_TIMEOUT = 25
# Longer than load balancers keep idle connections (60 s), or they send into one that just closes.
KEEPALIVE = 75

_PREFIX = "flask_modelserve-"
_INHERITED = "MODELSERVE_INHERITED"  # what a re-executed master takes over: folder and listener
_YOUNG = 60  # seconds in which a folder may not be locked yet


def _cores() -> int:
    """Return how many cores this process may use, those of its container's limit at most."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return cores


def _access_log() -> dict[str, Any]:
    kind = os.environ.get("MODELSERVE_ACCESS_LOG") or "off"
    choices: dict[str, dict[str, Any]] = {
        "line": {"accesslog": "-", "access_log_format": LINE_FORMAT},
        "json": {
            "accesslog": "-",
            "access_log_format": JSON_FORMAT,
            "logger_class": JsonLogger,
        },
        "off": {"accesslog": None},
    }
    if kind not in choices:
        raise ValueError(f"MODELSERVE_ACCESS_LOG={kind!r}: write {', '.join(choices)}")
    return choices[kind]


class Run:
    """What a server has on disk while it runs."""

    def __init__(self) -> None:
        descriptor, _, folder = os.environ.pop(_INHERITED, "").partition(":")
        self._listener = int(descriptor) if descriptor else None
        self.folder = Path(folder or tempfile.mkdtemp(prefix=_PREFIX))
        given = os.environ.get(slots.VARIABLE)
        self._owns_metrics = given in {None, "", folder}
        metrics = self.folder if self._owns_metrics else Path(str(given)).absolute()
        self._metrics = str(metrics)
        os.environ[slots.VARIABLE] = self._metrics
        self._slots = slots.share(metrics)
        self._slots.sweep()
        self._master = os.getpid()
        atexit.register(self._end)

    def start(self, server: Arbiter) -> None:
        self._master = os.getpid()  # a daemon's is another
        if os.environ.get(slots.VARIABLE) != self._metrics:
            raise RuntimeError(
                f"gunicorn's env (--env, raw_env) sets {slots.VARIABLE}, too late for the metrics: "
                "set it in the environment that gunicorn is started in"
            )
        if self._owns_metrics and server.cfg.uid != os.geteuid():
            os.chown(self.folder, server.cfg.uid, server.cfg.gid)
        _remove_orphans({os.geteuid(), server.cfg.uid})
        metrics_port.listen(self._listener)

    def bury(self, worker: Worker) -> None:
        self._slots.bury(worker.pid)

    def bequeath(self, server: Arbiter) -> None:
        descriptor = metrics_port.bequeath()
        folder = self.folder if self._owns_metrics else ""
        server.cfg.env_orig[_INHERITED] = f"{'' if descriptor is None else descriptor}:{folder}"

    def _end(self) -> None:
        if os.getpid() == self._master:
            self._slots.leave(remove=self._owns_metrics)
            if not self._owns_metrics:
                shutil.rmtree(self.folder, ignore_errors=True)


def _remove_orphans(owners: set[int]) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):  # another server has just ended
            status = folder.lstat()
            if status.st_uid in owners and time.time() - status.st_mtime > _YOUNG:
                slots.remove_orphan(folder)


def _refuse_early_metrics() -> None:
    if slots.are_shared():
        return
    early = [
        each._name  # noqa: SLF001 - it has no other
        for each in REGISTRY._collector_to_names  # noqa: SLF001 - nor is there another list
        if isinstance(each, MetricWrapperBase)
    ]
    if early:
        raise RuntimeError(
            f"{', '.join(early)}: made before flask_modelserve.gunicorn was loaded, these metrics "
            "would be each worker's own; import it first in your config file"
        )


_refuse_early_metrics()
_run = Run()
_log = {"logger_class": "gunicorn.glogging.Logger", "access_log_format": LINE_FORMAT}
_log |= _access_log()

bind = f"0.0.0.0:{os.environ.get('PORT') or PORT}"
worker_class = WORKER_CLASS
workers = int(os.environ.get("WEB_CONCURRENCY") or max(FEWEST_WORKERS, min(_cores(), MOST_WORKERS)))
threads = THREADS
timeout = TIMEOUT
graceful_timeout = GRACEFUL_TIMEOUT
keepalive = KEEPALIVE
# Two servers of one user would share gunicorn's own path. A socket's may have some 100 characters.
control_socket = str(_run.folder / f"{os.getpid()}.ctl")
# A worker whose heartbeat waits for a disk is killed for nothing.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - files without a name
accesslog = _log["accesslog"]
access_log_format = _log["access_log_format"]
logger_class = _log["logger_class"]


def on_starting(server: Arbiter) -> None:
    """Open the port for metrics, clear away what killed servers have left, and drain on TERM."""
    _run.start(server)
    drain_on_term(server)


def pre_fork(_server: Arbiter, worker: Worker) -> None:
    """Leave what was loaded before the fork to all workers in common."""
    if worker.cfg.preload_app:
        gc.freeze()  # or the first collection in each worker would write to all of it


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Have a worker end that is told to before it has begun: gunicorn would wait for it in vain.

    Until it listens to signals itself it puts them into its copy of the master's queue.
    """
    del worker
    # Not sys.exit: where the signal comes in a callback of the interpreter, that would be ignored.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while not server.SIG_QUEUE.empty():
        if server.SIG_QUEUE.get() == signal.SIGTERM:
            sys.exit(0)


def post_worker_init(worker: Worker) -> None:
    """Serve the metrics on their port, and warm up the app before the worker takes requests.

    A warm-up may take longer than gunicorn's ``timeout``, which begins when requests are taken.
    """
    metrics_port.serve()
    served = warm_ups(worker.wsgi)
    for warm_up in served:
        warm_up.run(lambda: bool(worker.alive))
    if not any(warm_up.missing() for warm_up in served):
        worker.log.info("Worker ready (pid: %s)", worker.pid)
    # What has been loaded is no garbage: to look it over, again and again, takes 10 to 35 ms, in
    # which nobody is answered.
    gc.collect()
    gc.freeze()


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Take the gauges of a dead worker out of the metrics."""
    del server
    _run.bury(worker)


def pre_exec(server: Arbiter) -> None:
    """Hand the metrics over to the master that ``USR2`` starts."""
    _run.bequeath(server)
