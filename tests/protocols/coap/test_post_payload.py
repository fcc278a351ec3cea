# SPDX-License-Identifier: BSD-3-Clause
"""What nodes post, as seen on the wire of real firmware (PROTOCOLS 3)."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.post_payload import Alive, PostedValue, parse_alive, parse_value


@pytest.mark.parametrize(
    ("payload", "alive"),
    [
        (b"alive:9A3F0C12D4E5B67", Alive("9A3F0C12D4E5B67", rebooted=False)),
        (b"Alive:9A3F0C12D4E5B67", Alive("9A3F0C12D4E5B67", rebooted=False)),
        (b"reset:9A3F0C12D4E5B67", Alive("9A3F0C12D4E5B67", rebooted=True)),
        (b"alive:a:b", Alive("b", rebooted=False)),
        (b"alive:A\0", Alive("A", rebooted=False)),
        (b"alive: A ", Alive("A", rebooted=False)),
        (b"alive:", Alive("", rebooted=False)),
        (b"reset", Alive(None, rebooted=True)),
        (b"Reset\0", Alive(None, rebooted=True)),
        (b"alive", Alive(None, rebooted=False)),
        (b" Alive ", Alive(None, rebooted=False)),
    ],
)
def test_sign_of_life_names_the_node_after_its_last_colon(payload: bytes, alive: Alive) -> None:
    assert parse_alive(payload) == alive


@pytest.mark.parametrize("payload", [b"", b"living", b"9A3F0C12D4E5B67", b"alive:\xff"])
def test_what_is_no_sign_of_life_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_alive(payload)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ("temperature:23.5°C".encode(), PostedValue("temperature", "23.5°C")),
        (b"pressure:1007.7hPa", PostedValue("pressure", "1007.7hPa")),
        (b'position:{"lat":48.7,"lng":2.2}', PostedValue("position", '{"lat":48.7,"lng":2.2}')),
        (b"led:1\0", PostedValue("led", "1")),
        (b"empty:", PostedValue("empty", "")),
        (b"spaced: 1 ", PostedValue("spaced", " 1 ")),
    ],
)
def test_value_is_everything_after_the_first_colon(payload: bytes, value: PostedValue) -> None:
    assert parse_value(payload) == value


@pytest.mark.parametrize("payload", [b"", b":", b" :1", b"temperature", b"\xff:1"])
def test_what_is_no_value_is_refused_with_the_reason(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^not (<resource>:<value>|UTF-8)$"):
        parse_value(payload)
