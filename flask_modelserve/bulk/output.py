"""Output: a file, or a pipe, that lines are appended to."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, suppress
from typing import IO, TYPE_CHECKING, Self

from .readers import BadInput, CannotGoOn

if TYPE_CHECKING:
    from pathlib import Path


class Output:
    """Lines that are written for good, piece by piece: what was not committed can be taken back.

    Args:
        stream: Where to write.
        path: Its file; None for a pipe or a device, which take nothing back.
        size: Bytes that the file has already, of a run that is continued; what follows is cut off.
    """

    def __init__(self, stream: IO[bytes], path: Path | None, size: int = 0) -> None:
        self._stream = stream
        self.path = path
        self._is_ours = path is not None
        self.size = self._committed = size
        if path is not None:
            stream.truncate(size)
            stream.seek(size)

    @classmethod
    def open(cls, path: Path, size: int = 0) -> Output:
        """Open a file, new or with what it has already.

        Raises:
            BadInput: When it is shorter than that, or another run writes it.
        """
        if path.exists() and not path.is_file():
            output = cls(path.open("wb"), None)
            output._is_ours = True
            return output
        with ExitStack() as stack:
            stream = stack.enter_context(path.open("r+b" if path.exists() else "w+b"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(f"another run writes {path}") from None
            if os.fstat(stream.fileno()).st_size < size:
                raise CannotGoOn(f"{path} is shorter than it was when the run was interrupted")
            output = cls(stream, path, size)
            stack.pop_all()
        return output

    def append(self, data: bytes) -> None:
        self._stream.write(data)
        self.size += len(data)

    def commit(self) -> None:
        """Write for good what was appended."""
        if self.size == self._committed:
            return
        self._stream.flush()
        if self.path is not None:
            os.fsync(self._stream.fileno())
        self._committed = self.size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file; what was not committed is taken back."""
        if not self._is_ours:
            return
        with suppress(OSError):  # a full disk: what is lost was not committed
            self._stream.close()
        if self.path is not None:  # also where no append came to its end
            os.truncate(self.path, self._committed)
