"""The numbers that this process's metrics are made of, in files that other processes read.

prometheus_client's own look at each write for whether the process is still the same, and for their
place in the file: for the metrics of a request that took three times as long as to write them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.mmap_dict import MmapedDict, mmap_key

from .threads import native_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Values:
    """Makes the values of a process; prometheus_client takes it for their class.

    Args:
        file: Returns where the values of a kind are to be, asked once in each process.
    """

    _multiprocess = True  # as its own classes say to whoever asks

    def __init__(self, file: Callable[[str], Path]) -> None:
        self._file = file
        self._values: dict[tuple[str, str], Value] = {}
        self._files: dict[str, Any] = {}
        self.lock = native_lock()

    def __call__(  # noqa: PLR0917 - as prometheus_client calls it
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: list[str],
        labelvalues: list[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_options: Any,
    ) -> Value:
        """Return the value for a place in a file.

        There is one for each: two, as two apps of a process would have, would write over each
        other.
        """
        kind = f"gauge_{multiprocess_mode}" if typ == "gauge" else typ
        key = mmap_key(metric_name, name, labelnames, labelvalues, help_text)
        with self.lock:
            value = self._values.get((kind, key))
            if value is None:
                value = Value(self)
                self._bind(kind, key, value)
                self._values[kind, key] = value
        return value

    def bind(self) -> None:
        """Give all values their places in this process's files; the lock is held."""
        for (kind, key), value in self._values.items():
            self._bind(kind, key, value)

    def unbind(self) -> None:
        """Leave the files: they are those of the process that this one was forked from."""
        self.lock = native_lock()  # a thread of that process may hold the other
        for value in self._values.values():
            value.numbers = None
        for file in self._files.values():
            file._f.close()  # noqa: SLF001 - the rest goes with the last view of it
        self._files.clear()

    def _bind(self, kind: str, key: str, value: Value) -> None:
        file: Any = self._files.get(kind)
        if file is None:
            file = self._files[kind] = MmapedDict(str(self._file(kind)))  # type: ignore[no-untyped-call]
        file.read_value(key)
        # A file that grows is mapped anew; the mapping that a value has leads to the same file.
        value.numbers = memoryview(file._m).cast("d")  # noqa: SLF001
        value.index = file._positions[key] // 8  # noqa: SLF001


class Value:
    """A number in a file, followed by the time at which it was set, if it matters."""

    __slots__ = ("_values", "index", "numbers")

    def __init__(self, values: Values) -> None:
        self._values = values
        self.index = 0
        self.numbers: memoryview[float] | None = None

    def inc(self, amount: float) -> None:
        with self._values.lock:
            numbers = self.numbers or self._bound()
            numbers[self.index] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self._values.lock:
            numbers = self.numbers or self._bound()
            numbers[self.index] = value
            numbers[self.index + 1] = timestamp or 0.0

    def get(self) -> float:
        with self._values.lock:
            numbers = self.numbers or self._bound()
            return numbers[self.index]

    def set_exemplar(self, exemplar: object) -> None:
        """Leave it out: the files have no place for exemplars."""

    def get_exemplar(self) -> None:
        return None

    def _bound(self) -> memoryview[float]:
        self._values.bind()
        assert self.numbers is not None
        return self.numbers
