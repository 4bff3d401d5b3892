"""Components: the named schemas of one document.

What a client may send and what it gets of one class can differ (an optional field with a default
is always in the answer, a 64-bit integer may be sent as a number), so each schema is of a
``Mode``. Where both turn out the same, the document shows one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from ..nested import texts_under, with_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Schema = dict[str, Any]

Mode = Literal["Input", "Output"]

_PLACE = "#/components/schemas/"
# OpenAPI allows a hyphen too, which here stands before the mode.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._]")


class Components:
    """Collects schemas under unique names; ``resolve`` gives them their final ones.

    Args:
        fixed: Schemas of the document's own, whose names no others get.
    """

    def __init__(self, fixed: dict[str, Schema]) -> None:
        self._fixed = fixed
        self._names: dict[tuple[Mode, Hashable], str] = {}
        self._schemas: dict[str, Schema] = {}
        self._bases: dict[str, str] = {}

    def reference(
        self, name: str, mode: Mode, identity: Hashable, make: Callable[[], Schema]
    ) -> Schema:
        """Return a reference to a schema, which is made at the first one.

        Args:
            name: What to call it; a number is added where that name is another schema's.
            mode: Whether it is of what clients send, or of what they get.
            identity: What is equal for equal schemas.
            make: Makes the schema, which may refer to itself.
        """
        key = mode, identity
        if key not in self._names:
            unique, base = self._free_name(_NOT_IN_NAMES.sub("_", name), mode)
            self._names[key] = unique
            self._bases[unique] = base
            self._schemas[unique] = {}
            self._schemas[unique] = make()
        return {"$ref": _PLACE + self._names[key]}

    def schema(self, described: Schema) -> Schema:
        """Return the schema that another one refers to, or itself."""
        if "$ref" not in described:
            return described
        return self._schemas[described["$ref"].removeprefix(_PLACE)]

    def resolve(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a document with its references under their final names, and all schemas."""
        names = self._final_names()
        schemas = {names[name]: schema for name, schema in self._schemas.items()}
        components = {"schemas": self._fixed | dict(sorted(schemas.items()))}
        resolved: dict[str, Any] = _renamed(document | {"components": components}, names)
        return resolved

    def _free_name(self, base: str, mode: Mode) -> tuple[str, str]:
        number, numbered = 1, base
        while numbered in self._fixed or f"{numbered}-{mode}" in self._schemas:
            number += 1
            numbered = f"{base}{number}"
        return f"{numbered}-{mode}", numbered

    def _final_names(self) -> dict[str, str]:
        """Return each name without its mode, unless both modes exist and differ."""
        apart = self._bases_apart()
        return {name: name if base in apart else base for name, base in self._bases.items()}

    def _bases_apart(self) -> set[str]:
        modes: dict[str, list[Schema]] = {}
        for name, base in self._bases.items():
            modes.setdefault(base, []).append(_renamed(self._schemas[name], self._bases))
        both = {base: schemas for base, schemas in modes.items() if len(schemas) > 1}
        apart = {base for base, (one, other) in both.items() if one != other}
        while True:  # what refers to a schema of two forms has two forms itself
            more = {
                base
                for base in both.keys() - apart
                if not apart.isdisjoint(_references(both[base][0]))
            }
            if not more:
                return apart
            apart |= more


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """Return a value with its references renamed, those in a discriminator's mapping included."""

    def rename(text: str) -> str:
        if not text.startswith(_PLACE):
            return text
        name = text.removeprefix(_PLACE)
        return _PLACE + names.get(name, name)

    return with_texts(value, rename)


def _references(value: Any) -> set[str]:
    return {reference.removeprefix(_PLACE) for reference in texts_under(value, "$ref")}
