"""What an endpoint function takes: its parameters, read once from its signature."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The names that a function takes.

    Attributes:
        names: Its named parameters, with their annotations where they have one.
        defaults: The defaults of those that have one.
        required: Those without a default, the message's parameter left out.
        takes_all: It has a ``**kwargs`` parameter.
        message: The parameter annotated with the schema class: it gets the message itself.
    """

    names: Mapping[str, Any]
    defaults: Mapping[str, Any]
    required: frozenset[str]
    takes_all: bool
    message: str | None

    @classmethod
    def of(cls, function: Callable[..., Any], schema: Any = None) -> Parameters:
        """Read a function's signature.

        Args:
            function: A function, or an instance with ``__call__``.
            schema: The schema class that marks the message's parameter.

        Raises:
            TypeError: For parameters that can't be given by name.
        """
        signature = _signature(function)
        names: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if parameter.kind in _NAMED:
                names[name] = parameter.annotation
                if parameter.default is not parameter.empty:
                    defaults[name] = parameter.default
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(
                    f"{function!r} takes {name!r} by position only; "
                    "an endpoint's arguments are given by name: remove the '/'"
                )
        messages = [name for name, kind in names.items() if kind is schema]
        if schema is None:
            messages = []
        elif len(messages) > 1:
            raise TypeError(
                f"{function!r} has several parameters of type {schema.__name__}: "
                f"{', '.join(messages)}; annotate only one with it"
            )
        return cls(
            names=names,
            defaults=defaults,
            required=frozenset(names).difference(defaults, messages),
            takes_all=any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()),
            message=messages[0] if messages else None,
        )

    def refuse_missing(self, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments that lack a required one.

        Raises:
            InvalidRequest: 400, with the name of each missing argument.
        """
        if not self.required <= arguments.keys():
            missing = self.required - arguments.keys()
            raise InvalidRequest(
                "The request lacks what the endpoint requires.",
                errors=[
                    {"field": name, "message": "is required"}
                    for name in self.names
                    if name in missing
                ],
            )


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # an annotation of a name that only type checkers see
        return inspect.signature(function)
