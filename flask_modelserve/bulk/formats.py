"""Formats of files, by their names."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .readers import BadInput, CsvReader, JsonReader
from .writers import CsvWriter, JsonWriter, PartWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .readers import Reader
    from .writers import Writer

JSON = "jsonl"
CSV = "csv"
PARQUET = "parquet"
FORMATS = (JSON, CSV, PARQUET)
PIPE = "-"

_EXTENSIONS = {
    ".jsonl": JSON,
    ".ndjson": JSON,
    ".csv": CSV,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}


def format_of(name: str, otherwise: str | None) -> str:
    """Return the format of a file, by its extension or else as the user says.

    Raises:
        BadInput: For a file of which neither says it, and Parquet through a pipe.
    """
    found = _EXTENSIONS.get(Path(name).suffix.lower()) or otherwise
    if found is None and name == PIPE:
        found = JSON
    if found is None:
        raise BadInput(
            f"{name} could be of any format: name it .jsonl, .csv or .parquet, or add --format"
        )
    if found == PARQUET:
        if name == PIPE:
            raise BadInput("Parquet is not read or written in one go: name a file instead of -")
        _need_pyarrow()
    return found


def _need_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise BadInput(
            "Parquet needs pyarrow: install flask-modelserve[parquet], or use .jsonl or .csv"
        )


@contextmanager
def reading(name: str, form: str, max_line: int | None) -> Iterator[Reader]:
    """Open an input.

    Args:
        name: Its file, or ``-``.
        form: Its format.
        max_line: The longest line that is read, in bytes; None for no limit.

    Raises:
        BadInput: For one that is no file of its format.
    """
    if form == PARQUET:
        from .parquet import ParquetReader

        yield ParquetReader(Path(name))
        return
    reader = CsvReader if form == CSV else JsonReader
    if name == PIPE:
        yield reader(sys.stdin.buffer, None, max_line)
        return
    path = Path(name)
    with path.open("rb") as stream:
        yield reader(stream, path.stat().st_size if path.is_file() else None, max_line)


def writer_of(form: str, *, numbered: bool) -> Writer:
    """Return the writer of a format; Parquet is made of JSON Lines at the end."""
    if form == CSV:
        return CsvWriter(numbered=numbered)
    return (PartWriter if form == PARQUET else JsonWriter)(numbered=numbered)
