# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE below the intake: datagrams in, plain datagrams and answers out. No socket, no clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.gateways.coap.oscore.device import OBSERVATIONS_MAX, REQUESTS_MAX, RESPONSES_MAX
from pyaiot.gateways.coap.oscore.layer import CHALLENGES_BURST, OscoreLayer, Unprotected
from pyaiot.gateways.coap.oscore.refusals import HOST_FAILURES_BURST, MUTED_S
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.oscore.ids import device_id
from pyaiot.transport.peers import Peer
from tests.gateways.oscore_device import NumbersInMemory, OscoreTestDevice, credential
from tests.gateways.test_coap_intake import CON, HERE, NON, THERE, Port, request

LAMP = HERE.secured("lamp", "oscore")


class Rig:
    """A layer with one device, and what it answers."""

    def __init__(self, *uids: str, lost: bool = False, contexts_max: int = 100) -> None:
        self.store = NumbersInMemory(lost=lost)
        self.contexts = OscoreContexts(self.store, contexts_max=contexts_max)
        self.contexts.add(*(credential(uid) for uid in uids or ("lamp",)))
        self.reports: list[str] = []
        self.layer = OscoreLayer(
            self.contexts,
            random_bytes=lambda size: b"e" * size,
            report=lambda text, *details: self.reports.append(text % details),
        )
        self.lamp = OscoreTestDevice("lamp")

    def receive(
        self, datagram: bytes, peer: Peer = HERE, *, now: float = 0.0
    ) -> tuple[bytes, Peer] | None:
        found = self.layer.receive_datagram(datagram, peer, now=now)
        self.answers = self.layer.datagrams_to_send()
        assert self.layer.datagrams_to_send() == []
        assert {to for _, to in self.answers} <= {peer}
        assert sum(len(answer) for answer, _ in self.answers) <= AMPLIFICATION_MAX * len(datagram)
        return found

    def answer(self) -> CoapMessage:
        ((answer, _),) = self.answers
        return CoapMessage.from_bytes(answer)

    def refusal(self, datagram: bytes, peer: Peer = HERE, *, now: float = 0.0) -> tuple[int, bytes]:
        assert self.receive(datagram, peer, now=now) is None
        answer = self.answer()
        assert answer.option(OptionNumber.OSCORE) is None
        return answer.code, answer.payload

    def protect(self, datagram: bytes, peer: Peer = LAMP) -> bytes:
        protected = self.layer.protect(datagram, peer)
        assert protected is not None
        return protected


POST = request("server", "led:1", 7, mtype=CON)
CHANGED = bytes((0x61, Code.CHANGED, 0, 7)) + b"t"
TOO_MANY = bytes((0x61, Code.TOO_MANY_REQUESTS, 0, 7)) + b"t"
GET = CoapMessage(CON, Code.GET, 0x8001, b"k" * 4, build_options((11, "led"))).to_bytes()
OBSERVE = CoapMessage(
    CON, Code.GET, 0x8002, b"o" * 8, build_options((6, 0), (11, "led"))
).to_bytes()


def content(
    token: bytes, payload: bytes, *options: tuple[int, bytes], mtype: MessageType = NON
) -> CoapMessage:
    return CoapMessage(mtype, Code.CONTENT, 5, token, options, payload)


# -- requests of devices --------------------------------------------------------------------------


def test_request_comes_from_the_device_whose_key_protects_it() -> None:
    rig = Rig("lamp", "robot")
    assert rig.receive(rig.lamp.protect(POST)) == (POST, LAMP)
    found = rig.receive(OscoreTestDevice("robot").protect(POST), THERE)
    assert found == (POST, THERE.secured("robot", "oscore"))
    assert rig.answers == []


def test_answer_is_protected_for_the_device() -> None:
    rig = Rig()
    rig.receive(rig.lamp.protect(POST))
    answer = rig.protect(CHANGED)
    assert CoapMessage.from_bytes(answer).code == Code.CHANGED
    assert rig.lamp.read_response(answer).to_bytes() == CHANGED


def test_plain_datagrams_pass_unchanged() -> None:
    rig = Rig()
    for datagram in (POST, GET, CHANGED, b"", b"\x40", b"\x40\x00\x00\x01", bytes(300)):
        assert rig.receive(datagram) == (datagram, HERE)
        assert rig.answers == []


