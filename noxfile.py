"""The project's chores: ``nox --list`` shows them, ``nox -s NAME`` does one."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
EXAMPLES = sorted(readme.parent for readme in Path("examples").glob("*/README.md"))

nox.options.sessions = ["lint", "typing", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
# As pip does: or each server that a test or a benchmark starts compiles its libraries anew.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")

# More at a time than there are cores: most tests wait for servers.
PYTEST = ("python", "-m", "pytest", "-n4", "--dist=loadfile")

CURL = """curl -d '{"title":"Bonjour","body":"le monde est beau"}' localhost:8000/"""

# What .proto files with buf.validate rules import, out of the package that enforces the rules.
RULES = """
import pathlib, sys
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from protovalidate import ViolationPb

rules = FileDescriptorSet()
rules.file.add().MergeFromString(ViolationPb.desc().file.proto.to_binary())
pathlib.Path(sys.argv[1]).write_bytes(rules.SerializeToString())
"""

SERVED = """
from flask import Flask
from flask_modelserve import ModelServe

app = Flask(__name__)

@ModelServe(app).endpoint("/double")
def double(number):
    return {"double": 2 * number}

answer = app.test_client().post("/double", json={"number": 21})
assert answer.json == {"double": 42}, answer.text
"""


def group(*names: str) -> tuple[str, ...]:
    """Return what dependency groups of pyproject.toml hold."""
    return nox.project.dependency_groups(PROJECT, *names)


def run_tests(session: nox.Session) -> None:
    """Run the tests; what follows ``--`` goes to pytest."""
    session.install("-e.", *group("tests"))
    session.run(*PYTEST, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on the Python that runs nox; what follows ``--`` goes to pytest."""
    run_tests(session)


for version in PYTHONS:
    runs_nox = version == f"{sys.version_info.major}.{sys.version_info.minor}"
    tags = [] if runs_nox else ["other-pythons"]
    nox.session(name=f"tests-{version}", python=version, tags=tags)(run_tests)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests, and show the lines that none of them runs."""
    session.install("-e.", *group("tests", "coverage"))
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "report")


@nox.session(python=PYTHONS[0])
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows."""
    session.install("uv")
    # With the extras: where only the group asks for them, uv takes the newest of what they need.
    ours = f"-e.[{','.join(PROJECT['project']['optional-dependencies'])}]"
    lowest = ["uv", "pip", "install", "--resolution=lowest-direct", ours, *group("tests")]
    session.run(*lowest, env={"VIRTUAL_ENV": session.virtualenv.location})
    session.run(*PYTEST, *session.posargs)


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types with mypy and pyright."""
    session.install("-e.", *group("typing"), "nox")
    session.run("mypy")
    session.run("pyright")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def protos(session: nox.Session) -> None:
    """Generate the modules of all .proto files; after ``-- --check``, only compare them."""
    session.install(*group("protos"))
    made = Path(session.create_tmp()).resolve()
    shutil.rmtree(made)
    made.mkdir()
    rules = made / "rules"
    session.run("python", "-c", RULES, str(rules))
    protoc = ["python", "-m", "grpc_tools.protoc", f"--descriptor_set_in={rules}"]
    # An example is compiled in its own folder, as its user does; the tests' from the top.
    for root, sources in (*((folder, folder) for folder in EXAMPLES), (Path(), Path("tests"))):
        to = made / root
        to.mkdir(parents=True, exist_ok=True)
        for source in sorted(sources.rglob("*.proto")):
            outs = [f"--python_out={to}", f"--pyi_out={to}"]
            if source.with_name(f"{source.stem}_pb.py").exists():
                outs.append(f"--py_out={to}")
            session.run(*protoc, f"-I{root}", *outs, str(source))
    stale = []
    for module in sorted(made.rglob("*_pb*.py*")):
        checked_in = module.relative_to(made)
        if not checked_in.exists() or not filecmp.cmp(module, checked_in, shallow=False):
            stale.append(str(checked_in))
            if "--check" not in session.posargs:
                shutil.copy(module, checked_in)
    if stale and "--check" in session.posargs:
        session.error(f"{', '.join(stale)}: not what the .proto makes; run nox -s protos")


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples with nothing else installed, as their READMEs say, under gunicorn too."""
    session.install(".", *group("examples"), "pytest")
    session.run("python", "-m", "pytest", "tests/test_examples.py", *session.posargs)


@nox.session
def serve(session: nox.Session) -> None:
    """Serve examples/language on http://127.0.0.1:8000 until Ctrl-C."""
    session.install(".", *group("examples"))
    session.log(f"Stop it with Ctrl-C. Once it listens, try:\n\n{CURL}\n")
    session.chdir("examples/language")
    session.run("gunicorn", "--bind", "127.0.0.1:8000", "app:app", interrupt_timeout=30)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks, under 20 minutes of a quiet machine; `-- --quick` takes under 3."""
    if shutil.which("wrk") is None:
        session.error("The benchmarks need wrk: apt-get install wrk, or brew install wrk.")
    session.install(".", *group("bench"))
    results = Path(".bench/results")
    folders = ["--environments", ".bench/environments", "--output", str(results)]
    session.run("python", "-m", "tests.benchmarks", *folders, *session.posargs)
    if not session.posargs:  # README shows the figures of a full run only
        Path("docs").mkdir(exist_ok=True)
        shutil.copy(results / "benchmarks.svg", "docs/benchmarks.svg")


@nox.session
def build(session: nox.Session) -> None:
    """Build the distributions, and serve a function with the wheel in an empty environment."""
    session.install(*group("build"))
    made = Path(session.create_tmp()).resolve()
    shutil.rmtree(made)
    session.run("python", "-m", "build", "--outdir", str(made))
    wheel, sdist = next(made.glob("*.whl")), next(made.glob("*.tar.gz"))
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.run("python", "-m", "venv", str(made / "venv"))
    python = str(made / "venv" / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    session.chdir(made)
    session.run(python, "-W", "error", "-c", SERVED, external=True)
