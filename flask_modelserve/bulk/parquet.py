"""Parquet, by pyarrow: rows of a file, and answers as a file."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.parquet as pq

from ..content import dumps
from .integers import parse
from .readers import BadInput, CannotGoOn, Position, Row
from .writers import LINE, as_object, refuse_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROWS_AT_ONCE = 1024
# Answers of one row group: held in memory.
_GROUP = 16_384
_INT64 = range(-(2**63), 2**63)


class ParquetReader:
    """The rows of a Parquet file, by their columns' names; null is an absent field."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise BadInput(f"it is no Parquet file: {error}") from None
        names = self._file.schema_arrow.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadInput(f"it has several columns {', '.join(twice)}: give each another name")
        self.length: int | None = self._file.metadata.num_rows
        self._row = 0
        # The footer holds counts and bounds of every column chunk, and the places of all of them.
        footer = str(self._file.metadata.to_dict())
        self._digest = hashlib.blake2b(footer.encode(), digest_size=20).hexdigest()

    def __iter__(self) -> Iterator[Row]:
        try:
            yield from self._rows()
        except (pa.ArrowException, ValueError, ZoneInfoNotFoundError) as error:
            raise BadInput(f"it can't be read from row {self._row + 1} on: {error}") from None

    def _rows(self) -> Iterator[Row]:
        number = 0
        for batch in self._file.iter_batches(batch_size=_ROWS_AT_ONCE):
            if number + batch.num_rows <= self._row:
                number += batch.num_rows
                continue
            for values in batch.slice(self._row - number).to_pylist():
                self._row += 1
                sent = {name: value for name, value in values.items() if value is not None}
                content = dumps(sent)
                yield Row(self._row, content, len(content))
            number += batch.num_rows

    def position(self) -> Position:
        return Position(self._row, self._row, self._digest)

    def resume(self, position: Position) -> None:
        if position.digest != self._digest:
            raise CannotGoOn("the file has changed since")
        self._row = position.offset


def convert(lines: Path, path: Path, *, numbered: bool) -> None:
    """Write the answers of a JSON Lines file as Parquet, their types being those of all of them.

    Raises:
        BadInput: For answers of which a column would have several types, or one of none.
    """
    partial = path.with_name(path.name + ".writing")
    try:
        schema = _schema_of(lines, numbered=numbered)
        with pq.ParquetWriter(partial, schema) as writer:
            for answers in _groups(lines, numbered=numbered):
                rows = pa.array(answers, type=pa.struct(list(schema)))
                writer.write_table(pa.Table.from_batches([pa.RecordBatch.from_struct_array(rows)]))
    except (pa.ArrowException, OverflowError) as error:
        partial.unlink(missing_ok=True)
        raise BadInput(f"the answers don't fit one Parquet table: {error}") from None
    partial.replace(path)


def _schema_of(lines: Path, *, numbered: bool) -> pa.Schema:
    schema = pa.schema([])
    names: dict[str, None] = {}  # in the order in which they come; pyarrow before 24 sorts them
    for answers in _groups(lines, numbered=numbered):
        names.update(dict.fromkeys(name for answer in answers for name in answer))
        found = pa.schema(list(pa.array(answers).type))
        schema = pa.unify_schemas([schema, found], promote_options="permissive")
    return pa.schema([schema.field(name) for name in names])


def _groups(lines: Path, *, numbered: bool) -> Iterator[list[dict[str, Any]]]:
    """Read answers as they stand in a JSON Lines file, so many at a time."""
    with lines.open("rb") as stream:
        while group := [_answer(line, numbered=numbered) for line in islice(stream, _GROUP)]:
            yield group


def _answer(line: bytes, *, numbered: bool) -> dict[str, Any]:
    value = parse(line, _integer)
    if not numbered:
        return as_object(value)
    answer = as_object(value["answer"])
    refuse_line(answer)
    return {LINE: value["line"], **answer}


def _integer(digits: str) -> int | Decimal:
    """Return an integer as pyarrow takes it: over 64 bits only decimals keep their digits."""
    number = int(digits)
    return number if number in _INT64 else Decimal(digits)
