"""/__openapi.json: what it says of each kind of endpoint, and whether the endpoints keep it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import subprocess
import sys
import typing
import uuid  # noqa: TC003 - so is that
from collections.abc import Iterator  # noqa: TC003 - an endpoint's annotation is evaluated
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

import numpy as np
import pytest
import schemathesis
from flask import Blueprint, Flask
from google.protobuf import struct_pb2
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from openapi_spec_validator import validate
from pydantic import BaseModel, ConfigDict, Field
from schemathesis.specs.openapi.checks import negative_data_rejection

from flask_modelserve import Batch, ModelServe

from .protos import buf_validate, every_pb, every_pb2, legacy_pb2, modern_pb2

buf_validate.install()
from .protos import ruled_pb2  # noqa: E402 - imports buf.validate

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def document_of(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/__openapi.json")
    assert answer.status_code == 200, answer.text
    validate(answer.json)
    return answer.json


def operation_of(app: Flask, path: str, method: str = "post") -> dict[str, Any]:
    return document_of(app)["paths"][path][method]


def schema_of(app: Flask, name: str) -> dict[str, Any]:
    return document_of(app)["components"]["schemas"][name]


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    return operation["requestBody"]["content"][JSON]["schema"]


def answer_of(operation: dict[str, Any]) -> dict[str, Any]:
    return operation["responses"]["200"]["content"][JSON]["schema"]


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_an_app_without_endpoints_has_a_document(app, serve):
    """The document is valid from the first moment on, and says what it is of."""
    document = document_of(app)
    assert document["openapi"] == "3.1.1"
    assert document["info"] == {"title": app.name, "version": "1"}
    assert document["paths"] == {}


def test_the_document_is_sent_once(app, serve, client):
    """It has an ETag, and 304 answers a request that brings it."""
    first = client.get("/__openapi.json")
    again = client.get("/__openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, first.mimetype) == (200, JSON)
    assert (again.status_code, again.data) == (304, b"")


def test_the_path_can_be_moved_and_switched_off():
    """The path is configurable, and None switches the route off."""
    for path, status in ((None, 404), ("/api/v1/openapi.json", 404)):
        app = Flask(__name__)
        app.config["MODELSERVE_OPENAPI_PATH"] = path
        ModelServe(app)
        assert app.test_client().get("/__openapi.json").status_code == status
    document = app.test_client().get("/api/v1/openapi.json").json
    assert document["servers"] == [{"url": "../.."}]


def test_the_app_says_what_its_service_is_called():
    """MODELSERVE_OPENAPI_INFO is the document's info; the model's version is the default."""
    app = Flask(__name__)
    app.config["MODELSERVE_OPENAPI_INFO"] = {"title": "Rents", "description": "What flats cost."}

    @ModelServe(app).endpoint("/rent", version="2024-06")
    def rent():
        return 1

    info = {"title": "Rents", "description": "What flats cost.", "version": "2024-06"}
    assert document_of(app)["info"] == info


def test_two_apps_have_two_documents():
    """Each app's document shows its own endpoints only."""
    serves = [ModelServe(), ModelServe()]
    serves[0].endpoint("/one")(lambda_named("one"))
    serves[1].endpoint("/two")(lambda_named("two"))
    documents = []
    for serve in serves:
        app = Flask(__name__)
        serve.init_app(app)
        documents.append(document_of(app))
    assert [list(document["paths"]) for document in documents] == [["/one"], ["/two"]]


def lambda_named(name: str):
    def function():
        return name

    function.__name__ = name
    return function


