"""What an endpoint takes: the schema of its body, and the parameters of its query string."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..content import dumps
from ..parameters import Parameters
from ..schema import kind_of
from ..schema.signature import query_kind
from .annotations import annotation_schema
from .classes import class_schema

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..spec import EndpointSpec
    from .components import Components, Mode, Schema
    from .docstring import Docstring

_KINDS: dict[str, set[type]] = {
    "string": {str},
    "integer": {int},
    "number": {int, float},
    "boolean": {bool},
    "array": {list},
    "object": {dict},
}


@dataclass(frozen=True, slots=True)
class Input:
    """The input of one endpoint.

    Attributes:
        spec: The endpoint, as declared.
        url: The names of the arguments that its URL gives.
        docstring: What its function says about its parameters.
        components: Where named schemas are kept.
    """

    spec: EndpointSpec
    url: Collection[str]
    docstring: Docstring
    components: Components

    @property
    def is_binary(self) -> bool:
        """Whether protobuf is read too."""
        schema = self.spec.schema
        return schema is not None and kind_of(schema, "schema") == "protobuf"

    @property
    def is_optional(self) -> bool:
        """Whether an empty body will do: the function names nothing that the URL does not have."""
        return self.spec.schema is None and self._parameters().names.keys() <= {*self.url}

    @property
    def is_nothing(self) -> bool:
        """Whether a body has nothing to say."""
        return self.is_optional and not self._parameters().takes_all

    def body(self) -> Schema:
        """Return the schema of the JSON body: of a batched endpoint, that of one row."""
        spec, parameters = self.spec, self._parameters()
        required = [name for name in parameters.names if name in parameters.required - {*self.url}]
        if spec.schema is None:
            return self._members(parameters, required)
        return class_schema(
            spec.schema,
            self.components,
            "Input",
            required,
            ignore_unknown_fields=spec.ignore_unknown_fields,
        )

    def query(self) -> list[Schema]:
        """Return the parameters of the query string."""
        if self.is_binary:
            from ..schema.messages import message_type
            from .messages import query_schemas

            message = message_type(self.spec.schema).type.desc()
            required = self._parameters().required
            return [
                _query_parameter(path, schema, required=needed or name in required)
                for name, path, schema, needed in query_schemas(message, self.components)
                if name not in self.url
            ]
        body = self.components.schema(self.body())
        if self.spec.schema is None:
            body["properties"] = self._text_properties()
        required = body.get("required", ())
        return [
            _query_parameter(name, schema, required=name in required)
            for name, schema in body.get("properties", {}).items()
            if name not in self.url and not self._is_object(schema)
        ]

    def _parameters(self) -> Parameters:
        spec = self.spec
        return Parameters.of(spec.function, spec.schema, in_columns=spec.batch is not None)

    def _members(self, parameters: Parameters, required: list[str]) -> Schema:
        schema: Schema = {"type": "object"}
        schema["properties"] = {
            name: self._member(parameters, name)
            for name in parameters.names
            if name not in self.url
        }
        if required:
            schema["required"] = required
        takes_more = parameters.takes_all or self.spec.ignore_unknown_fields
        return schema | ({} if takes_more else {"additionalProperties": False})

    def _member(self, parameters: Parameters, name: str, mode: Mode = "Input") -> Schema:
        schema = annotation_schema(parameters.names[name], self.components, mode)
        return self._explained(parameters, name, schema)

    def _explained(self, parameters: Parameters, name: str, schema: Schema) -> Schema:
        """Return a parameter's schema with what the docstring says of it, and its default."""
        about = self.docstring.parameters.get(name)
        if about:
            schema = schema | {"description": about}
        return schema | _default(parameters, name, schema)

    def _text_properties(self) -> dict[str, Schema]:
        """Return the schemas of parameters that are read from a query string's texts.

        Only ``int``, ``float`` and ``bool`` are converted, optional or in a list.
        """
        parameters = self._parameters()
        return {
            name: self._member(parameters, name, "Output")  # integers of any size
            if query_kind(kind)[0] in (int, float, bool, str)
            else self._explained(parameters, name, {"type": "string"})
            for name, kind in parameters.names.items()
        }

    def _is_object(self, schema: Schema) -> bool:
        target = self.components.schema(schema)
        return target.get("type") == "object" or "properties" in target


def _query_parameter(name: str, schema: Schema, *, required: bool) -> Schema:
    parameter: Schema = {"name": name, "in": "query"}
    if required:
        parameter["required"] = True
    if "description" in schema and "$ref" not in schema:
        schema = dict(schema)
        parameter["description"] = schema.pop("description")
    return parameter | {"schema": _without_null(schema)}


def _without_null(schema: Schema) -> Schema:
    """Leave out a null that a query string can't say."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) != 1:
        return schema
    rest = {key: item for key, item in schema.items() if key != "anyOf"}
    return {**options[0], **{key: item for key, item in rest.items() if item is not None}}


def _default(parameters: Parameters, name: str, schema: Schema) -> Schema:
    default = parameters.defaults.get(name, inspect.Parameter.empty)
    if default is inspect.Parameter.empty or default is None:
        return {}  # None says that it may be left out, which "required" says already
    try:
        value = orjson.loads(dumps(default))
    except Exception:  # whatever writing an object of the user's may raise
        return {}
    return {"default": value} if _fits(value, schema) else {}


def _fits(value: Any, schema: Schema) -> bool:
    """Tell whether a default is of its schema's type, which nothing makes a function's be."""
    if "anyOf" in schema:
        return any(_fits(value, option) for option in schema["anyOf"])
    if "enum" in schema:
        options: list[Any] = schema["enum"]
        return value in options
    kinds = _KINDS.get(schema.get("type", ""))
    return kinds is None or type(value) in kinds
