# SPDX-License-Identifier: BSD-3-Clause
"""Payloads become values by their Content-Format."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.numbers import ContentFormat
from pyaiot.protocols.coap.values import (
    AGE_MAX_S,
    ResourceValue,
    content_format,
    read_pack,
    read_value,
    read_values,
)

SENML_JSON = ContentFormat.SENML_JSON


@pytest.mark.parametrize(
    ("option", "number"), [(None, None), (b"", 0), (b"\x32", 50), (b"\x00\x6e", 110)]
)
def test_content_format_of_no_length_is_text(option: bytes | None, number: int | None) -> None:
    assert content_format(option) == number


def test_content_format_has_two_bytes_at_most() -> None:
    with pytest.raises(ProtocolError):
        content_format(b"\0\0\0")


@pytest.mark.parametrize(
    ("payload", "format_", "data"),
    [
        ("23.5°C\0".encode(), None, "23.5°C"),
        (b"23.5", 0, "23.5"),
        (b"23.5", 42, "23.5"),
        (b"23.5", 50, 23.5),
        (b'{"lat":48.7}', 50, {"lat": 48.7}),
        (b'"on"', 50, "on"),
        (b"true", 50, True),
        (bytes.fromhex("f94e00"), 60, 24.0),
        (bytes.fromhex("a1636c6174f94e00"), 60, {"lat": 24.0}),
        (bytes.fromhex("420102"), 60, "AQI"),
        (b"", None, ""),
    ],
)
def test_value_is_read_by_its_format(payload: bytes, format_: int | None, data: object) -> None:
    assert read_values(payload, format_, "r") == [ResourceValue("r", data)]
    assert type(read_value(payload, format_)) is type(data)


@pytest.mark.parametrize(
    ("payload", "format_"),
    [
        *((b"\xff\xfe", None), (b"\xff\xfe", 0), (b"\xff\xfe", 42), (b"23.5\xc2", 50)),
        *((b"23,5", 50), (b"NaN", 50), (b"", 50), (b'"\\ud800"', 50), (b"[" * 100_000, 50)),
        *((b"1" * 5000, 50), (b"", 60), (bytes.fromhex("f97e00"), 60), (b"x", 110), (b"x", 112)),
    ],
)
def test_what_is_not_in_its_format_is_refused(payload: bytes, format_: int | None) -> None:
    with pytest.raises(ProtocolError):
        read_values(payload, format_, "r")


def test_one_senml_record_is_the_resource_whatever_its_name() -> None:
    for name in ("", "temp", "urn:dev:ow:10e2073a01080063"):
        pack = b'[{"n":"%s","u":"Cel","v":23.1}]' % name.encode()
        assert read_values(pack, SENML_JSON, "sensors/temp") == [
            ResourceValue("sensors/temp", 23.1, "Cel")
        ]
    assert read_values(bytes.fromhex("81a2006161021819"), 112, "r") == [ResourceValue("r", 25, "")]


def test_records_of_several_names_are_below_the_resource() -> None:
    pack = b"""[
        {"bn":"urn:dev:ow:10e2073a01080063:","v":1},
        {"n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},
        {"n":"open","vb":false},
        {"n":"nfc-reader","vd":"aGkgCg"},
        {"n":"sensors","v":20.0}
    ]"""
    assert read_values(pack, SENML_JSON, "sensors") == [
        ResourceValue("sensors", 1, ""),
        ResourceValue("sensors/temp", 23.1, "Cel"),
        ResourceValue("sensors/label", "Machine Room", ""),
        ResourceValue("sensors/open", False, ""),
        ResourceValue("sensors/nfc-reader", "aGkgCg", ""),
        ResourceValue("sensors", 20, ""),
    ]


def test_units_of_one_name_are_distinguished() -> None:
    pack = b'[{"bn":"x","bu":"%RH","v":20},{"u":"lon","v":24.5},{"v":21,"t":1}]'
    assert read_values(pack, SENML_JSON, "air") == [
        ResourceValue("air", 20, "%RH"),
        ResourceValue("air/lon", 24.5, "lon"),
        ResourceValue("air", 21, "%RH", 1.0),
    ]


def test_sum_has_its_own_unit_and_name() -> None:
    pack = b'[{"n":"p","u":"W","v":5,"s":12.5},{"n":"q","u":"lx","s":3}]'
    assert read_values(pack, SENML_JSON, "m") == [
        ResourceValue("m/p", 5, "W"),
        ResourceValue("m/p/sum", 12.5, "J"),
        ResourceValue("m/q", 3, ""),
    ]


def test_records_come_in_the_order_of_time() -> None:
    pack = b'[{"n":"a","v":3},{"n":"a","v":1,"t":-2},{"n":"a","v":2,"t":-1}]'
    values = read_values(pack, SENML_JSON, "a")
    assert [item.data for item in values] == [1, 2, 3]
    assert [item.measured_at(1.7e9) for item in values] == [1.7e9 - 2, 1.7e9 - 1, 1.7e9]


@pytest.mark.parametrize(
    ("time", "at"),
    [
        (-60.0, 1.7e9 - 60),
        (60.0, 1.7e9),
        (-AGE_MAX_S - 1, 1.7e9),
        (1.7e9 - 60, 1.7e9 - 60),
        (1.6e9, 1.7e9),
        (1.8e9, 1.7e9),
    ],
)
def test_time_that_cannot_be_believed_is_the_time_of_receipt(time: float, at: float) -> None:
    assert ResourceValue("r", 1, "", time).measured_at(1.7e9) == at


def test_posted_pack_names_its_resources() -> None:
    pack = b"""[
        {"bn":"urn:dev:mac:0024befffe804ff1/","n":"temp","u":"Cel","v":23.1},
        {"bn":"urn:dev:mac:0024befffe804ff1:light:","n":"","u":"lx","v":5}
    ]"""
    assert read_pack(pack, SENML_JSON) == [
        ResourceValue("temp", 23.1, "Cel"),
        ResourceValue("light", 5, "lx"),
    ]


LWM2M = b'[{"bn":"/3/0/","n":"0","vs":"Acme"},{"n":"9","v":87}]'


def test_senml_names_that_begin_with_a_slash_are_paths_of_the_node() -> None:
    assert read_pack(b'[{"n":"/3/0/0","vs":"Acme"}]', SENML_JSON) == [
        ResourceValue("3/0/0", "Acme", "")
    ]
    assert read_pack(bytes.fromhex("81a200662f332f302f3902185c"), 112) == [
        ResourceValue("3/0/9", 92, "")
    ]
    posted = [ResourceValue("3/0/0", "Acme", ""), ResourceValue("3/0/9", 87, "")]
    assert read_pack(LWM2M, SENML_JSON) == posted
    # The answer to a GET of the object instance, and of one of its resources.
    assert read_values(LWM2M, SENML_JSON, "3/0") == posted
    assert read_values(b'[{"n":"/3/0/9","v":87}]', SENML_JSON, "3/0/9") == [
        ResourceValue("3/0/9", 87, "")
    ]
    both = b'[{"n":"/3/0/9","v":87},{"n":"/3/0/9","v":86,"t":-1}]'
    assert {item.resource for item in read_values(both, SENML_JSON, "3/0/9")} == {"3/0/9"}


@pytest.mark.parametrize("name", ["/", "//3", "/_3", "a b", "_a"])
def test_senml_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="a name"):
        read_pack(b'[{"n":"%s","v":1}]' % name.encode(), SENML_JSON)