def test_copy_of_a_request_is_answered_as_before_and_does_not_count_again() -> None:
    rig = Rig()
    protected = rig.lamp.protect(POST)
    rig.receive(protected)
    assert rig.receive(protected) is None  # not answered yet
    assert rig.answers == []
    answer = rig.protect(CHANGED)
    assert rig.receive(protected) is None
    assert rig.answers == [(answer, HERE)]
    assert rig.layer.refusals.refused == 0


def test_copy_of_a_non_confirmable_request_is_not_answered() -> None:
    rig = Rig()
    protected = rig.lamp.protect(request("server", "led:1", 7))
    rig.receive(protected)
    rig.protect(bytes((0x51, Code.CHANGED, 0, 7)) + b"t")
    assert rig.receive(protected) is None
    assert rig.answers == []


def test_replay_from_another_address_is_refused() -> None:
    rig = Rig()
    protected = rig.lamp.protect(POST)
    rig.receive(protected)
    assert rig.refusal(protected, THERE) == (Code.UNAUTHORIZED, b"replay detected")
    assert rig.answer().option(OptionNumber.MAX_AGE) == b""
    assert (rig.layer.refusals.refused, rig.layer.refusals.replayed) == (1, 1)


def test_replay_is_refused_when_its_answer_is_forgotten() -> None:
    rig = Rig()
    first = rig.lamp.protect(POST)
    rig.receive(first)
    for number in range(RESPONSES_MAX):
        rig.receive(rig.lamp.protect(request("server", "led:0", token=bytes((number,)))))
    assert rig.refusal(first)[0] == Code.UNAUTHORIZED


def test_requests_may_change_their_order() -> None:
    rig = Rig()
    protected = [rig.lamp.protect(request("server", f"n:{n}", n)) for n in range(5)]
    for datagram in reversed(protected):
        assert rig.receive(datagram) is not None


def test_unknown_kid_and_wrong_key_are_refused() -> None:
    rig = Rig()
    unknown = OscoreTestDevice("unknown").protect(POST)
    assert rig.refusal(unknown) == (Code.UNAUTHORIZED, b"security context not found")
    # The owner of the board reads it in the dashboard.
    assert rig.reports == [f"OSCORE message from {HERE.host} refused: security context not found"]
    assert rig.answer().message_id == 7
    broken = rig.lamp.protect(POST)[:-1] + b"?"
    assert rig.refusal(broken) == (Code.BAD_REQUEST, b"decryption failed")
    # The number of a message that is not authentic does not count as received.
    assert rig.receive(rig.lamp.protect(POST, 0)) is not None


def test_refusal_of_a_non_confirmable_request_is_not_confirmable() -> None:
    rig = Rig()
    rig.refusal(OscoreTestDevice("unknown").protect(request("server", "led:1", 7)))
    assert rig.answer().mtype is NON


def test_kid_context_is_another_context() -> None:
    rig = Rig()
    value = bytes((0x19, 0, 1, 0xAA)) + device_id("lamp")
    datagram = CoapMessage(CON, Code.POST, 7, b"t", build_options((9, value)), bytes(20))
    assert rig.refusal(datagram.to_bytes())[0] == Code.UNAUTHORIZED


def test_devices_that_share_a_kid_are_distinguished_by_their_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyaiot.gateways.coap.oscore.device.device_id", lambda _uid: b"\xaa\xaa")
    monkeypatch.setattr("tests.gateways.oscore_device.device_id", lambda _uid: b"\xaa\xaa")
    rig = Rig("lamp", "robot")
    robot = OscoreTestDevice("robot")
    for _ in range(2):
        assert rig.receive(robot.protect(POST)) == (POST, HERE.secured("robot", "oscore"))
    rig.contexts.remove("robot")
    assert rig.refusal(robot.protect(POST))[0] == Code.BAD_REQUEST
    assert rig.receive(rig.lamp.protect(POST, 9)) == (POST, LAMP)