def test_nothing_of_it_is_imported_before_it_is_asked_for():
    """An app that nobody asks for its document starts as fast as without one."""
    source = """
import sys
from flask import Flask
from flask_modelserve import ModelServe
app = Flask("quick")

@ModelServe(app).endpoint("/")
def double(number: int):
    return 2 * number

assert not [name for name in sys.modules if name.startswith("flask_modelserve.openapi")]
assert app.test_client().get("/__openapi.json").status_code == 200
assert "flask_modelserve.openapi.document" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", source], check=True, timeout=60)


def test_the_signature_is_described(app, serve):
    """Without a schema: annotations, defaults, what is required, and the docstring's words."""

    @serve.endpoint("/rent", example={"square_metres": 70, "rooms": 3})
    def rent(
        square_metres: float,
        rooms: int = 1,
        *,
        kind: Literal["flat", "house"] = "flat",
        tags: list[str] = [],  # noqa: B006 - never changed
        district: str | None = None,
        anything=None,
    ) -> dict[str, float]:
        """Tell what a flat costs a month.

        The figures are from 2024,
        and from Berlin.

        Args:
            square_metres: How large it is,
                within the walls.
            rooms: How many rooms it has: more than **none**.

        Returns:
            The rent.
        """
        return {"rent": 1.0}

    operation = operation_of(app, "/rent")
    assert operation["operationId"] == "rent"
    assert operation["summary"] == "Tell what a flat costs a month."
    assert operation["description"] == "The figures are from 2024,\nand from Berlin."
    assert operation["requestBody"]["required"] is True
    assert operation["requestBody"]["content"].keys() == {JSON}
    example = operation["requestBody"]["content"][JSON]["example"]
    assert example == {"square_metres": 70, "rooms": 3}
    body = body_of(operation)
    assert body.pop("properties") == {
        "square_metres": {
            "type": "number",
            "description": "How large it is, within the walls.",
        },
        "rooms": {
            "type": "integer",
            "minimum": -(2**63),
            "maximum": 2**64 - 1,
            "default": 1,
            "description": "How many rooms it has: more than **none**.",
        },
        "kind": {"enum": ["flat", "house"], "default": "flat"},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "district": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "anything": {},
    }
    assert body == {
        "type": "object",
        "required": ["square_metres"],
        "additionalProperties": False,
    }
    assert answer_of(operation) == {
        "type": "object",
        "additionalProperties": {"type": "number"},
    }


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Place(TypedDict):
    """Somewhere."""

    name: str
    height: NotRequired[float]
    parts: list[Place]


@dataclasses.dataclass
class Weather:
    at: dt.datetime
    where: Place
    mood: Mood
    station: uuid.UUID
    wind: tuple[float, float]


class Scored(BaseModel):
    score: int


