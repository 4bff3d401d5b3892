"""Message classes as protobuf-py types: built from the descriptors of google.protobuf classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protobuf import Message, Registry
from protobuf.wkt import FileDescriptorSet

from ..nested import texts_under

if TYPE_CHECKING:
    from collections.abc import Iterable

# The engine takes time by the square of this depth, and writes a hundred levels, but reads more.
MAX_ANY_DEPTH = 32


def dynamic_type(message_class: Any) -> tuple[type[Message], Registry]:
    """Return the protobuf-py type of a message class, and the types that its ``Any`` may hold.

    Args:
        message_class: A class of google.protobuf (proto2, proto3, editions) or of protobuf-py.
    """
    if issubclass(message_class, Message):
        return message_class, Registry(message_class.desc().file)
    descriptor = message_class.DESCRIPTOR
    registry = _registry([descriptor.file])
    return _type(registry, descriptor.full_name), registry


def _type(registry: Registry, name: str) -> type[Message]:
    description = registry.message(name)
    assert description is not None  # its own file has just been added
    return description.type


def find_types(registry: Registry, value: Any, message_class: Any) -> bool:
    """Add the types that a JSON value's ``@type`` members name, out of the class's own pool.

    Returns:
        Whether the registry has grown: then what was refused may be accepted now.
    """
    descriptor = getattr(message_class, "DESCRIPTOR", None)
    if descriptor is None:
        return False
    missing = {url.rpartition("/")[2] for url in texts_under(value, "@type")}
    files = []
    for name in missing:
        if registry.message(name) is None:
            try:
                files.append(descriptor.file.pool.FindMessageTypeByName(name).file)
            except KeyError:
                continue
    if files:
        registry.add(_registry(files))
    return bool(files)


def any_depth(value: Any) -> int:
    """Return how many messages of type Any stand one in the other, at most, in a JSON value."""
    deepest = 0
    pending = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, dict):
            depth += "@type" in item
            deepest = max(deepest, depth)
            pending.extend((part, depth) for part in item.values())
        elif isinstance(item, list):
            pending.extend((part, depth) for part in item)
    return deepest


def _registry(files: Iterable[Any]) -> Registry:
    """Turn google.protobuf file descriptors, and all that they import, into a registry."""
    from google.protobuf import descriptor_pb2

    files_in_order: dict[str, Any] = {}
    for file in files:
        _collect(file, files_in_order)
    copies = descriptor_pb2.FileDescriptorSet()
    for file in files_in_order.values():
        copy = copies.file.add()
        file.CopyToProto(copy)
        # Generated Python modules leave json_name out, and protobuf-py takes it as it stands.
        for name, message in file.message_types_by_name.items():
            _name_fields(next(m for m in copy.message_type if m.name == name), message)
    return FileDescriptorSet.from_binary(copies.SerializeToString()).to_registry()


def _collect(file: Any, found: dict[str, Any]) -> None:
    if file.name not in found:
        for dependency in file.dependencies:
            _collect(dependency, found)
        found[file.name] = file


def _name_fields(copy: Any, message: Any) -> None:
    for field in copy.field:
        field.json_name = message.fields_by_name[field.name].json_name
    for nested in copy.nested_type:
        _name_fields(nested, message.nested_types_by_name[nested.name])