def test_second_answer_to_a_request_has_a_nonce_of_its_own() -> None:
    rig = Rig()
    rig.receive(rig.lamp.protect(POST))
    first = rig.protect(CHANGED)
    assert rig.protect(CHANGED) == first
    second = rig.protect(TOO_MANY)
    assert CoapMessage.from_bytes(first).option(OptionNumber.OSCORE) == b""
    assert CoapMessage.from_bytes(second).option(OptionNumber.OSCORE) != b""
    assert rig.lamp.read_response(second).to_bytes() == TOO_MANY


def test_removed_device_is_refused_and_gets_nothing() -> None:
    rig = Rig()
    rig.receive(rig.lamp.protect(POST))
    rig.protect(GET)
    rig.contexts.remove("lamp")
    assert rig.layer.protect(CHANGED, LAMP) is None
    assert rig.layer.protect(GET, LAMP) is None
    assert rig.refusal(rig.lamp.protect(POST))[0] == Code.UNAUTHORIZED
    assert not rig.contexts.has_sent


# -- refusals cost little -------------------------------------------------------------------------


def test_unknown_devices_get_few_answers_and_are_dropped_unread_then() -> None:
    rig = Rig()
    junk = OscoreTestDevice("unknown").protect(POST)
    answers = 0
    for _ in range(3 * int(HOST_FAILURES_BURST)):
        rig.receive(junk, now=1.0)
        answers += len(rig.answers)
    assert answers == HOST_FAILURES_BURST
    assert rig.layer.refusals.refused == 3 * HOST_FAILURES_BURST
    # Another host is not concerned, and this one is read again a second later.
    assert rig.receive(rig.lamp.protect(POST), THERE, now=1.0) is not None
    assert rig.receive(rig.lamp.protect(POST), HERE, now=1.0 + MUTED_S + 0.1) is not None


def test_junk_from_the_host_of_a_device_does_not_stop_it() -> None:
    rig = Rig()
    rig.receive(rig.lamp.protect(POST), now=1.0)
    junk = OscoreTestDevice("unknown").protect(POST)
    for _ in range(3 * int(HOST_FAILURES_BURST)):
        rig.receive(junk, now=1.0)
    assert rig.receive(rig.lamp.protect(POST), now=1.0) is not None


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_nonsense_never_raises(datagrams: list[bytes]) -> None:
    rig = Rig()
    for datagram in datagrams:
        found = rig.receive(datagram)
        assert found is None or found[1] == HERE
        assert rig.layer.receive_error(HERE, datagram) == (HERE, datagram)


# -- loss of the replay window --------------------------------------------------------------------


def test_after_a_loss_the_device_must_prove_that_its_request_is_new() -> None:
    rig = Rig(lost=True)
    assert rig.receive(rig.lamp.protect(POST)) is None
    ((answer, _),) = rig.answers
    challenge = rig.lamp.read_response(answer)
    assert challenge.code == Code.UNAUTHORIZED
    echo = challenge.option(OptionNumber.ECHO)
    assert echo == b"eeeeeeee"
    # Not with the nonce of the request, which may have been used before the loss.
    assert CoapMessage.from_bytes(answer).option(OptionNumber.OSCORE) != b""

    repeated = request("server", "led:1", 8, mtype=CON, options=((OptionNumber.ECHO, echo),))
    old = rig.lamp.protect(POST, 1)
    assert rig.receive(rig.lamp.protect(repeated, 5)) == (repeated, LAMP)
    assert rig.refusal(old) == (Code.UNAUTHORIZED, b"replay detected")
    assert rig.receive(rig.lamp.protect(POST, 6)) == (POST, LAMP)


def test_wrong_echo_value_is_challenged_again() -> None:
    rig = Rig(lost=True)
    wrong = request("server", "led:1", 8, mtype=CON, options=((OptionNumber.ECHO, b"eeeeeeee"),))
    for _ in range(2):
        assert rig.receive(rig.lamp.protect(request("server", "led:1", 8))) is None
        assert len(rig.answers) == 1
    other = Rig(lost=True)
    assert other.receive(other.lamp.protect(wrong)) is None  # nothing was sent to it yet


def test_replays_after_a_loss_cause_few_challenges() -> None:
    rig = Rig(lost=True)
    old = rig.lamp.protect(POST)
    challenges = 0
    for _ in range(100):
        rig.receive(old, now=1.0)
        challenges += len(rig.answers)
    assert challenges == CHALLENGES_BURST