class Undescribable(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    it: np.ndarray


def returning(annotation: Any):
    def function():
        return None

    function.__annotations__["return"] = annotation
    return function


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Place, ref("Place")),
        (Weather, ref("Weather")),
        (Scored, ref("Scored")),
        (every_pb2.Stowaway, ref("modelserve.tests.Stowaway")),
        (dt.timedelta, {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"}),
        (Annotated[str, "Two letters."], {"type": "string", "description": "Two letters."}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object"}),
        (Any, {}),
        (int | Any, {}),
        ("NotThere", {}),
        pytest.param(object(), {}, id="no type"),
        (None, {"type": "null"}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Literal[b"bytes"], {}),
        (NDArray[np.float64], {}),
        (Undescribable, ref("Undescribable")),
    ],
    ids=repr,
)
def test_what_a_function_returns_is_described(app, serve, annotation, expected):
    """Without a response schema the annotation of the answer is what clients can count on."""
    serve.endpoint("/it")(returning(annotation))
    assert answer_of(operation_of(app, "/it")) == expected


def test_classes_within_annotations_are_described_once(app, serve):
    """TypedDicts and dataclasses, each named, may hold one another and themselves."""
    serve.endpoint("/it")(returning(Weather))
    schemas = document_of(app)["components"]["schemas"]
    assert schemas["Weather"]["required"] == ["at", "where", "mood", "station", "wind"]
    assert schemas["Weather"]["properties"] == {
        "at": {"type": "string", "format": "date-time"},
        "where": ref("Place"),
        "mood": {"enum": ["good", "bad"]},
        "station": {"type": "string", "format": "uuid"},
        "wind": {
            "type": "array",
            "prefixItems": [{"type": "number"}, {"type": "number"}],
            "minItems": 2,
            "maxItems": 2,
        },
    }
    assert schemas["Place"]["description"] == "Somewhere."
    assert schemas["Place"]["required"] == ["name", "parts"]
    assert schemas["Place"]["properties"]["parts"] == {"type": "array", "items": ref("Place")}


def test_messages_are_described_by_their_descriptors(app, serve):
    """Each kind of field has its ProtoJSON form; what is sent and what comes back may differ."""

    @serve.endpoint("/every", schema=every_pb2.Every, response_schema=every_pb2.Every)
    def every(a_string):
        return {}

    operation = operation_of(app, "/every")
    name = "modelserve.tests.Every"
    assert body_of(operation) == ref(f"{name}-Input")
    assert answer_of(operation) == ref(f"{name}-Output")
    for content in (operation["requestBody"], operation["responses"]["200"]):
        assert content["content"].keys() == {JSON, PROTOBUF}
    schemas = document_of(app)["components"]["schemas"]
    sent = schemas[f"{name}-Input"]["properties"]
    answered = schemas[f"{name}-Output"]["properties"]
    assert len(sent) == len(every_pb2.Every.DESCRIPTOR.fields)
    assert schemas[f"{name}-Input"]["required"] == ["aString"]
    assert "required" not in schemas[f"{name}-Output"]
    int32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert sent["anInt32"] == sent["int32Value"] == int32
    assert sent["@id"] == int32
    wide = {"format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert sent["anInt64"] == {"type": ["integer", "string"], **wide}
    assert answered["anInt64"] == {"type": "string", "format": "int64"}
    assert sent["aBytes"] == {"type": "string", "format": "byte", "contentEncoding": "base64"}
    assert sent["aColor"] == ref("modelserve.tests.Every.Color")
    assert sent["manyEvery"] == {"type": "array", "items": ref(f"{name}2")}
    assert sent["everyByInt32"] == {
        "type": "object",
        "additionalProperties": ref(f"{name}2"),
        "propertyNames": {"type": "string", "format": "int32"},
    }
    assert sent["aTimestamp"] == {"type": "string", "format": "date-time"}
    assert sent["aStruct"] == {"type": "object"}
    assert sent["aValue"] == {}
    assert sent["aNull"] == {"type": "null"}
    colors = ["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"]
    assert schemas["modelserve.tests.Every.Color"] == {"type": "string", "enum": colors}
    rivals = schemas[f"{name}-Input"]["not"]["anyOf"]
    assert {"required": ["choiceInt32", "choiceString"]} in rivals
    assert len(rivals) == 8 * 7 / 2


def test_a_message_that_is_the_same_both_ways_is_one_schema(app, serve):
    """Requests and answers of one form share a name without a suffix."""

    @serve.endpoint("/echo", schema=modern_pb2.Modern.Part, response_schema=modern_pb2.Modern.Part)
    def echo(score=0):
        return {"score": score}

    name = "modelserve.tests.Modern.Part"
    operation = operation_of(app, "/echo")
    assert body_of(operation) == answer_of(operation) == ref(name)


@pytest.mark.parametrize("paths", [("/open", "/closed"), ("/closed", "/open"), ("/open",)])
def test_unknown_fields_of_messages(app, serve, client, paths):
    """They are forbidden where the endpoint refuses them, in nested messages too, and only there.

    Endpoints of either kind may share a class, and no answer has such fields.
    """

    def echo(**fields):
        return fields

    for path in paths:
        serve.endpoint(
            path,
            endpoint=path[1:],
            schema=every_pb2.Every,
            response_schema=every_pb2.Every,
            ignore_unknown_fields=path == "/open",
        )(echo)
    document = document_of(app)
    unknown = {"new": [{"er": 1}]}
    bodies = [
        {"anInt32": 1},
        unknown,
        {"anEvery": unknown},
        {"manyEvery": [{}, {"anEvery": unknown}]},
        {"everyByInt32": {"1": unknown}},
    ]
    for path in paths:
        operation = document["paths"][path]["post"]
        sent, answered = (
            Draft202012Validator({**schema, "components": document["components"]})
            for schema in (body_of(operation), answer_of(operation))
        )
        accepted = [client.post(path, json=body).status_code == 200 for body in bodies]
        assert accepted == [True] + [path == "/open"] * 4
        assert [sent.is_valid(body) for body in bodies] == accepted
        assert [answered.is_valid(body) for body in bodies] == [True] + [False] * 4


def test_comments_of_the_proto_are_descriptions(app, serve):
    """Comments are shown where the class has them, as those of protoc-gen-py do."""

    @serve.endpoint("/stowaway", schema=every_pb.Stowaway)
    def stowaway(name=""):
        return name

    shown = schema_of(app, "modelserve.tests.Stowaway")["description"]
    assert shown == "No other message refers to it: only an Any may hold it."


def test_a_docstring_speaks_for_a_message_without_comments(app, serve):
    """What a function's docstring says of its parameters is told where the schema is shared."""

    @serve.endpoint("/order", schema=ruled_pb2.Order, version="2")
    def order(email, low=0):
        """Order something.

        Args:
            email: Who orders it.
            low: How much at least.
        """
        return email

    shown = operation_of(app, "/order")["description"]
    assert shown == "* `email`: Who orders it.\n* `low`: How much at least.\n\nModel version: 2"


def test_comments_of_a_descriptor_with_source_info_are_descriptions(app, serve, tmp_path):
    """Messages, fields and enum values of a descriptor set made with its comments."""
    from grpc_tools import protoc
    from protobuf.wkt import FileDescriptorSet

    (tmp_path / "box.proto").write_text("""
        syntax = "proto3";
        // What a box is.
        message Box {
          // How wide.
          int32 width = 1 [deprecated = true]; // In metres.
          Colour colour = 2;
        }
        enum Colour {
          // Like snow.
          WHITE = 0;
        }
        """)
    made = tmp_path / "box.bin"
    arguments = [f"-I{tmp_path}", f"--descriptor_set_out={made}", "--include_source_info"]
    assert protoc.main(["protoc", *arguments, str(tmp_path / "box.proto")]) == 0
    box = FileDescriptorSet.from_binary(made.read_bytes()).to_registry().message("Box").type

    @serve.endpoint("/box", schema=box)
    def boxed(width=0):
        return width

    schema = schema_of(app, "Box")
    assert schema["description"] == "What a box is."
    assert schema["properties"]["width"]["description"] == "How wide.\n\nIn metres."
    assert schema["properties"]["width"]["deprecated"] is True
    assert schema_of(app, "Colour")["description"] == "* `WHITE`: Like snow."


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (typing.List, {"type": "array", "items": {}}),  # noqa: UP006 - what older code says
        (typing.Dict, {"type": "object"}),  # noqa: UP006
        (typing.Tuple, {"type": "array", "items": {}}),  # noqa: UP006
        (typing.Sequence, {}),
        (tuple[()], {"type": "array", "minItems": 0, "maxItems": 0}),
    ],
)
def test_containers_of_anything(app, serve, client, annotation, schema):
    """A container that does not say of what is one of anything, in all spellings."""

    def function(value):
        return value

    function.__annotations__ = {"value": annotation, "return": annotation}
    serve.endpoint("/")(function)
    serve.endpoint("/query", methods=["GET"], endpoint="query")(function)
    operation = operation_of(app, "/")
    assert body_of(operation)["properties"]["value"] == schema
    assert answer_of(operation) == schema


