# SPDX-License-Identifier: BSD-3-Clause
"""Handshakes of EDHOC with the initiator of lakers, below the intake. No socket, no clock."""

from typing import TYPE_CHECKING, Any

import lakers
import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.gateways.coap.oscore import edhoc
from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.gateways.coap.oscore.edhoc import EdhocResponder, TooManyHandshakes
from pyaiot.gateways.coap.oscore.layer import OscoreLayer
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, ContentFormat, MessageType, OptionNumber
from pyaiot.protocols.edhoc import messages, responder
from pyaiot.protocols.edhoc.credentials import (
    credential,
    device_credential,
    gateway_credential,
    key_id_of,
    new_private_key,
    public_key_of,
)
from pyaiot.protocols.edhoc.responder import EdhocRefused
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.messages import (
    protect_request,
    protect_response,
    read_protected,
    unprotect_request,
)
from pyaiot.transport.peers import Peer
from tests.gateways.oscore_device import NumbersInMemory
from tests.gateways.test_coap_intake import CON, HERE, THERE, request

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "10.0.0.1"
GATEWAY_KEY = new_private_key()
REFERENCE = lakers.CredentialTransfer.ByReference
VALUE = lakers.CredentialTransfer.ByValue


class Device:
    """The initiator, and the OSCORE context that it derives."""

    def __init__(self, uid: str = "lamp") -> None:
        self.uid = uid
        self.private_key = new_private_key()
        self.public_key = public_key_of(self.private_key)
        self.credential = device_credential(uid, self.public_key)
        self.context: SecurityContext

    def stored(self) -> DeviceCredential:
        return DeviceCredential(self.uid, "edhoc", self.public_key, 0.0)

    def message_1(self, identifier: bytes = b"\x05", *extra: Any) -> bytes:
        self._initiator = lakers.EdhocInitiator()
        self._identifier = identifier
        message: bytes = self._initiator.prepare_message_1(identifier, list(extra))
        return b"\xf5" + message

    def message_3(self, message_2: bytes, transfer: Any = REFERENCE) -> tuple[bytes, bytes]:
        """The identifier of the gateway, and the message."""
        identifier, _, _ = self._initiator.parse_message_2(message_2)
        gateway = gateway_credential(public_key_of(GATEWAY_KEY))
        self._initiator.verify_message_2(self.private_key, self.credential, gateway)
        message, _ = self._initiator.prepare_message_3(transfer, None)
        return identifier, message

    def derive(self, identifier: bytes, message_4: bytes | None) -> None:
        if message_4 is None:
            self._initiator.completed_without_message_4()
        else:
            self._initiator.process_message_4(message_4)
        self.context = SecurityContext(
            self._initiator.edhoc_exporter(0, [], 16),
            sender_id=identifier,
            recipient_id=self._identifier,
            master_salt=self._initiator.edhoc_exporter(1, [], 8),
        )


class Rig:
    """The responder with devices, and the OSCORE layer that uses its contexts."""

    def __init__(self, *devices: Device) -> None:
        self.contexts = OscoreContexts(NumbersInMemory())
        self.established: list[str] = []
        self.edhoc = EdhocResponder(GATEWAY_KEY, self.contexts, self.established.append)
        self.edhoc.set_devices([device.stored() for device in devices])
        self.layer = OscoreLayer(self.contexts)
        self.layer.edhoc = self.edhoc

    def send(self, payload: bytes, host: str = HOST, now: float = 0.0) -> bytes:
        return self.edhoc.receive_message(payload, host, now)

    def error(self, payload: bytes, now: float = 0.0) -> bytes:
        with pytest.raises(EdhocRefused) as raised:
            self.send(payload, now=now)
        return raised.value.answer

    def handshake(self, device: Device, transfer: Any = REFERENCE) -> None:
        identifier, message_3 = device.message_3(self.send(device.message_1()), transfer)
        answer = self.send(messages.write_identifier(identifier) + message_3)
        device.derive(identifier, answer)

    def receive(self, datagram: bytes, peer: Peer = HERE) -> tuple[bytes, Peer] | None:
        found = self.layer.receive_datagram(datagram, peer, now=0.0)
        self.answers = [CoapMessage.from_bytes(it) for it, _ in self.layer.datagrams_to_send()]
        return found


def post(device: Device, number: int = 0, message_3: bytes = b"") -> bytes:
    """A protected reading, with the third message in front of it if there is one (RFC 9668)."""
    protected, _ = protect_request(device.context, request("server", "led:1", 7, mtype=CON), number)
    message = CoapMessage.from_bytes(protected)
    if not message_3:
        return protected
    options = build_options(*message.options, (OptionNumber.EDHOC, b""))
    return CoapMessage(
        *(message.mtype, message.code, message.message_id, message.token),
        options,
        message_3 + message.payload,
    ).to_bytes()


