"""The problem documents (RFC 9457) that an endpoint may answer with."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..spec import EndpointSpec
    from .components import Schema

_PROBLEM = "application/problem+json"
_NAME = "Problem"
_ABOUT = {
    HTTPStatus.BAD_REQUEST: "The input is wrong; `errors` names each bad field.",
    HTTPStatus.NOT_FOUND: "There is nothing at this URL.",
    HTTPStatus.NOT_ACCEPTABLE: "The endpoint answers in none of the accepted media types.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of a media type that is not understood.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The endpoint failed; nothing is wrong with the input.",
    HTTPStatus.SERVICE_UNAVAILABLE: "There are too many requests; try again later.",
    HTTPStatus.GATEWAY_TIMEOUT: "The endpoint's time has passed.",
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "In how many seconds there will be a place.",
        "schema": {"type": "integer", "minimum": 0},
    }
}


def problem_schemas() -> dict[str, Schema]:
    """Return the schema of all problem documents, by its name."""
    return {
        _NAME: {
            "description": "What went wrong (RFC 9457).",
            "type": "object",
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {
                    "description": "The bad fields.",
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/FieldError"},
                },
            },
            "required": ["type", "title", "status"],
        },
        "FieldError": {
            "description": "One bad field.",
            "type": "object",
            "properties": {
                "field": {"description": "Such as `items[1].score`.", "type": "string"},
                "message": {"type": "string"},
            },
            "required": ["field", "message"],
        },
    }


def problem_responses(spec: EndpointSpec, *, has_body: bool, has_url: bool) -> dict[str, Schema]:
    """Return the error responses that the options of an endpoint imply, by their status."""
    return {str(int(each)): _response(each) for each in _statuses(spec, has_body, has_url)}


def _statuses(spec: EndpointSpec, has_body: bool, has_url: bool) -> Iterator[HTTPStatus]:
    yield HTTPStatus.BAD_REQUEST
    if has_url:
        yield HTTPStatus.NOT_FOUND
    yield HTTPStatus.NOT_ACCEPTABLE
    if has_body:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    yield HTTPStatus.INTERNAL_SERVER_ERROR
    is_limited = spec.max_concurrency or spec.batch or spec.timeout
    if is_limited:
        yield HTTPStatus.SERVICE_UNAVAILABLE
    if spec.timeout:
        yield HTTPStatus.GATEWAY_TIMEOUT


def _response(status: HTTPStatus) -> Schema:
    response: Schema = {"description": _ABOUT[status]}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response["headers"] = _RETRY_AFTER
    response["content"] = {_PROBLEM: {"schema": {"$ref": f"#/components/schemas/{_NAME}"}}}
    if status is HTTPStatus.NOT_FOUND:  # of a URL that leads nowhere the app itself says so
        response["content"]["text/html"] = {"schema": {"type": "string"}}
    return response
