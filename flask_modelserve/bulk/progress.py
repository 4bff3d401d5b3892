"""Progress: how far a run is, for whoever looks on: a bar at a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from types import TracebackType

# Seconds between two plain lines.
_EVERY = 10.0
_MINUTE = 60


class Progress:
    """Tells on stderr how many rows were scored, how fast, and how long the rest will take."""

    def __init__(self, length: int | None, begun_at: int = 0) -> None:
        """Take the input's length and where the run begins, in the input's own unit."""
        self._length = length
        self._begun_at = begun_at
        self._offset = begun_at
        self._begun = self._told = 0.0
        self._rows_before = self._rows = self._failed = 0
        self._bar: Any = None
        if sys.stderr.isatty() and length:
            self._bar = click.progressbar(
                length=length - begun_at,
                file=sys.stderr,
                item_show_func=lambda _: self._counts(),
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, traceback)

    def update(self, offset: int, rows: int, failed: int) -> None:
        """Tell, if it is time, where the input stands, and how many rows were scored so far."""
        step, self._offset = offset - self._offset, offset
        self._rows, self._failed = rows, failed
        if not self._begun:  # from here on, since before its first answer a model loads
            self._begun = self._told = time.monotonic()
            self._rows_before, self._begun_at = rows, offset
        if self._bar is not None:
            self._bar.update(step)
        elif time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            click.echo(f"{self._counts()}{self._left()}", err=True)

    def _counts(self) -> str:
        seconds = time.monotonic() - self._begun
        rate = (self._rows - self._rows_before) / seconds if seconds else 0.0
        failed = f", {self._failed:,} failed" if self._failed else ""
        return f"{self._rows:,} rows{failed}, {rate:,.0f} rows/s"

    def _left(self) -> str:
        done = self._offset - self._begun_at
        if not (self._length and done):
            return ""
        seconds = (time.monotonic() - self._begun) * (self._length - self._offset) / done
        minutes, seconds = divmod(round(seconds), _MINUTE)
        return f", {minutes}:{seconds:02} min left"