# -- requests to devices --------------------------------------------------------------------------


def test_request_to_a_device_is_protected_and_its_answer_is_plain_again() -> None:
    rig = Rig()
    inner, ids = rig.lamp.read_request(rig.protect(GET))
    assert inner.to_bytes() == GET
    answer = content(b"kkkk", b"1", mtype=MessageType.ACK)
    assert rig.receive(rig.lamp.respond(answer, ids)) == (answer.to_bytes(), LAMP)


def test_retransmission_is_the_same_datagram() -> None:
    rig = Rig()
    first = rig.protect(GET)
    assert rig.protect(GET) == first
    assert rig.protect(GET[:3] + b"\x09" + GET[4:]) != first


def test_answer_of_another_device_or_address_is_not_accepted() -> None:
    rig = Rig("lamp", "robot")
    _, ids = rig.lamp.read_request(rig.protect(GET))
    answer = content(b"kkkk", b"1", mtype=CON)
    assert rig.receive(OscoreTestDevice("robot").respond(answer, ids)) is None
    assert rig.answers == []
    assert rig.receive(rig.lamp.respond(answer, ids), THERE) is None
    assert rig.answer().mtype is MessageType.RST
    assert rig.receive(rig.lamp.respond(answer, ids)) is not None


def test_unprotected_answer_is_reported_and_not_believed() -> None:
    rig = Rig()
    rig.protect(GET)
    forged = content(b"kkkk", b"1", mtype=MessageType.ACK)
    assert rig.receive(forged.to_bytes()) == (forged.to_bytes(), HERE)  # not from the secured peer
    assert rig.layer.next_unprotected() is None
    lost = CoapMessage(CON, Code.UNAUTHORIZED, 3, b"kkkk").to_bytes()
    assert rig.receive(lost) is None
    assert rig.layer.next_unprotected() == Unprotected(LAMP, b"kkkk", Code.UNAUTHORIZED)
    assert rig.layer.next_unprotected() is None
    assert rig.answer() == CoapMessage(MessageType.ACK, Code.EMPTY, 3)


def test_acknowledgement_belongs_to_the_secured_peer() -> None:
    rig = Rig()
    rig.protect(GET)
    ack, other = (CoapMessage(MessageType.ACK, 0, number).to_bytes() for number in (0x8001, 1))
    assert rig.receive(ack) == (ack, LAMP)
    assert rig.receive(other) == (other, HERE)
    assert rig.receive(ack, THERE) == (ack, THERE)
    assert rig.layer.protect(ack, LAMP) == ack


def test_icmp_error_belongs_to_the_secured_peer() -> None:
    rig = Rig()
    protected = rig.protect(GET)
    assert rig.layer.receive_error(HERE, protected[:20]) == (LAMP, GET)
    assert rig.layer.receive_error(HERE, GET) == (HERE, GET)
    assert rig.layer.receive_error(LAMP, None) == (LAMP, None)


def test_notifications_are_accepted_once_and_in_order() -> None:
    rig = Rig()
    _, ids = rig.lamp.read_request(rig.protect(OBSERVE))
    registered = rig.lamp.respond(content(b"oooooooo", b"0", (6, b""), mtype=MessageType.ACK), ids)
    assert rig.receive(registered) is not None
    sent = [
        rig.lamp.respond(content(b"oooooooo", value, (6, b""), mtype=CON), ids, own_number=True)
        for value in (b"1", b"2", b"3")
    ]
    found = rig.receive(sent[1])
    assert found is not None
    assert CoapMessage.from_bytes(found[0]).option(OptionNumber.OBSERVE) == b"\x01"
    for old in (sent[1], sent[0], registered):  # a copy, an older one, the first answer again
        assert rig.receive(old) is None
    assert rig.receive(sent[0]) is None
    assert rig.answer() == CoapMessage(MessageType.ACK, Code.EMPTY, 5)
    assert rig.receive(sent[2]) is not None
    assert rig.layer.refusals.replayed == 4


