"""Drain: the time between the decision to stop a service and its end."""

from __future__ import annotations

import mmap


class Drain:
    """Whether the service is about to stop.

    All processes that are forked from the one that made it see the same, whoever begins it.
    """

    def __init__(self) -> None:
        self._flag = mmap.mmap(-1, 1)

    @property
    def has_begun(self) -> bool:
        """Whether ``/__ready`` is to say 503."""
        return self._flag[0] != 0

    def begin(self) -> None:
        """Have ``/__ready`` say 503 for good, while all else is answered."""
        self._flag[0] = 1


# One for the process: it stops with all its apps.
drain = Drain()
