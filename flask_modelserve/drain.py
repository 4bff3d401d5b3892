"""Drain: the time between the decision to stop a service and its end."""

from __future__ import annotations

import math
import mmap
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn.arbiter import Arbiter

_SECONDS = "MODELSERVE_DRAIN_SECONDS"
# As long as Kubernetes and most load balancers take to send requests elsewhere; half of what
# `docker stop` waits before it kills. Ctrl-C is an INT, which stops at once.
_DEFAULT = "5"


class Drain:
    """Whether the service is about to stop.

    All processes that are forked from the one that made it see the same, whoever begins it.
    """

    def __init__(self) -> None:
        self._flag = mmap.mmap(-1, 1)

    @property
    def has_begun(self) -> bool:
        """Whether ``/__ready`` is to say 503."""
        return self._flag[0] != 0

    def begin(self) -> None:
        """Have ``/__ready`` say 503 for good, while all else is answered."""
        self._flag[0] = 1


# One for the process: it stops with all its apps.
drain = Drain()


def drain_on_term(server: Arbiter) -> None:
    """Have a TERM of gunicorn's master drain the service before it ends it."""
    server.handle_term = partial(_drain, server, server.handle_term, _seconds())


def _seconds() -> float:
    text = os.environ.get(_SECONDS, _DEFAULT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{_SECONDS}={text}: write seconds, such as 10, or 0 for no drain")
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
