# SPDX-License-Identifier: BSD-3-Clause
"""What a member of a cluster sends and how it answers packets, without the other brokers."""

import pytest

from pyaiot.broker.router import Router
from pyaiot.broker.wanted_readings import SEEN_S
from pyaiot.cluster import member as member_module
from pyaiot.cluster.member import (
    BEACON_INTERVAL_S,
    GRACE_S,
    LEAD_AFTER_S,
    PEER_TIMEOUT_S,
    ClusterMember,
)
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.packets import (
    Beacon,
    FrameHeader,
    Header,
    Interest,
    Release,
    StreamRequest,
    ValuesSent,
    decode_packet,
    encode_header,
    encode_items,
    frame,
)
from pyaiot.cluster.peer import BEACONS_COMPARED
from pyaiot.messages import Receipt

TS = 1_800_000_000.0
OWN = "10" * 4
OTHER = "20" * 4
THIRD = "30" * 4


def new_member(name: str = "m") -> ClusterMember:
    nodes = OwnedNodes()
    return ClusterMember(OWN, name, Router(nodes=nodes), nodes, 0.0)


def receive(member: ClusterMember, header: Header, now: float) -> None:
    member.receive_packet(encode_header(header), now, TS + now)


def beacon(run: str = OTHER, name: str = "n", **fields: object) -> Beacon:
    return Beacon(sender=run, name=name, **fields)  # type: ignore[arg-type]


def sent(member: ClusterMember) -> list[tuple[str, Header]]:
    """The headers of the packets to send, each with its receiver."""
    return [(run, decode_packet(data)[0]) for run, data in member.packets_to_send()]


def beacons_of(member: ClusterMember) -> list[Beacon]:
    return [it for _, it in sent(member) if isinstance(it, Beacon)]


def requests_of(member: ClusterMember) -> list[str]:
    return [run for run, it in sent(member) if isinstance(it, StreamRequest)]


def complete(member: ClusterMember, run: str, now: float) -> None:
    """The stream that was requested from a broker begins, with nothing in it."""
    (generation,) = (
        it.generation for to, it in sent(member) if isinstance(it, StreamRequest) and to == run
    )
    header = FrameHeader(sender=run, generation=generation, number=0)
    member.receive_packet(frame(header, encode_items([])), now, TS + now)


def test_a_beacon_is_sent_each_second_with_what_others_show() -> None:
    member = new_member()
    member.clients, member.url, member.events_run, member.version = 3, "http://a", "ev", "1.2"
    member.recorded = lambda now: (now - 1.0, 0.5)
    assert member.get_timer() == 0.0
    member.handle_timer(2.0, TS + 2.0)
    (found,) = beacons_of(member)
    assert found == Beacon(
        sender=OWN,
        name="m",
        version="1.2",
        clock=2.0,
        time=TS + 2.0,
        clients=3,
        url="http://a",
        events_run="ev",
        recorded=1.0,
        late_s=0.5,
        parts=True,
    )
    member.handle_timer(2.9, TS)
    assert beacons_of(member) == []
    member.handle_timer(2.0 + BEACON_INTERVAL_S, TS)
    assert len(beacons_of(member)) == 1
    member.leave(4.0, TS)
    assert [it.leaves for it in beacons_of(member)] == [True]


def test_a_stream_is_requested_from_a_new_broker_and_requested_again_without_an_answer() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    assert requests_of(member) == [OTHER]
    receive(member, beacon(), 1.1)
    assert requests_of(member) == []
    member.handle_timer(2.5, TS)
    assert requests_of(member) == [OTHER]


def test_packets_of_its_own_are_ignored_and_invalid_ones_counted() -> None:
    member = new_member()
    receive(member, beacon(OWN), 1.0)
    assert (member.peers, member.invalid) == ({}, 0)
    member.receive_packet(b"nonsense", 1.0, TS)
    assert member.invalid == 1


def test_streams_of_unknown_brokers_are_ignored() -> None:
    member = new_member()
    receive(member, StreamRequest(sender=OTHER, generation=1), 1.0)
    header = FrameHeader(sender=OTHER, generation=1, number=0)
    member.receive_packet(frame(header, encode_items([])), 1.0, TS)
    member.command_ended(f"@{OTHER}", Receipt(id="1", state="sent"), 1.0)
    assert (member.peers, member.invalid, member.packets_to_send()) == ({}, 0, [])


