"""Whose metrics are in which file, where several processes write theirs to one folder.

prometheus_client names files after the process's id: each worker that ends leaves some behind. Here
a process takes the first slot that nobody has, and counts on from where the last one stopped: no
file is ever added to another, so that no reader can see a count twice, or not at all, and there are
as many files as there were processes at a time. A lock on a file of the slot tells who lives: the
system frees it, however a process ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

from .values import Values

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_FILE = re.compile(r"(?:counter|histogram|summary|gauge_[a-z]+)_(?:worker-\d+|(?P<pid>\d+))\.db")
_LOCK = ".worker-{}.lock"
# Gauges that are true only as long as their process lives, and those that show each process.
_MORTAL = ("gauge_live*_worker-{}.db", "gauge_all_worker-{}.db")


_shared: list[Slots] = []  # at most one: prometheus_client has one class of values in a process


def share(folder: Path) -> Slots:
    """Write all metrics that are made from now on to a folder, and return its slots."""
    if not _shared:
        _shared.append(Slots(folder))
    return _shared[0]


def move(folder: Path) -> None:
    """Write this process's metrics to another folder, before it has made any."""
    os.environ[VARIABLE] = str(folder)
    _shared[0].folder = folder


def are_shared() -> bool:
    """Tell whether this process's metrics are written to a folder."""
    return bool(_shared)


class Slots:
    """The slots of a folder, of which this process has one from its first metric on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._presence = -1
        self._lock = -1
        self._name = ""  # a process that has no metrics needs no slot
        self._values = values.ValueClass = Values(self.file)
        os.register_at_fork(after_in_child=self._give_up)

    def file(self, kind: str) -> Path:
        """Return the process's file for a kind of metrics."""
        return self.folder / f"{kind}_{self._name or self._claim()}.db"

    def join(self) -> None:
        """Let others see that the folder is in use, as long as this process or a child lives."""
        if self._presence < 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            # A lock on the folder itself keeps systemd from tidying it up as well.
            self._presence = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._presence, fcntl.LOCK_SH)

    def sweep(self) -> None:
        """Join a folder without what processes that are gone have left in it.

        When somebody else uses the folder, all stays: his sums hold what dead workers have counted.
        """
        self.join()
        if _take(self._presence):
            for file in self.folder.iterdir():
                match = _FILE.fullmatch(file.name)
                if match and not _is_alive(match["pid"]):
                    file.unlink()
        fcntl.flock(self._presence, fcntl.LOCK_SH)

    def leave(self, *, remove: bool) -> None:
        """Remove the metrics, or the whole folder, unless others use it."""
        self.sweep()
        if remove and _take(self._presence):
            shutil.rmtree(self.folder, ignore_errors=True)

    def bury(self, pid: object) -> None:
        """Take the gauges of dead processes out, that of this id and those of free slots."""
        for file in self.folder.glob(_LOCK.format("*")):
            lock = _open(file)
            if _take(lock):
                self._clear(file.name.split("-")[1].split(".")[0])
            os.close(lock)
        mark_process_dead(pid, str(self.folder))  # type: ignore[no-untyped-call]

    def _claim(self) -> str:
        self.join()
        number = 1
        while not self._take(number):
            number += 1
        self._clear(str(number))
        self._name = f"worker-{number}"
        return self._name

    def _take(self, number: int) -> bool:
        self._lock = _open(self.folder / _LOCK.format(number))
        if _take(self._lock):
            return True
        os.close(self._lock)
        return False

    def _clear(self, number: str) -> None:
        for pattern in _MORTAL:
            for file in self.folder.glob(pattern.format(number)):
                file.unlink(missing_ok=True)

    def _give_up(self) -> None:
        """Have a child process claim a slot of its own."""
        self._name = ""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._values.unbind()


def remove_orphan(folder: Path) -> None:
    """Remove a folder whose server was killed, if that is what it is."""
    with suppress(OSError):  # another server is faster
        presence = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if _take(presence):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(presence)


def _open(file: Path) -> int:
    return os.open(file, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str | None) -> bool:
    """Tell whether another process has this id; nobody has a slot of a folder that is not used."""
    if pid is None or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
