"""Lines of logs that name their request, as text or as JSON; nothing is set up unless asked for."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from flask.logging import default_handler, has_level_handler, wsgi_errors_stream

from .request_id import current_request

if TYPE_CHECKING:
    from flask import Flask

# What stands in a text where there is no request.
_NONE = "-"
_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"}


class RequestIdFilter(logging.Filter):
    """Gives records a ``request_id`` and an ``endpoint``, for formats that name them.

    It belongs on a handler. Those of records that no request is behind are ``-``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request_id, endpoint = current_request()
        vars(record).setdefault("request_id", request_id or _NONE)
        vars(record).setdefault("endpoint", endpoint or _NONE)
        return True


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, in ASCII, which any stream takes.

    The members are time (RFC 3339, UTC), level, logger, message; where there is a request,
    request_id and endpoint; where it is traced, trace_id and span_id; where there is an exception,
    exception; and whatever was logged as ``extra``.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_request(record),
            **_trace(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                fields.setdefault(name, value)
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:  # a handler that queues has formatted it
            fields["exception"] = record.exc_text
        if record.stack_info:
            fields["stack"] = record.stack_info
        try:
            return _line(fields)
        except Exception:  # an object within another may be anything, or hold itself
            return _line({name: _text(value) for name, value in fields.items()})


def write_json_logs(app: Flask) -> None:
    """Write what Flask would print for an app, and our own lines, as JSON.

    An app that has set up logging keeps it as it is.
    """
    logger = app.logger  # Flask's handler is there from now on, unless the app has one
    handlers = [
        handler
        for name in {app.name, "", __package__ or ""}
        for handler in logging.getLogger(name).handlers
    ]
    known = [each for each in handlers if isinstance(each.formatter, JsonFormatter)]
    handler = known[0] if known else _json_handler()
    if default_handler in logger.handlers:
        logger.removeHandler(default_handler)
        logger.addHandler(handler)
    elif not known:
        logger.warning(
            "MODELSERVE_JSON_LOGS changes nothing, since the app has set up logging itself: "
            "give its handlers the formatter flask_modelserve.logs.JsonFormatter()"
        )
    ours = logging.getLogger(__package__)
    if not has_level_handler(ours):
        ours.addHandler(handler)


def _json_handler() -> logging.Handler:
    handler = logging.StreamHandler(cast("TextIO", wsgi_errors_stream))
    handler.setFormatter(JsonFormatter())
    return handler


def _time(seconds: float) -> str:
    written = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds")
    return written.replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments don't fit the message: rather so than not at all
        return f"{_text(record.msg)} {_text(record.args)}"


def _request(record: logging.LogRecord) -> dict[str, str]:
    """Return what is known of the request: by the record, if a filter saw it, or else now."""
    request_id, endpoint = current_request()
    known = {
        "request_id": getattr(record, "request_id", None) or request_id,
        "endpoint": getattr(record, "endpoint", None) or endpoint,
    }
    return {name: _text(value) for name, value in known.items() if value not in {None, _NONE}}


def _trace() -> dict[str, str]:
    """Return the ids of the current span of OpenTelemetry, if that is in use at all."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _line(fields: dict[str, Any]) -> str:
    line = json.dumps(fields, default=_text, allow_nan=False)
    if "\\ud" in line:  # half of a pair, perhaps, which strict parsers refuse
        whole = json.dumps(fields, default=_text, ensure_ascii=False)
        line = json.dumps(json.loads(whole.encode("utf-8", "replace")))
    return line


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # a class's own __str__ may raise anything
        return f"<{type(value).__name__} without a text>"
