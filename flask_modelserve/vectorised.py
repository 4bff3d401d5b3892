"""A vectorised function: called for many items at once, each of which gets what comes of it."""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .errors import BadResponse
from .threads import Handover, wake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .metrics import EndpointMetrics
    from .schema import Arguments


class Item(Handover):
    """One request in a batch."""

    __slots__ = (
        "arguments",
        "arrived",
        "batch_span",
        "begun",
        "context",
        "deadline",
        "is_abandoned",
    )

    def __init__(self, arguments: Arguments, arrived: float, deadline: float) -> None:
        super().__init__()
        self.arguments = arguments
        self.arrived = arrived
        self.deadline = deadline
        self.begun = 0.0
        self.is_abandoned = False
        # The request's own: what is logged and traced in the batch tells by it whom that is for.
        self.context = contextvars.copy_context()
        self.batch_span: Any = None


class Vectorised:
    """Calls a vectorised function for items, and gives each of them what comes of it."""

    def __init__(
        self, call: Callable[..., Any], metrics: EndpointMetrics, defaults: Mapping[str, Any]
    ) -> None:
        self._call = call
        self._metrics = metrics
        self._defaults = defaults

    def settle(self, items: list[Item]) -> None:
        """Call the function for some items; where it raises, find out for which of them.

        One culprit among n costs at most ``log2(n) + 2`` more calls. With each that is found fewer
        items are tried at once, so that a function that always raises is called for most of them
        just once.
        """
        size = 2 * len(items)
        while items:
            group, items = items[:size], items[size:]
            if self._attempt(group):
                size *= 2
            else:
                size = max(1, size // 2)
                items = self._isolate(group) + items

    def _isolate(self, items: list[Item]) -> list[Item]:
        """Find one culprit among items whose call raised, by halving.

        Returns:
            Those that are not settled yet.
        """
        rest: list[Item] = []
        while len(items) > 1:
            middle = len(items) // 2
            left, right = items[:middle], items[middle:]
            if self._attempt(left):
                items = right
            else:
                items, rest = left, right + rest
        self._attempt(items)
        return rest

    def _attempt(self, items: list[Item]) -> bool:
        """Call the function for those items that are not settled, and tell whether it returned."""
        items = [item for item in items if not item.is_settled]
        if not items:
            return True
        begun = perf_counter()
        try:
            answers = self._call(**self._columns(items))
        except Exception as error:
            if len(items) == 1:
                items[0].settle(error=error)
            return False
        finally:
            items[0].tell(self._measure, len(items), perf_counter() - begun)
        _distribute(items, answers)
        return True

    def _measure(self, rows: int, seconds: float) -> None:
        self._metrics.batch_size.observe(rows)
        self._metrics.predict.observe(seconds)

    def _columns(self, items: list[Item]) -> dict[str, list[Any]]:
        return {
            name: [item.arguments.get(name, default) for item in items]
            for name, default in self._defaults.items()
        }


def _distribute(items: list[Item], answers: Any) -> None:
    """Give each item its answer, if there is one for each."""
    try:
        rows = _rows(answers, len(items))
    except Exception as error:  # an array type may raise anything
        rows = [BadResponse(str(error)) for _ in items]
    wake(
        [
            item
            for item, row in zip(items, rows, strict=True)
            if (item.keep(error=row) if isinstance(row, Exception) else item.keep(row))
        ]
    )


def _rows(answers: Any, count: int) -> Sequence[Any]:
    """Return what a function returned as so many rows.

    Raises:
        TypeError: When it is not a sequence.
        ValueError: When it has another length.
    """
    if hasattr(answers, "__array__"):  # numpy's, and what converts: a data frame has rows then
        answers = list(answers.__array__())
    if not isinstance(answers, Sequence) or isinstance(answers, str | bytes | bytearray):
        raise TypeError(f"a batched function returns a list, not {type(answers).__name__}")
    if len(answers) != count:
        raise ValueError(f"a batched function returned {len(answers)} answers for {count} rows")
    return answers
