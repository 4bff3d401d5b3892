"""What one request costs behind a real server: CPU time of its process tree, rate and latencies."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from tempfile import gettempdir
from typing import TYPE_CHECKING, NamedTuple

from .load import Load, answers, ask, load
from .processes import HOST, free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import psutil

    from .works import Question

Served = dict[str, dict[int, list[Load]]]

PEERS = "tests.benchmarks.peers"
DEFAULT = "the default worker"
WORKER_CLASSES = {
    DEFAULT: ["-k", "flask_modelserve.gevent_worker.GeventWorker"],
    "gevent": ["-k", "gevent"],
    "gthread, 1 thread": ["-k", "gthread", "--threads", "1"],
    "gthread, 4 threads": ["-k", "gthread", "--threads", "4"],
    "sync": ["-k", "sync"],
}
RECOMMENDED = "ours, recommended command"
APPS = "tests.benchmarks.apps"
FACTORIES = {"bare view": "bare", "ours": "ours"}
WARM_UP = 100
VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Server:
    """How one server is installed and started, for a port that is not known yet."""

    name: str
    command: Callable[[str, int], list[str]]
    path: str = "/detect"
    requirements: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Folders:
    """Where the harness keeps things: the peers' environments, and logs and results."""

    environments: Path
    output: Path


class Schedule(NamedTuple):
    """How often all servers are started, and how often loaded then, by number of connections."""

    rounds: int
    turns: dict[int, int]


def gunicorn(name: str, app: str, options: Sequence[str], path: str = "/") -> Server:
    """One gunicorn with one worker, in this environment."""

    def command(python: str, port: int) -> list[str]:
        fixed = ["-m", "gunicorn", "--no-control-socket", "-w1", f"-b{HOST}:{port}"]
        return [python, *fixed, *options, app]

    return Server(name, command, path=path)


def recommended(
    name: str = RECOMMENDED,
    app: str = f"{APPS}:ours()",
    path: str = "/",
    options: Sequence[str] = (),
) -> Server:
    """Ours by the command that the guide to production recommends, with one worker."""
    config = ["-c", "python:flask_modelserve.gunicorn"]
    server = gunicorn(name, app, [*config, *options], path)
    return replace(server, env={"MODELSERVE_DRAIN_SECONDS": "0"})  # it is stopped under no load


def uvicorn(name: str, app: str) -> Server:
    """One uvicorn with one worker and its fast loop and parser."""

    def command(python: str, port: int) -> list[str]:
        options = ["--host", HOST, "--port", str(port), "--no-access-log", "--log-level", "warning"]
        return [python, "-m", "uvicorn", f"{PEERS}.fastapi_server:{app}", *options]

    return Server(name, command, requirements=("fastapi", "uvicorn[standard]"))


def flask_servers(worker_classes: Sequence[str]) -> Iterator[Server]:
    """The bare view and ours on each worker class, ours as recommended, the predecessor's way."""
    for worker_class in worker_classes:
        for name, factory in FACTORIES.items():
            options = WORKER_CLASSES[worker_class]
            yield gunicorn(f"{name}, {worker_class}", f"{APPS}:{factory}()", options)
    yield gunicorn("predecessor's way, gevent", f"{APPS}:predecessor()", WORKER_CLASSES["gevent"])
    yield recommended()


def litserve(module: str, path: str = "/detect") -> Server:
    """One LitServe, as its module sets it up."""

    def command(python: str, port: int) -> list[str]:
        return [python, "-m", f"{PEERS}.{module}", str(port)]

    return Server("LitServe", command, path, requirements=("litserve",))


def bentoml(service: str, path: str = "/detect") -> Server:
    """One BentoML, without its reports to its makers."""

    def command(python: str, port: int) -> list[str]:
        options = ["--quiet", "--host", HOST, "--port", str(port)]
        return [python, "-m", "bentoml", "serve", f"{PEERS}.{service}", *options]

    env = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{gettempdir()}/bentoml"}
    return Server("BentoML", command, path, requirements=("bentoml",), env=env)


def mosec(module: str, path: str = "/detect") -> Server:
    """One MOSEC, as its module sets it up."""

    def command(python: str, port: int) -> list[str]:
        options = ["--log-level", "warning", "--address", HOST, "--port", str(port)]
        return [python, "-m", f"{PEERS}.{module}", *options]

    return Server("MOSEC", command, path, requirements=("mosec",))


PEER_SERVERS = (
    uvicorn("FastAPI, def", "threaded"),
    uvicorn("FastAPI, async def", "asynchronous"),
    litserve("litserve_server"),
    bentoml("bentoml_server:Language"),
    mosec("mosec_server"),
)


def environment(server: Server, folder: Path) -> str:
    """The Python of the server's own virtual environment, made at first use and then kept."""
    if not server.requirements:
        return sys.executable
    home = folder / "-".join(server.requirements).replace("[", "-").replace("]", "")
    python = str(home / "bin" / "python")
    made = home / "installed"
    if not made.exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *server.requirements], check=True)
        made.touch()
    return python


def versions(server: Server, folder: Path) -> dict[str, str]:
    """The versions of what was asked for in the server's environment."""
    names = [requirement.partition("[")[0] for requirement in server.requirements]
    output = subprocess.check_output([environment(server, folder), "-c", VERSIONS, *names])
    found: dict[str, str] = json.loads(output)
    return found


@contextmanager
def serving(
    server: Server, folders: Folders, question: Question
) -> Iterator[tuple[psutil.Process, int]]:
    """The running server and its port, once it answers the question rightly."""
    port = free_port()
    command = server.command(environment(server, folders.environments), port)
    log = folders.output / f"{server.name}.log"

    def ready() -> bool:
        return answers(port, server.path, question)

    with running(command, ready, log=log, env=server.env) as process:
        ask(port, server.path, question, WARM_UP)
        yield process, port


def measure(
    servers: Sequence[Server], folders: Folders, question: Question, schedule: Schedule
) -> Served:
    """Start all servers in each round, and load one after the other, a second each, turn by turn.

    Those that wait use next to no CPU time: 0.5 % of a core at the most, measured.
    """
    body = folders.output / "body.json"
    body.write_bytes(question.body)
    seen: Served = {server.name: {count: [] for count in schedule.turns} for server in servers}
    for _ in range(schedule.rounds):
        with ExitStack() as stack:
            started = [
                (server, *stack.enter_context(serving(server, folders, question)))
                for server in servers
            ]
            turns = [count for count, times in schedule.turns.items() for _ in range(times)]
            for count, (server, process, port) in product(turns, started):
                url = f"http://{HOST}:{port}{server.path}"
                seen[server.name][count].append(load(process, url, body, connections=count))
    return seen
