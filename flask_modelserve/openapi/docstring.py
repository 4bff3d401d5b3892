"""What a function's docstring says: a summary, a description, and a line for each parameter."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass, field
from typing import Any

_SECTION = re.compile(
    r"^(Args|Arguments|Attributes|Example|Examples|Note|Notes|Parameters|Raises|Returns|Yields)"
    r"(:|\n-+)$",
    re.MULTILINE,
)
# What is indented more goes on with it.
_PARAMETER = re.compile(r"^( {2,8})\*{0,2}(\w+)(?: \([^)]*\))?: +(.+(?:\n\1 +\S.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring in Google's style, or any other that begins with a summary."""

    summary: str = ""
    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, handler: Any) -> Docstring:
        """Read the docstring of a function, a class, or an instance with ``__call__``."""
        text = _text(handler)
        if not text:
            return cls()
        sections = _SECTION.split(text)
        summary, _, description = sections[0].strip().partition("\n\n")
        arguments = "".join(
            body
            for name, body in zip(sections[1::3], sections[3::3], strict=True)
            if name in {"Args", "Arguments"}
        )
        return cls(
            summary=_one_line(summary),
            description=description.strip(),
            parameters={name: _one_line(about) for _, name, about in _PARAMETER.findall(arguments)},
        )

    def listed(self) -> str:
        """Return what it says of the parameters as a list in Markdown."""
        return "\n".join(f"* `{name}`: {about}" for name, about in self.parameters.items())


def _text(handler: Any) -> str:
    """Return the docstring of a function; of a class or an instance its call's, or its own."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if inspect.isroutine(handler):
        return inspect.cleandoc(handler.__doc__ or "")
    kind = handler if isinstance(handler, type) else type(handler)
    called = vars(kind).get("__call__")
    text = getattr(called, "__doc__", None) or vars(kind).get("__doc__")
    return inspect.cleandoc(text or "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