def test_columns_of_anything(app, serve, client):
    """A batched function may leave out of what its columns are."""

    @serve.endpoint("/", batch=4)
    def function(value: typing.List) -> typing.List:  # noqa: UP006 - what older code says
        return value

    assert client.post("/", json={"value": "a"}).json == "a"
    operation = operation_of(app, "/")
    assert (body_of(operation)["properties"]["value"], answer_of(operation)) == ({}, {})


@dataclasses.dataclass
class Flat:
    rooms: int
    _rent: float = 0.0
    city: ClassVar[str] = "Berlin"
    area: dataclasses.InitVar[int] = 1


def test_members_of_a_dataclass_are_those_that_are_written(app, serve, client):
    """What is no field, or private, is not in the answer and not in its schema."""

    @serve.endpoint("/")
    def function() -> Flat:
        return Flat(app.config.get("HUGE", 2))

    described = schema_of(app, "Flat")
    assert (described["properties"].keys(), described["required"]) == ({"rooms"}, ["rooms"])
    assert client.post("/").json == {"rooms": 2}
    app.config["HUGE"] = 2**70
    assert client.post("/").json == {"rooms": 2**70}


def test_an_empty_any(app, serve, client):
    """An Any that holds nothing has no type, neither in the answer nor in its schema."""

    @serve.endpoint("/every", schema=every_pb2.Every, response_schema=every_pb2.Every)
    def every(**fields):
        return fields

    assert client.post("/every", json={"anAny": {}}).json == {"anAny": {}}
    schemas = document_of(app)["components"]["schemas"]
    sent, answered = (schemas[f"modelserve.tests.Every-{it}"] for it in ("Input", "Output"))
    assert sent["properties"]["anAny"]["required"] == ["@type"]
    assert "required" not in answered["properties"]["anAny"]


def test_docstrings_of_two_spaces(app, serve):
    """Google's own two spaces are read as four are, lines that go on included."""

    @serve.endpoint("/")
    def function(a, b):
        """Do it.

        Args:
          a: The first
            of both: it goes on.
          b: The second.
        """
        return a + b

    properties = body_of(operation_of(app, "/"))["properties"]
    assert {name: it["description"] for name, it in properties.items()} == {
        "a": "The first of both: it goes on.",
        "b": "The second.",
    }


def test_rules_of_the_proto_are_in_the_schema(app, serve):
    """What buf.validate enforces is said, as far as JSON Schema has a word for it."""

    @serve.endpoint("/order", schema=ruled_pb2.Order)
    def order(email):
        return email

    order_schema = schema_of(app, "modelserve.tests.Order")
    properties = order_schema["properties"]
    assert properties["email"] == {"type": "string", "format": "email"}
    assert properties["lines"]["minItems"] == 1
    assert properties["limits"]["additionalProperties"]["minimum"] == 0
    budget = properties["budget"]
    assert (budget["minimum"], budget["exclusiveMaximum"]) == (0, 1_000_000)
    assert order_schema["required"] == ["email", "lines"]
    line = schema_of(app, "modelserve.tests.Order.Line")
    assert line["properties"]["sku"] == {"type": "string", "pattern": "^[A-Z]{3}$"}
    quantity = line["properties"]["quantity"]
    assert (quantity["exclusiveMinimum"], quantity["maximum"]) == (0, 10)
    assert line["required"] == ["sku", "quantity"]


