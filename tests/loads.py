"""Load: clients that send requests all the time, half of them past the cache, to compare with."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .crowds import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

CLIENTS = 16
KEYS = 200


@dataclass(frozen=True)
class Asked:
    """What came of one request; times are in seconds."""

    at: float
    took: float
    past_cache: bool
    cache_status: str


class Load:
    """Clients at work while the ``with`` block runs; a wrong answer fails it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends = threading.Event()
        self._clients = [threading.Thread(target=self._send, daemon=True) for _ in range(CLIENTS)]
        self.asked: list[Asked] = []
        self.wrong: list[object] = []

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for client in self._clients:
            client.join(PATIENCE)

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            while not self._ends.is_set():
                self._ask(connection)
        except Exception as error:  # kept for the test
            self.wrong.append(error)
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        number = random.randrange(KEYS)
        past_cache = random.random() < 0.5
        headers = {"Content-Type": "application/json"}
        if past_cache:
            headers["Cache-Control"] = "no-store"
        at = time.monotonic()
        connection.request("POST", "/", json.dumps({"number": number}), headers)
        response = connection.getresponse()
        body = response.read()
        took = time.monotonic() - at
        if response.status != 200 or json.loads(body) != {"number": number, "double": 2 * number}:
            self.wrong.append((response.status, body))
        status = response.headers.get("Cache-Status", "")
        self.asked.append(Asked(at, took, past_cache, status))

    def await_answer(self, is_such: Callable[[Asked], bool]) -> float:
        """Wait until an answer of a request sent from now on is such; return how long it took."""
        began = time.monotonic()
        while not any(each.at >= began and is_such(each) for each in self.asked[-500:]):
            assert time.monotonic() < began + PATIENCE, "no such answer"
            assert not self.wrong
            time.sleep(0.02)  # between two looks at what others do
        return time.monotonic() - began

    def p99s(self, since: float, until: float) -> tuple[float, float]:
        """Return the p99 of requests to the cache, and of those past it, sent in a time."""
        sent = [each for each in self.asked if since <= each.at < until]
        cached, past = ([e.took for e in sent if e.past_cache is it] for it in (False, True))
        return tuple(statistics.quantiles(each, n=100)[98] for each in (cached, past))  # type: ignore[return-value]


def is_hit(asked: Asked) -> bool:
    return asked.cache_status.startswith("modelserve; hit")
