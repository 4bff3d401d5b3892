"""Every JSON form of the ProtoJSON table, with what a function gets of it, and those it refuses.

https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

_UTC = dt.UTC
_NAN = float("nan")
_ANY = "type.googleapis.com/"
_PLUS_ONE = dt.timezone(dt.timedelta(hours=1))


def _any(type_name: str, *members: str) -> str:
    """Write a body whose field of type Any holds a message of a type."""
    packed = ", ".join([f'"@type": "{_ANY}{type_name}"', *members])
    return f'{{"anAny": {{{packed}}}}}'


# A JSON body, and the arguments that it becomes.
ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    # Numbers: as numbers and as strings, 64 bits without loss.
    "double": ('{"aDouble": 1.5}', {"a_double": 1.5}),
    "double of an integer": ('{"aDouble": -3}', {"a_double": -3.0}),
    "double of a string": ('{"aDouble": "1.5e2"}', {"a_double": 150.0}),
    "double, largest": (
        '{"aDouble": 1.7976931348623157e308}',
        {"a_double": 1.7976931348623157e308},
    ),
    "double, smallest": ('{"aDouble": 5e-324}', {"a_double": 5e-324}),
    "double, negative zero": ('{"aDouble": -0.0}', {"a_double": -0.0}),
    "double NaN": ('{"aDouble": "NaN"}', {"a_double": _NAN}),
    "double Infinity": ('{"aDouble": "Infinity"}', {"a_double": math.inf}),
    "double -Infinity": ('{"aDouble": "-Infinity"}', {"a_double": -math.inf}),
    "float": ('{"aFloat": 0.5}', {"a_float": 0.5}),
    "float of a string": ('{"aFloat": "-0.25"}', {"a_float": -0.25}),
    "float, its largest odd integer": ('{"aFloat": 16777215}', {"a_float": 16777215.0}),
    "float NaN": ('{"aFloat": "NaN"}', {"a_float": _NAN}),
    "float Infinity": ('{"aFloat": "Infinity"}', {"a_float": math.inf}),
    "float -Infinity": ('{"aFloat": "-Infinity"}', {"a_float": -math.inf}),
    "int32, smallest": ('{"anInt32": -2147483648}', {"an_int32": -(2**31)}),
    "int32, largest": ('{"anInt32": 2147483647}', {"an_int32": 2**31 - 1}),
    "int32 of a string": ('{"anInt32": "-12"}', {"an_int32": -12}),
    "int32 of an exponent": ('{"anInt32": 1e5}', {"an_int32": 100_000}),
    "int32 of an integral decimal": ('{"anInt32": 100000.000}', {"an_int32": 100_000}),
    "int32 of an exponent in a string": ('{"anInt32": "1e5"}', {"an_int32": 100_000}),
    "uint32, largest": ('{"aUint32": 4294967295}', {"a_uint32": 2**32 - 1}),
    "uint32 of a string": ('{"aUint32": "4294967295"}', {"a_uint32": 2**32 - 1}),
    "sint32": ('{"aSint32": -2147483648}', {"a_sint32": -(2**31)}),
    "fixed32": ('{"aFixed32": 4294967295}', {"a_fixed32": 2**32 - 1}),
    "sfixed32": ('{"aSfixed32": -2147483648}', {"a_sfixed32": -(2**31)}),
    "int64 of a string": ('{"anInt64": "9223372036854775807"}', {"an_int64": 2**63 - 1}),
    "int64 of a number": ('{"anInt64": -9223372036854775808}', {"an_int64": -(2**63)}),
    "int64 that no double holds": ('{"anInt64": 9007199254740993}', {"an_int64": 2**53 + 1}),
    "int64 of an exponent": ('{"anInt64": 1e18}', {"an_int64": 10**18}),
    "uint64 of a string": ('{"aUint64": "18446744073709551615"}', {"a_uint64": 2**64 - 1}),
    "uint64 of a number": ('{"aUint64": 18446744073709551615}', {"a_uint64": 2**64 - 1}),
    "sint64": ('{"aSint64": "-9223372036854775808"}', {"a_sint64": -(2**63)}),
    "fixed64": ('{"aFixed64": "18446744073709551615"}', {"a_fixed64": 2**64 - 1}),
    "sfixed64": ('{"aSfixed64": -9223372036854775808}', {"a_sfixed64": -(2**63)}),
    # Booleans, text, bytes.
    "bool": ('{"aBool": true}', {"a_bool": True}),
    "string": (
        '{"aString": "a\\n\\u00e9\\ud83d\\ude00\\u0000/"}',
        {"a_string": "a\né\U0001f600\0/"},
    ),
    "bytes in base64": ('{"aBytes": "+/8="}', {"a_bytes": b"\xfb\xff"}),
    "bytes in base64url": ('{"aBytes": "-_8="}', {"a_bytes": b"\xfb\xff"}),
    "bytes in base64 without padding": ('{"aBytes": "+/8"}', {"a_bytes": b"\xfb\xff"}),
    "bytes in base64url without padding": ('{"aBytes": "-_8"}', {"a_bytes": b"\xfb\xff"}),
    # Enums.
    "enum by name": ('{"aColor": "COLOR_RED"}', {"a_color": "COLOR_RED"}),
    "enum by number": ('{"aColor": 2}', {"a_color": "COLOR_BLUE"}),
    "enum of an unknown number": ('{"aColor": 77}', {"a_color": 77}),
    "enum of a negative number": ('{"aShade": -1}', {"a_shade": "SHADE_NEGATIVE"}),
    # Names.
    "proto name": ('{"an_int32": 1}', {"an_int32": 1}),
    "name of its own": ('{"@id": 1}', {"renamed": 1}),
    "proto name of a field with one of its own": ('{"renamed": 1}', {"renamed": 1}),
    # Messages and lists.
    "message": ('{"anEvery": {"anInt32": 1}}', {"an_every": {"an_int32": 1}}),
    "empty message": ('{"anEvery": {}}', {"an_every": {}}),
    "message in messages": (
        '{"anEvery": {"an_every": {"anEvery": {"aString": "deep"}}}}',
        {"an_every": {"an_every": {"an_every": {"a_string": "deep"}}}},
    ),
    "list of doubles": (
        '{"manyDouble": [1, 2.5, "3", "NaN", "-Infinity"]}',
        {"many_double": [1.0, 2.5, 3.0, _NAN, -math.inf]},
    ),
    "list of int64": ('{"manyInt64": [1, "2", -3]}', {"many_int64": [1, 2, -3]}),
    "list of bools": ('{"manyBool": [true, false]}', {"many_bool": [True, False]}),
    "list of strings": ('{"manyString": ["", "a"]}', {"many_string": ["", "a"]}),
    "list of bytes": ('{"manyBytes": ["", "_w"]}', {"many_bytes": [b"", b"\xff"]}),
    "list of enums": (
        '{"manyColor": ["COLOR_BLUE", 1, 0, 9]}',
        {"many_color": ["COLOR_BLUE", "COLOR_RED", "COLOR_UNSPECIFIED", 9]},
    ),
    "list of messages": (
        '{"manyEvery": [{"anInt32": 1}, {}, {"a_string": "x"}]}',
        {"many_every": [{"an_int32": 1}, {}, {"a_string": "x"}]},
    ),
    "empty list": ('{"manyInt64": []}', {"many_int64": []}),
    # Maps: every kind of key, and of value.
    "map by int32": ('{"byInt32": {"-2147483648": -1}}', {"by_int32": {-(2**31): -1}}),
    "map by int64": ('{"byInt64": {"9223372036854775807": "1"}}', {"by_int64": {2**63 - 1: 1}}),
    "map by uint32": ('{"byUint32": {"4294967295": 1}}', {"by_uint32": {2**32 - 1: 1}}),
    "map by uint64": ('{"byUint64": {"18446744073709551615": 1}}', {"by_uint64": {2**64 - 1: 1}}),
    "map by sint32": ('{"bySint32": {"-1": 1}}', {"by_sint32": {-1: 1}}),
    "map by sint64": ('{"bySint64": {"-1": "1"}}', {"by_sint64": {-1: 1}}),
    "map by fixed32": ('{"byFixed32": {"1": 1}}', {"by_fixed32": {1: 1}}),
    "map by fixed64": ('{"byFixed64": {"1": "1"}}', {"by_fixed64": {1: 1}}),
    "map by sfixed32": ('{"bySfixed32": {"-1": 1}}', {"by_sfixed32": {-1: 1}}),
    "map by sfixed64": ('{"bySfixed64": {"-1": 1}}', {"by_sfixed64": {-1: 1}}),
    "map by bool": (
        '{"byBool": {"true": false, "false": true}}',
        {"by_bool": {True: False, False: True}},
    ),
    "map by string": ('{"byString": {"": "a", "b:c": "d"}}', {"by_string": {"": "a", "b:c": "d"}}),
    "map of doubles": ('{"doubleByString": {"a": "NaN"}}', {"double_by_string": {"a": _NAN}}),
    "map of bytes": ('{"bytesByString": {"a": "_w=="}}', {"bytes_by_string": {"a": b"\xff"}}),
    "map of enums": (
        '{"colorByString": {"a": "COLOR_RED", "b": 2, "c": 0, "d": 5}}',
        {
            "color_by_string": {
                "a": "COLOR_RED",
                "b": "COLOR_BLUE",
                "c": "COLOR_UNSPECIFIED",
                "d": 5,
            }
        },
    ),
    "map of messages": (
        '{"everyByInt32": {"2": {"anInt32": 1}, "1": {}}}',
        {"every_by_int32": {2: {"an_int32": 1}, 1: {}}},
    ),
    "map of durations": (
        '{"durationByString": {"a": "1.5s"}}',
        {"duration_by_string": {"a": dt.timedelta(seconds=1.5)}},
    ),
    "map of values": (
        '{"valueByString": {"a": null, "b": [1]}}',
        {"value_by_string": {"a": None, "b": [1.0]}},
    ),
    "empty map": ('{"byString": {}}', {"by_string": {}}),
    # Oneofs.
    "oneof int32": ('{"choiceInt32": 0}', {"choice_int32": 0}),
    "oneof string": ('{"choiceString": ""}', {"choice_string": ""}),
    "oneof bytes": ('{"choiceBytes": ""}', {"choice_bytes": b""}),
    "oneof bool": ('{"choiceBool": false}', {"choice_bool": False}),
    "oneof enum": ('{"choiceColor": 0}', {"choice_color": "COLOR_UNSPECIFIED"}),
    "oneof message": ('{"choiceEvery": {}}', {"choice_every": {}}),
    "oneof timestamp": (
        '{"choiceTimestamp": "1970-01-01T00:00:00Z"}',
        {"choice_timestamp": dt.datetime(1970, 1, 1, tzinfo=_UTC)},
    ),
    "oneof NullValue": ('{"choiceNull": null}', {"choice_null": None}),
    "oneof NullValue by name": ('{"choiceNull": "NULL_VALUE"}', {"choice_null": None}),
    "oneof, others null": (
        '{"choiceInt32": null, "choiceString": "a", "choiceEvery": null}',
        {"choice_string": "a"},
    ),
    # Wrappers: like what they wrap.
    "DoubleValue": ('{"doubleValue": 1.5}', {"double_value": 1.5}),
    "DoubleValue NaN": ('{"doubleValue": "NaN"}', {"double_value": _NAN}),
    "FloatValue": ('{"floatValue": "0.5"}', {"float_value": 0.5}),
    "Int64Value": ('{"int64Value": "-9"}', {"int64_value": -9}),
    "UInt64Value": ('{"uint64Value": 18446744073709551615}', {"uint64_value": 2**64 - 1}),
    "Int32Value": ('{"int32Value": 0}', {"int32_value": 0}),
    "UInt32Value": ('{"uint32Value": 7}', {"uint32_value": 7}),
    "BoolValue": ('{"boolValue": false}', {"bool_value": False}),
    "StringValue": ('{"stringValue": ""}', {"string_value": ""}),
    "BytesValue": ('{"bytesValue": "_w"}', {"bytes_value": b"\xff"}),
    "list of Int64Value": ('{"manyInt64Value": [0, "1"]}', {"many_int64_value": [0, 1]}),
    # Times.
    "Timestamp": (
        '{"aTimestamp": "2024-02-29T12:30:00Z"}',
        {"a_timestamp": dt.datetime(2024, 2, 29, 12, 30, tzinfo=_UTC)},
    ),
    "Timestamp with a fraction": (
        '{"aTimestamp": "2024-02-29T12:30:00.123456Z"}',
        {"a_timestamp": dt.datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=_UTC)},
    ),
    "Timestamp with an offset": (
        '{"aTimestamp": "2024-02-29T12:30:00.5+01:00"}',
        {
            "a_timestamp": dt.datetime(
                2024, 2, 29, 12, 30, 0, 500_000, tzinfo=_PLUS_ONE
            ).astimezone(_UTC)
        },
    ),
    "Timestamp before 1970": (
        '{"aTimestamp": "1969-12-31T23:59:59.999999Z"}',
        {"a_timestamp": dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=_UTC)},
    ),
    "Timestamp, first": (
        '{"aTimestamp": "0001-01-01T00:00:00Z"}',
        {"a_timestamp": dt.datetime(1, 1, 1, tzinfo=_UTC)},
    ),
    "Timestamp, last": (
        '{"aTimestamp": "9999-12-31T23:59:59.999999Z"}',
        {"a_timestamp": dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=_UTC)},
    ),
    "list of Timestamp": (
        '{"manyTimestamp": ["1970-01-01T00:00:01Z"]}',
        {"many_timestamp": [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=_UTC)]},
    ),
    "Duration": ('{"aDuration": "90s"}', {"a_duration": dt.timedelta(seconds=90)}),
    "Duration with a fraction": (
        '{"aDuration": "1.000001s"}',
        {"a_duration": dt.timedelta(seconds=1, microseconds=1)},
    ),
    "Duration, negative": (
        '{"aDuration": "-0.5s"}',
        {"a_duration": dt.timedelta(seconds=-0.5)},
    ),
    "Duration, zero": ('{"aDuration": "0s"}', {"a_duration": dt.timedelta()}),
    "Duration, longest": (
        '{"aDuration": "315576000000s"}',
        {"a_duration": dt.timedelta(seconds=315_576_000_000)},
    ),
    # The rest of the well-known types.
    "FieldMask": ('{"aMask": "title,aUser.lastName"}', {"a_mask": ["title", "a_user.last_name"]}),
    "FieldMask, empty": ('{"aMask": ""}', {"a_mask": []}),
    "Struct": (
        '{"aStruct": {"a": 1, "b": [true, null, "x", {"c": {}}], "d": null}}',
        {"a_struct": {"a": 1.0, "b": [True, None, "x", {"c": {}}], "d": None}},
    ),
    "Struct, empty": ('{"aStruct": {}}', {"a_struct": {}}),
    "Value of a number": ('{"aValue": 1}', {"a_value": 1.0}),
    "Value of a string": ('{"aValue": "NaN"}', {"a_value": "NaN"}),
    "Value of a bool": ('{"aValue": false}', {"a_value": False}),
    "Value of null": ('{"aValue": null}', {"a_value": None}),
    "Value of a list": ('{"aValue": [1, [], {}]}', {"a_value": [1.0, [], {}]}),
    "Value of an object": ('{"aValue": {"a": {"b": 2}}}', {"a_value": {"a": {"b": 2.0}}}),
    "list of Value": ('{"manyValue": [null, 1, "a"]}', {"many_value": [None, 1.0, "a"]}),
    "ListValue": ('{"aList": [1, "a", null]}', {"a_list": [1.0, "a", None]}),
    "ListValue, empty": ('{"aList": []}', {"a_list": []}),
    "NullValue": ('{"aNull": null}', {"a_null": None}),
    "Empty": ('{"anEmpty": {}}', {"an_empty": {}}),
    "Any of a message": (
        _any("modelserve.tests.Stowaway", '"count": 3, "name": "x"'),
        {"an_any": {"@type": f"{_ANY}modelserve.tests.Stowaway", "count": "3", "name": "x"}},
    ),
    "Any, its type last": (
        '{"anAny": {"name": "x", "@type": "type.googleapis.com/modelserve.tests.Stowaway"}}',
        {"an_any": {"@type": f"{_ANY}modelserve.tests.Stowaway", "name": "x"}},
    ),
    "Any of a Duration": (
        _any("google.protobuf.Duration", '"value": "1.5s"'),
        {"an_any": {"@type": f"{_ANY}google.protobuf.Duration", "value": "1.500s"}},
    ),
    "Any of a Timestamp": (
        _any("google.protobuf.Timestamp", '"value": "2024-01-01T00:00:00Z"'),
        {"an_any": {"@type": f"{_ANY}google.protobuf.Timestamp", "value": "2024-01-01T00:00:00Z"}},
    ),
    "Any of a Struct": (
        _any("google.protobuf.Struct", '"value": {"a": 1}'),
        {"an_any": {"@type": f"{_ANY}google.protobuf.Struct", "value": {"a": 1.0}}},
    ),
    "Any of a Value": (
        _any("google.protobuf.Value", '"value": [1]'),
        {"an_any": {"@type": f"{_ANY}google.protobuf.Value", "value": [1.0]}},
    ),
    "Any of a wrapper": (
        _any("google.protobuf.Int64Value", '"value": "5"'),
        {"an_any": {"@type": f"{_ANY}google.protobuf.Int64Value", "value": "5"}},
    ),
    "Any of a FieldMask": (
        _any("google.protobuf.FieldMask", '"value": "aB"'),
        {"an_any": {"@type": f"{_ANY}google.protobuf.FieldMask", "value": "aB"}},
    ),
    "Any of an Any": (
        _any("google.protobuf.Any", f'"value": {{"@type": "{_ANY}modelserve.tests.Stowaway"}}'),
        {
            "an_any": {
                "@type": f"{_ANY}google.protobuf.Any",
                "value": {"@type": f"{_ANY}modelserve.tests.Stowaway"},
            }
        },
    ),
    "Any of nothing": ('{"anAny": {}}', {"an_any": {}}),
    # Presence: what is sent arrives, and null is as good as absent.
    "zeros": (
        '{"anInt32": 0, "aDouble": 0, "aBool": false, "aString": "", "aBytes": "", "aColor": 0}',
        {
            "an_int32": 0,
            "a_double": 0.0,
            "a_bool": False,
            "a_string": "",
            "a_bytes": b"",
            "a_color": "COLOR_UNSPECIFIED",
        },
    ),
    "optional zeros": (
        '{"maybeInt32": 0, "maybeString": "", "maybeBool": false, "maybeColor": 0}',
        {
            "maybe_int32": 0,
            "maybe_string": "",
            "maybe_bool": False,
            "maybe_color": "COLOR_UNSPECIFIED",
        },
    ),
    "nulls": (
        (
            '{"anInt32": null, "aString": null, "aColor": null, "anEvery": null,'
            ' "manyInt64": null, "byString": null, "int64Value": null, "aTimestamp": null,'
            ' "aStruct": null, "anAny": null, "maybeInt32": null, "an_int64": null, "aMask": null}'
        ),
        {},
    ),
    "a null and the other name": ('{"anInt32": null, "an_int32": 4}', {"an_int32": 4}),
    "nothing": ("{}", {}),
}

# What is wrong with one field: its JSON body, and the path that the answer names.
REFUSED: dict[str, tuple[str, str]] = {
    "int32 too large": ('{"anInt32": 2147483648}', "anInt32"),
    "int32 too small": ('{"anInt32": -2147483649}', "anInt32"),
    "int32 too large in a string": ('{"anInt32": "2147483648"}', "anInt32"),
    "uint32 negative": ('{"aUint32": -1}', "aUint32"),
    "uint32 too large": ('{"aUint32": 4294967296}', "aUint32"),
    "sint32 too large": ('{"aSint32": 2147483648}', "aSint32"),
    "fixed32 negative": ('{"aFixed32": "-1"}', "aFixed32"),
    "sfixed32 too small": ('{"aSfixed32": -2147483649}', "aSfixed32"),
    "int64 too large": ('{"anInt64": "9223372036854775808"}', "anInt64"),
    "int64 too large as a number": ('{"anInt64": 9223372036854775808}', "anInt64"),
    "int64 too small": ('{"anInt64": "-9223372036854775809"}', "anInt64"),
    "uint64 too large": ('{"aUint64": "18446744073709551616"}', "aUint64"),
    "uint64 too large as a number": ('{"aUint64": 18446744073709551616}', "aUint64"),
    "uint64 negative": ('{"aUint64": -1}', "aUint64"),
    "sint64 too large": ('{"aSint64": 1e19}', "aSint64"),
    "integer with a fraction": ('{"anInt32": 0.5}', "anInt32"),
    "integer with a fraction in a string": ('{"anInt32": "0.5"}', "anInt32"),
    "int64 with a fraction": ('{"anInt64": 1.5}', "anInt64"),
    "integer of a bool": ('{"anInt32": true}', "anInt32"),
    "integer of an empty string": ('{"anInt32": ""}', "anInt32"),
    "integer of text": ('{"anInt32": "one"}', "anInt32"),
    "integer with a space before": ('{"anInt32": " 1"}', "anInt32"),
    "integer with a space behind": ('{"anInt32": "1 "}', "anInt32"),
    "integer in hexadecimal": ('{"anInt32": "0x1"}', "anInt32"),
    "integer of a list": ('{"anInt32": [1]}', "anInt32"),
    "integer of an object": ('{"anInt32": {"value": 1}}', "anInt32"),
    "double of text": ('{"aDouble": "one"}', "aDouble"),
    "double of an empty string": ('{"aDouble": ""}', "aDouble"),
    "double of a bool": ('{"aDouble": false}', "aDouble"),
    "double of nan": ('{"aDouble": "nan"}', "aDouble"),
    "double of inf": ('{"aDouble": "inf"}', "aDouble"),
    "double out of range": ('{"aDouble": "1e309"}', "aDouble"),
    "float out of range": ('{"aFloat": 3.502823e+38}', "aFloat"),
    "float out of range, negative": ('{"aFloat": -3.502823e+38}', "aFloat"),
    "bool of a number": ('{"aBool": 1}', "aBool"),
    "bool of a string": ('{"aBool": "true"}', "aBool"),
    "string of a number": ('{"aString": 12345}', "aString"),
    "string of a bool": ('{"aString": true}', "aString"),
    "string of a list": ('{"aString": ["a"]}', "aString"),
    "bytes of a number": ('{"aBytes": 1}', "aBytes"),
    "bytes not in base64": ('{"aBytes": "!!"}', "aBytes"),
    "bytes of one character": ('{"aBytes": "a"}', "aBytes"),
    "bytes of an array": ('{"aBytes": [1, 2]}', "aBytes"),
    "enum of an unknown name": ('{"aColor": "COLOR_GREEN"}', "aColor"),
    "enum of a name in lower case": ('{"aColor": "color_red"}', "aColor"),
    "enum of a bool": ('{"aColor": true}', "aColor"),
    "enum with a fraction": ('{"aColor": 0.5}', "aColor"),
    "enum over 32 bits": ('{"aColor": 4294967296}', "aColor"),
    "enum under 32 bits": ('{"manyColor": [0, -4294967296]}', "manyColor[1]"),
    "message of a list": ('{"anEvery": []}', "anEvery"),
    "message of a string": ('{"anEvery": "x"}', "anEvery"),
    "a field of a field": ('{"anEvery": {"an_every": {"aBool": 3}}}', "anEvery.an_every.aBool"),
    "list of an object": ('{"manyInt64": {"0": 1}}', "manyInt64"),
    "list of a number": ('{"manyInt64": 1}', "manyInt64"),
    "list with a wrong element": ('{"manyInt64": [1, "x", 3]}', "manyInt64[1]"),
    "list with a null": ('{"manyInt64": [1, 2, null]}', "manyInt64[2]"),
    "list of messages with a null": ('{"manyEvery": [null]}', "manyEvery[0]"),
    "list of strings with a null": ('{"manyString": ["a", null]}', "manyString[1]"),
    "list of Timestamp with a null": ('{"manyTimestamp": [null]}', "manyTimestamp[0]"),
    "list of lists": ('{"manyDouble": [[1]]}', "manyDouble[0]"),
    "a field in a list": ('{"manyEvery": [{}, {"aBool": 1}]}', "manyEvery[1].aBool"),
    "map of a list": ('{"byString": []}', "byString"),
    "map with a null": ('{"byString": {"a": null}}', 'byString["a"]'),
    "map with a wrong value": ('{"byString": {"a": "b", "c": 1}}', 'byString["c"]'),
    "map by int32 of text": ('{"byInt32": {"a": 1}}', 'byInt32["a"]'),
    "map by int32 of a large key": ('{"byInt32": {"2147483648": 1}}', 'byInt32["2147483648"]'),
    "map by uint32 of a negative key": ('{"byUint32": {"-1": 1}}', 'byUint32["-1"]'),
    "map by bool of a number": ('{"byBool": {"1": true}}', 'byBool["1"]'),
    "a field in a map": ('{"everyByInt32": {"7": {"aBool": 1}}}', 'everyByInt32["7"].aBool'),
    "wrapper of a wrong type": ('{"int64Value": true}', "int64Value"),
    "wrapper of an object": ('{"stringValue": {"value": "a"}}', "stringValue"),
    "BytesValue not in base64": ('{"bytesValue": "*"}', "bytesValue"),
    "Timestamp of a number": ('{"aTimestamp": 1700000000}', "aTimestamp"),
    "Timestamp without a zone": ('{"aTimestamp": "2024-01-01T00:00:00"}', "aTimestamp"),
    "Timestamp without a time": ('{"aTimestamp": "2024-01-01"}', "aTimestamp"),
    "Timestamp with a space": ('{"aTimestamp": "2024-01-01 00:00:00Z"}', "aTimestamp"),
    "Timestamp in lower case": ('{"aTimestamp": "2024-01-01t00:00:00z"}', "aTimestamp"),
    "Timestamp of no day": ('{"aTimestamp": "2023-02-29T00:00:00Z"}', "aTimestamp"),
    "Timestamp of no hour": ('{"aTimestamp": "2024-01-01T25:00:00Z"}', "aTimestamp"),
    "Timestamp of year 0": ('{"aTimestamp": "0000-01-01T00:00:00Z"}', "aTimestamp"),
    "Timestamp of year 10000": ('{"aTimestamp": "10000-01-01T00:00:00Z"}', "aTimestamp"),
    "Timestamp of ten digits": ('{"aTimestamp": "2024-01-01T00:00:00.1234567890Z"}', "aTimestamp"),
    "Duration of a number": ('{"aDuration": 1}', "aDuration"),
    "Duration without a unit": ('{"aDuration": "1"}', "aDuration"),
    "Duration of another unit": ('{"aDuration": "1m"}', "aDuration"),
    "Duration too long": ('{"aDuration": "315576000001s"}', "aDuration"),
    "Duration too short": ('{"aDuration": "-315576000001s"}', "aDuration"),
    "Duration of text": ('{"aDuration": "as"}', "aDuration"),
    "FieldMask with an underscore": ('{"aMask": "a_b"}', "aMask"),
    "FieldMask that ends with a comma": ('{"aMask": "a,"}', "aMask"),
    "FieldMask with a space": ('{"aMask": "a, b"}', "aMask"),
    "FieldMask of digits": ('{"aMask": "1"}', "aMask"),
    "FieldMask within a message": ('{"anEvery": {"aMask": "a,"}}', "anEvery.aMask"),
    "FieldMask within an Any": (_any("google.protobuf.FieldMask", '"value": "a,"'), "anAny"),
    "FieldMask of a list": ('{"aMask": ["a"]}', "aMask"),
    "Struct of a list": ('{"aStruct": []}', "aStruct"),
    "Struct of a number": ('{"aStruct": 1}', "aStruct"),
    "ListValue of an object": ('{"aList": {}}', "aList"),
    "NullValue of a string": ('{"aNull": "null"}', "aNull"),
    "Empty with a field": ('{"anEmpty": {"a": 1}}', "anEmpty.a"),
    "Any of an unknown type": ('{"anAny": {"@type": "x/modelserve.tests.Nothing"}}', "anAny"),
    "Any without a type": ('{"anAny": {"name": "x"}}', "anAny"),
    "Any with a type that is none": ('{"anAny": {"@type": 3}}', "anAny"),
    "Any with a wrong field": (
        _any("modelserve.tests.Stowaway", '"count": "x"'),
        "anAny",
    ),
    "Any with an unknown field": (
        _any("modelserve.tests.Stowaway", '"size": 1'),
        "anAny",
    ),
    "Any of a Duration without its value": (
        _any("google.protobuf.Duration"),
        "anAny",
    ),
    "unknown field": ('{"nothing": 1}', "nothing"),
    "unknown field that is null": ('{"nothing": null}', "nothing"),
    "unknown field of a field": ('{"anEvery": {"nothing": 1}}', "anEvery.nothing"),
    "name in another case": ('{"AnInt32": 1}', "AnInt32"),
    "unknown extension": ('{"[modelserve.tests.nothing]": 1}', "[modelserve.tests.nothing]"),
    "one name twice": ('{"anInt32": 1, "anInt32": 2}', "anInt32"),
    "one name twice, of one value": ('{"aString": "a", "aString": "a"}', "aString"),
    "one name twice in a message": ('{"anEvery": {"aBool": true, "aBool": true}}', "anEvery.aBool"),
    "one name twice in a list": (
        '{"manyEvery": [{"aBool": true, "aBool": true}]}',
        "manyEvery[0].aBool",
    ),
    "one name twice in a Struct": ('{"aStruct": {"a": {"b": 1, "b": 2}}}', "aStruct.a.b"),
    "one name twice, escaped": ('{"aBool": true, "aB\\u006fol": true}', "aBool"),
    "one key of a map twice": ('{"byString": {"a": "b", "a": "b"}}', "byString.a"),
    "both names of one field": ('{"anInt32": 1, "an_int32": 1}', "an_int32"),
    "both names of one field in a field": (
        '{"anEvery": {"aString": "a", "a_string": "a"}}',
        "anEvery.a_string",
    ),
    "a name of its own and the proto name": ('{"@id": 1, "renamed": 1}', "renamed"),
    "two members of a oneof": ('{"choiceInt32": 1, "choiceString": "a"}', "choiceString"),
    "two members of a oneof in a list": (
        '{"manyEvery": [{"choiceInt32": 1, "choiceBool": true}]}',
        "manyEvery[0].choiceBool",
    ),
    "two members of a oneof, one NullValue": (
        '{"choiceNull": null, "choiceString": "a"}',
        "choiceString",
    ),
}

# Those that ``ignore_unknown_fields`` accepts: they are about names that the schema has not.
FORGIVEN = {
    "enum of an unknown name",
    "enum of a name in lower case",
    "NullValue of a string",
    "Empty with a field",
    "Any with an unknown field",
    "unknown field",
    "unknown field that is null",
    "unknown field of a field",
    "unknown extension",
    "name in another case",
}

# What is no JSON at all, or holds no object.
NOT_JSON = {
    "nothing": "",
    "a space": " ",
    "a word": "anInt32",
    "a trailing comma": '{"anInt32": 1,}',
    "a missing comma": '{"anInt32": 1 "aBool": true}',
    "a leading zero": '{"anInt32": 01}',
    "a leading zero, negative": '{"anInt32": -01}',
    "a leading plus": '{"anInt32": +1}',
    "a leading point": '{"aDouble": .5}',
    "a trailing point": '{"aDouble": 5.}',
    "a lone minus": '{"aDouble": -}',
    "hexadecimal": '{"anInt32": 0x10}',
    "single quotes": "{'anInt32': 1}",
    "no quotes": "{anInt32: 1}",
    "a comment": '{"anInt32": 1 /* one */}',
    "True": '{"aBool": True}',
    "NaN": '{"aDouble": NaN}',
    "Infinity": '{"aDouble": Infinity}',
    "a raw line feed in a string": '{"aString": "a\nb"}',
    "a raw NUL in a string": '{"aString": "a\0b"}',
    "a bad escape": '{"aString": "\\x41"}',
    "a lone high surrogate": '{"aString": "\\ud800"}',
    "a lone low surrogate": '{"aString": "\\udc00"}',
    "a surrogate behind the wrong one": '{"aString": "\\udc00\\ud800"}',
    "two values": '{"anInt32": 1} {}',
    "an open object": '{"anInt32": 1',
    "an open string": '{"aString": "a',
    "a byte order mark": "\ufeff{}",
}