def test_rules_of_one_path_have_parameters_of_their_own(app, serve):
    """Two endpoints at one path may read its arguments by converters of their own."""
    serve.endpoint("/flats/<int:number>", methods=["GET"], endpoint="get")(lambda number: number)
    serve.endpoint("/flats/<uuid:number>", endpoint="post")(lambda number: number)
    item = document_of(app)["paths"]["/flats/{number}"]
    kinds = [item[method]["parameters"][0]["schema"]["type"] for method in ("get", "post")]
    assert kinds == ["integer", "string"]


def test_braces_in_a_rule(app, serve, client):
    """What stands for itself in a rule is no parameter of the path."""
    serve.endpoint("/{all}/100%/<name>", endpoint="all")(lambda name: name)
    [path] = document_of(app)["paths"]
    assert path == "/%7Ball%7D/100%25/{name}"
    assert client.post(path.format(name="a"), json={}).json == "a"


def test_models_are_described_by_themselves(app, serve):
    """Pydantic's own schema is shown, its definitions among all others, closed as the endpoint."""

    class Line(BaseModel):
        sku: str = Field(description="Of the catalogue.")

    class Order(BaseModel):
        lines: list[Line]
        note: str = ""
        number: int = Field(1, alias="orderNumber", ge=1)

    @serve.endpoint("/order", schema=Order, response_schema=Order)
    def order(lines, number, note=""):
        return {"lines": lines, "orderNumber": number}

    schemas = document_of(app)["components"]["schemas"]
    sent, answered = schemas["Order-Input"], schemas["Order-Output"]
    assert sent["required"] == ["lines", "orderNumber"]  # the function can't do without
    assert sent["properties"]["lines"]["items"] == ref("Line-Input")
    assert sent["properties"]["orderNumber"]["minimum"] == 1
    assert sent["additionalProperties"] is False
    assert schemas["Line-Input"]["additionalProperties"] is False
    assert schemas["Line-Input"]["properties"]["sku"]["description"] == "Of the catalogue."
    assert "additionalProperties" not in answered


def test_classes_of_one_name_are_told_apart(app, serve):
    """Two endpoints' classes may be called the same, and even like a schema of ours."""

    def problem_of(kind: type) -> type[BaseModel]:
        class Inner(BaseModel):
            value: kind

        class Problem(BaseModel):
            inner: Inner

        return Problem

    for number, kind in enumerate((int, str, str)):
        serve.endpoint(f"/{number}", schema=problem_of(kind), endpoint=f"_{number}")(
            lambda_with_inner()
        )
    document = document_of(app)
    bodies = [body_of(item["post"]) for item in document["paths"].values()]
    assert bodies == [ref("Problem2"), ref("Problem3"), ref("Problem3")]
    schemas = document["components"]["schemas"]
    kinds = []
    for body in bodies:
        [inner] = schemas[body["$ref"].rpartition("/")[2]]["properties"].values()
        kinds.append(schemas[inner["$ref"].rpartition("/")[2]]["properties"]["value"]["type"])
    assert kinds == ["integer", "string", "string"]
    assert schemas["Problem"]["required"] == ["type", "title", "status"]


def lambda_with_inner():
    def function(inner):
        return None

    return function


def test_a_model_may_hold_itself_and_choose_by_a_discriminator(app, serve):
    """References of recursive and of discriminated models lead to where the schemas are."""

    class Cat(BaseModel):
        kind: Literal["cat"]

    class Tree(BaseModel):
        kind: Literal["tree"]
        within: list[Tree] = []
        pet: Annotated[Cat | Tree, Field(discriminator="kind")]

    Tree.model_rebuild(_types_namespace={"Tree": Tree, "Cat": Cat})

    @serve.endpoint("/tree", schema=Tree)
    def tree(pet):
        return None

    body = body_of(operation_of(app, "/tree"))
    schemas = document_of(app)["components"]["schemas"]
    properties = schemas[body["$ref"].rpartition("/")[2]]["properties"]
    mapping = properties["pet"]["discriminator"]["mapping"]
    assert mapping.keys() == {"cat", "tree"}
    targets = [*mapping.values(), properties["within"]["items"]["$ref"]]
    assert all(target.rpartition("/")[2] in schemas for target in targets)


