"""Rules in the .proto (``buf.validate``), enforced by protovalidate where it is installed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from protobuf import DescFile, DescMessage

    from ..errors import FieldError

_RULES_FILE = "buf/validate/validate.proto"
logger = logging.getLogger(__name__)


class Rules:
    """The rules of one message type."""

    def __init__(self, collect: Any) -> None:
        self._collect = collect

    def violations(self, message: Any) -> list[FieldError]:
        """Return the rules that a message breaks, each with the path of its field."""
        return [
            {
                "field": _path(violation.proto.field),
                "message": violation.proto.message or violation.proto.rule_id,
            }
            for violation in self._collect(message)
        ]


def rules_of(description: DescMessage) -> Rules | None:
    """Return the rules of a message type; None where its files declare none."""
    if not _declares_rules(description.file, set()):
        return None
    try:
        import protovalidate
    except ImportError:
        logger.warning(
            "%s declares buf.validate rules, which are not enforced: "
            "pip install 'flask-modelserve[protovalidate]'",
            description.file.name,
        )
        return None
    return Rules(protovalidate.Validator().collect_violations)


def _declares_rules(file: DescFile, seen: set[str]) -> bool:
    if file.name == _RULES_FILE:
        return True
    if file.name in seen:
        return False
    seen.add(file.name)
    return any(_declares_rules(dependency, seen) for dependency in file.dependencies)


def _path(field: Any) -> str:
    """Write a ``buf.validate.FieldPath`` as ``items[1].scores["k"]``."""
    if field is None:
        return ""
    path = ""
    for element in field.elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            key = element.subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{_lower(key)}]"
    return path


def _lower(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
