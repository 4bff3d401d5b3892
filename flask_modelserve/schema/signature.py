"""Endpoints without a schema: the function's signature decides."""

from __future__ import annotations

import json
import math
import re
import types
import typing
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from ..content import PROTOBUF, refuse_depth
from ..errors import FieldError, InvalidRequest
from ..parameters import bare
from . import bounded
from .duplicates import refuse_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import MultiDict

    from ..parameters import Parameters
    from . import Arguments

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_MAX_EXACT = 2**53  # beyond it a float may stand for another integer than was sent
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def _integer(text: str) -> int:
    if not _NUMBER.fullmatch(text):  # Python's int() takes more: 1_000, and digits of all scripts
        raise ValueError
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not (_NUMBER.fullmatch(text) and math.isfinite(number)):
        raise ValueError
    return number


# For each annotation that is checked: what it is called, the types of JSON values that it takes,
# and what makes it of a query string's text.
_KINDS: dict[Any, tuple[str, frozenset[type], Callable[[str], Any] | None]] = {
    int: ("an integer of 64 bits", frozenset({int}), _integer),
    float: ("a number", frozenset({int, float}), _number),
    bool: ("true or false", frozenset({bool}), lambda text: _BOOLEANS[text.lower()]),
    str: ("a string", frozenset({str}), None),
    list: ("an array", frozenset({list}), None),
    dict: ("an object", frozenset({dict}), None),
}


class SignatureRequest:
    """The arguments are the members of a JSON object, as parsed, or of a query string."""

    binary = False

    def __init__(
        self,
        parameters: Parameters,
        ignore_unknown_fields: bool,
        loads: Callable[[bytes], Any],
    ) -> None:
        self._names = parameters.names.keys()
        self._drops_unknown = ignore_unknown_fields
        self._takes_all = parameters.takes_all
        self._loads = loads
        self._checks = {
            name: check
            for name, kind in parameters.names.items()
            if (check := _json_check(kind)) is not None
        }
        self._query = {name: _query_reader(kind) for name, kind in parameters.names.items()}

    def read_json(self, body: bytes) -> tuple[Arguments, Any]:
        value = self._loads(body)
        if type(value) is not dict:
            raise InvalidRequest(f"The body is {_json_type(value)}; send a JSON object.")
        refuse_depth(body, value)
        refuse_duplicates(body, value)
        value = self._known(value)
        if self._checks:
            self._refuse_wrong_types(value)
        return value, value

    def read_query(self, query: MultiDict[str, str]) -> tuple[Arguments, Any]:
        value = self._known(self.query_value(query))
        return value, value

    def query_value(self, query: MultiDict[str, str]) -> Any:
        errors: list[FieldError] = []
        value: dict[str, Any] = {}
        for name, texts in query.lists():
            try:
                value[name] = self._query.get(name, _one_text)(texts)
            except ValueError as error:
                errors.append({"field": name, "message": str(error)})
        if errors:
            raise InvalidRequest(
                "The query string does not fit the endpoint.", errors=bounded(errors)
            )
        return value

    def read_binary(self, body: bytes) -> NoReturn:
        raise NotImplementedError(f"an endpoint without a schema does not read {PROTOBUF}")

    def canonical(self, state: Any) -> bytes:
        try:
            return orjson.dumps(state, default=repr, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:  # an integer over 64 bits, out of a query string
            return json.dumps(state, default=repr, sort_keys=True).encode()

    def _refuse_wrong_types(self, value: Arguments) -> None:
        """Refuse JSON values that the parameters' annotations don't allow."""
        wrong = [
            name
            for name, (_, kinds) in self._checks.items()
            if name in value and type(value[name]) not in kinds and not self._mend(value, name)
        ]
        if wrong:
            raise InvalidRequest(
                "The request does not fit the endpoint.",
                errors=[
                    {
                        "field": name,
                        "message": f"must be {self._checks[name][0]}, "
                        f"not {_json_type(value[name])}",
                    }
                    for name in wrong
                ],
            )

    def _mend(self, value: Arguments, name: str) -> bool:
        """Make an integer of a number such as 1.0, which JSON Schema calls an integer too."""
        number = value[name]
        if int not in self._checks[name][1] or type(number) is not float:
            return False
        if not (number.is_integer() and abs(number) <= _MAX_EXACT):
            return False
        value[name] = int(number)
        return True

    def _known(self, value: Arguments) -> Arguments:
        """Refuse or drop what the function has no parameter for."""
        if self._takes_all or value.keys() <= self._names:
            return value
        if self._drops_unknown:
            return {name: item for name, item in value.items() if name in self._names}
        raise InvalidRequest(
            "The request has fields that the endpoint does not take.",
            errors=bounded(
                {"field": name, "message": "is not an argument of this endpoint"}
                for name in value
                if name not in self._names
            ),
        )


class AnyResponse:
    """Any answer that JSON can hold."""

    binary = False

    def __init__(self, dumps: Callable[[Any], bytes]) -> None:
        self.write_json = dumps

    def write_binary(self, answer: Any) -> NoReturn:
        raise NotImplementedError(f"an endpoint without a response_schema writes no {PROTOBUF}")


def _json_type(value: Any) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number" if type(value) is int else "a fraction")


def _one_text(texts: list[str]) -> str:
    if len(texts) > 1:
        raise ValueError(f"is given {len(texts)} times")
    return texts[0]


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows: the members of a union, or itself."""
    annotation = bare(annotation)
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return tuple(map(bare, typing.get_args(annotation)))
    return (annotation,)


def _json_check(annotation: Any) -> tuple[str, frozenset[type]] | None:
    """Return what an annotation is called, and the types of JSON values that it allows.

    ``int``, ``float``, ``bool``, ``str``, ``list`` and ``dict``, the latter two with their own
    elements unchecked, and unions of them; all else is not checked: None.
    """
    names = []
    allowed: set[type] = set()
    for member in _members(annotation):
        if member is type(None):
            allowed.add(member)
            continue
        kind = _KINDS.get(typing.get_origin(member) or member)
        if kind is None:
            return None
        names.append(kind[0])
        allowed |= kind[1]
    return " or ".join(names), frozenset(allowed)


def query_kind(annotation: Any) -> tuple[Any, bool]:
    """Return what a query parameter's texts are to be, and whether there may be several.

    ``int``, ``float`` and ``bool``, optional or in a ``list``, are converted; all else is text.
    """
    members = [kind for kind in _members(annotation) if kind is not type(None)]
    kind = members[0] if len(members) == 1 else Any
    if kind is list or typing.get_origin(kind) is list:
        return bare(next(iter(typing.get_args(kind)), str)), True
    return kind, False


def _query_reader(annotation: Any) -> Callable[[list[str]], Any]:
    """Return what turns the texts of one query parameter into the annotated type."""
    kind, is_list = query_kind(annotation)
    if is_list:
        return lambda texts: [_convert(kind, text) for text in texts]
    return lambda texts: _convert(kind, _one_text(texts))


def _convert(kind: Any, text: str) -> Any:
    expected, _, convert = _KINDS.get(kind, _KINDS[str])
    if convert is None:
        return text
    try:
        return convert(text)
    except (ValueError, KeyError):
        raise ValueError(f"must be {expected}") from None
