import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import wrappers_pb2 as _wrappers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Shade(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHADE_UNSPECIFIED: _ClassVar[Shade]
    SHADE_PALE: _ClassVar[Shade]
    SHADE_LIGHT: _ClassVar[Shade]
    SHADE_NEGATIVE: _ClassVar[Shade]
SHADE_UNSPECIFIED: Shade
SHADE_PALE: Shade
SHADE_LIGHT: Shade
SHADE_NEGATIVE: Shade

class Every(_message.Message):
    __slots__ = ("a_double", "a_float", "an_int32", "an_int64", "a_uint32", "a_uint64", "a_sint32", "a_sint64", "a_fixed32", "a_fixed64", "a_sfixed32", "a_sfixed64", "a_bool", "a_string", "a_bytes", "a_color", "a_shade", "renamed", "an_every", "maybe_int32", "maybe_string", "maybe_bool", "maybe_color", "many_double", "many_int64", "many_bool", "many_string", "many_bytes", "many_color", "many_every", "many_timestamp", "many_value", "many_int64_value", "by_int32", "by_int64", "by_uint32", "by_uint64", "by_sint32", "by_sint64", "by_fixed32", "by_fixed64", "by_sfixed32", "by_sfixed64", "by_bool", "by_string", "double_by_string", "bytes_by_string", "color_by_string", "every_by_int32", "duration_by_string", "value_by_string", "choice_int32", "choice_string", "choice_bytes", "choice_bool", "choice_color", "choice_every", "choice_null", "choice_timestamp", "double_value", "float_value", "int64_value", "uint64_value", "int32_value", "uint32_value", "bool_value", "string_value", "bytes_value", "a_timestamp", "a_duration", "a_mask", "a_struct", "a_value", "a_list", "an_any", "an_empty", "a_null")
    class Color(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        COLOR_UNSPECIFIED: _ClassVar[Every.Color]
        COLOR_RED: _ClassVar[Every.Color]
        COLOR_BLUE: _ClassVar[Every.Color]
    COLOR_UNSPECIFIED: Every.Color
    COLOR_RED: Every.Color
    COLOR_BLUE: Every.Color
    class ByInt32Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByInt64Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByUint32Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByUint64Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class BySint32Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class BySint64Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByFixed32Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByFixed64Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class BySfixed32Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class BySfixed64Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByBoolEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: bool
        value: bool
        def __init__(self, key: bool = ..., value: bool = ...) -> None: ...
    class ByStringEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DoubleByStringEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class BytesByStringEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class ColorByStringEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Every.Color
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Every.Color, str]] = ...) -> None: ...
    class EveryByInt32Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: Every
        def __init__(self, key: _Optional[int] = ..., value: _Optional[_Union[Every, _Mapping]] = ...) -> None: ...
    class DurationByStringEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _duration_pb2.Duration
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class ValueByStringEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    A_DOUBLE_FIELD_NUMBER: _ClassVar[int]
    A_FLOAT_FIELD_NUMBER: _ClassVar[int]
    AN_INT32_FIELD_NUMBER: _ClassVar[int]
    AN_INT64_FIELD_NUMBER: _ClassVar[int]
    A_UINT32_FIELD_NUMBER: _ClassVar[int]
    A_UINT64_FIELD_NUMBER: _ClassVar[int]
    A_SINT32_FIELD_NUMBER: _ClassVar[int]
    A_SINT64_FIELD_NUMBER: _ClassVar[int]
    A_FIXED32_FIELD_NUMBER: _ClassVar[int]
    A_FIXED64_FIELD_NUMBER: _ClassVar[int]
    A_SFIXED32_FIELD_NUMBER: _ClassVar[int]
    A_SFIXED64_FIELD_NUMBER: _ClassVar[int]
    A_BOOL_FIELD_NUMBER: _ClassVar[int]
    A_STRING_FIELD_NUMBER: _ClassVar[int]
    A_BYTES_FIELD_NUMBER: _ClassVar[int]
    A_COLOR_FIELD_NUMBER: _ClassVar[int]
    A_SHADE_FIELD_NUMBER: _ClassVar[int]
    RENAMED_FIELD_NUMBER: _ClassVar[int]
    AN_EVERY_FIELD_NUMBER: _ClassVar[int]
    MAYBE_INT32_FIELD_NUMBER: _ClassVar[int]
    MAYBE_STRING_FIELD_NUMBER: _ClassVar[int]
    MAYBE_BOOL_FIELD_NUMBER: _ClassVar[int]
    MAYBE_COLOR_FIELD_NUMBER: _ClassVar[int]
    MANY_DOUBLE_FIELD_NUMBER: _ClassVar[int]
    MANY_INT64_FIELD_NUMBER: _ClassVar[int]
    MANY_BOOL_FIELD_NUMBER: _ClassVar[int]
    MANY_STRING_FIELD_NUMBER: _ClassVar[int]
    MANY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MANY_COLOR_FIELD_NUMBER: _ClassVar[int]
    MANY_EVERY_FIELD_NUMBER: _ClassVar[int]
    MANY_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    MANY_VALUE_FIELD_NUMBER: _ClassVar[int]
    MANY_INT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    BY_INT32_FIELD_NUMBER: _ClassVar[int]
    BY_INT64_FIELD_NUMBER: _ClassVar[int]
    BY_UINT32_FIELD_NUMBER: _ClassVar[int]
    BY_UINT64_FIELD_NUMBER: _ClassVar[int]
    BY_SINT32_FIELD_NUMBER: _ClassVar[int]
    BY_SINT64_FIELD_NUMBER: _ClassVar[int]
    BY_FIXED32_FIELD_NUMBER: _ClassVar[int]
    BY_FIXED64_FIELD_NUMBER: _ClassVar[int]
    BY_SFIXED32_FIELD_NUMBER: _ClassVar[int]
    BY_SFIXED64_FIELD_NUMBER: _ClassVar[int]
    BY_BOOL_FIELD_NUMBER: _ClassVar[int]
    BY_STRING_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_BY_STRING_FIELD_NUMBER: _ClassVar[int]
    BYTES_BY_STRING_FIELD_NUMBER: _ClassVar[int]
    COLOR_BY_STRING_FIELD_NUMBER: _ClassVar[int]
    EVERY_BY_INT32_FIELD_NUMBER: _ClassVar[int]
    DURATION_BY_STRING_FIELD_NUMBER: _ClassVar[int]
    VALUE_BY_STRING_FIELD_NUMBER: _ClassVar[int]
    CHOICE_INT32_FIELD_NUMBER: _ClassVar[int]
    CHOICE_STRING_FIELD_NUMBER: _ClassVar[int]
    CHOICE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHOICE_BOOL_FIELD_NUMBER: _ClassVar[int]
    CHOICE_COLOR_FIELD_NUMBER: _ClassVar[int]
    CHOICE_EVERY_FIELD_NUMBER: _ClassVar[int]
    CHOICE_NULL_FIELD_NUMBER: _ClassVar[int]
    CHOICE_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    FLOAT_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT32_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT32_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    BYTES_VALUE_FIELD_NUMBER: _ClassVar[int]
    A_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    A_DURATION_FIELD_NUMBER: _ClassVar[int]
    A_MASK_FIELD_NUMBER: _ClassVar[int]
    A_STRUCT_FIELD_NUMBER: _ClassVar[int]
    A_VALUE_FIELD_NUMBER: _ClassVar[int]
    A_LIST_FIELD_NUMBER: _ClassVar[int]
    AN_ANY_FIELD_NUMBER: _ClassVar[int]
    AN_EMPTY_FIELD_NUMBER: _ClassVar[int]
    A_NULL_FIELD_NUMBER: _ClassVar[int]
    a_double: float
    a_float: float
    an_int32: int
    an_int64: int
    a_uint32: int
    a_uint64: int
    a_sint32: int
    a_sint64: int
    a_fixed32: int
    a_fixed64: int
    a_sfixed32: int
    a_sfixed64: int
    a_bool: bool
    a_string: str
    a_bytes: bytes
    a_color: Every.Color
    a_shade: Shade
    renamed: int
    an_every: Every
    maybe_int32: int
    maybe_string: str
    maybe_bool: bool
    maybe_color: Every.Color
    many_double: _containers.RepeatedScalarFieldContainer[float]
    many_int64: _containers.RepeatedScalarFieldContainer[int]
    many_bool: _containers.RepeatedScalarFieldContainer[bool]
    many_string: _containers.RepeatedScalarFieldContainer[str]
    many_bytes: _containers.RepeatedScalarFieldContainer[bytes]
    many_color: _containers.RepeatedScalarFieldContainer[Every.Color]
    many_every: _containers.RepeatedCompositeFieldContainer[Every]
    many_timestamp: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    many_value: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    many_int64_value: _containers.RepeatedCompositeFieldContainer[_wrappers_pb2.Int64Value]
    by_int32: _containers.ScalarMap[int, int]
    by_int64: _containers.ScalarMap[int, int]
    by_uint32: _containers.ScalarMap[int, int]
    by_uint64: _containers.ScalarMap[int, int]
    by_sint32: _containers.ScalarMap[int, int]
    by_sint64: _containers.ScalarMap[int, int]
    by_fixed32: _containers.ScalarMap[int, int]
    by_fixed64: _containers.ScalarMap[int, int]
    by_sfixed32: _containers.ScalarMap[int, int]
    by_sfixed64: _containers.ScalarMap[int, int]
    by_bool: _containers.ScalarMap[bool, bool]
    by_string: _containers.ScalarMap[str, str]
    double_by_string: _containers.ScalarMap[str, float]
    bytes_by_string: _containers.ScalarMap[str, bytes]
    color_by_string: _containers.ScalarMap[str, Every.Color]
    every_by_int32: _containers.MessageMap[int, Every]
    duration_by_string: _containers.MessageMap[str, _duration_pb2.Duration]
    value_by_string: _containers.MessageMap[str, _struct_pb2.Value]
    choice_int32: int
    choice_string: str
    choice_bytes: bytes
    choice_bool: bool
    choice_color: Every.Color
    choice_every: Every
    choice_null: _struct_pb2.NullValue
    choice_timestamp: _timestamp_pb2.Timestamp
    double_value: _wrappers_pb2.DoubleValue
    float_value: _wrappers_pb2.FloatValue
    int64_value: _wrappers_pb2.Int64Value
    uint64_value: _wrappers_pb2.UInt64Value
    int32_value: _wrappers_pb2.Int32Value
    uint32_value: _wrappers_pb2.UInt32Value
    bool_value: _wrappers_pb2.BoolValue
    string_value: _wrappers_pb2.StringValue
    bytes_value: _wrappers_pb2.BytesValue
    a_timestamp: _timestamp_pb2.Timestamp
    a_duration: _duration_pb2.Duration
    a_mask: _field_mask_pb2.FieldMask
    a_struct: _struct_pb2.Struct
    a_value: _struct_pb2.Value
    a_list: _struct_pb2.ListValue
    an_any: _any_pb2.Any
    an_empty: _empty_pb2.Empty
    a_null: _struct_pb2.NullValue
    def __init__(self, a_double: _Optional[float] = ..., a_float: _Optional[float] = ..., an_int32: _Optional[int] = ..., an_int64: _Optional[int] = ..., a_uint32: _Optional[int] = ..., a_uint64: _Optional[int] = ..., a_sint32: _Optional[int] = ..., a_sint64: _Optional[int] = ..., a_fixed32: _Optional[int] = ..., a_fixed64: _Optional[int] = ..., a_sfixed32: _Optional[int] = ..., a_sfixed64: _Optional[int] = ..., a_bool: bool = ..., a_string: _Optional[str] = ..., a_bytes: _Optional[bytes] = ..., a_color: _Optional[_Union[Every.Color, str]] = ..., a_shade: _Optional[_Union[Shade, str]] = ..., renamed: _Optional[int] = ..., an_every: _Optional[_Union[Every, _Mapping]] = ..., maybe_int32: _Optional[int] = ..., maybe_string: _Optional[str] = ..., maybe_bool: bool = ..., maybe_color: _Optional[_Union[Every.Color, str]] = ..., many_double: _Optional[_Iterable[float]] = ..., many_int64: _Optional[_Iterable[int]] = ..., many_bool: _Optional[_Iterable[bool]] = ..., many_string: _Optional[_Iterable[str]] = ..., many_bytes: _Optional[_Iterable[bytes]] = ..., many_color: _Optional[_Iterable[_Union[Every.Color, str]]] = ..., many_every: _Optional[_Iterable[_Union[Every, _Mapping]]] = ..., many_timestamp: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., many_value: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., many_int64_value: _Optional[_Iterable[_Union[_wrappers_pb2.Int64Value, _Mapping]]] = ..., by_int32: _Optional[_Mapping[int, int]] = ..., by_int64: _Optional[_Mapping[int, int]] = ..., by_uint32: _Optional[_Mapping[int, int]] = ..., by_uint64: _Optional[_Mapping[int, int]] = ..., by_sint32: _Optional[_Mapping[int, int]] = ..., by_sint64: _Optional[_Mapping[int, int]] = ..., by_fixed32: _Optional[_Mapping[int, int]] = ..., by_fixed64: _Optional[_Mapping[int, int]] = ..., by_sfixed32: _Optional[_Mapping[int, int]] = ..., by_sfixed64: _Optional[_Mapping[int, int]] = ..., by_bool: _Optional[_Mapping[bool, bool]] = ..., by_string: _Optional[_Mapping[str, str]] = ..., double_by_string: _Optional[_Mapping[str, float]] = ..., bytes_by_string: _Optional[_Mapping[str, bytes]] = ..., color_by_string: _Optional[_Mapping[str, Every.Color]] = ..., every_by_int32: _Optional[_Mapping[int, Every]] = ..., duration_by_string: _Optional[_Mapping[str, _duration_pb2.Duration]] = ..., value_by_string: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., choice_int32: _Optional[int] = ..., choice_string: _Optional[str] = ..., choice_bytes: _Optional[bytes] = ..., choice_bool: bool = ..., choice_color: _Optional[_Union[Every.Color, str]] = ..., choice_every: _Optional[_Union[Every, _Mapping]] = ..., choice_null: _Optional[_Union[_struct_pb2.NullValue, str]] = ..., choice_timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., double_value: _Optional[_Union[_wrappers_pb2.DoubleValue, _Mapping]] = ..., float_value: _Optional[_Union[_wrappers_pb2.FloatValue, _Mapping]] = ..., int64_value: _Optional[_Union[_wrappers_pb2.Int64Value, _Mapping]] = ..., uint64_value: _Optional[_Union[_wrappers_pb2.UInt64Value, _Mapping]] = ..., int32_value: _Optional[_Union[_wrappers_pb2.Int32Value, _Mapping]] = ..., uint32_value: _Optional[_Union[_wrappers_pb2.UInt32Value, _Mapping]] = ..., bool_value: _Optional[_Union[_wrappers_pb2.BoolValue, _Mapping]] = ..., string_value: _Optional[_Union[_wrappers_pb2.StringValue, _Mapping]] = ..., bytes_value: _Optional[_Union[_wrappers_pb2.BytesValue, _Mapping]] = ..., a_timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., a_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., a_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., a_struct: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., a_value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., a_list: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., an_any: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., an_empty: _Optional[_Union[_empty_pb2.Empty, _Mapping]] = ..., a_null: _Optional[_Union[_struct_pb2.NullValue, str]] = ...) -> None: ...

class Stowaway(_message.Message):
    __slots__ = ("name", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...
