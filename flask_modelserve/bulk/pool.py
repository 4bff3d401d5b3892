"""Pool: several processes that score, each with an app and models of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle  # what multiprocessing sends by; nothing is read by it that others wrote
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from .readers import BadInput
from .scorer import Scored, Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from flask import Flask

    from .readers import Position, Row, Window

    Results = tuple[list[Scored], float]

# What a process is given at a time: windows that take so many seconds, of so many bytes at most.
_SECONDS = 0.25
_BYTES = 8 << 20

_scorer: Scorer


class Pool:
    """Scores windows in several processes, and gives them back in order."""

    def __init__(self, executor: ProcessPoolExecutor, workers: int) -> None:
        self._executor = executor
        self._workers = workers
        self._windows_at_once = 1.0

    def stream(self, windows: Iterable[Window]) -> Iterator[tuple[Position, Scored]]:
        """Score windows; only so many are in memory that no process waits for another."""
        pending: deque[tuple[list[Position], Future[Results]]] = deque()
        for group in self._groups(windows):
            rows = [window.rows for window in group]
            future = self._executor.submit(_score, rows)
            pending.append(([window.position for window in group], future))
            if len(pending) > 2 * self._workers:
                yield from self._collect(*pending.popleft())
        while pending:
            yield from self._collect(*pending.popleft())

    def _collect(
        self, positions: list[Position], future: Future[Results]
    ) -> Iterator[tuple[Position, Scored]]:
        scored, seconds = future.result()
        wanted = _SECONDS * len(scored) / max(seconds, 1e-6)
        self._windows_at_once = max(1.0, min(wanted, 2 * self._windows_at_once))
        yield from zip(positions, scored, strict=True)

    def _groups(self, windows: Iterable[Window]) -> Iterator[list[Window]]:
        group: list[Window] = []
        held = 0
        for window in windows:
            group.append(window)
            held += sum(row.size for row in window.rows)
            if len(group) >= int(self._windows_at_once) or held >= _BYTES:
                yield group
                group, held = [], 0
        if group:
            yield group


@contextmanager
def pool(
    workers: int, load: Callable[[], Flask], named: str, headers: Sequence[tuple[str, str]]
) -> Iterator[Pool]:
    """Start processes, and end them with the block, whatever they do.

    They are spawned rather than forked: this process may have threads, and holds the app's
    connections.

    Args:
        workers: How many.
        load: What makes the app in each of them; it must be possible to pickle it.
        named: See ``Scorer``.
        headers: See ``Scorer``.

    Raises:
        BadInput: When ``load`` can't be given to another process.
    """
    try:
        pickle.dumps(load)
    except Exception as error:  # pickle's, and whatever objects raise that it meets
        raise BadInput(
            f"the app can't be made in other processes ({error}): leave --workers out, or name the "
            "app by --app"
        ) from None
    executor = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(load, named, headers),
    )
    before = set(multiprocessing.active_children())
    try:
        yield Pool(executor, workers)
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in before:
                process.terminate()
        raise
    finally:
        executor.shutdown()


def _start(load: Callable[[], Flask], named: str, headers: Sequence[tuple[str, str]]) -> None:
    """Load the app, in a new process."""
    global _scorer  # noqa: PLW0603 - a process of a pool has no other place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that writes
    sys.stdout = sys.stderr  # the other is for answers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _scorer = Scorer(load(), named, headers)


def _end_with_parent() -> None:
    """End when the process that writes is gone: killed, it can't tell."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os._exit(1)


def _score(windows: list[list[Row]]) -> Results:
    begun = time.perf_counter()
    return [_scorer.score(rows) for rows in windows], time.perf_counter() - begun
