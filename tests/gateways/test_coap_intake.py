# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP intake: datagrams in, answers and events out. No socket, no clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.gateways.coap import endpoint
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import (
    ClaimToCheck,
    EmptyReceived,
    IntakeEvent,
    NodeAlive,
    NodePosted,
    NodeRenamed,
    Refusal,
    ResponseReceived,
    ToAiocoap,
    ValuesPosted,
    reports_of,
    values_of,
)
from pyaiot.gateways.live_node import READINGS_BURST
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.messages import NodeAppeared, NodeLeft, NodeReset, Reading
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.deduplication import CON_WINDOW_S, NON_WINDOW_S
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.post import PAYLOAD_BYTES_MAX, RESPONSE_IDS
from pyaiot.transport.peers import Peer

CON, NON = MessageType.CON, MessageType.NON
HERE = Peer(("::ffff:10.0.0.1", 49152, 0, 0))
THERE = Peer(("::ffff:10.0.0.2", 49152, 0, 0))


def request(
    path: str,
    payload: str = "",
    number: int = 1,
    *,
    code: int = Code.POST,
    mtype: MessageType = NON,
    token: bytes = b"t",
    options: tuple[tuple[int, bytes | str | int], ...] = (),
) -> bytes:
    encoded = build_options((OptionNumber.URI_PATH, path), *options)
    return CoapMessage(mtype, code, number, token, encoded, payload.encode()).to_bytes()


class Port:
    """An intake, and its events for the latest datagram."""

    def __init__(self, *, limited: bool = True, nodes_max: int = 100) -> None:
        self.limits = endpoint.host_limits() if limited else None
        self.nodes = LiveNodes(silence_limit_s=120.0, nodes_max=nodes_max)
        self.table: AddressTable[Peer] = AddressTable()
        self.answering: set[tuple[Peer, bytes]] = set()
        self.secured: set[str] = set()
        self.intake = CoapIntake(
            self.nodes,
            self.table,
            limits=self.limits,
            has_request=lambda peer, token: (peer, token) in self.answering,
            is_secured=lambda uid: uid in self.secured,
        )
        self.events: list[IntakeEvent] = []

    def receive(self, datagram: bytes, peer: Peer = HERE, *, now: float = 0.0) -> list[CoapMessage]:
        """The answers. All of them go to the peer."""
        self.intake.receive_datagrams(
            iter([(datagram, peer)]), now=now, unix_time=lambda: 1000.0 + now
        )
        self.events.clear()
        while (event := self.intake.next_event()) is not None:
            self.events.append(event)
        sent = self.intake.datagrams_to_send()
        assert {to for _, to in sent} <= {peer}
        assert sum(len(answer) for answer, _ in sent) <= AMPLIFICATION_MAX * len(datagram)
        assert self.intake.datagrams_to_send() == []
        return [CoapMessage.from_bytes(answer) for answer, _ in sent]

    def code(self, datagram: bytes, peer: Peer = HERE, *, now: float = 0.0) -> int | None:
        answers = self.receive(datagram, peer, now=now)
        return answers[0].code if answers else None


def reported(port: Port) -> list[object]:
    """The events of the latest datagram, whichever path it took."""
    found: list[object] = []
    for event in port.events:
        if isinstance(event, NodePosted | ValuesPosted):
            found += [("value", *value) for value in values_of([event])]
            found += reports_of([event])
        else:
            found.append(repr(event))  # errors are compared by their texts
    return found


def known(port: Port, peer: Peer = HERE, uid: str = "A") -> None:
    assert port.code(request("alive", f"alive:{uid}", 9), peer) == Code.CHANGED


def test_node_appears_with_its_address() -> None:
    port = Port()
    assert port.code(request("alive", "alive:A")) == Code.CHANGED
    (alive,) = port.events
    assert isinstance(alive, NodeAlive)
    assert (alive.uid, alive.rebooted) == ("A", True)
    assert isinstance(alive.reports[0], NodeAppeared)
    assert [event.data for event in alive.reports[1:] if isinstance(event, Reading)] == [
        "CoAP",
        "10.0.0.1",
    ]


def test_post_of_a_known_node_is_one_event_with_its_reading() -> None:
    port = Port()
    known(port)
    assert port.code(request("server", "temperature:20.5°C", 2), now=3.0) == Code.CHANGED
    (posted,) = port.events
    assert isinstance(posted, NodePosted)
    assert (posted.uid, posted.resource, posted.data) == ("A", "temperature", "20.5°C")
    (reading,) = posted.reports
    assert isinstance(reading, Reading)
    assert (reading.ts, reading.number, reading.unit) == (1003.0, 20.5, "Cel")


