"""What an endpoint function takes: its parameters, read once from its signature."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Sequence
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
    def of(
        cls, function: Callable[..., Any], schema: Any = None, *, in_columns: bool = False
    ) -> Parameters:
        """Read a function's signature.

        Args:
            function: A function, or an instance with ``__call__``.
            schema: The schema class that marks the message's parameter.
            in_columns: It is batched: ``list[int]`` stands for an ``int`` of each request.

        Raises:
            TypeError: For parameters that can't be given by name.
        """
        signature = _signature(function)
        known = getattr(innermost(function), "__globals__", {})
        names: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if parameter.kind in _NAMED:
                annotation = _resolve(parameter.annotation, known)
                names[name] = _element(annotation) if in_columns else annotation
                if parameter.default is not parameter.empty:
                    defaults[name] = parameter.default
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(
                    f"{function!r} takes {name!r} by position only; "
                    "an endpoint's arguments are given by name: remove the '/'"
                )
        messages = [name for name, kind in names.items() if _means(kind, schema)]
        if len(messages) > 1:
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


def merge(arguments: dict[str, Any], url: dict[str, Any]) -> None:
    """Add the URL's arguments; the body may repeat one, but not contradict it."""
    errors = [
        {"field": name, "message": "differs from the URL's"}
        for name in url.keys() & arguments.keys()
        if arguments[name] != url[name]
    ]
    if errors:
        raise InvalidRequest("The body contradicts the URL.", errors=errors)  # type: ignore[arg-type]  # dicts of the TypedDict's shape
    arguments.update(url)


def returned(function: Callable[..., Any], *, in_columns: bool = False) -> Any:
    """Return what a function's signature says that it returns, or ``inspect.Parameter.empty``.

    Args:
        function: A function, or an instance with ``__call__``.
        in_columns: It is batched: ``list[int]`` stands for the ``int`` of each request.
    """
    known = getattr(innermost(function), "__globals__", {})
    annotation = _resolve(_signature(function).return_annotation, known)
    return _element(annotation) if in_columns else annotation


def innermost(function: Any) -> Any:
    """Return the function beneath decorators, partials and instances."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isroutine(function) or not callable(function):
            return function
        else:
            function = type(function).__call__


def bare(annotation: Any) -> Any:
    """Return an annotation without what ``Annotated`` adds to it."""
    is_annotated = typing.get_origin(annotation) is typing.Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # Annotations are evaluated only now, and may be of names that only type checkers see.
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def _resolve(annotation: Any, known: dict[str, Any]) -> Any:
    """Return what an annotation means; one of names that only type checkers see stays a text."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, known)  # noqa: S307 - the user's own source, as in inspect
    except Exception:  # whatever evaluating an annotation may raise
        return annotation


def _element(annotation: Any) -> Any:
    """Return what the annotation of a column says of one row: its element, or else itself."""
    column = bare(annotation)
    if (typing.get_origin(column) or column) not in (list, Sequence):
        return annotation
    return next(iter(typing.get_args(column)), inspect.Parameter.empty)


def _means(annotation: Any, schema: Any) -> bool:
    """Tell whether an annotation is the schema class, or its name where it can't be looked up."""
    if schema is None or annotation is schema:
        return schema is not None
    name = getattr(annotation, "__forward_arg__", annotation)
    return isinstance(name, str) and name.rpartition(".")[2] == schema.__name__