def test_url_arguments_are_path_parameters(app, serve):
    """Rules are shown with their blueprint's prefix, and converters as types."""
    api = Blueprint("api", __name__, url_prefix="/api")
    inner = Blueprint("inner", __name__)

    @serve.endpoint(
        "/<int(min=3, max=9):number>/<float:ratio>/<any(red, 'dark blue'):color>/<uuid:id>"
        "/<string(length=2):language>/<path:rest>",
        methods=["GET", "POST"],
        blueprint=inner,
    )
    def where(number: int, text: str, **url):
        return None

    api.register_blueprint(inner, url_prefix="/v<version>")
    app.register_blueprint(api)
    document = document_of(app)
    [(path, item)] = document["paths"].items()
    assert path == "/api/v{version}/{number}/{ratio}/{color}/{id}/{language}/{rest}"
    shown = {parameter["name"]: parameter["schema"] for parameter in item["post"]["parameters"]}
    assert shown["number"] == {"type": "integer", "minimum": 3, "maximum": 9}
    assert shown["ratio"]["type"] == "number"
    assert shown["color"] == {"type": "string", "enum": ["dark blue", "red"]}
    assert shown["id"] == {"type": "string", "format": "uuid"}
    assert shown["language"] == {"type": "string", "minLength": 2, "maxLength": 2}
    assert shown["rest"] == {"type": "string", "minLength": 1}
    assert document["tags"] == [{"name": "api.inner"}]
    for method in ("get", "post"):
        assert item[method]["tags"] == ["api.inner"]
        assert item[method]["operationId"] == f"api_inner_where_{method}"
        assert "404" in item[method]["responses"]
    assert body_of(item["post"])["properties"].keys() == {"text"}
    assert [parameter["name"] for parameter in item["get"]["parameters"]] == [*shown, "text"]


def test_get_endpoints_have_query_parameters(app, serve):
    """With GET the fields are parameters, also those of messages and models."""

    class Flat(BaseModel):
        metres: float = Field(description="Square ones.")
        rooms: list[int] = []
        floor: int | None = None

    serve.endpoint("/model", methods=["GET"], schema=Flat, example={"metres": 3})(
        lambda_named("model")
    )

    @serve.endpoint("/message", methods=["GET"], schema=modern_pb2.Modern)
    def message(explicit_text, **others):
        return None

    @serve.endpoint("/signature", methods=["GET"])
    def signature(text, count: int | None = None, flags: list[bool] = (), other: dict = {}):  # noqa: B006 - never changed
        return None

    paths = document_of(app)["paths"]
    assert paths["/model"]["get"]["parameters"] == [
        {
            "name": "metres",
            "in": "query",
            "required": True,
            "description": "Square ones.",
            "schema": {"title": "Metres", "type": "number"},
            "example": 3,
        },
        {
            "name": "rooms",
            "in": "query",
            "schema": {
                "title": "Rooms",
                "type": "array",
                "items": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
                "default": [],
            },
        },
        {
            "name": "floor",
            "in": "query",
            "schema": {
                "title": "Floor",
                "type": "integer",
                "minimum": -(2**63),
                "maximum": 2**64 - 1,
            },
        },
    ]
    shown = {p["name"]: p for p in paths["/message"]["get"]["parameters"]}
    assert list(shown) == [
        *("explicitText", "implicitText", "requiredText", "open", "closed", "unpacked"),
        "part.score",
    ]
    assert [name for name, p in shown.items() if p.get("required")] == [
        "explicitText",
        "requiredText",
    ]
    shown = {p["name"]: p["schema"] for p in paths["/signature"]["get"]["parameters"]}
    assert shown["text"] == {"type": "string"}
    assert shown["count"] == {"type": "integer"}
    assert shown["flags"]["items"] == {"type": "boolean"}


def test_a_batched_endpoint_takes_one_row(app, serve):
    """The columns that the function gets are its own affair: clients send a row each."""

    @serve.endpoint("/rent", batch=Batch(8), timeout=2)
    def rents(square_metres: list[float], rooms: list[int] = 1) -> list[float]:
        return square_metres

    operation = operation_of(app, "/rent")
    properties = body_of(operation)["properties"]
    assert properties["square_metres"] == {"type": "number"}
    assert properties["rooms"]["type"] == "integer"
    assert answer_of(operation) == {"type": "number"}