def test_nothing_is_requested_from_a_broker_that_leaves() -> None:
    member = new_member()
    receive(member, beacon(leaves=True), 1.0)
    assert member.peers == {}
    receive(member, beacon(), 1.0)
    assert requests_of(member) == [OTHER]
    receive(member, beacon(leaves=True), 2.0)
    assert member.peers[OTHER].lost_at == 2.0
    assert member.beacons == {}
    member.handle_timer(2.0 + GRACE_S, TS)
    assert requests_of(member) == []
    assert OTHER in member.peers
    member.handle_timer(2.5 + GRACE_S, TS)
    assert member.peers == {}


def test_so_many_brokers_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_module, "PEERS_MAX", 1)
    member = new_member()
    receive(member, beacon(), 1.0)
    receive(member, beacon(THIRD, "o"), 1.0)
    assert list(member.peers) == [OTHER]
    receive(member, beacon(), 2.0)
    assert member.peers[OTHER].seen_at == 2.0


@pytest.mark.parametrize(
    ("name", "after_s", "is_lost"),
    [("n", BEACON_INTERVAL_S + 0.1, True), ("n", 0.5, False), ("o", 2.0, False)],
)
def test_a_broker_that_was_started_again_replaces_its_earlier_run(
    name: str, after_s: float, is_lost: bool
) -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    complete(member, OTHER, 1.0)
    receive(member, beacon(THIRD, name), 1.0 + after_s)
    assert (member.peers[OTHER].lost_at is not None) is is_lost


def test_a_broker_that_is_silent_is_lost_and_returns_with_its_stream() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    complete(member, OTHER, 1.0)
    member.handle_timer(1.0 + PEER_TIMEOUT_S, TS)
    assert member.peers[OTHER].lost_at is None
    now = 1.3 + PEER_TIMEOUT_S
    member.handle_timer(now, TS)
    assert member.peers[OTHER].lost_at == now
    sent(member)
    receive(member, beacon(), now + 1.0)
    complete(member, OTHER, now + 1.0)
    assert member.peers[OTHER].lost_at is None
    assert member.resyncs == 1


def test_the_first_by_name_leads_after_ten_seconds() -> None:
    member = new_member("m")
    assert not member.leads(LEAD_AFTER_S)
    assert member.leads(LEAD_AFTER_S + 0.1)
    receive(member, beacon(OTHER, "z"), 20.0)
    assert member.leads(20.0)
    receive(member, beacon(THIRD, "a"), 20.0)
    assert not member.leads(20.0)
    receive(member, beacon(THIRD, "a", leaves=True), 21.0)
    assert member.leads(21.0)


def test_an_interest_in_parts_needs_all_brokers_that_are_there() -> None:
    member = new_member()
    assert member.has_parts
    receive(member, beacon(parts=True), 1.0)
    assert member.has_parts
    receive(member, beacon(THIRD, "old"), 1.0)
    assert not member.has_parts
    receive(member, beacon(THIRD, "old", leaves=True), 2.0)
    assert member.has_parts


def test_the_end_of_a_command_is_sent_and_repeated_with_the_next_stream() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    receive(member, StreamRequest(sender=OTHER, generation=1), 1.0)
    while member.has_jobs:
        member.packets_to_send()
    receipt = Receipt(id="1", state="confirmed")
    assert not member.has_packets
    member.command_ended(f"@{OTHER}", receipt, 1.0)
    assert member.has_packets
    for generation in (1, 2):
        receive(member, StreamRequest(sender=OTHER, generation=generation), 1.0)
        bodies = [decode_packet(data)[1] for _, data in member.packets_to_send()]
        assert sum(b'"confirmed"' in body for body in bodies) == 1
        while member.has_jobs:
            member.packets_to_send()


def test_a_frame_that_is_not_understood_is_counted_and_requested_again() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    complete(member, OTHER, 1.0)
    header = FrameHeader(sender=OTHER, generation=1, number=1)
    member.receive_packet(frame(header, b"nonsense"), 5.0, TS)
    assert (member.invalid, member.resyncs) == (1, 1)
    assert requests_of(member) == [OTHER]


@pytest.mark.parametrize(("ahead_s", "shown_s"), [(100.0, 100.0), (-100.0, -100.0), (None, 0.0)])
def test_the_clock_of_another_broker_is_compared(ahead_s: float | None, shown_s: float) -> None:
    member = new_member()
    for number in range(1, 1 + BEACONS_COMPARED):
        time = 0.0 if ahead_s is None else TS + number + ahead_s
        receive(member, beacon(time=time), number)
    assert member.peers[OTHER].ahead_s == shown_s


