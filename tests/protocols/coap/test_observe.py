# SPDX-License-Identifier: BSD-3-Clause
"""Notifications of the usual form are read as by the general decoders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap import observe
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.observe import max_age_s, observe_number, read_notification
from pyaiot.protocols.coap.request import is_rejected, read_datagram
from pyaiot.protocols.coap.values import content_format, read_value

TOKEN = b"\xa7tokens."
OPTIONS = st.lists(
    st.tuples(
        st.sampled_from([4, 6, 6, 11, 12, 12, 14, 14, 23, 28, 258]),
        st.sampled_from([b"", b"\0", b"\xff", b"\x05", b"\0\0", b"\x01\xff\x02", bytes(5)]),
    ),
    max_size=4,
)


def notification(
    *options: tuple[int, bytes | str | int],
    mtype: MessageType = MessageType.NON,
    code: int = Code.CONTENT,
    token: bytes = TOKEN,
    payload: bytes = "20.5°C".encode(),
) -> bytes:
    return CoapMessage(mtype, code, 0x1235, token, build_options(*options), payload).to_bytes()


@pytest.mark.parametrize("number", [0, 1, 255, 0xFFFF, 0xFFFFFF])
@pytest.mark.parametrize("form", [None, 0, b"\0"])
@pytest.mark.parametrize("max_age", [None, 0, 30, 255, 3600, 0xFFFFFFFF])
def test_usual_notification_is_read(number: int, form: bytes | int | None, max_age: int) -> None:
    options: list[tuple[int, bytes | str | int]] = [(OptionNumber.OBSERVE, number)]
    if form is not None:
        options.append((OptionNumber.CONTENT_FORMAT, form))
    if max_age is not None:
        options.append((OptionNumber.MAX_AGE, max_age))
    found = read_notification(notification(*options))
    if max_age is not None and 0xFF in max_age.to_bytes(4, "big"):
        assert found is None  # as the payload marker; the general decoder reads it
    else:
        assert found == (TOKEN, number, 60.0 if max_age is None else max_age, "20.5°C")


@pytest.mark.parametrize(
    "other",
    [
        notification((OptionNumber.OBSERVE, 1), mtype=MessageType.CON),
        notification((OptionNumber.OBSERVE, 1), token=b"1234567"),
        notification((OptionNumber.OBSERVE, 1), code=Code.VALID),
        notification((OptionNumber.OBSERVE, 1), payload=b""),
        notification((OptionNumber.OBSERVE, 1), payload=b"\xff"),
        notification((OptionNumber.OBSERVE, bytes(4))),
        notification((OptionNumber.OBSERVE, 1), (OptionNumber.CONTENT_FORMAT, 50)),
        notification((OptionNumber.OBSERVE, 1), (OptionNumber.BLOCK2, 8)),
        notification((OptionNumber.CONTENT_FORMAT, 0)),
        notification((OptionNumber.OBSERVE, 1), (OptionNumber.OBSERVE, 2)),
    ],
)
def test_other_datagrams_are_for_the_general_decoder(other: bytes) -> None:
    assert read_notification(other) is None


@given(
    mtype=st.sampled_from(MessageType),
    code=st.sampled_from([Code.CONTENT, Code.POST, Code.VALID]),
    token=st.sampled_from([TOKEN, b"", b"t", b"\xff" * 8]),
    options=OPTIONS,
    payload=st.sampled_from([b"", b"20", b"20\0\0", b"\0", b"\xff1", b"\xc3\xa9"])
    | st.binary(max_size=20),
    cut=st.integers(0, 30),
)
def test_usual_notification_is_read_as_every_response(
    mtype: MessageType,
    code: int,
    token: bytes,
    options: list[tuple[int, bytes]],
    payload: bytes,
    cut: int,
) -> None:
    whole = notification(*options, mtype=mtype, code=code, token=token, payload=payload)
    for datagram in (whole, whole[: len(whole) - cut]):
        agrees(datagram)


@given(st.binary(max_size=40) | st.binary(max_size=30).map(b"\x58\x45\0\1\xa7tokens.\x61".__add__))
def test_any_bytes_are_read_as_by_the_general_decoder(datagram: bytes) -> None:
    agrees(datagram)


def agrees(datagram: bytes) -> None:
    found = read_notification(datagram)
    if found is None:
        return
    message = read_datagram(datagram)
    assert message.mtype is MessageType.NON
    assert message.code == Code.CONTENT
    assert message.option(OptionNumber.BLOCK2) is None
    assert not is_rejected(message)
    text = read_value(message.payload, content_format(message.option(OptionNumber.CONTENT_FORMAT)))
    assert found == (message.token, observe_number(message), max_age_s(message), text)


def test_meanings_of_options_are_cached_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "_freshness", {})
    monkeypatch.setattr(observe, "_FRESHNESS_MAX", 2)
    for max_age in (1, 2, 3, 3):
        datagram = notification((OptionNumber.OBSERVE, 1), (OptionNumber.MAX_AGE, max_age))
        assert read_notification(datagram) == (TOKEN, 1, float(max_age), "20.5°C")
    assert len(observe._freshness) == 2
    with pytest.raises(ProtocolError):
        max_age_s(CoapMessage(MessageType.NON, 69, 1, b"", ((14, bytes(5)),)))
    assert read_notification(notification((6, 1), (14, bytes(5)))) is None