@pytest.mark.parametrize("mtype", [CON, NON])
def test_answer_to_a_post_has_its_token_and_a_message_id_of_the_intake(mtype: MessageType) -> None:
    port = Port()
    known(port)
    (answer,) = port.receive(request("server", "t:1", 0xFEDC, mtype=mtype, token=b"\xff\x00"))
    assert answer.token == b"\xff\x00"
    if mtype is CON:
        assert (answer.mtype, answer.message_id) == (MessageType.ACK, 0xFEDC)
    else:
        assert (answer.mtype, answer.message_id) == (NON, RESPONSE_IDS | 0x3EDC)


@pytest.mark.parametrize(("mtype", "window_s"), [(CON, CON_WINDOW_S), (NON, NON_WINDOW_S)])
def test_duplicate_counts_once_within_its_window(mtype: MessageType, window_s: float) -> None:
    port = Port()
    known(port)
    post = request("server", "t:1", mtype=mtype)
    port.receive(post)
    assert port.code(post, now=window_s - 0.1) == (Code.CHANGED if mtype is CON else None)
    assert port.events == []
    assert port.code(post, now=window_s) == Code.CHANGED
    assert len(port.events) == 1


def test_post_after_a_reboot_is_not_a_duplicate_of_the_one_before() -> None:
    port = Port()
    known(port)
    post = request("server", "t:1")
    port.receive(post)
    port.receive(request("alive", "reset:A", 2))
    (alive,) = port.events
    assert isinstance(alive, NodeAlive)
    assert isinstance(alive.reports[0], NodeReset)
    assert port.code(post) == Code.CHANGED
    assert len(port.events) == 1


def test_reading_of_an_unknown_peer_counts_when_it_announces_its_uid() -> None:
    port = Port()
    post = request("server", "t:1")
    (answer,) = port.receive(post)
    assert (answer.code, port.events) == (Code.SERVICE_UNAVAILABLE, [])
    port.receive(request("alive", "alive:A", 2), now=1.0)
    alive, posted = port.events
    assert isinstance(alive, NodeAlive)
    assert isinstance(posted, NodePosted)
    assert (posted.data, posted.is_sign_of_life) == ("1", False)
    assert port.code(post, now=2.0) is None  # a duplicate


def test_claim_of_a_uid_from_another_host_is_to_be_checked() -> None:
    port = Port()
    known(port)
    assert port.code(request("alive", "alive:A"), THERE) == Code.SERVICE_UNAVAILABLE
    assert port.events == [ClaimToCheck("A", THERE)]


def test_node_without_a_name_is_renamed_when_it_sends_its_uid() -> None:
    port = Port()
    port.receive(request("alive", "alive"))
    port.receive(request("alive", "alive:A", 2))
    alive, renamed = port.events
    assert isinstance(alive, NodeAlive)
    assert isinstance(renamed, NodeRenamed)
    assert renamed.old_uid == "10.0.0.1"
    assert [type(report) for report in renamed.reports] == [NodeLeft]
    assert port.table.get("10.0.0.1") is None


def test_evicted_node_is_forgotten_before_the_next_datagram() -> None:
    port = Port(nodes_max=1)
    known(port)
    assert port.code(request("alive", "alive:B"), THERE, now=60.0) == Code.CHANGED
    (alive,) = port.events
    assert isinstance(alive, NodeAlive)
    assert isinstance(alive.reports[0], NodeLeft)
    assert port.table.get("A") is None


def test_node_over_its_rate_gets_the_time_to_wait() -> None:
    port = Port()
    known(port)
    codes = [port.code(request("server", "t:1", n)) for n in range(2, int(READINGS_BURST) + 3)]
    assert codes[-1] == Code.TOO_MANY_REQUESTS
    assert isinstance(port.events[0], Refusal)
    assert port.intake.posts.refused >= 1


def test_post_of_a_node_that_another_gateway_owns_is_not_acknowledged() -> None:
    port = Port()
    known(port)
    port.nodes.claim_again("A", now=1.0)  # as the gateway does when the broker refused the node
    for now in (1.0, 10.0, 12.0):
        for path, payload in (("alive", "alive:A"), ("server", f"t:{now}")):
            (answer,) = port.receive(request(path, payload, int(now)), now=now)
            assert answer.code == Code.SERVICE_UNAVAILABLE
            assert answer.option(OptionNumber.MAX_AGE) == bytes((int(13.0 - now) + 1,))
            # It is reported: the broker accepts it once the other gateway has lost the node.
            assert {type(event) for event in port.events} >= {Refusal}
            assert len(port.events) == 2
    assert port.code(request("server", "t:20", 20), now=20.0) == Code.CHANGED