def inner(found: tuple[bytes, Peer] | None) -> tuple[bytes, str]:
    assert found is not None
    return CoapMessage.from_bytes(found[0]).payload, found[1].address.uid


@pytest.mark.parametrize("transfer", [REFERENCE, VALUE])
def test_device_that_has_proved_its_key_uses_oscore(transfer: Any) -> None:
    lamp = Device()
    rig = Rig(lamp, Device("desk"))
    rig.handshake(lamp, transfer)
    assert inner(rig.receive(post(lamp))) == (b"led:1", "lamp")
    assert (rig.established, rig.edhoc.opened, len(rig.edhoc)) == (["lamp"], 1, 0)


def test_third_message_and_first_reading_arrive_in_one_datagram() -> None:
    lamp = Device()
    rig = Rig(lamp)
    identifier, message_3 = lamp.message_3(rig.send(lamp.message_1()))
    lamp.derive(identifier, None)
    combined = post(lamp, 0, message_3)
    found = rig.receive(combined)
    assert inner(found) == (b"led:1", "lamp")
    # A copy is answered as the first was, and no second handshake.
    assert found is not None
    reply = rig.layer.protect(bytes((0x61, Code.CHANGED, 0, 7)) + b"t", found[1])
    assert reply is not None
    assert rig.receive(combined) is None
    assert [it.to_bytes() for it in rig.answers] == [reply]
    assert rig.edhoc.opened == 1
    assert inner(rig.receive(post(lamp, 1))) == (b"led:1", "lamp")


def test_gateway_sends_requests_with_the_same_context() -> None:
    lamp = Device()
    rig = Rig(lamp)
    rig.handshake(lamp)
    found = rig.receive(post(lamp))
    assert found is not None
    get = CoapMessage(CON, Code.GET, 1, b"k", build_options((11, "led"))).to_bytes()
    protected = rig.layer.protect(get, found[1])
    assert protected is not None
    message = read_protected(protected)
    assert unprotect_request(lamp.context, message) == get
    ids = RequestIds(lamp.context.recipient_id, message.option.partial_iv)
    answer = CoapMessage(MessageType.ACK, Code.CONTENT, 1, b"k", (), b"1").to_bytes()
    assert inner(rig.receive(protect_response(lamp.context, answer, ids))) == (b"1", "lamp")


def test_device_that_was_just_added_is_found() -> None:
    lamp = Device()
    rig = Rig()
    rig.edhoc._refresh = lambda: rig.edhoc.set_devices([lamp.stored()])
    rig.handshake(lamp)
    assert rig.established == ["lamp"]


def test_new_handshake_ends_the_context_before() -> None:
    lamp = Device()
    rig = Rig(lamp)
    rig.handshake(lamp)
    old = post(lamp)
    rig.handshake(lamp)
    assert rig.receive(old) is None
    assert rig.answers[0].code == Code.UNAUTHORIZED
    assert inner(rig.receive(post(lamp))) == (b"led:1", "lamp")
    assert len(rig.contexts) == 1


def test_removed_device_has_no_context_and_gets_none() -> None:
    lamp = Device()
    rig = Rig(lamp)
    rig.handshake(lamp)
    rig.contexts.remove("lamp")
    rig.edhoc.set_devices([])
    assert rig.receive(post(lamp)) is None
    identifier, message_3 = lamp.message_3(rig.send(lamp.message_1()))
    written = messages.write_identifier(identifier)
    assert rig.error(written + message_3) == messages.write_error(
        messages.ErrorCode.UNKNOWN_CREDENTIAL
    )


def test_key_of_another_device_proves_nothing() -> None:
    lamp, thief = Device(), Device()
    rig = Rig(lamp)
    for transfer, code in ((REFERENCE, b"\x01"), (VALUE, b"\x03")):
        identifier, message_3 = thief.message_3(rig.send(thief.message_1()), transfer)
        assert rig.error(messages.write_identifier(identifier) + message_3)[:1] == code
    assert rig.established == []


def test_third_message_counts_once_and_in_time() -> None:
    lamp = Device()
    rig = Rig(lamp)
    identifier, message_3 = lamp.message_3(rig.send(lamp.message_1()))
    written = messages.write_identifier(identifier) + message_3
    assert b"unknown handshake" in rig.error(written, now=edhoc.HANDSHAKE_S)
    assert b"unknown handshake" in rig.error(written)
    assert rig.edhoc.refused == 2


