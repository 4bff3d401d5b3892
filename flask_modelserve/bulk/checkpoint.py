"""Checkpoint: how far a run has come, in a file beside its output."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .readers import CannotGoOn, Position

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was done and written when it was made.

    Attributes:
        position: How far the input has been read.
        sizes: Of the answers' and of the errors' file, in bytes.
        answered: Rows that were.
        failures: Rows that failed, by their HTTP status.
    """

    position: Position
    sizes: tuple[int, int]
    answered: int
    failures: dict[str, int]


class CheckpointFile:
    """Keeps the latest checkpoint of a run, and what the run was asked to do."""

    def __init__(self, path: Path, task: dict[str, Any]) -> None:
        self._path = path
        self._task = task

    def exists(self) -> bool:
        return self._path.exists()

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace what is kept, at once or not at all."""
        document = {"version": _VERSION, "task": self._task, **asdict(checkpoint)}
        partial = self._path.with_name(self._path.name + ".writing")
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._path)

    def load(self) -> Checkpoint:
        """Return what is kept.

        Raises:
            CannotGoOn: When it can't be read, or was kept of another task.
        """
        try:
            return self._read(json.loads(self._path.read_text("utf-8")))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CannotGoOn(f"{self._path} can't be read ({error!r})") from None

    def _read(self, document: Any) -> Checkpoint:
        if document["version"] != _VERSION:
            raise CannotGoOn(f"{self._path} is of another version of flask_modelserve")
        task = document["task"]
        for name, value in self._task.items():
            if task.get(name) != value:
                raise CannotGoOn(
                    f"the run that was interrupted had {name} {task.get(name)}, not {value}"
                )
        return Checkpoint(
            position=Position(*document["position"]),
            sizes=(document["sizes"][0], document["sizes"][1]),
            answered=document["answered"],
            failures=document["failures"],
        )

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
