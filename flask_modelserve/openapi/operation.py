"""One endpoint under one method, as an Operation of OpenAPI."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..content import JSON, PROTOBUF, dumps
from ..parameters import returned
from ..schema import kind_of
from ..streaming import EVENTS, NDJSON
from .annotations import annotation_schema
from .classes import class_schema
from .docstring import Docstring
from .inputs import Input
from .paths import path_parameters
from .problems import problem_responses

if TYPE_CHECKING:
    from werkzeug.routing import Rule

    from ..spec import EndpointSpec
    from .components import Components, Schema

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_STREAMED = (
    "Items one by one, as they are made: lines of JSON, or server-sent events. Each is of this "
    "schema. After an error the last one is a problem document, as an event named `error`."
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one endpoint does for one method.

    Attributes:
        name: The endpoint's name, with those of its blueprints.
        spec: The endpoint, as declared.
        rule: The rule that leads to it.
        method: The HTTP method.
        components: Where named schemas are kept.
    """

    name: str
    spec: EndpointSpec
    rule: Rule
    method: str
    components: Components

    @property
    def id(self) -> str:
        """A name for generated clients to call the operation by."""
        name = self.name.replace(".", "_")
        return name if len(self.spec.methods) == 1 else f"{name}_{self.method.lower()}"

    @property
    def tag(self) -> str | None:
        """The endpoint's blueprint, by its full name."""
        return self.name.rpartition(".")[0] or None

    def describe(self) -> Schema:
        """Return the Operation object, its id left out."""
        docstring = Docstring.of(self.spec.handler)
        taken = Input(self.spec, self.rule.arguments, docstring, self.components)
        described: Schema = {}
        if self.tag is not None:
            described["tags"] = [self.tag]
        if docstring.summary:
            described["summary"] = docstring.summary
        # A schema class, which other endpoints may share, has words of its own for its fields.
        fields = "" if self.spec.schema is None else docstring.listed()
        text = "\n\n".join(filter(None, (docstring.description, fields, self._notes())))
        if text:
            described["description"] = text
        reads_query = self.method in {"GET", "HEAD"}
        # Of the operation, not the path: another endpoint there may have other converters.
        parameters = path_parameters(self.rule)
        if reads_query:
            parameters += self._with_examples(taken.query())
        if parameters:
            described["parameters"] = parameters
        if not (reads_query or taken.is_nothing):
            described["requestBody"] = self._body(taken)
        has_body = "requestBody" in described
        described["responses"] = {
            "200": self._answer(),
            **problem_responses(self.spec, has_body=has_body, has_url=bool(self.rule.arguments)),
        }
        return described

    def _notes(self) -> str:
        return "" if self.spec.version is None else f"Model version: {self.spec.version}"

    def _example(self) -> Any:
        return None if self.spec.example is None else orjson.loads(dumps(self.spec.example))

    def _with_examples(self, parameters: list[Schema]) -> list[Schema]:
        example = self._example()
        for parameter in parameters:
            value = example
            for part in parameter["name"].split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                parameter["example"] = value
        return parameters

    def _body(self, taken: Input) -> Schema:
        json: Schema = {"schema": taken.body()}
        if self.spec.example is not None:
            json["example"] = self._example()
        content = {JSON: json}
        if taken.is_binary:
            content[PROTOBUF] = _binary()
        return {"required": not taken.is_optional, "content": content}

    def _answer(self) -> Schema:
        spec = self.spec
        schema = self._answer_schema()
        headers = _answer_headers(spec)
        if spec.streams:
            content: Schema = {NDJSON: {"schema": schema}, EVENTS: {"schema": schema}}
            return {"description": _STREAMED} | headers | {"content": content}
        content = {JSON: {"schema": schema}}
        answered = spec.response_schema
        if answered is not None and kind_of(answered, "response_schema") == "protobuf":
            content[PROTOBUF] = _binary()
        return {"description": "The answer."} | headers | {"content": content}

    def _answer_schema(self) -> Schema:
        spec = self.spec
        if spec.response_schema is not None:
            return class_schema(spec.response_schema, self.components, "Output")
        annotation = returned(spec.function, in_columns=spec.batch is not None)
        if spec.streams:
            parts = typing.get_args(annotation)
            is_iterator = isinstance(typing.get_origin(annotation), type) and issubclass(
                typing.get_origin(annotation), Iterable
            )
            annotation = parts[0] if is_iterator and parts else Any
        return annotation_schema(annotation, self.components, "Output")


def _binary() -> Schema:
    # What tools know as a file, so that a page offers to upload one.
    return {"schema": {"type": "string", "format": "binary"}}


def _answer_headers(spec: EndpointSpec) -> Schema:
    headers: Schema = {}
    if spec.version is not None:
        headers["X-Model-Version"] = {
            "description": "The version of the model that answered.",
            "schema": {"type": "string"},
            "example": spec.version,
        }
    if spec.cache is not None:
        headers["Cache-Status"] = {
            "description": "Whether the answer was kept, and is kept (RFC 9211).",
            "schema": {"type": "string"},
        }
        headers["Age"] = {
            "description": "For how many seconds the answer has been kept.",
            "schema": {"type": "integer", "minimum": 0},
        }
    return {"headers": headers} if headers else {}
