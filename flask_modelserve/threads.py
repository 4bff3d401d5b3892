"""Real threads, and what they hand over to the requests that wait.

Where gevent has made greenlets of threads, a function that ran in one would stop all others, health
checks included: it runs on a thread of the system. Locks made by ``threading`` are gevent's there,
which wake nobody across such threads, so that these have locks and ways of their own.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Seconds that an idle thread waits for work before it ends.
REST = 60.0


class Handover:
    """What comes of one call, on its way from the thread that makes it to the request's."""

    __slots__ = ("_answer", "_done", "_error", "is_settled", "tell")

    def __init__(self) -> None:
        self._answer: Any = None
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()
        self.is_settled = False
        self.tell = teller()

    def settle(self, answer: Any = None, error: BaseException | None = None) -> None:
        """Hand over the answer or the error, once; from any thread."""
        if self.keep(answer, error):
            self.tell(self._done.release)

    def keep(self, answer: Any = None, error: BaseException | None = None) -> bool:
        """Take the answer or the error, once, and tell whether ``wake`` is still to be called."""
        if self.is_settled:
            return False
        self._answer, self._error = answer, error
        self.is_settled = True  # only now: a thread may die between any two lines
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, and tell whether it is there; a negative time is no limit."""
        return self._done.acquire(timeout=seconds) or self.is_settled

    def outcome(self) -> Any:
        """Return the answer, or the error without raising it."""
        return self._answer if self._error is None else self._error

    def result(self) -> Any:
        """Return the answer, or raise the error."""
        if self._error is None:
            return self._answer
        try:
            raise self._error
        finally:
            self._error = None  # its traceback leads here: a cycle that only the collector frees


def wake(handovers: Sequence[Handover]) -> None:
    """Wake the requests of several handovers that have just been kept, each loop of theirs once."""
    for tell in {handover.tell for handover in handovers}:
        tell(_release, [each._done for each in handovers if each.tell == tell])  # noqa: SLF001


def _release(locks: list[Any]) -> None:
    for lock in locks:
        lock.release()


class Threads:
    """Threads that are made as they are needed, and wait for the next job for a while.

    Unlike those of ``concurrent.futures`` they don't keep the process from ending: one that hangs
    would stall every shutdown.
    """

    def __init__(self) -> None:
        self._start_afresh()
        after_fork(self._start_afresh)

    def _start_afresh(self) -> None:
        self._idle: list[_Worker] = []

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job at once, on the thread that was busy last, or a new one.

        Raises:
            RuntimeError: When the system has no more threads.
        """
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._idle)
            start_thread(worker.work, "modelserve-call")
        worker.give(job)


class _Worker:
    """What one of the threads does."""

    def __init__(self, idle: list[_Worker]) -> None:
        self._idle = idle
        self._job: Callable[[], None] | None = None
        self._given = native_lock()
        self._given.acquire()

    def give(self, job: Callable[[], None]) -> None:
        self._job = job
        self._given.release()

    def work(self) -> None:
        while self._is_given():
            job, self._job = self._job, None
            assert job is not None
            job()
            del job  # or the last request's data would stay as long as the thread
            self._idle.append(self)

    def _is_given(self) -> bool:
        """Wait for a job, and tell whether there is one; if not, none will come any more."""
        if self._given.acquire(timeout=REST):
            return True
        try:
            self._idle.remove(self)
        except ValueError:  # somebody has chosen it in this very moment
            return bool(self._given.acquire())
        return False


def start_thread(target: Callable[[], None], name: str) -> None:
    """Start a thread of the system that doesn't keep the process from ending."""
    monkey = _gevent()
    if monkey is None:
        threading.Thread(target=target, name=name, daemon=True).start()
    else:
        monkey.get_original("_thread", "start_new_thread")(_run_and_clean, (target,))


def _run_and_clean(target: Callable[[], None]) -> None:
    import gevent

    try:
        target()
    finally:  # a function that sleeps or sends has made a loop for this thread
        gevent.get_hub().destroy(destroy_loop=True)


def native_lock() -> Any:
    """Return a lock for threads of the system; a greenlet must not wait for what it protects."""
    monkey = _gevent()
    if monkey is None:
        return _thread.allocate_lock()
    return monkey.get_original("_thread", "allocate_lock")()


def teller() -> Callable[..., object]:
    """Return what calls a function with arguments where this request runs, from any thread.

    That is at once, but for greenlets: theirs does so as soon as it can.
    """
    if _gevent() is None:
        return _call
    import gevent

    tell: Callable[..., object] = gevent.get_hub().loop.run_callback_threadsafe
    return tell


def runs_greenlets() -> bool:
    """Tell whether gevent has made greenlets of threads."""
    return _gevent() is not None


def _call(function: Callable[..., object], *args: object) -> None:
    function(*args)


def _gevent() -> Any:
    """Return gevent's module of patches where threads are greenlets, else None."""
    if "gevent" not in sys.modules:
        return None
    from gevent import monkey

    return monkey if monkey.is_module_patched("threading") else None


def after_fork(reset: Callable[[], None]) -> None:
    """Have a child process start afresh: threads and held locks don't survive a fork."""
    kept = weakref.WeakMethod(reset)  # or no app would ever be freed

    def call() -> None:
        method = kept()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=call)
