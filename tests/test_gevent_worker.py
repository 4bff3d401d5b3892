"""The worker of the one line: what clients see of it on the wire."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from .crowds import PATIENCE, until
from .fleet import APP as DOUBLE
from .fleet import TERM, fleet
from .servers import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .fleet import Fleet

APP = (
    DOUBLE
    + """
import sys

from flask import request, send_file
from gunicorn.workers.base_async import ALREADY_HANDLED


@app.post("/length")
def length():
    return str(len(request.get_data()))


@app.post("/ignored")
def ignored():
    return "ignored"


@app.get("/parts/<int:count>")
def parts(count):
    def generate():
        for number in range(count):
            yield f"{number} "
    return generate()


@app.get("/breaks")
def breaks():
    def generate():
        yield "first"
        raise RuntimeError("broken within an answer")
    return generate()


@app.get("/exits")
def exits():
    sys.exit(3)


@app.get("/nothing")
def nothing():
    return "", 204


@app.get("/large")
def large():
    return bytes(3_000_000)


@app.get("/file")
def file():
    return send_file(__file__)


@app.get("/environ")
def environ():
    return {key: value for key, value in request.environ.items() if type(value) is str}


@app.get("/twice")
def twice():
    response = app.make_response("twice")
    for _ in range(2):
        response.headers.add("Content-Length", "5")
    return response


@app.get("/wrong")
def wrong():
    return "", {"X-Wrong": "caf\\u20ac"}


def take_over(environ, start_response, inner=app.wsgi_app):
    if environ["PATH_INFO"] != "/taken":
        return inner(environ, start_response)
    environ["gunicorn.socket"].sendall(b"words of another protocol")
    return ALREADY_HANDLED


app.wsgi_app = take_over
"""
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("worker")
    with fleet(folder, app=APP, WEB_CONCURRENCY="1") as running:
        running.await_workers(1)
        running.get("/__ping")
        yield running


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join((line, "Host: localhost", *fields, "", "")).encode() + body


def question(number: int, *fields: str) -> bytes:
    body = json.dumps({"number": number}).encode()
    return request("POST / HTTP/1.1", f"Content-Length: {len(body)}", *fields, body=body)


def exchanged(port: int, *pieces: bytes, pause: float = 0) -> bytes:
    """Send pieces on one connection, and return all that comes until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def answers(connection: http.client.HTTPConnection, method: str, path: str, **more: Any) -> bytes:
    connection.request(method, path, **more)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return body


def test_requests_in_a_row(server: Fleet) -> None:
    """A client may send its next requests before it has read an answer; each gets its own."""
    asked = [question(number) for number in range(50)]
    seen = exchanged(server.port, b"".join(asked), question(50, "Connection: close"))
    assert [int(each) for each in re.findall(rb'"double":(\d+)', seen)] == list(range(0, 102, 2))
    assert seen.count(b"HTTP/1.1 200 OK\r\n") == 51
    assert seen.count(b"Connection: keep-alive\r\n") == 50
    assert seen.count(b"Connection: close\r\n") == 1


@pytest.mark.parametrize("size", [1, 7])
def test_pieces(server: Fleet, size: int) -> None:
    """However a request is cut on its way, it is the same."""
    whole = question(1) + question(21, "Connection: close")
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    seen = exchanged(server.port, *pieces, pause=0.001)
    assert re.findall(rb'"double":(\d+)', seen) == [b"2", b"42"]