def test_post_that_was_not_acknowledged_counts_when_it_is_sent_again() -> None:
    port = Port()
    known(port)
    port.nodes.claim_again("A", now=1.0)
    post = request("server", "t:1", mtype=CON)
    assert port.code(post, now=5.0) == Code.SERVICE_UNAVAILABLE
    assert port.code(post, now=20.0) == Code.CHANGED
    assert [type(event) for event in port.events] == [NodePosted]


def test_node_that_leaves_is_not_foreign_when_it_returns() -> None:
    port = Port()
    known(port)
    port.nodes.claim_again("A", now=1.0)
    port.nodes.left("A", "silent", ts=2.0)
    port.table.forget("A")
    assert port.code(request("alive", "alive:A"), now=3.0) == Code.CHANGED


def test_ping_is_answered_with_a_reset() -> None:
    (answer,) = Port().receive(b"\x40\0\x12\x34")
    assert (answer.mtype, answer.code, answer.message_id) == (MessageType.RST, 0, 0x1234)


def test_responses_and_acknowledgements_are_events() -> None:
    port = Port()
    response = CoapMessage(MessageType.ACK, Code.CONTENT, 7, b"tok", (), b"1")
    assert port.receive(response.to_bytes()) == []
    assert port.events == [ResponseReceived(response, response.to_bytes(), HERE)]
    reset = CoapMessage(MessageType.RST, Code.EMPTY, 7)
    assert port.receive(reset.to_bytes()) == []
    assert port.events == [EmptyReceived(reset, reset.to_bytes(), HERE)]


def test_other_requests_are_for_aiocoap_once_for_each_token() -> None:
    port = Port()
    get = request(".well-known", code=Code.GET, mtype=CON)
    assert port.receive(get) == []
    assert port.events == [ToAiocoap(get, HERE)]
    port.answering.add((HERE, b"t"))
    assert port.receive(get) == []
    assert port.events == []


def test_requests_of_an_unverified_host_have_a_rate_over_all_its_ports() -> None:
    port = Port()
    codes = [
        port.code(request("led", code=Code.GET, mtype=CON), HERE.at_port(number))
        for number in range(1, int(endpoint.HOST_REQUESTS_BURST) + 2)
    ]
    assert codes == [None] * int(endpoint.HOST_REQUESTS_BURST) + [Code.TOO_MANY_REQUESTS]
    assert port.limits is not None
    assert port.limits.refused == 1


def test_request_with_an_unknown_critical_option_is_refused() -> None:
    port = Port()
    options = ((65001, b""),)
    confirmable = request("led", code=Code.GET, mtype=CON, options=options)
    assert port.code(confirmable) == Code.BAD_OPTION
    assert port.code(request("led", code=Code.GET, options=options)) is None
    assert port.intake.posts.refused == 2


@pytest.mark.parametrize(
    "option",
    [OptionNumber.URI_HOST, OptionNumber.URI_QUERY, OptionNumber.PROXY_URI, OptionNumber.URI_PATH],
)
def test_request_whose_critical_text_is_not_utf8_is_answered(option: OptionNumber) -> None:
    """aiocoap cannot decode it, and would leave a Confirmable one without any answer."""
    port = Port()
    options = ((option, b"ep=\xff"),)
    assert port.code(request("rd", mtype=CON, options=options)) == Code.BAD_OPTION
    assert [type(event) for event in port.events] == [Refusal]
    assert port.code(request("rd", mtype=NON, options=options)) is None


@pytest.mark.parametrize("option", [OptionNumber.LOCATION_PATH, OptionNumber.LOCATION_QUERY])
def test_elective_text_that_is_not_utf8_is_left_out(option: OptionNumber) -> None:
    port = Port()
    sent = request("rd", code=Code.GET, mtype=CON, options=((option, b"\xff"), (option, b"a")))
    assert port.receive(sent) == []
    expected = request("rd", code=Code.GET, mtype=CON, options=((option, b"a"),))
    assert port.events == [ToAiocoap(expected, HERE)]


@pytest.mark.parametrize("mtype", [CON, NON])
@pytest.mark.parametrize("option", [OptionNumber.BLOCK1, OptionNumber.BLOCK2])
def test_reserved_block_size_is_answered_4_00(option: OptionNumber, mtype: MessageType) -> None:
    """RFC 7959 section 2.2."""
    port = Port()
    sent = request("rd", "</a>", mtype=mtype, options=((option, b"\x07"),))
    assert port.code(sent) == Code.BAD_REQUEST


@pytest.mark.parametrize("option", [OptionNumber.OSCORE, OptionNumber.IF_MATCH, 2049, 65_535])
def test_response_with_an_unknown_critical_option_is_rejected(option: int) -> None:
    """RFC 7252 section 5.4.1: with a reset if it is Confirmable, else silently."""
    port = Port()
    for mtype, codes in ((CON, [Code.EMPTY]), (NON, []), (MessageType.ACK, [])):
        message = CoapMessage(mtype, Code.CONTENT, 7, b"t", build_options((option, b"x")), b"1")
        answers = port.receive(message.to_bytes())
        assert [answer.code for answer in answers] == codes
        assert all(answer.mtype is MessageType.RST for answer in answers)
        assert [type(event) for event in port.events] == [Refusal]