def test_further_requests_displace_old_ones_and_no_observation() -> None:
    rig = Rig()
    _, observed = rig.lamp.read_request(rig.protect(OBSERVE))
    _, first = rig.lamp.read_request(rig.protect(GET))
    for number in range(REQUESTS_MAX):
        rig.protect(CoapMessage(CON, Code.GET, 0x9000 + number, bytes((number,))).to_bytes())
    assert rig.receive(rig.lamp.respond(content(b"kkkk", b"1", mtype=CON), first)) is None
    notification = content(b"oooooooo", b"1", (6, b""))
    assert rig.receive(rig.lamp.respond(notification, observed, own_number=True)) is not None


def test_observations_of_a_device_are_bounded() -> None:
    rig = Rig()
    for number in range(OBSERVATIONS_MAX + 10):
        token = number.to_bytes(8, "big")
        rig.protect(CoapMessage(CON, Code.GET, number, token, build_options((6, 0))).to_bytes())
    assert len(rig.contexts._sent) == OBSERVATIONS_MAX


def test_renewed_observation_replaces_the_former_one() -> None:
    rig = Rig()
    _, former = rig.lamp.read_request(rig.protect(OBSERVE))
    renewed = OBSERVE[:3] + b"\x77" + OBSERVE[4:]
    _, ids = rig.lamp.read_request(rig.protect(renewed))
    notification = content(b"oooooooo", b"1", (6, b""))
    assert rig.receive(rig.lamp.respond(notification, former, own_number=True)) is None
    assert rig.receive(rig.lamp.respond(notification, ids, own_number=True)) is not None


# -- numbers and memory ---------------------------------------------------------------------------


def test_next_block_of_numbers_is_reserved_before_the_last_is_used() -> None:
    rig = Rig()
    ivs = set()
    for number in range(3000):
        message = CoapMessage(CON, Code.GET, number, number.to_bytes(2, "big"))
        _, ids = rig.lamp.read_request(rig.protect(message.to_bytes()))
        ivs.add(ids.partial_iv)
    assert len(ivs) == 3000
    assert rig.store.reserved == 3 * rig.store.block


def test_without_a_reserved_number_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    device = rig.contexts.device("lamp")
    assert device is not None
    while device.stored.numbers.take() is not None:
        pass

    def full(*_: object) -> None:
        raise OperatorError("the disk is full.")

    monkeypatch.setattr(rig.store, "reserve", full)
    assert rig.layer.protect(GET, LAMP) is None
    assert caplog.messages == ["nothing is sent to lamp: the disk is full."]
    # Posts need no number.
    assert rig.receive(rig.lamp.protect(POST)) is not None
    assert rig.protect(CHANGED)


def test_few_keys_are_loaded_and_an_unloaded_device_keeps_its_window() -> None:
    rig = Rig("lamp", "robot", "fan", contexts_max=2)
    protected = rig.lamp.protect(POST)
    rig.receive(protected)
    rig.protect(GET)
    for uid in ("robot", "fan"):
        assert rig.receive(OscoreTestDevice(uid).protect(POST)) is not None
    assert len(rig.contexts) == 2
    assert not rig.contexts.has_sent
    assert rig.refusal(protected)[0] == Code.UNAUTHORIZED
    assert rig.receive(rig.lamp.protect(POST)) is not None
    assert len(rig.contexts.windows()) == 3


# -- with the intake ------------------------------------------------------------------------------


def test_post_of_a_device_counts_for_it_and_not_for_another_uid() -> None:
    rig, port = Rig(), Port()
    port.secured = {"lamp"}

    def code(path: str, payload: str, number: int) -> int:
        found = rig.receive(rig.lamp.protect(request(path, payload, number, mtype=CON)))
        assert found is not None
        port.intake.receive_datagrams(iter([found]), now=0.0, unix_time=lambda: 0.0)
        ((answer, peer),) = port.intake.datagrams_to_send()
        return rig.lamp.read_response(rig.protect(answer, peer)).code

    assert code("server", "led:1", 1) == Code.CHANGED
    assert code("alive", "alive:robot", 2) == Code.FORBIDDEN
    assert code("alive", "alive:lamp", 3) == Code.CHANGED
    assert port.nodes.get("robot") is None
    node = port.nodes.get("lamp")
    assert node is not None
    assert node.secured
