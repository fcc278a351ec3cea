# SPDX-License-Identifier: BSD-3-Clause
"""What surrounds EDHOC messages in CoAP, and credentials, with the bytes of RFC 9529."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.protocols.edhoc import messages
from pyaiot.protocols.edhoc.credentials import (
    by_value,
    credential,
    new_private_key,
    public_key_of,
    read_public_key,
    reference,
)

X = bytes.fromhex("bbc34960526ea4d32e940cad2a234148ddc21791a12afbcbac93622046dd44f0")
Y = bytes.fromhex("4519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072")
CRED_R = bytes.fromhex(
    f"a2026b6578616d706c652e65647508a101a501020241322001215820{X.hex()}225820{Y.hex()}"
)
"""RFC 9529 section 3.2."""
G_X = "8af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b6"
MESSAGE_1 = bytes.fromhex(f"0382060258 20{G_X}37")
"""RFC 9529 section 3.1, with the second proposal of cipher suites."""


def test_credential_has_the_bytes_of_the_rfc() -> None:
    assert credential("example.edu", b"\x32", X + Y) == CRED_R
    assert reference(b"\x32").hex() == "a1044132"
    assert by_value(CRED_R)[:2].hex() == "a10e"


def test_public_key_is_read_in_each_form() -> None:
    key = X + Y
    for form in (key, b"\x04" + key, bytes((2 + Y[-1] % 2,)) + X):
        assert read_public_key(form) == key
    private = new_private_key()
    assert read_public_key(public_key_of(private)) == public_key_of(private)


@pytest.mark.parametrize("point", [b"", bytes(64), X, X + X, b"\x05" + X + Y])
def test_bytes_that_are_no_point_are_refused(point: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of the library
        read_public_key(point)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_bytes_that_are_no_private_key_are_refused(key: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of the library
        public_key_of(key)


@pytest.mark.parametrize(
    ("payload", "identifier", "message"),
    [
        ("f5aabb", None, "aabb"),
        ("0eaabb", "0e", "aabb"),
        ("37aabb", "37", "aabb"),
        ("43010203aabb", "010203", "aabb"),
        ("40", "", ""),
    ],
)
def test_message_has_an_identifier_or_is_the_first(
    payload: str, identifier: str | None, message: str
) -> None:
    expected = None if identifier is None else bytes.fromhex(identifier)
    assert messages.read_message(bytes.fromhex(payload)) == (expected, bytes.fromhex(message))


@pytest.mark.parametrize("identifier", [b"\x00", b"\x17", b"\x18", b"\x37", b"\x38", b"abc"])
def test_identifier_is_read_as_it_was_written(identifier: bytes) -> None:
    written = messages.write_identifier(identifier)
    assert messages.read_message(written + b"\x41\x00") == (identifier, b"\x41\x00")


@pytest.mark.parametrize("payload", ["", "f6", "18", "1818", "4301", "58", "5805", "5900", "80"])
def test_other_payloads_are_refused(payload: str) -> None:
    with pytest.raises(ProtocolError):
        messages.read_message(bytes.fromhex(payload))


def test_combined_request_has_the_third_message_first() -> None:
    for begin, body in (("53", 19), ("5818", 24), ("590100", 256)):
        message_3 = bytes.fromhex(begin) + bytes(body)
        assert messages.split_combined(message_3 + b"rest") == (message_3, b"rest")


def test_share_is_found_behind_one_suite_and_behind_several() -> None:
    assert messages.public_share(MESSAGE_1).hex() == G_X
    one = bytes.fromhex(f"0302 5820{G_X}37")
    assert messages.public_share(one).hex() == G_X


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for function in (
        messages.read_message,
        messages.split_combined,
        messages.public_share,
        messages.check_message_3,
    ):
        with contextlib.suppress(ProtocolError):
            function(data)


def test_error_messages_are_those_of_the_rfc() -> None:
    assert messages.write_error(messages.ErrorCode.UNSPECIFIED, "no").hex() == "01626e6f"
    assert messages.write_error(messages.ErrorCode.WRONG_CIPHER_SUITE).hex() == "0202"
    assert messages.write_error(messages.ErrorCode.UNKNOWN_CREDENTIAL).hex() == "03f5"