def test_headers(server: Fleet) -> None:
    """An answer names its server, without a version, and the time, and ends where it says."""
    seen = exchanged(server.port, question(1, "Connection: close"))
    head, _, body = seen.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert lines[0] == "HTTP/1.1 200 OK"
    assert fields["Server"] == "gunicorn"
    assert int(fields["Content-Length"]) == len(body)
    sent = time.mktime(time.strptime(fields["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
    assert abs(sent - time.mktime(time.gmtime())) < 60
    assert len(fields) == len(lines) - 1, "a field came twice"


def test_other_ways_of_http(server: Fleet) -> None:
    """HEAD, 204, HTTP/1.0 with and without keep-alive, and CONNECT's bytes come out right."""
    head = exchanged(server.port, request("HEAD /__ping HTTP/1.1", "Connection: close"))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")
    nothing = exchanged(server.port, request("GET /nothing HTTP/1.1", "Connection: close"))
    assert nothing.startswith(b"HTTP/1.1 204 ")
    assert b"Content-Length" not in nothing
    old = exchanged(server.port, request("GET /__ping HTTP/1.0"))
    assert b"Connection: close" in old
    kept = exchanged(
        server.port,
        request("GET /__ping HTTP/1.0", "Connection: keep-alive"),
        request("GET /__ping HTTP/1.0"),
    )
    assert kept.count(b" 200 OK\r\n") == 2
    streamed = exchanged(server.port, request("GET /parts/3 HTTP/1.0"))
    assert streamed.endswith(b"\r\n\r\n0 1 2 ")


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_streams(server: Fleet, count: int) -> None:
    """A generator's parts come in chunks, and the connection goes on."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
        for _ in range(2):
            body = answers(client, "GET", f"/parts/{count}")
            assert body.decode().split() == [str(number) for number in range(count)]


def test_bodies_of_any_size(server: Fleet) -> None:
    """Bodies are read to their last byte, announced or in chunks, and those unread do no harm."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
        for size in (0, 1, 65_000, 65_536, 200_000, 5_000_000):
            assert answers(client, "POST", "/length", body=bytes(size)) == str(size).encode()
            pieces = (bytes(size) for _ in range(3))
            seen = answers(client, "POST", "/length", body=pieces, encode_chunked=True)
            assert seen == str(3 * size).encode()
            if size < 65_536:  # or the connection ends
                assert answers(client, "POST", "/ignored", body=bytes(size)) == b"ignored"
        assert len(answers(client, "GET", "/large")) == 3_000_000
        assert answers(client, "GET", "/file").decode() == APP


@pytest.mark.parametrize("last", ["keep-alive", "close"])
def test_bodies_that_nobody_reads(server: Fleet, last: str) -> None:
    """A large body that is refused costs the worker little, and its client sees the refusal."""
    size = 100_000_000
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        fields = (f"Content-Length: {size}", f"Connection: {last}")
        connection.sendall(request("POST /ignored HTTP/1.1", *fields))
        until(lambda: server.ask(21)["double"] == 42)
        slowest = 0.0
        for _ in range(size // 10_000_000):
            connection.sendall(bytes(10_000_000))
            begun = time.monotonic()
            server.ask()
            slowest = max(slowest, time.monotonic() - begun)
        assert everything(connection).endswith(b"\r\n\r\nignored")
    assert slowest < 1


@pytest.mark.parametrize("in_chunks", [False, True])
def test_requests_after_bodies_that_nobody_reads(server: Fleet, in_chunks: bool) -> None:
    """A client that keeps its connection is told where it can't: its next request is answered."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
        for size in (1, 65_535, 65_536, 65_537, 70_000, 1_000_000):
            body = iter([bytes(size)]) if in_chunks else bytes(size)
            seen = answers(client, "POST", "/ignored", body=body, encode_chunked=in_chunks)
            assert seen == b"ignored"
            assert json.loads(answers(client, "POST", "/", body=b'{"number": 21}'))["double"] == 42


def test_expectations(server: Fleet) -> None:
    """curl waits for the permission to send a large body, and gets it."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        fields = ("Content-Length: 3", "Expect: 100-continue", "Connection: close")
        connection.sendall(request("POST /length HTTP/1.1", *fields))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert everything(connection).endswith(b"\r\n\r\n3")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (request("GET / HTTP/3.0"), 400),
        (request("GET / HTTP/1.1", "Host: twice"), 400),
        (request("POST / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (request("POST / HTTP/1.1", "Content-Length: 3x"), 400),
        (request(f"GET /{'a' * 9000} HTTP/1.1"), 414),
        (request("GET / HTTP/1.1", *(f"X-{number}: a" for number in range(200))), 431),
        (request("GET / HTTP/1.1", f"X: {'a' * 9000}"), 431),
    ],
    ids=["nonsense", "version", "hosts", "smuggled", "length", "line", "fields", "field"],
)
def test_wrong_requests(server: Fleet, sent: bytes, status: int) -> None:
    """What is no HTTP, means two things or goes over a limit is refused, and nothing after it."""
    seen = exchanged(server.port, sent + question(1))
    assert seen.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"double" not in seen


def test_applications_that_fail(server: Fleet) -> None:
    """A failure is a 500, or a connection that breaks where the answer did; others go on."""
    fields = ("Connection: close",)
    for path in ("/exits", "/wrong"):
        seen = exchanged(server.port, request(f"GET {path} HTTP/1.1", *fields))
        assert seen.startswith(b"HTTP/1.1 500 "), path
        assert b"Traceback" not in seen
    seen = exchanged(server.port, request("GET /breaks HTTP/1.1"))
    assert b"5\r\nfirst\r\n" in seen
    assert not seen.endswith(b"0\r\n\r\n"), "an answer that broke looks whole"
    assert server.ask(21)["double"] == 42
    assert "broken within an answer" in server.log()


def test_answers_that_say_their_length_twice(server: Fleet) -> None:
    """What one answer's headers repeat changes nothing for the answers after it."""
    exchanged(server.port, request("GET /twice HTTP/1.1", "Connection: close"))
    seen = exchanged(server.port, question(21, "Connection: close"))
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert json.loads(body)["double"] == 42


def test_connections_that_an_application_takes_over(server: Fleet) -> None:
    """What an application says on the socket itself is all that is said."""
    seen = exchanged(server.port, request("GET /taken HTTP/1.1"))
    assert seen == b"words of another protocol"
    assert "Error handling request GET /taken" not in server.log()


def test_environ(server: Fleet) -> None:
    """An app finds in its environ what gunicorn puts there."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
        seen = json.loads(answers(client, "GET", "/environ?a=%20", headers={"X-Name": "1"}))
        assert client.sock is not None
        assert seen["REMOTE_PORT"] == str(client.sock.getsockname()[1])
    assert seen["SERVER_PORT"] == str(server.port)
    assert (seen["REMOTE_ADDR"], seen["SERVER_NAME"]) == ("127.0.0.1", "127.0.0.1")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/environ", "a=%20")
    assert (seen["RAW_URI"], seen["HTTP_X_NAME"]) == ("/environ?a=%20", "1")
    assert (seen["wsgi.url_scheme"], seen["SCRIPT_NAME"]) == ("http", "")


def test_clients_take_turns(server: Fleet) -> None:
    """One that always has its next request ready does not keep the others waiting."""
    greedy = b"".join(question(number) for number in range(20))
    end = threading.Event()

    def ask_on() -> None:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            reader = threading.Thread(target=everything, args=(connection,))
            reader.start()
            while not end.is_set():
                connection.sendall(greedy)
            connection.shutdown(socket.SHUT_WR)
            reader.join()

    clients = [threading.Thread(target=ask_on) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        for number in range(20):
            begun = time.monotonic()
            assert server.ask(number)["double"] == 2 * number
            assert time.monotonic() - begun < 1
    finally:
        end.set()
        for client in clients:
            client.join()


def test_idle_connections_end(tmp_path: Path) -> None:
    """A connection that brings nothing for ``keepalive`` seconds is closed, within a head too."""
    with fleet(tmp_path, "--keep-alive", "1", WEB_CONCURRENCY="1") as server:
        for begun in (b"", b"POST / HT", question(1)):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
                connection.sendall(begun)
                start = time.monotonic()
                seen = everything(connection)
                assert 0.9 < time.monotonic() - start < 5
                assert (b'"double":2' in seen) == (begun == question(1))
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("announced", ["Content-Length: 13", "Transfer-Encoding: chunked"])
def test_silent_clients_are_let_go(announced: str, tmp_path: Path) -> None:
    """Who sends nothing of a body for ``timeout`` seconds gets a 400; who sends slowly does not."""
    body = [b'{"num', b'ber"', b":21}"]
    if "chunked" in announced:
        body = [b"%x\r\n%b\r\n" % (len(part), part) for part in [*body, b""]]
    head = request("POST / HTTP/1.1", announced, "Connection: close")
    with fleet(tmp_path, "--timeout", "5", WEB_CONCURRENCY="1") as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            begun = time.monotonic()
            connection.sendall(head + body[0])
            assert everything(connection).startswith(b"HTTP/1.1 400 ")
            assert 4.9 < time.monotonic() - begun < 20
        assert b'"double":42' in exchanged(server.port, head, *body, pause=0.8)
        assert "Traceback" not in server.log()


def test_a_stop_waits_for_work_and_not_for_the_idle(tmp_path: Path) -> None:
    """Idle connections end soon, the answer on its way comes, and says that it is the last."""
    with fleet(tmp_path, WEB_CONCURRENCY="1") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(20)]
        busy = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        for each in idle[:10]:
            each.sendall(question(1))
            assert b'"double":2' in each.recv(65536)
        busy.request("POST", "/", body=b'{"number": 21, "seconds": 4}')
        until(lambda: "double 1" in in_flight(server))
        begun = time.monotonic()
        server.signal(TERM)
        assert server.process.wait(PATIENCE) == 0
        assert 3 < time.monotonic() - begun < 15
        response = busy.getresponse()
        assert json.loads(response.read())["double"] == 42
        assert response.getheader("Connection") == "close"
        for each in idle:
            assert everything(each) == b""
            each.close()
        busy.close()
        assert "Traceback" not in server.log()


def in_flight(server: Fleet) -> str:
    return server.get().partition("modelserve_in_flight{")[2].partition("\n")[0].replace('"}', "")


@pytest.mark.parametrize(
    ("option", "first"),
    [("--preload", b""), ("--proxy-protocol=v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")],
    ids=["plain", "proxied"],
)
def test_a_stop_answers_who_has_come(tmp_path: Path, option: str, first: bytes) -> None:
    """Connections that the kernel took on before the stop are answered, not reset."""
    with fleet(tmp_path, "--worker-connections", "1000", option, WEB_CONCURRENCY="1") as server:
        server.ask()
        (worker,) = server.workers()
        with suspended(server, worker):
            waiting = []
            for number in range(30):
                connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                connection.sendall(first + question(number))
                waiting.append(connection)
        for number, connection in enumerate(waiting):
            seen = everything(connection)
            assert f'"double":{2 * number}'.encode() in seen
            connection.close()
        assert server.process.wait(PATIENCE) == 0


@contextmanager
def suspended(server: Fleet, worker: int) -> Iterator[None]:
    """Suspend a worker, and have it go on once the server is told to stop."""
    server.signal(signal.SIGSTOP, worker)
    yield
    server.signal(TERM)
    until(lambda: "Handling signal: term" in server.log())
    time.sleep(1)  # its own pause is over, too, and it stops before it accepts anyone
    server.signal(signal.SIGCONT, worker)


def test_restarts_after_so_many_requests(tmp_path: Path) -> None:
    """With max_requests a worker's last answer says so, and another worker goes on."""
    with fleet(tmp_path, "--max-requests", "5", WEB_CONCURRENCY="1") as server:
        seen = exchanged(server.port, b"".join(question(number) for number in range(9)))
        assert re.findall(rb'"double":(\d+)', seen) == [b"0", b"2", b"4", b"6", b"8"]
        assert seen.count(b"Connection: close") == 1
        (first,) = server.workers()
        until(lambda: server.workers().isdisjoint({first}))
        assert server.ask(21)["double"] == 42


HOOKS = """
from flask_modelserve.gunicorn import *

def pre_request(worker, req):
    worker.log.info("before %s %s %s", req.method, req.uri, dict(req.headers)["HOST"])

def post_request(worker, req, environ, resp):
    worker.log.info("after %s %s %s", environ["PATH_INFO"], resp.status, resp.sent)
"""


def test_hooks_and_access_log(tmp_path: Path) -> None:
    """gunicorn's hooks are called for each request, and its log has a line for each."""
    options = ("--access-logfile", str(tmp_path / "access"))
    with fleet(tmp_path, *options, config=HOOKS, app=APP, WEB_CONCURRENCY="1") as server:
        exchanged(server.port, request("GET /parts/2 HTTP/1.1", "Connection: close"))
        until(lambda: "after /parts/2 200 OK 4" in server.log())
        assert "before GET /parts/2 localhost" in server.log()
        logged = re.search(
            r'"GET /parts/2 HTTP/1.1" 200 4 bytes', (tmp_path / "access").read_text()
        )
        assert logged


CHANGES = """
from flask_modelserve.gunicorn import *

def pre_request(worker, req):
    req.headers.append(("X-RECEIVED", "just now"))
"""


def test_hooks_that_change_requests(tmp_path: Path) -> None:
    """What gunicorn's hook ``pre_request`` adds to a request reaches the application."""
    with fleet(tmp_path, config=CHANGES, app=APP, WEB_CONCURRENCY="1") as server:
        seen = exchanged(server.port, request("GET /environ HTTP/1.1", "Connection: close"))
    assert b'"HTTP_X_RECEIVED":"just now"' in seen


def test_statsd(tmp_path: Path) -> None:
    """gunicorn's statsd counts requests, with and without an access log."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(PATIENCE)
        host = f"127.0.0.1:{statsd.getsockname()[1]}"
        with fleet(tmp_path, "--statsd-host", host, WEB_CONCURRENCY="1") as server:
            server.ask()
            while b"gunicorn.requests:1|c" not in statsd.recv(1000):
                pass


def test_unix_sockets(tmp_path: Path) -> None:
    """Behind a proxy on the same machine it listens on a socket of the file system."""
    path = tmp_path / "socket"
    with fleet(tmp_path, "--bind", f"unix:{path}", app=APP, WEB_CONCURRENCY="1"):
        until(path.exists)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            connection.sendall(request("GET /environ HTTP/1.1") + question(21, "Connection: close"))
            seen = everything(connection)
    assert b'"SERVER_NAME":"localhost"' in seen
    assert b'"double":42' in seen


def test_tls(tmp_path: Path) -> None:
    """With a certificate it speaks HTTPS, as gunicorn does."""
    with fleet(tmp_path, *certified(tmp_path), app=APP, WEB_CONCURRENCY="1") as server:
        trust = {"timeout": PATIENCE, "context": trusting(tmp_path)}
        with closing(http.client.HTTPSConnection("127.0.0.1", server.port, **trust)) as client:
            for _ in range(2):
                seen = json.loads(answers(client, "GET", "/environ"))
                assert seen["wsgi.url_scheme"] == "https"


def test_a_stop_answers_who_has_come_by_tls(tmp_path: Path) -> None:
    """Connections that have yet to shake hands when the worker stops are answered too."""
    with fleet(tmp_path, *certified(tmp_path), WEB_CONCURRENCY="1") as server:
        context = trusting(tmp_path)
        until(lambda: "Worker ready" in server.log())
        (worker,) = server.workers()
        with suspended(server, worker):
            waiting = []
            for _ in range(10):
                plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                connection = context.wrap_socket(plain, do_handshake_on_connect=False)
                connection.setblocking(False)
                with pytest.raises(ssl.SSLWantReadError):
                    connection.do_handshake()
                connection.settimeout(PATIENCE)
                waiting.append(connection)
        for number, connection in enumerate(waiting):
            connection.do_handshake()
            connection.sendall(question(number))
            assert f'"double":{2 * number}'.encode() in everything(connection)
            connection.close()
        assert server.process.wait(PATIENCE) == 0


def certified(folder: Path) -> list[str]:
    """Return the options for a certificate that is made."""
    key, certificate = folder / "key", folder / "certificate"
    made = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    made += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(made, check=True, capture_output=True)
    return ["--keyfile", str(key), "--certfile", str(certificate)]


def trusting(folder: Path) -> ssl.SSLContext:
    """Return what a client needs to trust it."""
    context = ssl.create_default_context(cafile=folder / "certificate")
    context.check_hostname = False
    return context
