"""What a function's docstring says: a summary, a description, and a line for each parameter."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Any

from ..parameters import innermost

_SECTION = re.compile(
    r"^(Args|Arguments|Attributes|Example|Examples|Note|Notes|Parameters|Raises|Returns|Yields)"
    r"(:|\n-+)$",
    re.MULTILINE,
)
_PARAMETER = re.compile(r"^ {2,8}\*{0,2}(\w+)(?: \([^)]*\))?: +(.+(?:\n {6,}\S.*)*)", re.MULTILINE)


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
            parameters={name: _one_line(about) for name, about in _PARAMETER.findall(arguments)},
        )


def _text(handler: Any) -> str:
    """Return a docstring of the user's own: not one that a class has from a base or from Python."""
    if isinstance(handler, type):
        documented = [handler, vars(handler).get("__call__")]
    elif inspect.isroutine(handler):
        documented = [handler]
    else:
        documented = [innermost(handler), type(handler)]
    for each in documented:
        text = vars(each).get("__doc__") if isinstance(each, type) else getattr(each, "__doc__", "")
        if text:
            return inspect.cleandoc(text)
    return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
