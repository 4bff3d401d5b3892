"""Nested: texts anywhere in a JSON value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def texts_under(value: Any, key: str) -> Iterator[str]:
    """Yield the texts that stand under a key in any object of a value, in no order."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            text = item.get(key)
            if isinstance(text, str):
                yield text
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with all its texts changed, but for keys."""
    if isinstance(value, list):
        return [with_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {key: with_texts(item, change) for key, item in value.items()}
    return change(value) if isinstance(value, str) else value
