"""Clients that are generated from the document, against the running language example."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .servers import program
from .serving import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

TYPESCRIPT = Path(__file__).parent / "typescript"


@pytest.fixture
def address(language: Flask) -> Iterator[str]:
    with listening(language) as address:
        yield address


@pytest.fixture
def document(language: Flask, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(language.test_client().get("/__openapi.json").data)
    return path


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_python_client_gets_typed_answers_and_typed_problems(
    address, document, tmp_path, monkeypatch
):
    """openapi-python-client's module imports, asks, and returns objects of the answer's classes."""
    (tmp_path / "config.yml").write_text("post_hooks: []\n")  # it would format the code by ruff
    run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", document, "--config", "config.yml", "--output-path", "generated_client"),
        cwd=tmp_path,
    )
    run(sys.executable, "-W", "error", "-m", "compileall", "-q", "generated_client", cwd=tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    models = importlib.import_module("generated_client.models")
    detect = importlib.import_module("generated_client.api.default.detect")
    with importlib.import_module("generated_client").Client(address) as client:
        request = models.LanguageRequest(title="Bonjour", body="comment allez-vous ?")
        answer = detect.sync(client=client, body=request)
        assert isinstance(answer, models.LanguageResponse)
        assert (answer.language, type(answer.confidence)) == ("fr", float)

        problem = detect.sync(client=client, body=models.LanguageRequest())
        assert isinstance(problem, models.Problem)
        assert (problem.status, problem.title) == (400, "Bad Request")

        wrong = detect.sync(client=client, body=models.LanguageRequest(title=["Bonjour"]))
        [error] = wrong.errors
        assert isinstance(error, models.FieldError)
        assert error.field == "title"


def test_a_typescript_client_gets_typed_answers_and_typed_problems(address, document, tmp_path):
    """openapi-typescript's types let tsc pass what is right, and refuse what is wrong; it works."""
    node = program("node")
    program(str(TYPESCRIPT / "node_modules" / ".bin" / "tsc"))  # made by npm ci
    for name in ("ask.ts", "package.json", "node_modules"):
        (tmp_path / name).symlink_to(TYPESCRIPT / name)
    tools = tmp_path / "node_modules" / ".bin"
    run(node, tools / "openapi-typescript", document, "-o", "service.ts", cwd=tmp_path)
    strict = ("--strict", "--skipLibCheck", "--preserveSymlinks")
    modern = ("--module", "nodenext", "--target", "es2022", "--outDir", "out")
    run(node, tools / "tsc", *strict, *modern, "ask.ts", cwd=tmp_path)
    shown = json.loads(run(node, "out/ask.js", address, cwd=tmp_path))
    assert shown == {"language": "fr", "confident": True, "status": 400, "fields": ["title"]}
