"""Ledger: what a run has written, and how far it has come, committed together."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from .checkpoint import Checkpoint, CheckpointFile
from .output import Output

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

    from .readers import Position
    from .task import Task

# Seconds between two checkpoints: what an interruption costs, besides the window at work.
_EVERY = 1.0


class Ledger:
    """The answers and errors of a run.

    A run that goes on cuts both files to what they were at the last checkpoint, and so ends with
    what it would have ended with had it not been interrupted.
    """

    def __init__(self, task: Task, version: str | None, out: TextIO) -> None:
        self._task = task
        self._file: CheckpointFile | None = None
        if task.checkpoint_path is not None:
            self._file = CheckpointFile(task.checkpoint_path, task.identity(version))
        self.begun = self._begun()
        self.answered = self.begun.answered if self.begun else 0
        self.failures = dict(self.begun.failures) if self.begun else {}
        sizes = self.begun.sizes if self.begun else (0, 0)
        self._answers = _open(task.answers_path, sizes[0], out)
        self._errors = _open(task.errors_path, sizes[1], sys.stderr)
        self._committed_at = 0.0

    @property
    def failed(self) -> int:
        """The rows that failed."""
        return sum(self.failures.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the files; what was not committed is taken back."""
        with self._answers, self._errors:
            pass

    def add(self, answers: bytes, count: int, problems: Iterable[tuple[int, Any]]) -> None:
        """Append so many answers, and the problems of rows."""
        self._answers.append(answers)
        self.answered += count
        for line, document in problems:
            # The standard library's json: it escapes lone surrogates that a user's text may hold.
            self._errors.append(json.dumps({"line": line, **document}).encode() + b"\n")
            status = str(document["status"])
            self.failures[status] = self.failures.get(status, 0) + 1

    def commit(self, position: Position, *, now: bool = False) -> None:
        """Write for good what was added up to a position, if it is time."""
        if not now and time.monotonic() - self._committed_at < _EVERY:
            return
        self._answers.commit()
        self._errors.commit()
        if self._file is not None:
            sizes = (self._answers.size, self._errors.size)
            self._file.save(Checkpoint(position, sizes, self.answered, self.failures))
        self._committed_at = time.monotonic()

    def finish(self) -> None:
        """Leave nothing behind that a finished run does not need."""
        if self._file is not None:
            self._file.remove()
        if self._errors.path is not None and not self._errors.size:
            self._errors.path.unlink(missing_ok=True)

    def _begun(self) -> Checkpoint | None:
        if self._file is None or not (self._task.resume and self._file.exists()):
            return None
        return self._file.load()


def _open(path: Path | None, size: int, pipe: TextIO) -> Output:
    return Output(pipe.buffer, None) if path is None else Output.open(path, size)
