"""Formats in and out: what a body is by its headers, JSON text, and what a client accepts."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotAcceptable, UnsupportedMediaType
from werkzeug.http import parse_accept_header, parse_options_header

from .errors import BadResponse, FieldError, InvalidRequest

if TYPE_CHECKING:
    from types import UnionType

    from flask import Flask

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
PROTOBUF_TYPES = (PROTOBUF, "application/protobuf")

# What curl -d and clients without a Content-Type send is JSON too.
_READ_AS = {
    "": JSON,
    JSON: JSON,
    "application/x-www-form-urlencoded": JSON,
    "text/plain": JSON,
    PROTOBUF_TYPES[0]: PROTOBUF,
    PROTOBUF_TYPES[1]: PROTOBUF,
}
_MAX_ACCEPTS = 256
# orjson writes no deeper; for comparison, a protobuf message has at most 100 levels.
_MAX_DEPTH = 250


def read_format(content_type: str) -> str:
    """Tell how a body is to be read, ``JSON`` or ``PROTOBUF``, by its Content-Type header.

    Raises:
        UnsupportedMediaType: 415, for any other type, and for JSON that is not UTF-8 (RFC 8259).
    """
    known = _READ_AS.get(content_type)
    if known is not None:
        return known
    mimetype, options = parse_options_header(content_type)
    mimetype = mimetype.lower()
    known = _READ_AS.get(mimetype)
    if known is None and (mimetype.startswith("text/") or mimetype.endswith("+json")):
        known = JSON
    if known is None:
        raise UnsupportedMediaType(
            f"A body of Content-Type {mimetype} is not understood; send {JSON} or {PROTOBUF}."
        )
    charset = options.get("charset", "utf-8").lower()
    if known is JSON and charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"JSON is UTF-8, not {charset}; send the body as UTF-8.")
    return known


def loads(body: bytes) -> Any:
    """Parse a JSON body, strictly (RFC 8259), to at most 1,024 levels.

    Raises:
        InvalidRequest: 400, with the line and column of the fault.
    """
    if not body:
        raise InvalidRequest("The body is empty; send a JSON object, such as {}.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None


def refuse_depth(body: bytes, value: Any) -> None:
    """Refuse JSON that is nested deeper than an answer can be written.

    Raises:
        InvalidRequest: 400, over some 250 levels.
    """
    # Each level has a bracket at either end.
    if len(body) < 2 * _MAX_DEPTH or body.count(b"[") + body.count(b"{") < _MAX_DEPTH:
        return
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise InvalidRequest(f"The body is nested deeper than {_MAX_DEPTH} levels.") from None


class Accept:
    """What one endpoint can write, its favourite first, by what a client accepts (RFC 9110)."""

    def __init__(self, offers: tuple[str, ...]) -> None:
        self.offers = offers
        self._known = {"": offers[0], "*/*": offers[0]} | {offer: offer for offer in offers}

    def choose(self, accept: str) -> str:
        """Return the media type to write.

        Raises:
            NotAcceptable: 406, when the client accepts none of the offers.
        """
        known = self._known.get(accept)
        if known is not None:
            return known
        chosen = parse_accept_header(accept, MIMEAccept).best_match(self.offers)
        if chosen is None:
            raise NotAcceptable(f"This endpoint answers with {' or '.join(self.offers)}.")
        if len(self._known) < _MAX_ACCEPTS:  # clients choose these texts: bounded
            self._known[accept] = chosen
        return chosen


def _as_duration(value: dt.timedelta) -> str:
    """Write a timedelta as ProtoJSON writes a Duration: seconds with up to six digits."""
    micros = value // dt.timedelta(microseconds=1)
    seconds, fraction = divmod(abs(micros), 1_000_000)
    digits = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{'-' if micros < 0 else ''}{seconds}{digits}s"


def _as_timestamp(value: dt.datetime) -> str:
    """Write a datetime as RFC 3339; one without a zone is taken as UTC."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


_WRITERS: dict[type | UnionType, Callable[[Any], Any]] = {
    bytes | bytearray | memoryview: lambda value: base64.b64encode(value).decode(),
    dt.datetime: _as_timestamp,
    dt.date | dt.time: lambda value: value.isoformat(),
    dt.timedelta: _as_duration,
    decimal.Decimal | uuid.UUID: str,
    enum.Enum: lambda value: value.value,
}


def _as_json(value: Any) -> Any:
    """Turn one object that JSON does not have into one that it has.

    Raises:
        TypeError: For an object of any other type.
    """
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return value.tolist()
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if not name.startswith("_")}
    if hasattr(type(value), "DESCRIPTOR") or hasattr(type(value), "desc"):
        from .schema.messages import render_message

        return render_message(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def plain(value: Any, *, nonfinite: Callable[[float], Any] = lambda _: None, path: str = "") -> Any:
    """Rebuild an answer from what JSON has: dict with str keys, list, str, int, float, bool, None.

    Args:
        value: Any mixture of dicts, sequences, numpy, dataclasses, messages and models.
        nonfinite: What NaN and the infinities become.
        path: Where ``value`` stands, for the error.

    Raises:
        BadResponse: For an object that has no JSON form; it names the place.
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else nonfinite(value)
    if isinstance(value, Mapping):
        return {
            _plain_key(key, path): plain(
                item, nonfinite=nonfinite, path=f"{path}.{key}" if path else str(key)
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            plain(item, nonfinite=nonfinite, path=f"{path}[{index}]")
            for index, item in enumerate(value)
        ]
    if isinstance(value, int):  # an IntEnum
        return int(value)
    try:
        value = _as_json(value)
    except TypeError as error:
        raise BadResponse("the answer is not JSON", [_fault(path, str(error))]) from None
    return plain(value, nonfinite=nonfinite, path=path)


def _fault(path: str, message: str) -> FieldError:
    return {"field": path or "(the answer)", "message": message}


def _plain_key(key: Any, path: str) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    if isinstance(key, enum.Enum):
        return _plain_key(key.value, path)
    message = f"a key of type {type(key).__name__} cannot be written as JSON"
    raise BadResponse("the answer is not JSON", [_fault(path, message)])


def dumps(value: Any) -> bytes:
    """Write an answer as JSON; NaN and the infinities become null.

    Raises:
        BadResponse: For an answer that has no JSON form; it names the place.
    """
    try:
        return orjson.dumps(value, _as_json, orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:
        pass
    # What orjson refuses and JSON allows: integers over 64 bits, keys that are not str, depth.
    try:
        return json.dumps(plain(value), allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise BadResponse("the answer is nested too deeply, or holds itself") from None


def dumps_of(app: Flask) -> Callable[[Any], bytes]:
    """Return how an app writes JSON: ``dumps``, or its own provider where it has one."""
    provider = app.json
    if type(provider) is DefaultJSONProvider:
        return dumps

    def provided(value: Any) -> bytes:
        try:
            text = provider.dumps(value)
        except TypeError:
            text = provider.dumps(plain(value))
        if "NaN" in text or "Infinity" in text:
            text = provider.dumps(_finite(value))
        return text.encode()

    return provided


def loads_of(app: Flask) -> Callable[[bytes], Any]:
    """Return how an app parses JSON: ``loads``, then its own provider's where it has one."""
    provider = app.json
    if type(provider).loads is DefaultJSONProvider.loads:
        return loads

    def provided(body: bytes) -> Any:
        loads(body)  # what is not JSON is refused here, with its place
        return provider.loads(body)

    return provided


def _finite(value: Any) -> Any:
    """Replace NaN and the infinities by None, and leave all else to the app's provider."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