def test_a_stream_is_requested_soon_from_a_lost_broker_that_returns() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    for now in (2.1, 4.2, 4.5):  # requested, lost, and requested again after a longer pause
        member.handle_timer(now, TS)
    assert requests_of(member) == [OTHER] * 3
    member.handle_timer(5.6, TS)
    assert requests_of(member) == []
    receive(member, beacon(), 5.7)
    assert requests_of(member) == [OTHER]


def test_what_was_collected_before_a_request_belongs_to_the_stream_before() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    receive(member, StreamRequest(sender=OTHER, generation=1), 1.0)
    while member.has_jobs:
        member.packets_to_send()
    member.out.add(Release(uid="A"))
    receive(member, StreamRequest(sender=OTHER, generation=2), 1.0)
    frames = [decode_packet(data) for _, data in member.packets_to_send()]
    found = [it.generation for it, body in frames if b'"A"' in body and isinstance(it, FrameHeader)]
    assert found == [1]


def test_a_new_request_ends_the_snapshot_of_the_one_before() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    for generation in (1, 2):
        receive(member, StreamRequest(sender=OTHER, generation=generation), 1.0)
        assert member.has_jobs
    bodies = []
    while member.has_packets:
        bodies += [
            body for _, body in map(decode_packet, (it for _, it in member.packets_to_send()))
        ]
    assert sum(b'"type":"end"' in it for it in bodies) == 1
    receive(member, StreamRequest(sender=OTHER, generation=2), 1.0)  # it arrives twice
    assert not member.has_packets


def test_a_stream_begins_with_gateways_and_interest_before_what_happens_meanwhile() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    receive(member, StreamRequest(sender=OTHER, generation=1), 1.0)
    member.out.add(Release(uid="A"))
    frames = [decode_packet(data) for _, data in member.packets_to_send()]
    first, second, *_ = (body for it, body in frames if isinstance(it, FrameHeader))
    assert b'"type":"interest"' in first
    assert b'"A"' in second


def test_seen_nodes_are_reported_every_few_seconds() -> None:
    member = new_member()
    receive(member, beacon(), 1.0)
    receive(member, StreamRequest(sender=OTHER, generation=1), 1.0)
    peer = member.peers[OTHER]
    member.interested(peer, Interest(number=1, seen=True))
    peer.items.clear()
    member.out.seen = {"A"}
    member.handle_timer(SEEN_S - 0.1, TS)
    assert member.out.seen == {"A"}
    peer.outgoing.receive_request(2)  # it was silent meanwhile
    member.handle_timer(SEEN_S, TS)
    assert peer.items == [ValuesSent(number=peer.values_sent, seen=("A",))]
    assert member.out.seen == set()


def test_the_state_lists_brokers_by_name() -> None:
    member = new_member()
    for run, name in ((OTHER, "z"), (THIRD, "a")):
        receive(member, beacon(run, name), 1.0)
    assert [it.name for it in member.state(1.0).peers] == ["a", "z"]


def with_stream() -> ClusterMember:
    """A member that has sent its snapshot to another broker."""
    member = new_member()
    receive(member, beacon(), 1.0)
    receive(member, StreamRequest(sender=OTHER, generation=1), 1.0)
    while member.has_jobs:
        member.packets_to_send()
    return member


def test_a_beacon_follows_everything_that_was_collected() -> None:
    member = with_stream()
    number = member.peers[OTHER].outgoing.next_number
    member.out.add(Release(uid="A"))
    member.leave(1.0, TS)
    (_, frame_header), (_, last) = sent(member)
    assert frame_header == FrameHeader(sender=OWN, generation=1, number=number)
    assert isinstance(last, Beacon)
    assert last.streams == {OTHER: (1, number + 1)}


def test_a_lost_broker_gets_nothing_until_it_requests_a_stream_again() -> None:
    member = with_stream()
    peer = member.peers[OTHER]
    peer.items.append(Release(uid="A"))
    receive(member, beacon(leaves=True), 2.0)
    receive(member, beacon(leaves=True), 3.0)
    assert peer.lost_at == 2.0
    member.out.add(Release(uid="B"))
    assert sent(member) == []
    assert peer.incoming.is_broken
    receive(member, StreamRequest(sender=OTHER, generation=2), 3.0)
    assert b'"A"' not in b"".join(data for _, data in member.packets_to_send())