def test_response_with_known_critical_or_unknown_elective_options_is_taken() -> None:
    port = Port()
    options = build_options((OptionNumber.BLOCK2, 1), (OptionNumber.BLOCK1, 1), (2050, b"x"))
    message = CoapMessage(MessageType.ACK, Code.CONTENT, 7, b"t", options, b"1")
    assert port.receive(message.to_bytes()) == []
    assert [type(event) for event in port.events] == [ResponseReceived]


def test_too_large_request_is_answered_with_the_largest_size() -> None:
    (answer,) = Port().receive(request("server", "t:" + "1" * PAYLOAD_BYTES_MAX))
    assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE
    assert answer.option(OptionNumber.SIZE1) == PAYLOAD_BYTES_MAX.to_bytes(2, "big")
    assert answer.message_id & RESPONSE_IDS


def test_without_limits_posts_are_for_aiocoap_too() -> None:
    port = Port(limited=False)
    post = request("alive", "alive:A")
    assert port.receive(post) == []
    assert port.events == [ToAiocoap(post, HERE)]


ARRIVALS = st.lists(
    st.tuples(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                request,
                st.sampled_from(["alive", "server", "rd", ""]),
                st.sampled_from(["alive:A", "reset:A", "alive:B", "alive", "t:1", "t", ":", ""]),
                st.integers(0, 3),
                code=st.just(int(Code.POST)) | st.integers(0, 255),
                mtype=st.sampled_from(MessageType),
                token=st.binary(max_size=8),
            ),
        ),
        st.sampled_from([HERE, THERE, HERE.at_port(5683)]),
        st.floats(0.0, 70.0),
    ),
    max_size=30,
)


@given(arrivals=ARRIVALS)
def test_readings_that_change_only_a_value_are_accepted_as_all_others(
    arrivals: list[tuple[bytes, Peer, float]],
) -> None:
    short, general = Port(nodes_max=2), Port(nodes_max=2)
    general.intake.posts.receive_value = lambda *_post: None  # type: ignore[method-assign]
    for port in (short, general):
        known(port)
        port.receive(request("server", "t:0", 7))
    now = 0.0
    for datagram, peer, pause_s in arrivals:
        now += pause_s
        short_answers = short.receive(datagram, peer, now=now)
        assert short_answers == general.receive(datagram, peer, now=now)
        assert reported(short) == reported(general)
        assert list(short.nodes.everything()) == list(general.nodes.everything())
        assert short.nodes.get_timer() == general.nodes.get_timer()


def test_readings_that_arrive_together_are_one_event_up_to_another_one() -> None:
    port = Port()
    known(port)
    for resource in ("t", "h"):
        port.receive(request("server", f"{resource}:0", ord(resource)))
    posts = [(request("server", f"{'th'[n % 2]}:{n}", n), HERE) for n in range(4)]
    waiting = iter([*posts, (request("alive", "alive:A", 8), HERE), *posts, *posts[:1]])
    receive = port.intake.receive_datagrams
    assert receive(waiting, now=1.0, unix_time=lambda: 7.0)
    first, alive = (port.intake.next_event() for _ in range(2))
    assert isinstance(first, ValuesPosted)
    assert [(it.resource, it.data) for it in first.readings] == [
        *(("t", "0"), ("h", "1"), ("t", "2"), ("h", "3"))
    ]
    assert isinstance(alive, NodeAlive)
    assert not receive(waiting, now=1.0, unix_time=lambda: 7.0)
    assert port.intake.next_event() is None  # they were duplicates
    assert len(port.intake.datagrams_to_send()) == 5


@given(arrivals=ARRIVALS)
def test_whatever_arrives_is_answered_within_the_limit_and_the_tables_agree(
    arrivals: list[tuple[bytes, Peer, float]],
) -> None:
    port = Port(nodes_max=2)
    now = 0.0
    online: set[str] = set()
    for datagram, peer, pause_s in arrivals:
        now += pause_s
        port.receive(datagram, peer, now=now)
        for event in port.events:
            if isinstance(event, NodePosted | NodeAlive | NodeRenamed):
                for report in event.reports:
                    if isinstance(report, NodeLeft):
                        online.discard(report.uid)
                    elif isinstance(report, NodeAppeared):
                        online.add(report.uid)
        known = online | {"A", "B", "10.0.0.1", "10.0.0.2"}
        assert {uid for uid in known if uid in port.nodes} == online
        assert all(port.table.get(uid) is not None for uid in online)