def test_bodies_are_asked_for_where_they_have_something_to_say(app, serve):
    """Where the URL has all that the function names, a body may be left out."""

    @serve.endpoint("/all/<int:it>")
    def all_of_it(it):
        return it

    @serve.endpoint("/more/<int:it>")
    def more(it, **others):
        return it

    @serve.endpoint("/another/<int:it>")
    def another(it, other):
        return it

    paths = document_of(app)["paths"]
    assert "requestBody" not in paths["/all/{it}"]["post"]
    assert paths["/more/{it}"]["post"]["requestBody"]["required"] is False
    assert paths["/another/{it}"]["post"]["requestBody"]["required"] is True
    client = app.test_client()
    statuses = [client.post(f"/{name}/1").status_code for name in ("all", "more", "another")]
    assert statuses == [200, 200, 400]


def test_problems_are_those_that_the_options_imply(app, serve):
    """Each operation has its problem responses, typed, and no others."""
    serve.endpoint("/nothing")(lambda_named("nothing"))
    serve.endpoint("/asked", methods=["GET"])(lambda_named("asked"))
    serve.endpoint("/limited", max_concurrency=1)(lambda_named("limited"))
    serve.endpoint("/timed", timeout=1)(lambda_named("timed"))

    @serve.endpoint("/taking")
    def taking(it):
        return it

    paths = document_of(app)["paths"]
    statuses = {path: set(next(iter(item.values()))["responses"]) for path, item in paths.items()}
    every = {"200", "400", "406", "500"}
    assert statuses["/asked"] == every
    assert statuses["/nothing"] == every
    assert "requestBody" not in paths["/nothing"]["post"]
    assert statuses["/taking"] == every | {"413", "415"}
    assert statuses["/limited"] == every | {"503"}
    assert statuses["/timed"] == every | {"503", "504"}
    busy = paths["/limited"]["post"]["responses"]["503"]
    assert busy["headers"].keys() == {"Retry-After"}
    assert busy["content"] == {"application/problem+json": {"schema": ref("Problem")}}


def test_headers_and_version_are_described(app, serve):
    """X-Model-Version and the cache's headers are there where the endpoint sends them."""

    @serve.endpoint("/it", version="1.2", cache=60)
    def it(x):
        return x

    operation = operation_of(app, "/it")
    headers = operation["responses"]["200"]["headers"]
    assert headers.keys() == {"X-Model-Version", "Cache-Status", "Age"}
    assert headers["X-Model-Version"]["example"] == "1.2"
    assert "Model version: 1.2" in operation["description"]
    sent = app.test_client().post("/it", json={"x": 1}).headers
    assert {"X-Model-Version", "Cache-Status"} <= set(sent.keys())


def test_streams_are_described(app, serve):
    """A generator's items are of one schema, as lines or as events."""

    @serve.endpoint("/count")
    def count(to: int) -> Iterator[dict[str, int]]:
        yield {"number": to}

    content = operation_of(app, "/count")["responses"]["200"]["content"]
    assert content.keys() == {"application/x-ndjson", "text/event-stream"}
    item = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert content["application/x-ndjson"]["schema"] == item


def test_classes_and_instances_are_described_by_their_call(app, serve):
    """A class's docstring is the endpoint's, and the parameters are those of its __call__."""

    @serve.endpoint("/model")
    class Model:
        """Tell what it is."""

        def __call__(self, text: str):
            return text

    class Silent:
        def __call__(self, text: str):
            """Say nothing."""
            return text

    serve.endpoint("/silent", endpoint="silent")(Silent())
    paths = document_of(app)["paths"]
    assert paths["/model"]["post"]["summary"] == "Tell what it is."
    assert paths["/silent"]["post"]["summary"] == "Say nothing."
    for path in ("/model", "/silent"):
        assert body_of(paths[path]["post"])["properties"] == {"text": {"type": "string"}}


def test_a_partial_is_described_by_its_function(app, serve):
    """What is bound already is no field, and the docstring is the function's."""

    def scale(number: float, factor: float):
        """Scale a number."""
        return number * factor

    serve.endpoint("/double")(functools.partial(scale, factor=2))
    operation = operation_of(app, "/double")
    assert operation["summary"] == "Scale a number."
    assert body_of(operation)["required"] == ["number"]


def test_what_orjson_can_not_write_is_in_the_document_all_the_same(app, serve):
    """Bounds beyond 64 bits, infinite defaults and odd methods spoil nothing."""

    class Huge(BaseModel):
        count: int = Field(1, le=10**30)
        ratio: float = float("inf")

    @serve.endpoint("/huge", schema=Huge, methods=["POST", "PURGE"])
    def huge(count=1):
        return count

    shown = schema_of(app, "Huge")["properties"]
    assert shown["count"]["maximum"] == 10**30
    assert document_of(app)["paths"]["/huge"].keys() == {"post"}


