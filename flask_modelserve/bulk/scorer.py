"""Scorer: rows through one endpoint of one app, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask.testing import EnvironBuilder
from werkzeug.exceptions import HTTPException

from ..content import loads
from ..errors import InvalidRequest
from ..routes import find_route
from ..schema.duplicates import refuse_duplicates
from .integers import has_long, parse
from .writers import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flask import Flask
    from werkzeug.datastructures import MultiDict

    from ..errors import FieldError
    from ..schema import Arguments
    from .readers import Position, Row, Window


@dataclass(slots=True)
class Scored:
    """What came of a window: its answers, and the problems of its other rows, by line."""

    answers: list[Answer] = field(default_factory=list)
    problems: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


class Scorer:
    """Scores rows by one endpoint.

    Args:
        app: The app.
        named: The endpoint's rule, path or name.
        headers: What the function sees as the request's headers.
    """

    def __init__(self, app: Flask, named: str, headers: Sequence[tuple[str, str]]) -> None:
        self._app = app
        self.route = find_route(app, named)
        self._rows = self.route.endpoint.rows()
        path = named if named.startswith("/") else self.route.rule.rule
        self._environ = EnvironBuilder(
            app, path, method=self.route.method, headers=list(headers), **self.route.host
        ).get_environ()

    @property
    def window_size(self) -> int:
        """The rows of a batch: a window is a batch."""
        batch = self.route.endpoint.spec.batch
        return 1 if batch is None else batch.max_size

    def stream(self, windows: Iterable[Window]) -> Iterator[tuple[Position, Scored]]:
        """Score windows, one after the other."""
        for window in windows:
            yield window.position, self.score(window.rows)

    def score(self, rows: Sequence[Row]) -> Scored:
        """Decode rows, have those that can be decoded answered together, and check the answers."""
        scored = Scored()
        lines: list[int] = []
        decoded: list[Arguments] = []
        with self._app.request_context(dict(self._environ)):
            for row in rows:
                try:
                    decoded.append(self._decode(row.content))
                    lines.append(row.line)
                except Exception as error:  # as any error of the way of a request
                    self._settle(scored, row.line, error)
            answers = self._rows.answer(decoded) if decoded else ()
            for line, answer in zip(lines, answers, strict=True):
                if isinstance(answer, Exception):
                    self._settle(scored, line, answer)
                else:
                    scored.answers.append(Answer(line, answer))
        scored.answers.sort()
        scored.problems.sort(key=_line)
        return scored

    def refuse(self, scored: Scored, faults: Sequence[tuple[int, Exception]]) -> None:
        """Make problems of answers that the output can't hold."""
        if faults:
            with self._app.request_context(dict(self._environ)):
                for line, error in faults:
                    self._settle(scored, line, error)
            scored.problems.sort(key=_line)

    def _settle(self, scored: Scored, line: int, error: Exception) -> None:
        outcome = self._rows.settle(error)
        if isinstance(outcome, bytes):
            scored.answers.append(Answer(line, outcome))
        else:
            scored.problems.append((line, outcome))

    def _decode(self, content: bytes | MultiDict[str, str] | HTTPException) -> Arguments:
        if isinstance(content, HTTPException):
            raise content
        names = self.route.open_arguments
        if not names:
            return self._rows.decode(content, dict(self.route.url))
        given, content = _take_out(content, names)
        return self._rows.decode(content, self.route.url_arguments(given))


def _line(problem: tuple[int, Any]) -> int:
    return problem[0]


def _take_out(
    content: bytes | MultiDict[str, str], names: Iterable[str]
) -> tuple[dict[str, Any], bytes | MultiDict[str, str]]:
    """Take the URL's arguments out of a row: where a client would write them into the path.

    Raises:
        InvalidRequest: For what can't stand there.
    """
    if not isinstance(content, bytes):
        fields = content.copy()
        return {name: fields.pop(name) for name in names if name in fields}, fields
    value = loads(content)
    if has_long(content):  # a URL's integers may be of any size
        value = parse(content)
    refuse_duplicates(content, value)
    if not isinstance(value, dict):
        return {}, content  # the URL lacks its arguments
    given = {name: value.pop(name) for name in names if name in value}
    errors: list[FieldError] = [
        {"field": name, "message": "stands in the URL: a text or a number, not a list or an object"}
        for name, item in given.items()
        if isinstance(item, list | dict)
    ]
    if errors:
        raise InvalidRequest("The row does not fit the URL.", errors=errors)
    given = {name: item for name, item in given.items() if item is not None}
    return given, json.dumps(value).encode()
