"""Hooks for gunicorn: workers warm up before they take requests, and the service drains."""

from __future__ import annotations

import gc
import math
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

from .drain import drain
from .warmup import warm_ups

if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_DRAIN_SECONDS = "MODELSERVE_DRAIN_SECONDS"
# As long as Kubernetes and most load balancers take to send requests elsewhere; half of what
# `docker stop` waits before it kills. Ctrl-C is an INT, which stops at once.
_DEFAULT_DRAIN = "5"


def on_starting(server: Arbiter) -> None:
    """Have a TERM drain the service before it ends it."""
    seconds = _drain_seconds()
    server.handle_term = partial(_drain, server, server.handle_term, seconds)


def pre_fork(_server: Arbiter, worker: Worker) -> None:
    """Leave what was loaded before the fork to all workers in common."""
    if worker.cfg.preload_app:
        gc.freeze()  # or the first collection in each worker would write to all of it


def post_worker_init(worker: Worker) -> None:
    """Warm up the worker's app before the worker takes requests.

    It may take longer than gunicorn's ``timeout``, which begins when the worker does take them.
    """
    served = warm_ups(worker.wsgi)
    for warm_up in served:
        warm_up.run(lambda: bool(worker.alive))
    if not any(warm_up.missing() for warm_up in served):
        worker.log.info("Worker ready (pid: %s)", worker.pid)


def _drain_seconds() -> float:
    text = os.environ.get(_DRAIN_SECONDS, _DEFAULT_DRAIN)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{_DRAIN_SECONDS}={text}: write seconds, such as 10, or 0 for no drain")
    return seconds


def _drain(server: Arbiter, stop: Callable[[], None], seconds: float) -> None:
    """Handle a TERM: the first begins the drain, the next ends it.

    While another arbiter has the same listener (USR2) the service goes on, and nothing drains.
    """
    if drain.has_begun or server.reexec_pid or server.master_pid:
        return stop()
    drain.begin()
    if not seconds:
        return stop()
    assert server.log is not None
    server.log.info("Draining for %g s; another TERM stops at once", seconds)
    # An alarm rather than a thread: the arbiter goes on forking workers.
    signal.signal(signal.SIGALRM, lambda *_: server.signal(signal.SIGTERM, None))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return None