def test_wrong_combined_request_is_answered_with_an_error_message() -> None:
    lamp = Device()
    rig = Rig(lamp)
    identifier, message_3 = lamp.message_3(rig.send(lamp.message_1()))
    lamp.derive(identifier, None)
    wrong = message_3[:-1] + bytes((message_3[-1] ^ 1,))
    assert rig.receive(post(lamp, 0, wrong)) is None
    (answer,) = rig.answers
    assert answer.code == Code.BAD_REQUEST
    assert answer.option(OptionNumber.CONTENT_FORMAT) == bytes((ContentFormat.EDHOC,))
    assert answer.payload[0] == messages.ErrorCode.UNSPECIFIED
    # The handshake is over (RFC 9528 section 5.4.3).
    assert rig.receive(post(lamp, 0, message_3), THERE) is None


def test_without_devices_with_keys_the_option_is_unknown() -> None:
    lamp = Device()
    rig = Rig(lamp)
    rig.handshake(lamp)
    rig.layer.edhoc = None
    assert rig.receive(post(lamp, 0, b"\x41\x00")) is None
    assert rig.answers[0].code == Code.BAD_OPTION


def test_identifiers_of_both_are_never_the_same() -> None:
    lamp = Device()
    rig = Rig(lamp)
    values = [b"aaa", b"aaa", b"bbb", b"ccc"]
    rig.edhoc._random_bytes = lambda _size: values.pop(0)
    rig.send(lamp.message_1(b"aaa"))
    assert list(rig.edhoc._begun) == [b"bbb"]


def test_hosts_begin_a_limited_number_of_handshakes() -> None:
    rig = Rig()
    lamp = Device()
    for _ in range(int(edhoc.HOST_HANDSHAKES_BURST)):
        rig.send(lamp.message_1())
    with pytest.raises(TooManyHandshakes) as raised:
        rig.send(lamp.message_1())
    assert raised.value.wait_s > 0
    rig.send(lamp.message_1(), host="10.0.0.2")
    rig.send(lamp.message_1(), now=2.0)


def test_oldest_of_too_many_handshakes_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edhoc, "HANDSHAKES_MAX", 3)
    lamp = Device()
    rig = Rig(lamp)
    first = rig.send(lamp.message_1())
    identifier, message_3 = lamp.message_3(first)
    for _ in range(3):
        rig.send(Device("desk").message_1())
    assert len(rig.edhoc) == 3
    assert b"unknown handshake" in rig.error(messages.write_identifier(identifier) + message_3)


def test_finished_handshakes_leave_nothing() -> None:
    lamp = Device()
    rig = Rig(lamp)
    rig.send(lamp.message_1())
    rig.send(lamp.message_1(), now=edhoc.HANDSHAKE_S)
    assert len(rig.edhoc) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xf5",
        b"\xf6abc",
        b"\xf5" + bytes(300),
        # No point of the curve has this coordinate.
        b"\xf5\x03\x02\x58\x20" + bytes(31) + b"\x01\x05",
        b"\x05\x41\x00",
        b"\xf5\x01\x02\x58\x20" + b"\x02" * 32 + b"\x05",
    ],
)
def test_malformed_messages_are_refused(payload: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert Rig(Device()).error(payload)[:1] == b"\x01"
    assert capfd.readouterr().err == ""


def test_other_cipher_suite_is_answered_with_ours() -> None:
    share = Device().message_1()[5:37]
    wrong = b"\xf5\x03\x00\x58\x20" + share + b"\x05"
    assert Rig().error(wrong) == messages.write_error(messages.ErrorCode.WRONG_CIPHER_SUITE)


def test_critical_data_that_is_not_known_ends_the_handshake() -> None:
    critical = lakers.EADItem(1, is_critical=True, value=b"x")
    assert b"critical EAD" in Rig().error(Device().message_1(b"\x05", critical))


def test_panic_of_lakers_ends_this_handshake_only() -> None:
    class PanicException(BaseException):
        pass

    def panics() -> None:
        raise PanicException("index out of range")

    with pytest.raises(EdhocRefused):
        responder._call(panics, "message_3 is not valid")

    def interrupted() -> None:
        raise KeyboardInterrupt

    function: Callable[[], None] = interrupted
    with pytest.raises(KeyboardInterrupt):
        responder._call(function, "")


def test_long_name_has_a_credential() -> None:
    lamp = Device("x" * 64)
    assert lamp.credential == credential("x" * 64, key_id_of("x" * 64), lamp.public_key)
    rig = Rig(lamp)
    rig.handshake(lamp, VALUE)
    assert rig.established == ["x" * 64]
