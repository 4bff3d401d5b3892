"""Shows what batching gains: asks /digit and /alone over many connections, and draws a chart."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

from digits import LEARNED
from sklearn.datasets import load_digits

HOST = "127.0.0.1"
PATHS = {"/digit": "in batches", "/alone": "one by one"}


@dataclass
class Run:
    """What came of one path: seconds of each answer, and how many of them were right."""

    seconds: float
    latencies: list[float]
    right: int

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def __str__(self) -> str:
        p99 = quantiles(self.latencies, n=100)[-1]
        return (
            f"{self.rate:7.0f} rows/s   p50 {median(self.latencies) * 1e3:6.1f} ms   "
            f"p99 {p99 * 1e3:6.1f} ms   {self.right / len(self.latencies):.0%} right"
        )


def requests(path: str) -> list[tuple[bytes, int]]:
    """Make a request of each image that the forest has not learned from, with its digit."""
    images, digits = load_digits(return_X_y=True)
    bodies = [json.dumps({"pixels": image.tolist()}) for image in images[LEARNED:]]
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    sent = [f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() for body in bodies]
    return list(zip(sent, digits[LEARNED:].tolist(), strict=True))


async def drive(port: int, path: str, connections: int, seconds: float) -> Run:
    """Ask over so many connections, each as soon as it has its answer."""
    questions = cycle(requests(path))
    run = Run(seconds, [], 0)
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        while (begun := time.perf_counter()) < end:
            request, digit = next(questions)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            answer = await reader.readexactly(int(length.split(b"\r", 1)[0]))
            if b" 200 " not in head.split(b"\r", 1)[0]:
                raise RuntimeError(f"{path} answered {head + answer!r}")
            run.latencies.append(time.perf_counter() - begun)
            run.right += json.loads(answer)["digit"] == digit
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return run


def measure(options: list[str], connections: int, seconds: float) -> dict[str, Run]:
    """Serve the app by gunicorn with these options, and drive one path after the other."""
    with socket.create_server((HOST, 0)) as listener:
        number = listener.fileno()
        bind = ["--bind", f"fd://{number}", "--log-level", "warning"]
        gunicorn = [sys.executable, "-m", "gunicorn", *bind, *options, "digits:app"]
        server = subprocess.Popen(gunicorn, pass_fds=[number])
        try:
            runs = {}
            for path in PATHS:
                port = listener.getsockname()[1]
                asyncio.run(drive(port, path, connections, 0.2))  # the forest learns
                runs[path] = asyncio.run(drive(port, path, connections, seconds))
            return runs
        finally:
            server.terminate()
            server.wait(timeout=60)


def chart(runs: dict[str, Run], title: str) -> str:
    """Draw rows per second as bars."""
    scale = 420 / max(run.rate for run in runs.values())
    bars = "\n".join(
        f'<text x="110" y="{y + 19}" text-anchor="end">{PATHS[path]}</text>\n'
        f'<rect x="120" y="{y}" width="{run.rate * scale:.0f}" height="28" rx="3"/>\n'
        f'<text x="{128 + run.rate * scale:.0f}" y="{y + 19}">{run.rate:,.0f}</text>'
        for y, (path, run) in zip((52, 92), runs.items(), strict=True)
    )
    style = "text { font: 14px sans-serif; fill: #6e7781 } rect { fill: #2f81f7 }"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="136" role="img">\n'
        f'<style>{style}</style>\n<text x="120" y="30">{title}</text>\n{bars}\n</svg>\n'
    )


def main() -> None:
    """Measure, print the figures and write the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5, help="for each of the two")
    parser.add_argument("--chart", type=Path, default=Path("throughput.svg"))
    arguments, options = parser.parse_known_args()  # what is left goes to gunicorn
    options = options or ["-c", "python:flask_modelserve.gunicorn"]
    runs = measure(options, arguments.connections, arguments.seconds)
    for path, run in runs.items():
        sys.stdout.write(f"{path}  {run}\n")
    gain = runs["/digit"].rate / runs["/alone"].rate
    title = f"Rows per second, {arguments.connections} connections: {gain:.1f} times"
    sys.stdout.write(f"{title}\n")
    arguments.chart.write_text(chart(runs, title))


if __name__ == "__main__":
    main()
