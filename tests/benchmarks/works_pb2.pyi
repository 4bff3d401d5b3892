from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LanguageRequest(_message.Message):
    __slots__ = ("id", "title", "body", "enrichments")
    class Enrichments(_message.Message):
        __slots__ = ("extracted",)
        EXTRACTED_FIELD_NUMBER: _ClassVar[int]
        extracted: LanguageRequest.Extracted
        def __init__(self, extracted: _Optional[_Union[LanguageRequest.Extracted, _Mapping]] = ...) -> None: ...
    class Extracted(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: LanguageRequest.Value
        def __init__(self, value: _Optional[_Union[LanguageRequest.Value, _Mapping]] = ...) -> None: ...
    class Value(_message.Message):
        __slots__ = ("body",)
        BODY_FIELD_NUMBER: _ClassVar[int]
        body: str
        def __init__(self, body: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ENRICHMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    body: str
    enrichments: LanguageRequest.Enrichments
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., body: _Optional[str] = ..., enrichments: _Optional[_Union[LanguageRequest.Enrichments, _Mapping]] = ...) -> None: ...

class LanguageResponse(_message.Message):
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

class Item(_message.Message):
    __slots__ = ("name", "score", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    score: float
    count: int
    def __init__(self, name: _Optional[str] = ..., score: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class Features(_message.Message):
    __slots__ = ("values", "items", "weights")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    weights: _containers.ScalarMap[str, float]
    def __init__(self, values: _Optional[_Iterable[float]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Numbers(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...
