"""The metrics on a port of their own, by ``MODELSERVE_METRICS_PORT``, off the public one.

gunicorn's master listens, and each worker answers on a thread: a scrape waits in the queue that all
share until one of them has time, so that the death of a worker loses none. The master itself has no
thread, which would be in its way each time it forks.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from .exposition import SharedMetrics
from .threads import start_thread

if TYPE_CHECKING:
    from flask import Flask

VARIABLE = "MODELSERVE_METRICS_PORT"

_PATIENCE = 5  # seconds for a scraper's request, since each worker answers one at a time
_BACKLOG = 64

_listeners: list[socket.socket] = []


def listen(inherited: int | None = None) -> None:
    """Open the port, if one is set, in the process that will fork workers.

    Args:
        inherited: The file descriptor of a listener that a predecessor has left open.

    Raises:
        RuntimeError: When the port is taken, or is no port.
    """
    if inherited is not None:
        listener = socket.socket(fileno=inherited)
    elif os.environ.get(VARIABLE):
        listener = _bind(os.environ[VARIABLE])
    else:
        return
    listener.setblocking(False)  # one scrape wakes all workers, and is for the first
    _listeners.append(listener)


def bequeath() -> int | None:
    """Leave the port open for the program that is about to replace this one."""
    for listener in _listeners:
        listener.set_inheritable(True)
        return listener.fileno()
    return None


def serve() -> None:
    """Answer scrapes in this process, on a thread."""
    for listener in _listeners:
        start_thread(_Server(listener).serve_forever, "modelserve-metrics")


def is_set(app: Flask) -> bool:
    """Tell whether an app's metrics are kept off its own port."""
    if not os.environ.get(VARIABLE):
        return False
    if not _listeners:
        app.logger.warning(
            "%s keeps the metrics off the public port, but nobody serves them on that port: "
            "run gunicorn -c python:flask_modelserve.gunicorn, or unset it",
            VARIABLE,
        )
    return True


def _bind(text: str) -> socket.socket:
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - the scraper is on another host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, ValueError) as error:
        raise RuntimeError(
            f"{VARIABLE}={text!r} can't be listened on, {error}: "
            "write a free port, or an address and a port such as 127.0.0.1:9100"
        ) from error


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Leave scrapes out of the logs."""


class _Server(WSGIServer):
    """Answers on a listener that exists."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = "localhost", listener.getsockname()[1]
        self.setup_environ()
        shared: Any = SharedMetrics()  # as much of a registry as is asked for
        self.set_app(make_wsgi_app(shared))

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave scrapers that are gone, or too slow, out of the logs too."""
