from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf.internal import python_message as _python_message
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
NOTE_FIELD_NUMBER: _ClassVar[int]
note: _descriptor.FieldDescriptor

class Legacy(_message.Message):
    __slots__ = ("name", "count", "closed", "many_closed", "result", "inner")
    Extensions: _python_message._ExtensionDict
    class Closed(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LOW: _ClassVar[Legacy.Closed]
        HIGH: _ClassVar[Legacy.Closed]
    LOW: Legacy.Closed
    HIGH: Legacy.Closed
    class Result(_message.Message):
        __slots__ = ("score",)
        SCORE_FIELD_NUMBER: _ClassVar[int]
        score: float
        def __init__(self, score: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    MANY_CLOSED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    INNER_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    closed: Legacy.Closed
    many_closed: _containers.RepeatedScalarFieldContainer[Legacy.Closed]
    result: Legacy.Result
    inner: Legacy
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ..., closed: _Optional[_Union[Legacy.Closed, str]] = ..., many_closed: _Optional[_Iterable[_Union[Legacy.Closed, str]]] = ..., result: _Optional[_Union[Legacy.Result, _Mapping]] = ..., inner: _Optional[_Union[Legacy, _Mapping]] = ...) -> None: ...
