# pyright: reportArgumentType=false, reportIncompatibleVariableOverride=false
# The stubs of gunicorn that pyright brings are of an older one.
"""gunicorn's gevent worker, with a shorter way for common requests and a shorter stop.

It takes turns between its connections, ends the idle ones before it stops, and answers those that
the kernel has accepted for it by then. TLS, HTTP/2, the PROXY protocol and uwsgi's are gunicorn's.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
from gevent.server import StreamServer
from gunicorn.glogging import Logger
from gunicorn.workers import ggevent

from .connection import Connection
from .head import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from gevent import socket as gevent_socket
    from gevent.pool import Pool

# Seconds that a connection may stay idle while its worker stops: a client that sends more often
# is told with its next answer.
LINGER = 2


class Listener(NamedTuple):
    """What gunicorn asks for an address, when the socket itself may be closed."""

    address: Any

    def getsockname(self) -> Any:
        return self.address


class Server(StreamServer):  # type: ignore[misc]  # gevent has no types
    """Accepts a worker's connections."""

    def __init__(
        self,
        listener: gevent_socket.socket,
        serve: Callable[[gevent_socket.socket, Any], None],
        **options: Any,
    ) -> None:
        self._serve = serve
        super().__init__(listener, **options)

    def handle(self, sock: gevent_socket.socket, client: Any) -> None:
        """Serve a connection; TLS asks for this once it has shaken hands, after a close too."""
        self._serve(sock, client)

    def close(self) -> None:
        """Stop accepting, once all are taken that wait: they would be reset."""
        if self.started:
            self.stop_accepting()
            while not self.full():
                waiting = self.do_read()
                if waiting is None:
                    break
                self.do_handle(*waiting)
        super().close()


class GeventWorker(ggevent.GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker of ``gunicorn -c python:flask_modelserve.gunicorn``."""

    alive: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        config = self.cfg
        self.ticks = 0  # seconds, about: connections tell by them how long they have been idle
        self.pre_request = config.pre_request
        # A user's may change a request, and with it the environ that is made of it.
        self.reads_heads = config.pre_request is config.settings["pre_request"].default
        self.post_request = config.post_request
        self.keeps_alive = config.keepalive > 0
        self._connections: set[Connection] = set()
        self._is_plain = not (
            config.is_ssl
            or config.proxy_protocol != "off"
            or config.protocol != "http"
            or config.http2_cleartext != "off"
        )

    def run(self) -> None:
        """Serve until told to stop, and until what had begun by then is answered."""
        self.heads = Settings(self.cfg)
        # A logger's own method may do more: that for statsd counts requests.
        self.logs_access = self.log.access_log_enabled or type(self.log).access is not Logger.access
        gevent.spawn(self._end_late_connections)
        super().run()

    def server_class(
        self, listener: gevent_socket.socket, *, spawn: Pool, **options: Any
    ) -> Server:
        """Return what accepts connections: gunicorn asks this of a class."""
        address = listener.getsockname()
        serve = partial(self._serve, address)
        if not self._is_plain:
            serve = partial(self.handle, Listener(address))
        tls = {name: value for name, value in options.items() if name == "ssl_context"}
        server = Server(listener, serve, spawn=spawn, **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1
        return server

    def _serve(self, server: Any, sock: gevent_socket.socket, client: Any) -> None:
        sock.setblocking(True)  # whatever the app has made the default
        connection = Connection(self, sock, client, server)
        self._connections.add(connection)
        try:
            connection.serve()
        finally:
            self._connections.remove(connection)

    def count_request(self) -> None:
        """Count a request; with the last of ``max_requests`` the worker stops."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

    def _end_late_connections(self) -> None:
        patience = self.cfg.keepalive or math.inf
        silent = self.cfg.timeout or math.inf
        while True:
            gevent.sleep(1)
            self.ticks += 1
            idle = patience if self.alive else LINGER
            for connection in self._connections:
                if connection.is_late(self.ticks, idle=idle, silent=silent):
                    connection.end()
