"""What the plain page says about each operation of a document."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ...content import JSON
from ..operation import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Schema = Mapping[str, Any]

_SAMPLES = {"string": "text", "integer": 0, "number": 0.0, "boolean": True, "null": None}


@dataclass(frozen=True, slots=True)
class Field:
    """A field or a parameter."""

    name: str
    type: str
    about: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation, with a curl line that tries it."""

    method: str
    path: str
    summary: str
    description: str
    fields: list[Field]
    answer: list[Field]
    curl: str


def entries_of(document: Schema, root: str) -> list[Entry]:
    """Return an entry for each operation.

    Args:
        document: An OpenAPI document.
        root: The URL that its paths are appended to.
    """
    reader = _Reader(document)
    return [
        reader.entry(method, path, item, root)
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


class _Reader:
    """Reads a document, its references included."""

    def __init__(self, document: Schema) -> None:
        self._schemas: Schema = document["components"]["schemas"]

    def entry(self, method: str, path: str, item: Schema, root: str) -> Entry:
        operation = item[method]
        parameters = operation.get("parameters", [])
        body = operation.get("requestBody", {}).get("content", {}).get(JSON)
        fields = [self._field(each["name"], each["schema"], each) for each in parameters]
        if body is not None:
            fields += self._members(body["schema"])
        answers = operation["responses"]["200"]["content"]
        return Entry(
            method=method.upper(),
            path=path,
            summary=operation.get("summary", ""),
            description=operation.get("description", ""),
            fields=fields,
            answer=list(self._members(next(iter(answers.values()))["schema"])),
            curl=self._curl(method, root.rstrip("/") + quote(path, safe="/{}%"), parameters, body),
        )

    def _members(self, schema: Schema) -> Iterator[Field]:
        target = self._target(schema)
        for name, member in target.get("properties", {}).items():
            yield self._field(name, member, {"required": name in target.get("required", ())})

    def _field(self, name: str, schema: Schema, holder: Schema) -> Field:
        about = [holder.get("description") or schema.get("description", "")]
        if holder.get("required"):
            about.insert(0, "required")
        if "default" in schema:
            about.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
        return Field(name, self._type(schema), "; ".join(filter(None, about)))

    def _type(self, schema: Schema) -> str:
        if "$ref" in schema:
            target = self._target(schema)
            if "enum" in target:
                return self._type(target)
            return str(schema["$ref"].rpartition("/")[2])
        if "enum" in schema:
            return " | ".join(map(str, schema["enum"]))
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return " | ".join(self._type(option) for option in schema[word])
        kind = schema.get("type", "any")
        if kind == "array":
            return f"array of {self._type(schema.get('items', {}))}"
        return " | ".join(kind) if isinstance(kind, list) else str(kind)

    def _target(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def _curl(self, method: str, url: str, parameters: list[Schema], body: Schema | None) -> str:
        query = []
        for each in parameters:
            value = each.get("example", self._sample(each["schema"]))
            if each["in"] == "path":
                url = url.replace(f"{{{each['name']}}}", quote(str(value)))
            elif each.get("required") or "example" in each:
                query.append((each["name"], _text(value)))
        if query:
            url += f"?{urlencode(query, doseq=True)}"
        words = ["curl"]
        if method not in {"get", "post"} or (method == "post" and body is None):
            words += ["-X", method.upper()]
        if body is not None:
            value = body["example"] if "example" in body else self._sample(body["schema"])
            words += ["-d", json.dumps(value, ensure_ascii=False)]
        return shlex.join([*words, url])

    def _sample(self, schema: Schema) -> Any:
        """Return a value that a schema may accept: only what it requires."""
        target = self._target(schema)
        if "default" in target:
            return target["default"]
        if "enum" in target:
            return target["enum"][0]
        for word in ("anyOf", "oneOf"):
            if word in target:
                return self._sample(target[word][0])
        kind = target.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "array":
            return [self._sample(target.get("items", {}))] * target.get("minItems", 1)
        if kind == "object":
            members = target.get("properties", {})
            return {name: self._sample(members[name]) for name in target.get("required", ())}
        return target.get("minimum", _SAMPLES.get(str(kind), "text"))


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value
