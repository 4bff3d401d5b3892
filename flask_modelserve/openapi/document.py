"""The document of one app: all its endpoints, blueprints included."""

from __future__ import annotations

import json  # orjson writes no integers over 64 bits, which a model may have as a bound
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .components import Components
from .operation import METHODS, Operation
from .paths import path_of
from .problems import problem_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask

    from ..config import Config
    from ..endpoint import Endpoint
    from .components import Schema

_VERSION = "3.1.1"


@dataclass(frozen=True, slots=True)
class Document:
    """The OpenAPI document, as a value and as it is sent."""

    value: Mapping[str, Any]
    body: bytes

    @classmethod
    def of(cls, app: Flask, endpoints: Mapping[str, Endpoint], config: Config) -> Document:
        """Describe the endpoints of an app.

        Args:
            app: The app, whose URL map says where the endpoints are.
            endpoints: The endpoints by their full names.
            config: Where the document is served, and what the user says about it.
        """
        components = Components(problem_schemas())
        operations = list(_operations(app, endpoints, components))
        paths: dict[str, Schema] = {}
        taken: set[str] = set()
        for operation in operations:
            path = paths.setdefault(path_of(operation.rule), {})
            path[operation.method.lower()] = {
                "operationId": _unique(operation.id, taken),
                **operation.describe(),
            }
        document: dict[str, Any] = {
            "openapi": _VERSION,
            "info": _info(app, endpoints, config),
            "servers": [{"url": _root(config.openapi_path or "/")}],
            "paths": paths,
        }
        tags = sorted({operation.tag for operation in operations if operation.tag})
        if tags:
            document["tags"] = [{"name": tag} for tag in tags]
        value = components.resolve(document)
        return cls(value=value, body=json.dumps(value).encode())


def _operations(
    app: Flask, endpoints: Mapping[str, Endpoint], components: Components
) -> Iterator[Operation]:
    for rule in app.url_map.iter_rules():
        endpoint = endpoints.get(rule.endpoint)
        if endpoint is not None:
            for method in endpoint.spec.methods:
                if method.lower() in METHODS:  # OpenAPI has no place for others
                    yield Operation(rule.endpoint, endpoint.spec, rule, method, components)


def _unique(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it: an endpoint may have several rules."""
    number, numbered = 1, name
    while numbered in taken:
        number += 1
        numbered = f"{name}_{number}"
    taken.add(numbered)
    return numbered


def _info(app: Flask, endpoints: Mapping[str, Endpoint], config: Config) -> Schema:
    versions = {endpoint.spec.version for endpoint in endpoints.values()} - {None}
    version = versions.pop() if len(versions) == 1 else "1"
    return {"title": app.name, "version": version, **(config.openapi_info or {})}


def _root(path: str) -> str:
    """Return where the app's root is, as seen from the document.

    Relative, since only that is right behind every proxy: one that adds a prefix need not say so.
    """
    return "/".join([".."] * (path.count("/") - 1)) or "."
