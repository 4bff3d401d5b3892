from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Value(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: str
    def __init__(self, body: _Optional[str] = ...) -> None: ...

class Extracted(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: Value
    def __init__(self, value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class Enrichments(_message.Message):
    __slots__ = ("extracted",)
    EXTRACTED_FIELD_NUMBER: _ClassVar[int]
    extracted: Extracted
    def __init__(self, extracted: _Optional[_Union[Extracted, _Mapping]] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("id", "title", "body", "enrichments")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ENRICHMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    body: str
    enrichments: Enrichments
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., body: _Optional[str] = ..., enrichments: _Optional[_Union[Enrichments, _Mapping]] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ("version", "language", "confidence", "error")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    version: str
    language: str
    confidence: float
    error: str
    def __init__(self, version: _Optional[str] = ..., language: _Optional[str] = ..., confidence: _Optional[float] = ..., error: _Optional[str] = ...) -> None: ...
