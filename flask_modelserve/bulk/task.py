"""Task: what a run of bulk scoring is asked to do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .formats import PARQUET, PIPE, format_of
from .readers import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file of rows, to be scored into one file of answers and one of errors.

    Attributes:
        rule: The endpoint, as ``find_route`` takes it.
        input: The file of rows; ``-`` is standard input.
        output: The file of answers; ``-`` is standard output.
        errors: The file of the rows that failed; by default beside the output, or standard error.
        form: The format of files whose names don't tell it.
        numbered: Give each answer the line of its row.
        resume: Go on with a run that was interrupted.
        overwrite: Replace files of an earlier run.
        max_errors: Stop when more rows have failed.
        workers: Processes that score.
        headers: What the function sees as the request's headers.
    """

    rule: str
    input: str
    output: str
    errors: str | None = None
    form: str | None = None
    numbered: bool = False
    resume: bool = False
    overwrite: bool = False
    max_errors: int | None = None
    workers: int = 1
    headers: Sequence[tuple[str, str]] = ()

    @property
    def input_format(self) -> str:
        return format_of(self.input, self.form)

    @property
    def output_format(self) -> str:
        return format_of(self.output, self.form)

    @property
    def answers_path(self) -> Path | None:
        """Where answers are appended: Parquet is made at the end, of JSON Lines."""
        if self.output == PIPE:
            return None
        return self._beside(".part") if self.output_format == PARQUET else Path(self.output)

    @property
    def errors_path(self) -> Path | None:
        if self.errors is None and not _is_pipe(self.output):
            return Path(self.output).with_suffix(".errors.jsonl")
        return None if self.errors is None or self.errors == PIPE else Path(self.errors)

    @property
    def checkpoint_path(self) -> Path | None:
        """Where a run says how far it has come; None where it could not go on."""
        can_go_on = not (_is_pipe(self.input) or _is_pipe(self.output))
        return self._beside(".resume") if can_go_on else None

    def check(self) -> None:
        """Refuse what would lose something.

        Raises:
            BadInput: For files that are the same, or that hold something already.
        """
        for name in (self.input, self.output):
            format_of(name, self.form)  # refuses what it can't be
        if self.resume and self.checkpoint_path is None:
            raise BadInput("what came through a pipe is gone: --resume needs files")
        paths = [Path(self.input), Path(self.output), self.errors_path]
        known = [path.resolve() for path in paths if path is not None and str(path) != PIPE]
        if len(set(known)) < len(known):
            raise BadInput("input, output and errors must be three files")
        checkpoint = self.checkpoint_path
        if self.overwrite or (checkpoint is not None and self.resume and checkpoint.exists()):
            return
        if checkpoint is not None and checkpoint.exists():
            raise BadInput(
                f"{self.output} is of a run that was interrupted: --resume goes on with it, "
                "--overwrite begins again"
            )
        for path in (Path(self.output), self.answers_path, self.errors_path):
            if path is not None and path.is_file() and path.stat().st_size:
                done = ", and no run of it was interrupted" if self.resume else ""
                raise BadInput(f"{path} exists already{done}: --overwrite replaces it")

    def identity(self, version: str | None) -> dict[str, str | int | bool | None]:
        """Return what must be the same in a run that goes on, by the names that users know."""
        return {
            "rule": self.rule,
            "model version": version,
            "input": str(Path(self.input).resolve()),
            "input size": Path(self.input).stat().st_size,
            "input format": self.input_format,
            "output format": self.output_format,
            "errors": str(self.errors_path and self.errors_path.resolve()),
            "--number": self.numbered,
            "--header": ", ".join(map(_fingerprint, self.headers)) or "none",
        }

    def _beside(self, suffix: str) -> Path:
        return Path(self.output + suffix)


def _fingerprint(header: tuple[str, str]) -> str:
    """Return what tells a header from others, but not its value: that may be a secret."""
    name, value = header
    digest = hashlib.blake2b(value.encode(errors="surrogateescape"), digest_size=8)
    return f"{name} ({digest.hexdigest()})"


def _is_pipe(name: str) -> bool:
    """Tell whether a name means no file that keeps what is written: also /dev/null and the like."""
    path = Path(name)
    return name == PIPE or (path.exists() and not path.is_file())