def test_a_well_known_type_may_be_the_request(app, serve):
    """A Struct is any object, and so the document says."""

    @serve.endpoint("/any", schema=struct_pb2.Struct, response_schema=struct_pb2.Value)
    def anything(message: struct_pb2.Struct):
        return {}

    operation = operation_of(app, "/any")
    assert body_of(operation) == {"type": "object"}
    assert answer_of(operation) == {}


def test_endpoints_of_one_function_have_names_of_their_own(app):
    """Operation ids are unique, whatever the rules, blueprints and names are."""
    serve = ModelServe()
    a = Blueprint("a", __name__)
    serve.endpoint("/b", blueprint=a, endpoint="b")(lambda_named("b"))
    serve.endpoint("/a_b", endpoint="a_b")(lambda_named("a_b"))
    app.register_blueprint(a, url_prefix="/1")
    app.register_blueprint(a, url_prefix="/2", name="second")
    serve.init_app(app)
    ids = [item["post"]["operationId"] for item in document_of(app)["paths"].values()]
    assert sorted(ids) == ["a_b", "a_b_2", "second_b"]


# What schemathesis makes of string formats that it does not know.
for _name, _least, _most in (
    ("int32", -(2**31), 2**31 - 1),
    ("int64", -(2**63), 2**63 - 1),
    ("uint32", 0, 2**32 - 1),
    ("uint64", 0, 2**64 - 1),
):
    schemathesis.openapi.format(_name, st.integers(_least, _most).map(str))


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    ratio: float
    names: list[str] = []
    within: Strict | None = None
    kind: Literal["x", "y"] = "x"


def _service() -> Flask:
    """An app with endpoints of all kinds."""
    app = Flask("service")
    serve = ModelServe(app)

    @serve.endpoint("/every", schema=every_pb2.Every, response_schema=every_pb2.Every)
    def every(**fields):
        return fields

    @serve.endpoint("/legacy", schema=legacy_pb2.Legacy, response_schema=legacy_pb2.Legacy)
    def legacy(message: legacy_pb2.Legacy):
        return message

    @serve.endpoint("/modern", methods=["GET"], schema=modern_pb2.Modern, cache=60)
    def modern(explicit_text, **others) -> dict[str, str]:
        return {"text": explicit_text}

    @serve.endpoint("/tolerant", schema=modern_pb2.Modern, ignore_unknown_fields=True)
    def tolerant(explicit_text=None, **others) -> dict[str, str | None]:
        return {"text": explicit_text}

    @serve.endpoint("/strict", schema=Strict, response_schema=Strict, timeout=30)
    def strict(ratio, **others):
        return {"ratio": ratio, **others}

    @serve.endpoint("/at/<int:number>/<any(a, b):kind>/<uuid:key>/<name>", methods=["GET", "POST"])
    def signature(
        count: int,
        ratio: float = 1,
        *,
        flag: bool = False,
        names: list = (),
        note: str | None = None,
        number,
        kind,
        key,
        name,
    ) -> Scores:
        return {"count": count, "ratio": ratio}

    @serve.endpoint("/batch", batch=Batch(4))
    def batch(count: list[int], ratio: list[float]) -> list[float]:
        return ratio

    @serve.endpoint("/stream", methods=["GET", "POST"], version="3")
    def stream(up: bool = True):
        yield {"up": up}

    return app


class Scores(TypedDict):
    count: int
    ratio: float


# More than the document shows is understood: see openapi/messages.py. Strict models and
# signatures are exact, but for the elements of lists, which signatures leave to functions.
LENIENT = {"/every", "/legacy", "/modern", "/tolerant"}


def _without_any(value: Any) -> Any:
    """Leave out messages of type Any: no JSON Schema says which types a service knows."""
    if isinstance(value, dict):
        return {key: _without_any(item) for key, item in value.items() if key != "anAny"}
    return [_without_any(item) for item in value] if isinstance(value, list) else value


def _operations() -> list[Any]:
    app = _service()
    validate(app.test_client().get("/__openapi.json").json)
    schema = schemathesis.openapi.from_wsgi("/__openapi.json", app)
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
@pytest.mark.parametrize("operation", _operations(), ids=lambda operation: operation.label)
def test_endpoints_keep_what_the_document_says(operation, mode):
    """Schemathesis finds nothing: valid requests are accepted, others refused, answers conform."""

    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        # An empty list leaves no trace in a URL, and then nothing is wrong with it.
        assume([] not in (case.query or {}).values())
        if operation.path == "/every" and mode is schemathesis.GenerationMode.POSITIVE:
            case.body = _without_any(case.body)
        lenient = operation.path in LENIENT
        case.call_and_validate(excluded_checks=[negative_data_rejection] if lenient else [])

    check()
