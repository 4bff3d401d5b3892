from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flask_modelserve.config import PREFIX, Config
from flask_modelserve.spec import EndpointOptions, EndpointSpec

from .documents import Request, alike, blocks, commands
from .serving import fetch, served

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = [block.text for block in blocks(README) if block.language == "python"]
SERVERS = [
    command
    for document in DOCUMENTS
    for program in ("flask", "gunicorn")
    for command, _ in commands(document, program)
    if not command.startswith("flask modelserve ")
]

CONFIGS = [
    block.text
    for document in DOCUMENTS
    for block in blocks(document)
    if block.language == "python" and "import *" in block.text
]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def app_of(source: str):
    names = {"__name__": "readme"}
    exec(source, names)
    return names["app"] if "app" in names else names["create_app"]()


def is_test(block) -> bool:
    return "\ndef test_" in block.text


def run(*command: str, folder: Path) -> str:
    """Run a program as at a terminal, and return all that it tells."""
    left_out = {"PROMETHEUS_MULTIPROC_DIR", "GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "FLASK_APP"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in left_out},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip()


def curl(app, command: str) -> str:
    request = Request.of(command)
    answer = app.test_client().open(
        request.path, method=request.method, headers=request.headers, data=request.data
    )
    return answer.text.strip()


def table(header: str, document: Path = README) -> dict[str, str]:
    """Return first and last cells of a table, without the quotes of code."""
    text = document.read_text("utf-8")
    rows = text[text.index(f"| {header} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return {first.strip("`"): last.strip("`") for first, *_, last in cells}


@each_document
def test_curl_lines_show_what_comes_back(document, monkeypatch):
    """Each app in the documents runs, and answers its curl lines as shown."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "language")  # has the predecessor's messages
    app, apps, asked = None, 0, 0
    for block in blocks(document):
        if block.language == "python" and not (block.text in CONFIGS or is_test(block)):
            app = app_of(block.text)
            apps += 1
        elif block.language == "console":
            for command, output in block.commands():
                if command.startswith("curl "):
                    assert alike(curl(app, command)) == alike(output), command
                    asked += 1
    assert asked >= apps


@pytest.mark.parametrize(
    "document",
    [each for each in DOCUMENTS if "flask modelserve " in each.read_text("utf-8")],
    ids=lambda path: path.name,
)
def test_modelserve_lines_show_what_they_tell(document, tmp_path):
    """Each `flask modelserve` line tells what is shown, and its files hold it."""
    asked = 0
    for block in blocks(document):
        if block.language == "python":
            (tmp_path / "app.py").write_text(block.text, "utf-8")
        for command, output in block.commands() if block.language == "console" else ():
            program, *arguments = shlex.split(command)
            if program == "cat":  # of a file that is not there yet: that's how to make it
                file = tmp_path / arguments[0]
                if not file.exists():
                    file.write_text(f"{output}\n", "utf-8")
                assert file.read_text("utf-8").strip() == output, command
            elif program == "flask" and arguments[0] == "modelserve":
                assert run("flask", *arguments, folder=tmp_path) == output, command
                asked += 1
    assert asked


@each_document
def test_tests_pass(document, tmp_path):
    """The tests in the documents pass, with the app that stands before them."""
    for block in blocks(document):
        if block.language == "python":
            name = "test_app.py" if is_test(block) else "app.py"
            (tmp_path / name).write_text(block.text, "utf-8")
    if (tmp_path / "test_app.py").exists():
        assert " passed" in (told := run("pytest", "-q", folder=tmp_path)), told
        assert "failed" not in told


@pytest.mark.parametrize("command", SERVERS)
def test_first_app_is_served(command, tmp_path):
    """README's first app runs by each documented server line, and answers its first curl line."""
    (tmp_path / "app.py").write_text(PYTHON[0], "utf-8")
    line, output = commands(README, "curl")[0]
    with served(command, tmp_path) as address:
        assert fetch(address, Request.of(line)).strip() == output


@pytest.mark.parametrize("config", CONFIGS)
def test_config_files(config, tmp_path):
    """README's first app is served by each documented config file."""
    (tmp_path / "app.py").write_text(PYTHON[0], "utf-8")
    (tmp_path / "conf.py").write_text(config, "utf-8")
    line, output = commands(README, "curl")[0]
    with served("gunicorn -c conf.py app:app", tmp_path) as address:
        assert fetch(address, Request.of(line)).strip() == output


def test_every_server_line_is_served():
    """README shows how to run an app while developing, and the documents how in production."""
    assert {command.split()[0] for command in SERVERS} == {"flask", "gunicorn"}


@each_document
def test_every_command_is_known(document):
    """Every other command installs something, or is a nox session that exists."""
    sessions = {
        node.name
        for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    for command, _ in commands(document, "python"):
        for part in command.split(" && "):
            _, _, module, *arguments = part.split()
            assert module in {"pip", "nox"}
            assert arguments[0] == ("install" if module == "pip" else "-s")
            assert module == "pip" or set(arguments[1:]) <= sessions
    assert {block.language for block in blocks(document)} <= {"python", "console", "json"}
    programs = {
        command.split()[0]
        for block in blocks(document)
        if block.language == "console"
        for command, _ in block.commands()
    }
    assert programs <= {"python", "flask", "curl", "gunicorn", "cat"}


def test_options():
    """README lists the options of endpoint(), all of them, with the defaults that they have."""
    shown = table("option")
    assert shown.keys() == EndpointOptions.__annotations__.keys()
    defaults = {field.name: field.default for field in fields(EndpointSpec)}
    for name in shown.keys() - {"endpoint"}:  # its default is made of the function
        assert ast.literal_eval(shown[name].split(":")[0]) == defaults[name], name


def test_config_keys():
    """README lists the config keys, all of them, with the defaults that they have."""
    shown = {
        key: ast.literal_eval(default) for key, default in table("key of `app.config`").items()
    }
    assert shown == {PREFIX + field.name.upper(): field.default for field in fields(Config)}


def test_metrics():
    """The guide lists the extension's metrics, all of them, and the outcomes of requests."""
    shown = table("metric", ROOT / "docs" / "metrics.md")
    page = app_of(PYTHON[0]).test_client().get("/__metrics").text
    ours = [
        family
        for family in text_string_to_metric_families(page)
        if family.name.startswith("modelserve_") and not family.name.endswith("_created")
    ]
    names = {f.name + "_total" * (f.type == "counter") for f in ours}
    assert shown.keys() == names
    outcomes = importlib.import_module("flask_modelserve.metrics").OUTCOMES
    assert ", ".join(outcomes) in shown["modelserve_requests_total"]


@each_document
def test_links(document):
    """What the documents link to in the project exists."""
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
