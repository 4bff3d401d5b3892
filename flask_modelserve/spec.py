"""EndpointSpec: what a user declared about one endpoint, checked when it is declared."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypedDict

from .batching import Batch
from .content import dumps, loads
from .parameters import Parameters, innermost
from .schema import compile_request, compile_response, split_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Blueprint

    from .schema import RequestSchema, ResponseSchema


class EndpointOptions(TypedDict, total=False):
    """The options of ``ModelServe.endpoint``."""

    schema: Any
    response_schema: Any
    methods: Iterable[str]
    cache: float | None
    batch: Batch | int | None
    max_concurrency: int | None
    max_queue: int | None
    timeout: float | None
    example: Any
    version: str | None
    ignore_unknown_fields: bool
    blueprint: Blueprint | None
    endpoint: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EndpointSpec:
    """One endpoint as declared; bound to each app that it is served by.

    Attributes:
        rule: The URL rule, as in Flask.
        handler: The function, the instance, or the class to make one of.
    """

    rule: str
    handler: Any
    schema: Any = None
    response_schema: Any = None
    methods: tuple[str, ...] = ("POST",)
    cache: float | None = None
    batch: Batch | None = None
    max_concurrency: int | None = None
    max_queue: int | None = None
    timeout: float | None = None
    example: Any = None
    version: str | None = None
    ignore_unknown_fields: bool = False
    blueprint: Blueprint | None = None
    endpoint: str

    @classmethod
    def declare(cls, rule: str, handler: Any, options: EndpointOptions) -> EndpointSpec:
        """Check a declaration.

        Raises:
            TypeError: For an unknown option, or one of a wrong type.
            ValueError: For an option of a wrong value.
        """
        values: dict[str, Any] = dict(options)
        known = {field.name for field in fields(cls)} - {"rule", "handler"}
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(known))}"
                )
                raise TypeError(f"endpoint() has no option {name!r}: {hint}")
        if not callable(handler):
            raise TypeError(f"{handler!r} can't be served: decorate a function or a class")
        values["schema"], values["response_schema"] = split_module(
            values.get("schema"), values.get("response_schema")
        )
        values["methods"] = _methods(values.get("methods", ("POST",)))
        values["endpoint"] = values.get("endpoint") or _name(handler)
        _check_seconds("cache", values.get("cache"))
        _check_seconds("timeout", values.get("timeout"), most=threading.TIMEOUT_MAX)
        _check_count("max_concurrency", values.get("max_concurrency"), least=1)
        _check_count("max_queue", values.get("max_queue"), least=0)
        if type(values.get("batch")) is int:  # True is no size
            values["batch"] = Batch(values["batch"])
        _check_version(values.get("version"))
        if isinstance(handler, type):
            _check_class(handler)
        spec = cls(rule=rule, handler=handler, **values)
        spec.compile_response(dumps)
        _, parameters = spec.compile_request(loads)
        _check_limits(spec, parameters)
        _check_stream(spec)
        return spec

    def compile_request(self, loads: Callable[[bytes], Any]) -> tuple[RequestSchema, Parameters]:
        """Compile the request's schema for the function, and what the function takes.

        Raises:
            TypeError: For a schema that is not one, or that does not fit the function.
        """
        parameters = Parameters.of(self.function, self.schema, in_columns=self.batch is not None)
        schema = compile_request(
            self.schema,
            parameters,
            ignore_unknown_fields=self.ignore_unknown_fields,
            loads=loads,
        )
        return schema, parameters

    def compile_response(self, dumps: Callable[[Any], bytes]) -> ResponseSchema:
        """Compile the answer's schema.

        Raises:
            TypeError: For a schema that is not one.
        """
        return compile_response(self.response_schema, dumps=dumps)

    @property
    def function(self) -> Callable[..., Any]:
        """What is called, as far as its signature goes: a class's ``__call__`` without self."""
        if not isinstance(self.handler, type):
            function: Callable[..., Any] = self.handler
            return function
        return functools.partial(self.handler.__call__, None)

    @property
    def streams(self) -> bool:
        """Whether the function is a generator function: its items are answers one by one."""
        return inspect.isgeneratorfunction(innermost(self.function))

    @property
    def is_decorated(self) -> bool:
        """Whether the function is wrapped by a decorator, which may look at who is asking."""
        return hasattr(self.handler, "__wrapped__")


def _methods(methods: Any) -> tuple[str, ...]:
    if isinstance(methods, str):
        raise TypeError(f'methods={methods!r}: write methods=["{methods}"]')
    return tuple(method.upper() for method in methods)


def _name(handler: Any) -> str:
    while isinstance(handler, functools.partial):
        handler = handler.func
    name: str = getattr(handler, "__name__", type(handler).__name__)
    if not name.isidentifier():
        raise ValueError(f"{handler!r} has no name of its own: write endpoint='a_name'")
    return name


def _check_seconds(option: str, value: Any, *, most: float = math.inf) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{option}={value!r}: write a number of seconds, such as {option}=60")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{option}={value!r}: write a positive number of seconds, or leave it out")
    if value > most:
        raise ValueError(f"{option}={value!r}: write at most {most:.0f}, or leave it out")


def _check_count(option: str, value: Any, *, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{option}={value!r}: write a whole number, such as {option}=8")
    if value < least:
        raise ValueError(f"{option}={value!r}: write {least} or more, or leave it out")


def _check_stream(spec: EndpointSpec) -> None:
    """Refuse options that a stream can't have."""
    if inspect.isasyncgenfunction(innermost(spec.function)):
        raise TypeError(f"{spec.endpoint} is an async generator: write a plain generator")
    if spec.streams:
        for option in ("cache", "batch", "timeout", "max_concurrency"):
            if getattr(spec, option) is not None:
                raise ValueError(
                    f"{spec.endpoint} is a generator, whose items are sent as they "
                    f"come: leave {option}= out"
                )


def _check_limits(spec: EndpointSpec, parameters: Parameters) -> None:
    """Refuse options that mean nothing together."""
    if spec.batch is None:
        if spec.max_queue is not None and spec.max_concurrency is None and spec.timeout is None:
            raise ValueError(
                f"max_queue={spec.max_queue} bounds nothing: write max_concurrency=, "
                "timeout= or batch= too"
            )
        return
    if not isinstance(spec.batch, Batch):
        raise TypeError(f"batch={spec.batch!r}: write batch=32, or batch=Batch(32, max_wait=0.005)")
    if spec.max_queue == 0:
        raise ValueError("max_queue=0: every request waits for its batch, write 1 or more")
    if spec.max_concurrency is not None:
        raise ValueError(
            "one thread calls a batched function: leave max_concurrency out, and bound the "
            "requests that wait with max_queue="
        )
    if parameters.takes_all or not parameters.names:
        raise TypeError(
            f"{spec.endpoint} is batched: name its parameters, each of which gets a list"
        )


def _check_version(version: Any) -> None:
    if version is None:
        return
    if not isinstance(version, str):
        raise TypeError(f'version={version!r}: write a string, such as version="1.2"')
    if not (version.isascii() and version.isprintable() and version.strip()):
        raise ValueError(f"version={version!r} is sent as a header: use printable ASCII")


def _check_class(handler: type) -> None:
    if not any("__call__" in vars(kind) for kind in handler.__mro__):
        raise TypeError(f"{handler.__name__} has no __call__ to serve: write one")
    try:
        inspect.signature(handler).bind()
    except TypeError:
        raise TypeError(
            f"{handler.__name__} can't be made without arguments: decorate an instance, as in "
            f"serve.endpoint(rule)({handler.__name__}(...))"
        ) from None
