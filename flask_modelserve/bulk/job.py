"""Job: a run of bulk scoring from its first row to its last."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .formats import CSV, PARQUET, reading, writer_of
from .ledger import Ledger
from .pool import pool
from .progress import Progress
from .readers import BadInput, windows
from .scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

    from .readers import Position, Reader
    from .scorer import Scored
    from .task import Task


class TooManyErrors(Exception):  # noqa: N818 - named like InvalidRequest
    """More rows failed than the user wants; those before are written."""


def run(task: Task, load: Callable[[], Flask]) -> Ledger:
    """Score all rows that are not scored yet.

    Args:
        task: What to do.
        load: Makes the app, here and in other processes.

    Raises:
        BadInput: For files that don't fit the task.
        LookupError: For an endpoint that does not exist.
        TooManyErrors: When more rows failed than the task allows; the rest is not scored.
    """
    out = sys.stdout
    with ExitStack() as stack:
        # What the app's own code prints has no place among answers that go to standard output.
        stack.enter_context(redirect_stdout(sys.stderr))
        app = load()
        scorer = Scorer(app, task.rule, task.headers)
        task.check()
        max_line = app.extensions["modelserve"].config.max_body_bytes
        reader = stack.enter_context(reading(task.input, task.input_format, max_line))
        ledger = stack.enter_context(Ledger(task, scorer.route.endpoint.spec.version, out))
        source: Any = scorer
        if task.workers > 1:
            source = stack.enter_context(pool(task.workers, load, task.rule, task.headers))
        _Run(task, scorer, reader, ledger).score(source.stream)
    if task.output_format == PARQUET:
        _make_parquet(task)
    ledger.finish()
    if task.output_format == PARQUET and task.answers_path is not None:
        task.answers_path.unlink()
    return ledger


class _Run:
    """What goes on between a reader and a ledger."""

    def __init__(self, task: Task, scorer: Scorer, reader: Reader, ledger: Ledger) -> None:
        self._task = task
        self._scorer = scorer
        self._reader = reader
        self._ledger = ledger
        self._writer = writer_of(task.output_format, numbered=task.numbered)
        if ledger.begun is not None:
            reader.resume(ledger.begun.position)
            if ledger.begun.sizes[0] and task.output_format == CSV:
                with Path(task.output).open(encoding="utf-8", newline="") as written:
                    self._writer.begin(written)

    def score(self, stream: Callable[..., Iterable[tuple[Position, Scored]]]) -> None:
        ledger, position = self._ledger, self._reader.position()
        ledger.commit(position, now=True)
        with Progress(self._reader.length, position.offset) as progress:
            for position, scored in stream(windows(self._reader, self._scorer.window_size)):
                self._write(scored)
                ledger.commit(position)
                progress.update(position.offset, ledger.answered + ledger.failed, ledger.failed)
                self._refuse_more_errors(position)
        ledger.commit(position, now=True)

    def _write(self, scored: Scored) -> None:
        text, faults = self._writer.write(scored.answers)
        written = len(scored.answers) - len(faults)
        self._scorer.refuse(scored, faults)
        self._ledger.add(text, written, scored.problems)

    def _refuse_more_errors(self, position: Position) -> None:
        most = self._task.max_errors
        if most is not None and self._ledger.failed > most:
            self._ledger.commit(position, now=True)
            raise TooManyErrors(f"{self._ledger.failed:,} rows failed, more than {most:,}")


def _make_parquet(task: Task) -> None:
    from .parquet import convert

    assert task.answers_path is not None
    try:
        convert(task.answers_path, Path(task.output), numbered=task.numbered)
    except BadInput as error:
        raise BadInput(f"{error}; they are kept as JSON Lines in {task.answers_path}") from None
