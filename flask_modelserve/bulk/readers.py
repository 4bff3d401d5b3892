"""Readers: files of rows, one row at a time, each with its line; they know how far they are."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from werkzeug.datastructures import MultiDict

from ..errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20
# A window ends here, whatever its number of rows: it is held in memory.
_MAX_WINDOW_BYTES = 64 << 20
# A quote that is never closed makes one cell of all that follows: up to here.
_MAX_CELL = 128 << 20


class BadInput(Exception):  # noqa: N818 - named like InvalidRequest
    """The input as a whole can't be scored; the text says why."""


class CannotGoOn(BadInput):
    """A run that was interrupted can't go on with what there is now."""

    def __str__(self) -> str:
        return f"{super().__str__()}: --overwrite begins again"


class Row(NamedTuple):
    """One row: where it begins, and its input as JSON, as a query string's, or why it has none."""

    line: int
    content: bytes | MultiDict[str, str] | InvalidRequest
    size: int


class Position(NamedTuple):
    """How far an input has been read.

    Attributes:
        offset: In bytes, or in rows where the format has no lines.
        line: Lines before it.
        digest: A hash of all that has been read.
    """

    offset: int
    line: int
    digest: str


class Reader(Protocol):
    """Reads rows; ``length`` is in the unit of ``Position.offset``, None where it is unknown.

    Raises:
        BadInput: For an input that is no file of its format, or not the one that was begun.
    """

    length: int | None

    def __iter__(self) -> Iterator[Row]: ...
    def position(self) -> Position: ...
    def resume(self, position: Position) -> None: ...


@dataclass(frozen=True, slots=True)
class Window:
    """Rows that are scored together, and the position behind them."""

    rows: list[Row]
    position: Position


def windows(reader: Reader, size: int) -> Iterator[Window]:
    """Cut an input into windows of so many rows.

    Where one ends depends on the input alone, so that a run that was interrupted has the same
    batches as one that was not, and the same answers to the last digit.
    """
    rows: list[Row] = []
    held = 0
    for row in reader:
        rows.append(row)
        held += row.size
        if len(rows) == size or held >= _MAX_WINDOW_BYTES:
            yield Window(rows, reader.position())
            rows, held = [], 0
    if rows:
        yield Window(rows, reader.position())


class Lines:
    """The lines of a stream, without a byte order mark; counts and hashes what it has read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.blake2b(digest_size=20)
        self.offset = 0
        self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            self.offset += len(line)
            self.number += 1
            self._digest.update(line)
            yield line.removeprefix(_BOM) if self.number == 1 else line

    def position(self) -> Position:
        return Position(self.offset, self.number, self._digest.hexdigest())

    def skip(self, position: Position) -> None:
        """Go on from a position; what is before it must be what was read then."""
        self._stream.seek(0)
        self._digest = hashlib.blake2b(digest_size=20)
        left = position.offset
        while left and (block := self._stream.read(min(left, _BLOCK))):
            self._digest.update(block)
            left -= len(block)
        if left or self._digest.hexdigest() != position.digest:
            raise CannotGoOn("the rows that were scored have changed since")
        self.offset, self.number = position.offset, position.line


class JsonReader:
    """JSON Lines: a JSON value on each line; blank lines are none."""

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        self._lines = Lines(stream)
        self.length = length
        self.position = self._lines.position
        self.resume = self._lines.skip

    def __iter__(self) -> Iterator[Row]:
        lines = self._lines
        for line in lines:
            content = line.strip()
            if content:
                yield Row(lines.number, content, len(content))


class CsvReader:
    """CSV (RFC 4180) in UTF-8; the header names the fields, as a query string would.

    An empty cell is an absent field, and columns of one name are a field of several values.
    """

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        self._lines = Lines(stream)
        self.length = length
        self.position = self._lines.position
        csv.field_size_limit(_MAX_CELL)
        self._header = self._read_header()

    def resume(self, position: Position) -> None:
        self._lines.skip(position)

    def __iter__(self) -> Iterator[Row]:
        records = self._records()
        while True:
            line, begun = self._lines.number + 1, self._lines.offset
            content: Any
            try:
                cells = next(records)
                content = self._row(cells) if cells else None
            except StopIteration:
                return
            except csv.Error as error:
                content = InvalidRequest(f"The row is not CSV: {error}.")
            if content is not None:
                yield Row(line, content, self._lines.offset - begun)

    def _records(self) -> Iterator[list[str]]:
        # Bytes that are not UTF-8 spoil their own row, not the reader.
        texts = (line.decode(errors="surrogateescape") for line in self._lines)
        return csv.reader(texts, strict=True)

    def _read_header(self) -> list[str]:
        try:
            header = next((cells for cells in self._records() if cells), [])
        except csv.Error as error:
            raise BadInput(f"its header is not CSV: {error}") from None
        for number, name in enumerate(header, 1):
            if not name.strip() or not _is_unicode(name):
                raise BadInput(f"column {number} has no name that could be a field's: {name!r}")
        return [name.strip() for name in header]

    def _row(self, cells: list[str]) -> MultiDict[str, str] | InvalidRequest:
        header = self._header
        if len(cells) != len(header):
            return InvalidRequest(f"The row has {len(cells)} cells for {len(header)} columns.")
        if not all(map(_is_unicode, cells)):
            return InvalidRequest("The row is not UTF-8.")
        return MultiDict((name, cell) for name, cell in zip(header, cells, strict=True) if cell)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
