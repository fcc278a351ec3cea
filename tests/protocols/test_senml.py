# SPDX-License-Identifier: BSD-3-Clause
"""SenML against every example of RFC 8428 itself, and against what it forbids."""

import json
import struct
from typing import Any

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.senml import (
    RECORDS_MAX,
    UNIT_LENGTH_MAX,
    SenmlRecord,
    SenmlValue,
    parse_cbor,
    parse_json,
)

OW = "urn:dev:ow:10e2073a01080063"


def compact(records: list[SenmlRecord]) -> list[tuple[str, str, float, SenmlValue | None]]:
    return [(item.name, item.unit, item.time, item.value) for item in records]


# -- the examples of section 5.1 -------------------------------------------------------------------


def test_single_data_point() -> None:  # 5.1.1
    (record,) = parse_json(b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]')
    assert record == SenmlRecord(OW, OW, "Cel", 0.0, 23.1)
    assert record.unix_time(1.7e9) == 1.7e9


def test_multiple_data_points() -> None:  # 5.1.2
    records = parse_json(b"""[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
        {"n":"current","u":"A","v":1.2}
    ]""")
    assert compact(records) == [
        (OW + ":voltage", "V", 0.0, 120.1),
        (OW + ":current", "A", 0.0, 1.2),
    ]
    assert [item.own_name for item in records] == ["voltage", "current"]


MULTIPLE_WITH_TIME = b"""[
    {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,
     "bu":"A","bver":5,
     "n":"voltage","u":"V","v":120.1},
    {"n":"current","t":-5,"v":1.2},
    {"n":"current","t":-4,"v":1.3},
    {"n":"current","t":-3,"v":1.4},
    {"n":"current","t":-2,"v":1.5},
    {"n":"current","t":-1,"v":1.6},
    {"n":"current","v":1.7}
]"""


def test_multiple_data_points_with_base_time_and_base_unit() -> None:  # 5.1.2
    name, base = "urn:dev:ow:10e2073a0108006:", 1.276020076001e09
    assert compact(parse_json(MULTIPLE_WITH_TIME)) == [
        (name + "voltage", "V", base, 120.1),
        *((name + "current", "A", base - 5 + step, 1.2 + step / 10) for step in range(6)),
    ]


def test_data_points_of_a_stream() -> None:  # 5.1.3
    records = parse_json(b"""[
        {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":21.2},
        {"t":10,"v":21.3}, {"t":20,"v":21.4}, {"t":30,"v":21.4}, {"t":40,"v":21.5},
        {"t":50,"v":21.5}, {"t":60,"v":21.5}, {"t":70,"v":21.6}, {"t":80,"v":21.7}
    ]""")
    values = [21.2, 21.3, 21.4, 21.4, 21.5, 21.5, 21.5, 21.6, 21.7]
    assert compact(records) == [
        (OW, "%RH", 1.320067464e09 + 10 * step, value) for step, value in enumerate(values)
    ]


MEASUREMENTS = b"""[
    {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,
     "bu":"%RH","v":20},
    {"u":"lon","v":24.30621},
    {"u":"lat","v":60.07965},
    {"t":60,"v":20.3},
    {"u":"lon","t":60,"v":24.30622},
    {"u":"lat","t":60,"v":60.07965},
    {"t":120,"v":20.7},
    {"u":"lon","t":120,"v":24.30623},
    {"u":"lat","t":120,"v":60.07966},
    {"u":"%EL","t":150,"v":98},
    {"t":180,"v":21.2},
    {"u":"lon","t":180,"v":24.30628},
    {"u":"lat","t":180,"v":60.07967}
]"""
RESOLVED = b"""[
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067464e+09,"v":20},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067464e+09,"v":24.30621},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067464e+09,"v":60.07965},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067524e+09,"v":20.3},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067524e+09,"v":24.30622},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067524e+09,"v":60.07965},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067584e+09,"v":20.7},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067584e+09,"v":24.30623},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067584e+09,"v":60.07966},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%EL","t":1.320067614e+09,"v":98},
    {"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067644e+09,"v":21.2},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067644e+09,"v":24.30628},
    {"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067644e+09,"v":60.07967}
]"""


def test_multiple_measurements_and_their_resolved_form() -> None:  # 5.1.4, 5.1.5
    records = parse_json(MEASUREMENTS)
    assert len(records) == 13
    assert compact(records) == compact(parse_json(RESOLVED))


def test_multiple_data_types() -> None:  # 5.1.6
    records = parse_json(b"""[
        {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},
        {"n":"open","vb":false},
        {"n":"nfc-reader","vd":"aGkgCg"}
    ]""")
    assert [(item.own_name, item.value) for item in records] == [
        ("temp", 23.1),
        ("label", "Machine Room"),
        ("open", False),
        ("nfc-reader", "aGkgCg"),
    ]


