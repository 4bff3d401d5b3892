# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportIncompatibleMethodOverride=false, reportGeneralTypeIssues=false
# The stubs of gunicorn that pyright brings are of an older one.
"""One connection to a worker: its requests in turn, each answered before the next is read."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit, Timeout, sleep
from gunicorn import http, util
from gunicorn.http import wsgi
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader

from .head import MOST_NAMES, HeadReader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from gevent import socket as gevent_socket
    from gunicorn.config import Config
    from gunicorn.http.body import Body
    from gunicorn.http.message import Request

    from .gevent_worker import GeventWorker

_RECEIVED = 65_536  # bytes at a time: most requests come whole
_JOINED = 65_536  # bytes of a body, at most, that are copied to leave together with their headers
_DISCARDED = 65_536  # bytes that an application leaves of a body, at most, for another request
_LINGER = 10  # seconds for a client to stop sending
_LEFT = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}  # of a client that has gone
_DECIDING = {"content-length", "upgrade"}  # what changes how an answer is sent


class Response(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's, where a body that is one piece leaves together with its headers."""

    headers_sent: bool
    _plain_names: set[str] = set()  # noqa: RUF012 - what is a name does not depend on the response
    _date = (0, "")

    def __init__(self, req: Request, sock: Any, cfg: Config, worker: GeventWorker) -> None:
        super().__init__(req, sock, cfg)
        self._worker = worker

    def should_close(self) -> bool:
        """Tell whether this is the connection's last answer: it may have taken long."""
        worker = self._worker
        if not self.headers_sent and (
            not (worker.alive and worker.keeps_alive) or _leaves_much(self.req.body)
        ):
            self.must_close = True
        closes: bool = super().should_close()
        return closes

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Check and take over headers; names that passed once are known."""
        known = self._plain_names
        for header in headers:
            name, value = header
            if name in known and wsgi.HEADER_VALUE_RE.fullmatch(value):
                self.headers.append((name, value.strip(" \t")))
                continue
            before = len(self.headers)
            super().process_headers([header])
            taken = len(self.headers) > before
            if taken and name.lower() not in _DECIDING and len(known) < MOST_NAMES:
                known.add(name)

    def write(self, data: bytes) -> None:
        if (
            self.headers_sent
            or len(data) != self.response_length
            or len(data) > _JOINED
            or self._omits_body
            or self.upgrade
        ):
            super().write(data)
            return
        major, minor = self.req.version
        connection = "close" if self.should_close() else "keep-alive"
        fields = "".join([f"{name}: {value}\r\n" for name, value in self.headers])
        head = (
            f"HTTP/{major}.{minor} {self.status}\r\nServer: {self.version}\r\n"
            f"Date: {self._now()}\r\nConnection: {connection}\r\n{fields}\r\n"
        )
        self.headers_sent = True
        self.sent = len(data)
        packet = head.encode("latin-1") + data
        sent = self.sock.send(packet)  # sendall asks the kernel for its buffer's size first
        if sent < len(packet):
            self.sock.sendall(packet[sent:])

    @classmethod
    def _now(cls) -> str:
        second = int(time.time())
        if second != cls._date[0]:
            cls._date = (second, util.http_date(second))
        return cls._date[1]


class Unreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's, which knows how long a client has sent nothing of what it announced."""

    def __init__(self, sock: gevent_socket.socket, worker: GeventWorker) -> None:
        super().__init__(sock)
        self._worker = worker
        self.silent_since: int | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        self.silent_since = self._worker.ticks
        received: bytes = super().chunk(size_hint)
        self.silent_since = None
        return received


def _leaves_much(body: Body | BytesIO) -> bool:
    """Tell whether more of a body is unread than is read for the sake of another request."""
    if isinstance(body, BytesIO):
        return False
    if isinstance(body.reader, LengthReader):
        unread: int = body.reader.length
        return unread > _DISCARDED
    in_chunks: bool = body.reader.parser is not None  # of which there may be any number
    return in_chunks


