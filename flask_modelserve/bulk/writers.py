"""Writers: answers as lines of a file."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..content import dumps
from ..errors import BadResponse
from .integers import parse
from .readers import BadInput

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from typing import TextIO

# The column of an answer that is no object, and of the row's line.
ANSWER = "answer"
LINE = "line"

_MOST_DIGITS = 76  # of Arrow's longest decimals
_MORE_DIGITS = re.compile(rb"[0-9]{%d}" % (_MOST_DIGITS + 1))


class Answer(NamedTuple):
    """An answer in JSON, and the line of its row."""

    line: int
    body: bytes


class Writer(Protocol):
    """Writes answers; ``begin`` gets what the file holds already, of a run that is continued."""

    def begin(self, written: TextIO) -> None: ...
    def write(self, answers: Sequence[Answer]) -> tuple[bytes, list[tuple[int, Exception]]]:
        """Return what to append, and the answers that the format can't hold."""
        ...


class JsonWriter:
    """JSON Lines: the answers as they are, or each in an object with the line of its row."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered

    def begin(self, written: TextIO) -> None:
        """A line tells nothing of the next."""

    def write(self, answers: Sequence[Answer]) -> tuple[bytes, list[tuple[int, Exception]]]:
        if self._numbered:
            lines = [b'{"line":%d,"answer":%b}\n' % answer for answer in answers]
        else:
            lines = [answer.body + b"\n" for answer in answers]
        return b"".join(lines), []


class PartWriter(JsonWriter):
    """JSON Lines that Parquet is made of at the end, without what no Parquet file could hold."""

    def write(self, answers: Sequence[Answer]) -> tuple[bytes, list[tuple[int, Exception]]]:
        fitting: list[Answer] = []
        faults: list[tuple[int, Exception]] = []
        for answer in answers:
            try:
                if _MORE_DIGITS.search(answer.body):  # it may be a text
                    json.loads(answer.body, parse_int=_refuse_more_digits)
                fitting.append(answer)
            except BadResponse as error:
                faults.append((answer.line, error))
        return super().write(fitting)[0], faults


class CsvWriter:
    """CSV; its columns are the fields of the first answer, and what is nested is JSON in a cell."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._header: list[str] | None = None

    def begin(self, written: TextIO) -> None:
        header = next(csv.reader(written), None)
        if header is not None:
            self._header = header[1:] if self._numbered else header

    def write(self, answers: Sequence[Answer]) -> tuple[bytes, list[tuple[int, Exception]]]:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        faults: list[tuple[int, Exception]] = []
        for line, body in answers:
            answer = as_object(parse(body))
            header = self._header
            if header is None:
                header = self._header = list(answer)
                self._write_header(table, header)
            if not answer.keys() <= set(header):
                faults.append((line, _no_column(answer, header)))
                continue
            cells = [_cell(answer.get(name)) for name in header]
            table.writerow([line, *cells] if self._numbered else cells)
        return text.getvalue().encode(), faults

    def _write_header(self, table: Any, header: list[str]) -> None:
        if self._numbered:
            refuse_line(header)
        table.writerow([LINE, *header] if self._numbered else header)


def refuse_line(names: Container[str]) -> None:
    """Refuse answers whose own field would be taken for the line of their row.

    Raises:
        BadInput: When they have such a field.
    """
    if LINE in names:
        raise BadInput(f"the answers have a field {LINE} already: leave --number out")


def as_object(answer: Any) -> dict[str, Any]:
    """Return an answer as an object: one that is none is its only field."""
    return answer if isinstance(answer, dict) else {ANSWER: answer}


def _no_column(answer: dict[str, Any], header: list[str]) -> BadResponse:
    return BadResponse(
        "the CSV has the columns of the first answer: write JSON Lines to keep all fields",
        [{"field": name, "message": "has no column"} for name in answer if name not in header],
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode()


def _refuse_more_digits(digits: str) -> None:
    if len(digits.lstrip("-")) > _MOST_DIGITS:
        raise BadResponse(
            f"Parquet has integers of {_MOST_DIGITS} digits at most: answer with a text, or write "
            "JSON Lines or CSV"
        )