def test_collection_of_resources() -> None:  # 5.1.7
    records = parse_json(b"""[
        {"bn":"2001:db8::2/","bt":1.320078429e+09,
         "n":"temperature","u":"Cel","v":25.2},
        {"n":"humidity","u":"%RH","v":30},
        {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},
        {"n":"humidity","u":"%RH","v":67}
    ]""")
    assert compact(records) == [
        ("2001:db8::2/temperature", "Cel", 1.320078429e09, 25.2),
        ("2001:db8::2/humidity", "%RH", 1.320078429e09, 30.0),
        ("2001:db8::1/temperature", "Cel", 1.320078429e09, 12.3),
        ("2001:db8::1/humidity", "%RH", 1.320078429e09, 67.0),
    ]


def test_setting_an_actuator() -> None:  # 5.1.8
    records = parse_json(b"""[
        {"bn":"urn:dev:ow:10e2073a01080063:"},
        {"n":"temp","u":"Cel","v":23.1},
        {"n":"heat","u":"/","v":1},
        {"n":"fan","u":"/","v":0}
    ]""")
    assert [(item.name.removeprefix(OW), item.unit, item.value) for item in records] == [
        (":temp", "Cel", 23.1),
        (":heat", "/", 1.0),
        (":fan", "/", 0.0),
    ]


def test_lights_in_the_near_future() -> None:  # 5.1.8
    records = parse_json(b"""[
        {"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},
        {"n":"2001:db8::4","v":0.5},
        {"n":"2001:db8::3","t":0.1,"v":0},
        {"n":"2001:db8::4","t":0.1,"v":0}
    ]""")
    assert [(item.name[-1], item.unit, item.value) for item in records] == [
        *(("3", "/", 0.5), ("4", "/", 0.5), ("3", "/", 0.0), ("4", "/", 0.0))
    ]
    assert records[3].unix_time(0.0) == 1.320078429e09 + 0.1


# -- section 6 -------------------------------------------------------------------------------------

CBOR_EXAMPLE = """
    87 a7 21 78 1c 75 72 6e 3a 64 65 76 3a 6f 77 3a 31 30 65 32 30 37 33 61 30 31 30 38 30 30 36 33
    3a 22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 00 67 76 6f 6c 74 61 67 65 01 61 56 02 fb 40 5e
    06 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 24 02 fb 3f f3 33 33 33 33 33 33 a3 00 67 63
    75 72 72 65 6e 74 06 23 02 fb 3f f4 cc cc cc cc cc cd a3 00 67 63 75 72 72 65 6e 74 06 22 02 fb
    3f f6 66 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 21 02 f9 3e 00 a3 00 67 63 75 72 72 65
    6e 74 06 20 02 fb 3f f9 99 99 99 99 99 9a a3 00 67 63 75 72 72 65 6e 74 06 00 02 fb 3f fb 33 33
    33 33 33 33
"""


def test_cbor_example_is_the_json_example() -> None:
    records = parse_cbor(bytes.fromhex(CBOR_EXAMPLE))
    in_json = parse_json(MULTIPLE_WITH_TIME.replace(b"10e2073a0108006:", b"10e2073a01080063:"))
    assert records == in_json


