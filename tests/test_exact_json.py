# SPDX-License-Identifier: BSD-3-Clause
"""Integers of devices that keep their digits."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.exact_json import DIGITS_MAX, quote_long_integers
from pyaiot.protocols import websocket_node
from pyaiot.protocols.coap import values
from pyaiot.protocols.coap.numbers import ContentFormat
from pyaiot.protocols.mqtt import node_topics


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"9007199254740992", 2**53),
        (b"9007199254740993", "9007199254740993"),
        (b"-9007199254740993", "-9007199254740993"),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b'{"a":[9007199254740993,1.5]}', {"a": ["9007199254740993", 1.5]}),
        (b'"9007199254740993"', "9007199254740993"),
        (b"0.1234567890123456789", 0.1234567890123456789),
        (b'"\\ud800 1234567890123456"', None),
        (b"[" * 100_000 + b"1234567890123456", None),
        (b"{1234567890123456", None),
        (b"\xff1234567890123456", None),
        (b"9" * (DIGITS_MAX + 1), None),
    ],
)
def test_an_integer_that_a_double_does_not_hold_becomes_text(data: bytes, expected: object) -> None:
    if expected is None:
        try:
            msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            with pytest.raises(type(error)):
                msgspec.json.decode(quote_long_integers(data))
        else:
            assert quote_long_integers(data) == data
    else:
        assert msgspec.json.decode(quote_long_integers(data)) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_what_a_double_holds_is_left_alone(data: object) -> None:
    assert json.loads(quote_long_integers(json.dumps(data).encode())) == data


@pytest.mark.parametrize("digits", ["9007199254740993", "123456789012345678901234567890"])
def test_every_protocol_with_json_keeps_the_digits(digits: str) -> None:
    publication = node_topics.parse_publication("node/a/serial", b'{"value":%s}' % digits.encode())
    assert publication == node_topics.NodeValue("a", "serial", digits)
    publication = node_topics.parse_publication("node/a/serial", digits.encode())
    assert publication == node_topics.NodeValue("a", "serial", digits)
    update = websocket_node.decode_from_node(
        b'{"type":"update","data":{"serial":%s}}' % digits.encode()
    )
    assert update == websocket_node.Update({"serial": digits})
    assert values.read_value(digits.encode(), ContentFormat.JSON) == digits
