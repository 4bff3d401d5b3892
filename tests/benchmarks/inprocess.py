"""What one request costs in process: the WSGI app is called as a server would, with no server.

Run as a module it measures one pair and prints JSON; `measure` does so for every pair in fresh
processes, because one that ran other endpoints before, or that merely laid out its memory
differently, moves a ratio by some per cent.
"""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from werkzeug.test import EnvironBuilder

from . import apps
from .measure import Call, alternate
from .processes import ROOT
from .works import FEATURES, FEATURES_SMALL_ANSWER, LANGUAGE, Work, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask

JSON = "application/json"
PROTOBUF = "application/x-protobuf"

WORKS: dict[str, Callable[[], Work]] = {
    "335 bytes": lambda: LANGUAGE,
    "12 KB": lambda: FEATURES,
    "12 KB, small answer": lambda: FEATURES_SMALL_ANSWER,
    "12 KB of numbers": lambda: numbers(12_000),
    "1 MB of numbers": lambda: numbers(1_000_000),
}
CONTENDERS: dict[str, Callable[[Work], Call]] = {
    "bare view": lambda work: requests(apps.bare(work), work.body),
    "predecessor's way": lambda work: requests(apps.predecessor(work), work.body),
    "no schema": lambda work: requests(
        apps.ours(work, schema=False, response_schema=False), work.body
    ),
    "request schema": lambda work: requests(apps.ours(work, response_schema=False), work.body),
    "both schemas": lambda work: requests(apps.ours(work), work.body),
    "cache hit": lambda work: requests(apps.ours(work, cached=True), work.body),
    "protobuf in and out": lambda work: requests(apps.ours(work), work.protobuf, PROTOBUF),
}


class Pair(NamedTuple):
    """Two things timed against each other, and what their ratio may be, where promised."""

    work: str
    contender: str
    over_work: str
    over: str
    limit: float | None = None

    @property
    def name(self) -> str:
        """What the ratio is of."""
        return f"{self.work}: {self.contender}"

    @property
    def over_name(self) -> str:
        """What the ratio is over."""
        return self.over if self.over_work == self.work else f"{self.over_work}, per byte"


class Ratio(NamedTuple):
    """Seconds of both sides of a pair, and their ratios (medians, minima) per byte of input."""

    seconds: float
    over_seconds: float
    medians: float
    minima: float


def pair(work: str, contender: str, limit: float | None = None, over: str = "bare view") -> Pair:
    """Two contenders on the same work."""
    return Pair(work, contender, work, over, limit)


PAIRS = (
    pair("335 bytes", "predecessor's way"),
    pair("335 bytes", "no schema", 0.87),
    pair("335 bytes", "request schema"),
    pair("335 bytes", "both schemas", 0.95),
    pair("335 bytes", "cache hit", 0.92),
    pair("335 bytes", "protobuf in and out"),
    pair("12 KB", "predecessor's way"),
    pair("12 KB", "no schema"),
    pair("12 KB", "request schema"),
    pair("12 KB", "both schemas", 0.97),
    pair("12 KB", "both schemas", 0.13, over="predecessor's way"),
    pair("12 KB", "cache hit"),
    pair("12 KB", "protobuf in and out"),
    pair("12 KB, small answer", "both schemas"),
    pair("12 KB, small answer", "both schemas", over="predecessor's way"),
    pair("1 MB of numbers", "both schemas"),
    Pair("1 MB of numbers", "both schemas", "12 KB of numbers", "both schemas", 1.2),
)


def requests(app: Flask, body: bytes, content_type: str = JSON) -> Call:
    """One request to the app's `/`, as a callable."""
    headers = [("Accept", content_type), ("Host", "127.0.0.1:8000")]
    builder = EnvironBuilder(method="POST", data=body, content_type=content_type, headers=headers)
    environ = builder.get_environ() | {"wsgi.input_terminated": True}

    def call() -> bytes:
        status, answer = respond(app, environ | {"wsgi.input": BytesIO(body)})
        if not status.startswith("200"):
            raise RuntimeError(f"{app.name} answered {status}: {answer[:500]!r}")
        return answer

    return call


def respond(app: Callable[..., Iterable[bytes]], environ: WSGIEnvironment) -> tuple[str, bytes]:
    """Call a WSGI app, read its answer to the end and close it."""
    seen = ""

    def start_response(
        status: str, headers: object, exc_info: object = None
    ) -> Callable[[bytes], object]:
        nonlocal seen
        seen = status
        return lambda data: None

    answer = app(environ, start_response)
    try:
        return seen, b"".join(answer)
    finally:
        close = getattr(answer, "close", None)
        if close:
            close()


def contender(name: str, work: Work) -> Call:
    """The call to time, refused if its answer is not the function's."""
    call = CONTENDERS[name](work)
    answer: Any = call()
    parse = work.response.FromString if name.startswith("protobuf") else parse_json(work)
    if parse(answer) != work.response(**work.question.answer):
        raise RuntimeError(f"{name}, {work.name}: wrong answer {answer[:200]!r}")
    return call


def parse_json(work: Work) -> Callable[[bytes], Any]:
    """The reader of a JSON answer as a message."""
    return lambda answer: work.response(**json.loads(answer))


def once(pair: Pair, rounds: int, seconds: float) -> Ratio:
    """Time one pair in this process."""
    work, over_work = WORKS[pair.work](), WORKS[pair.over_work]()
    calls = {"mine": contender(pair.contender, work), "other": contender(pair.over, over_work)}
    times = alternate(calls, rounds=rounds, seconds=seconds)
    mine, other = times["mine"], times["other"]
    bytes_ratio = len(work.body) / len(over_work.body)
    return Ratio(
        mine.median,
        other.median,
        mine.median / other.median / bytes_ratio,
        mine.minimum / other.minimum / bytes_ratio,
    )


def measure(processes: int, rounds: int, seconds: float) -> dict[Pair, Ratio]:
    """Time every pair in several fresh processes: the medians of those."""
    seen: Mapping[Pair, list[Ratio]] = {pair: [] for pair in PAIRS}
    for _ in range(processes):
        for index, pair in enumerate(PAIRS):
            command = [sys.executable, "-m", __name__, str(index), str(rounds), str(seconds)]
            output = subprocess.check_output(command, cwd=ROOT, timeout=120)
            seen[pair].append(Ratio(*json.loads(output)))
    return {pair: Ratio(*map(median, zip(*ratios, strict=True))) for pair, ratios in seen.items()}


if __name__ == "__main__":
    json.dump(once(PAIRS[int(sys.argv[1])], int(sys.argv[2]), float(sys.argv[3])), sys.stdout)