def cbor(value: object) -> bytes:
    """As much of CBOR as these tests write."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int() if value >= 0:
            return bytes([0x18, value])
        case int():
            return bytes([0x38, -1 - value])
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            return bytes([0x78, len(value.encode())]) + value.encode()
        case bytes():
            return bytes([0x58, len(value)]) + value
        case list():
            return bytes([0x98, len(value)]) + b"".join(map(cbor, value))
        case dict():
            pairs = (cbor(key) + cbor(item) for key, item in value.items())
            return bytes([0xB8, len(value)]) + b"".join(pairs)
    raise AssertionError(value)


def test_every_label_of_cbor_is_the_one_of_json() -> None:
    labels = {
        "bver": -1,
        "bn": -2,
        "bt": -3,
        "bu": -4,
        "bv": -5,
        "bs": -6,
        "n": 0,
        "u": 1,
        "v": 2,
        "s": 5,
        "t": 6,
        "ut": 7,
    }
    pack: list[dict[str, Any]] = [
        {"bver": 10, "bn": "a/", "bt": 5, "bu": "A", "bv": 1.5, "bs": 2.5},
        {"n": "b", "u": "V", "v": 2, "s": 3, "t": -7, "ut": 60},
    ]
    numbered = [{labels[key]: value for key, value in item.items()} for item in pack]
    expected = [SenmlRecord("a/b", "b", "V", -2.0, 3.5, 5.5, 60.0)]
    assert parse_cbor(cbor(numbered)) == parse_json(json.dumps(pack).encode()) == expected
    values = parse_cbor(cbor([{0: "a", 3: "x"}, {4: True}, {8: b"hi \n"}, {"vs": "y"}]))
    assert [item.value for item in values] == ["x", True, "aGkgCg", "y"]


# -- values, times, fields -------------------------------------------------------------------------


def test_base_value_and_base_sum_are_added() -> None:  # 4.1
    records = parse_json(b'[{"bv":20,"bs":100},{"n":"a","v":1.5},{"n":"b"},{"n":"c","vs":"x"}]')
    assert [(item.value, item.sum) for item in records] == [
        *((21.5, 100.0), (20.0, 100.0), ("x", 100.0))
    ]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**64 - 1])
def test_integer_that_a_double_cannot_represent_keeps_its_digits(number: int) -> None:
    (record,) = parse_json(b'[{"n":"serial","v":%d}]' % number)
    assert record.value == str(number)
    argument = number if number >= 0 else -1 - number
    kind = 0x1B if number >= 0 else 0x3B
    (record,) = parse_cbor(b"\x81\xa2\x00\x61s\x02" + bytes([kind]) + argument.to_bytes(8, "big"))
    assert record.value == str(number)
    (record,) = parse_json(b'[{"bv":1,"n":"serial","v":%d}]' % number)
    assert record.value == 1.0 + number


def test_sum_needs_no_value() -> None:  # 4.2
    records = parse_json(b'[{"n":"energy","u":"W","s":12},{"n":"p","v":1,"s":13}]')
    assert [(item.value, item.sum) for item in records] == [(None, 12.0), (1.0, 13.0)]


@pytest.mark.parametrize(
    ("time", "unix_time"),
    [(0, 1.7e9), (-5, 1.7e9 - 5), (2**28 - 1, 1.7e9 + 2**28 - 1), (2**28, 2.0**28)],
)
def test_times_below_2_to_28_are_relative(time: int, unix_time: float) -> None:  # 4.5.3
    (record,) = parse_json(b'[{"n":"a","v":1,"t":%d}]' % time)
    assert record.unix_time(1.7e9) == unix_time


def test_unknown_fields_are_ignored_unless_they_must_be_understood() -> None:  # 4.4
    assert parse_json(b'[{"n":"a","v":1,"new":[{}],"2":3}]') == [SenmlRecord("a", "a", value=1.0)]
    assert parse_cbor(cbor([{0: "a", 2: 1, 99: "x", -9: "y"}])) == [
        SenmlRecord("a", "a", value=1.0)
    ]
    for pack in (b'[{"n":"a","v":1},{"must_":0}]', b'[{"_":1}]'):
        with pytest.raises(ProtocolError, match="must be understood"):
            parse_json(pack)


def test_newer_version_is_refused() -> None:  # 4.4
    assert parse_json(b'[{"bver":10,"n":"a","v":1}]')
    with pytest.raises(ProtocolError, match="version"):
        parse_json(b'[{"n":"a","v":1},{"bver":11,"n":"b","v":1}]')


@pytest.mark.parametrize(
    "pack",
    [
        *(b"", b"{}", b"7", b"[1]", b"[[]]", b"[", b'[{"n":"a","v":1}', b"\xff"),
        *(b'[{"v":"1"}]', b'[{"v":true}]', b'[{"v":null}]', b'[{"vs":1}]', b'[{"vb":1}]'),
        *(b'[{"vd":1}]', b'[{"n":1,"v":1}]', b'[{"bn":2}]', b'[{"u":3,"v":1}]', b'[{"bt":"x"}]'),
        *(b'[{"v":1,"vs":"x"}]', b'[{"vb":true,"vd":""}]'),
        *(b'[{"n":"//a","v":1}]', b'[{"n":"a b","v":1}]', '[{"n":"ä","v":1}]'.encode()),
        *(b'[{"bv":1e308},{"n":"a","v":1e308}]', b'[{"bs":-1e308,"s":-1e308}]'),
        b'[{"u":"' + b"x" * (UNIT_LENGTH_MAX + 1) + b'","v":1}]',
        b'[{"u":"a\\u0000","v":1}]',
        b'[{"v":1' + b"0" * 400 + b"}]",
    ],
)
def test_what_is_no_pack_is_refused(pack: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_json(pack)


def test_a_field_in_both_its_forms_is_refused() -> None:
    with pytest.raises(ProtocolError, match="twice"):
        parse_cbor(cbor([{2: 1, "v": 2}]))


def test_records_are_limited() -> None:
    assert len(parse_json(b"[" + b'{"v":1},' * (RECORDS_MAX - 1) + b'{"v":1}]')) == RECORDS_MAX
    with pytest.raises(ProtocolError, match="more than"):
        parse_json(b"[" + b'{"v":1},' * RECORDS_MAX + b'{"v":1}]')
