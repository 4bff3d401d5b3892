from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Modern(_message.Message):
    __slots__ = ("explicit_text", "implicit_text", "required_text", "open", "closed", "unpacked", "part")
    class Open(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OPEN_UNSPECIFIED: _ClassVar[Modern.Open]
        OPEN_ONE: _ClassVar[Modern.Open]
    OPEN_UNSPECIFIED: Modern.Open
    OPEN_ONE: Modern.Open
    class Closed(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CLOSED_ONE: _ClassVar[Modern.Closed]
        CLOSED_TWO: _ClassVar[Modern.Closed]
    CLOSED_ONE: Modern.Closed
    CLOSED_TWO: Modern.Closed
    class Part(_message.Message):
        __slots__ = ("score",)
        SCORE_FIELD_NUMBER: _ClassVar[int]
        score: float
        def __init__(self, score: _Optional[float] = ...) -> None: ...
    EXPLICIT_TEXT_FIELD_NUMBER: _ClassVar[int]
    IMPLICIT_TEXT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_TEXT_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    UNPACKED_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    explicit_text: str
    implicit_text: str
    required_text: str
    open: Modern.Open
    closed: Modern.Closed
    unpacked: _containers.RepeatedScalarFieldContainer[int]
    part: Modern.Part
    def __init__(self, explicit_text: _Optional[str] = ..., implicit_text: _Optional[str] = ..., required_text: _Optional[str] = ..., open: _Optional[_Union[Modern.Open, str]] = ..., closed: _Optional[_Union[Modern.Closed, str]] = ..., unpacked: _Optional[_Iterable[int]] = ..., part: _Optional[_Union[Modern.Part, _Mapping]] = ...) -> None: ...
