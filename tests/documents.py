"""Reads the project's Markdown, so that tests can do what it tells users to do."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REQUEST_ID = re.compile(r'(?<="request_id": ")[0-9a-f]{32}(?=")')
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_CURL = argparse.ArgumentParser("curl")
_CURL.add_argument("-d", dest="data")
_CURL.add_argument("-H", dest="headers", action="append", default=[])
_CURL.add_argument("-N", action="store_true")
_CURL.add_argument("url")


@dataclass(frozen=True)
class Block:
    """One fenced code block."""

    language: str
    text: str

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a console, with the output that is shown below it."""
        for entry in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = entry.partition("\n")
            yield command, output.strip()


@dataclass(frozen=True)
class Request:
    """What a curl line sends."""

    method: str
    path: str
    headers: dict[str, str]
    data: bytes | None

    @classmethod
    def of(cls, command: str) -> Request:
        """Read a curl line as curl does."""
        options = _CURL.parse_args(shlex.split(command)[1:])
        headers = dict(header.split(": ") for header in options.headers)
        path = "/" + options.url.removeprefix("http://").partition("/")[2]
        if options.data is None:
            return cls("GET", path, headers, None)
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        return cls("POST", path, headers, options.data.encode())


def alike(output: str) -> str:
    """Put one id in place of each request's own, of which no two are the same."""
    return _REQUEST_ID.sub("0" * 32, output)


def blocks(document: Path) -> list[Block]:
    """Return the code blocks of a document, in order."""
    return [Block(*found) for found in _FENCE.findall(document.read_text("utf-8"))]


def commands(document: Path, program: str) -> list[tuple[str, str]]:
    """Return the commands of one program in a document's consoles, with their outputs."""
    return [
        (command, output)
        for block in blocks(document)
        if block.language == "console"
        for command, output in block.commands()
        if command.split()[0] == program
    ]