class Connection:
    """Answers the requests of one client.

    Args:
        worker: Whose application answers.
        sock: The connection.
        client: The client's address; that of a Unix socket is empty.
        server: The listener's address.
    """

    def __init__(
        self, worker: GeventWorker, sock: gevent_socket.socket, client: Any, server: Any
    ) -> None:
        self.idle_since: int | None = None
        self._worker = worker
        self._sock = sock
        self._client = client
        self._server = server
        self._parser = http.get_parser(worker.cfg, sock, client)
        self._unreader = self._parser.unreader = Unreader(sock, worker)
        self._heads = None
        if worker.reads_heads and isinstance(server, tuple) and "SCRIPT_NAME" not in os.environ:
            self._heads = HeadReader(worker.heads, sock, client, server)
        self._request: Request | None = None

    def serve(self) -> None:
        """Answer all requests, until either side ends the connection."""
        try:
            while self._serve_one():
                pass
        except (NoMoreData, StopIteration, GreenletExit) as end:
            self._worker.log.debug("Closing connection. %s", end)
        except OSError as error:
            if error.errno not in _LEFT:
                self._worker.log.exception("Socket error processing request.")
        except BaseException as error:  # a request that is wrong, or its application
            self._worker.handle_error(self._request, self._sock, self._client, error)

    def is_late(self, now: int, *, idle: float, silent: float) -> bool:
        """Tell whether the client has been idle, or silent within a body, for so many ticks."""
        if self.idle_since is not None:
            return self.idle_since < now - idle
        silent_since = self._unreader.silent_since
        return silent_since is not None and silent_since < now - silent

    def end(self) -> None:
        """Have a connection end that waits for its client; what has just come is answered."""
        # By a copy: gevent's shutdown has whoever waits for the original fail, data there or not.
        with suppress(OSError), self._sock.dup() as same:
            same.shutdown(socket.SHUT_RD)

    def _serve_one(self) -> bool:
        """Answer the next request; return whether another may follow."""
        self._request = None
        self.idle_since = self._worker.ticks
        data = self._receive()
        if not data:
            return False
        request, environ, response = self._common(data) or self._any(data)
        self._request = request
        self.idle_since = None
        may_go_on = self._answer(request, environ, response)
        if self._parser.mesg is None:
            return may_go_on
        return self._leave_body(request.body, may_go_on=may_go_on)

    def _common(self, data: bytes) -> tuple[Request, WSGIEnvironment, Response] | None:
        """Read a request with a head that is recognised."""
        common = None
        if self._heads is not None:
            common = self._heads.read(data, self._unreader)
        if common is None:
            return None
        request, environ = common
        self._worker.pre_request(self._worker, request)
        # The parser is to look for the end of those bodies that are still to come.
        self._parser.mesg = None if type(request.body) is BytesIO else request
        response = Response(request, self._sock, self._worker.cfg, self._worker)
        hints = wsgi._make_early_hints_callback(request, self._sock, response)  # noqa: SLF001 - it has no other
        environ["wsgi.early_hints"] = hints
        return request, environ, response

    def _any(self, data: bytes) -> tuple[Request, WSGIEnvironment, Response]:
        """Read any other request."""
        self._unreader.unread(data)
        request = self._request = next(self._parser)
        self._worker.pre_request(self._worker, request)
        response, environ = wsgi.create(
            request,
            self._sock,
            self._client,
            self._server,
            self._worker.cfg,
            response_class=Response,
            response_args=(self._worker,),
        )
        environ["wsgi.multithread"] = True
        return request, environ, response

    def _receive(self) -> bytes:
        """Return what the next request begins with; nothing once the connection has ended."""
        data: bytes = self._unreader.take_buffered()
        if not data:
            sleep(0)  # or a client that always has its next request ready keeps all others waiting
            data = self._sock.recv(_RECEIVED)
        return data

    def _leave_body(self, body: Body, *, may_go_on: bool) -> bool:
        """Read what the application has left of a body; return whether another request may follow.

        To close the connection while its client sends would reset it, and the client might not
        see its answer (RFC 9112, section 9.6).
        """
        if isinstance(body.reader, LengthReader) and not body.reader.length:
            self._parser.mesg = None
            return may_go_on
        self.idle_since = self._worker.ticks
        if may_go_on and self._parser.finish_body():  # not much, or the answer had said close
            self._parser.mesg = None
            return True
        self._sock.shutdown(socket.SHUT_WR)
        with Timeout(_LINGER, False):
            while self._sock.recv(_RECEIVED):
                pass
        return False

    def _answer(self, request: Request, environ: WSGIEnvironment, response: Response) -> bool:
        """Answer one request; return whether another may follow."""
        worker = self._worker
        try:
            worker.count_request()
            self._run(request, environ, response)
        except (GreenletExit, OSError):
            raise
        except BaseException:  # the application's: sys.exit, a time-out of gevent's
            if not response.headers_sent:
                raise
            # A client must not take what it has got so far for the whole answer.
            worker.log.exception("Error handling request %s", request.uri)
            self._sock.shutdown(socket.SHUT_RDWR)
            return False
        finally:
            try:
                worker.post_request(worker, request, environ, response)
            except Exception:  # it is the user's
                worker.log.exception("Exception in post_request hook")
        return not response.should_close()

    def _run(self, request: Request, environ: WSGIEnvironment, response: Response) -> None:
        """Send what the application answers."""
        worker = self._worker
        begun = datetime.now() if worker.logs_access else None  # noqa: DTZ005 - as gunicorn has it
        parts = worker.wsgi(environ, response.start_response)
        if worker.is_already_handled(parts):
            raise StopIteration  # the application has answered on the socket itself
        try:
            if isinstance(parts, wsgi.FileWrapper):
                response.write_file(parts)
            else:
                for part in parts:
                    response.write(part)
            response.close()
        finally:
            if begun is not None:
                worker.log.access(response, request, environ, datetime.now() - begun)  # noqa: DTZ005
            close = getattr(parts, "close", None)
            if close is not None:
                close()
