"""Clients that send a byte a second: they take nothing from the others."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from .fleet import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENTS = 50
HEADERS = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Slow: "
BODY = HEADERS + b"no\r\nContent-Length: 1000\r\n\r\n" + b'{"number": '


@contextmanager
def dripping(port: int, start: bytes) -> Iterator[None]:
    """Keep so many connections that have begun like this, and go on by a byte a second."""
    end = threading.Event()
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            for _ in range(CLIENTS)
        ]
        for connection in connections:
            connection.sendall(start)

        def drip() -> None:
            for connection in itertools.cycle(connections):
                if end.wait(1 / CLIENTS):
                    return
                connection.send(b"1")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


@pytest.mark.parametrize("start", [HEADERS, BODY], ids=["headers", "bodies"])
def test_others_are_answered(start: bytes, tmp_path: Path) -> None:
    """Beside 50 clients that send a byte a second, all others are answered within a second."""
    with fleet(tmp_path, WEB_CONCURRENCY="2") as server:
        server.await_workers(2)
        with dripping(server.port, start):
            for number in range(60):
                begun = time.monotonic()
                assert server.ask(number)["double"] == 2 * number
                assert time.monotonic() - begun < 1
                time.sleep(0.02)  # over more than a second, while the slow ones go on
