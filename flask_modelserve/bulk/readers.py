"""Readers: files of rows, one row at a time, each with its line; they know how far they are."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"
_END = b"\r\n"
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
    content: bytes | MultiDict[str, str] | HTTPException
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
    """The lines of a stream, without a byte order mark; counts and hashes what it has read.

    Args:
        stream: What to read.
        max_bytes: The longest line that is held in memory, its end left out; of a longer one there
            is an error in its place. None for no limit.
    """

    def __init__(self, stream: IO[bytes], max_bytes: int | None) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._digest = hashlib.blake2b(digest_size=20)
        self.offset = 0
        self.number = 0

    def __iter__(self) -> Iterator[bytes | HTTPException]:
        most = self._max_bytes
        size = -1 if most is None else len(_BOM) + most + len(_END)
        while line := self._read(size):
            self.number += 1
            rest = line
            while not rest.endswith(b"\n") and (rest := self._read(_BLOCK)):
                pass
            text = line.removeprefix(_BOM) if self.number == 1 else line
            is_whole = rest is line or len(line) < size
            if most is not None and (len(text.rstrip(_END)) > most or not is_whole):
                yield _too_long(most)
            else:
                yield text

    def _read(self, size: int) -> bytes:
        """Read a line, or so many bytes of it."""
        part = self._stream.readline(size)
        self.offset += len(part)
        self._digest.update(part)
        return part

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


def _too_long(most: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(
        f"The line is longer than the {most} bytes allowed: shorten it, or set "
        "MODELSERVE_MAX_BODY_BYTES to more, or to None for no limit."
    )


class JsonReader:
    """JSON Lines: a JSON value on each line; blank lines are none."""

    def __init__(self, stream: IO[bytes], length: int | None, max_line: int | None) -> None:
        self._lines = Lines(stream, max_line)
        self.length = length
        self.position = self._lines.position
        self.resume = self._lines.skip

    def __iter__(self) -> Iterator[Row]:
        lines = self._lines
        for line in lines:
            if isinstance(line, HTTPException):
                yield Row(lines.number, line, 0)
                continue
            content = line.strip()
            if content:
                yield Row(lines.number, content, len(content))


class CsvReader:
    """CSV (RFC 4180) in UTF-8; the header names the fields, as a query string would.

    An empty cell is an absent field, and columns of one name are a field of several values.
    """

    def __init__(self, stream: IO[bytes], length: int | None, max_line: int | None) -> None:
        self._lines = Lines(stream, max_line)
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
            except RequestEntityTooLarge as error:
                content = error
            if content is not None:
                yield Row(line, content, self._lines.offset - begun)

    def _records(self) -> Iterator[list[str]]:
        return csv.reader(map(_text, self._lines), strict=True)

    def _read_header(self) -> list[str]:
        try:
            header = next((cells for cells in self._records() if cells), [])
        except csv.Error as error:
            raise BadInput(f"its header is not CSV: {error}") from None
        except RequestEntityTooLarge as error:
            raise BadInput(f"its header can't be read: {error.description}") from None
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


def _text(line: bytes | HTTPException) -> str:
    """Decode a line; ``map``, unlike a generator, goes on after one that is too long."""
    if isinstance(line, HTTPException):
        raise line
    # Bytes that are not UTF-8 spoil their own row, not the reader.
    return line.decode(errors="surrogateescape")


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
