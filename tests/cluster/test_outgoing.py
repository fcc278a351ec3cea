# SPDX-License-Identifier: BSD-3-Clause
"""How changes of a broker are collected and packed for the others, one rule at a time."""

import pytest

from pyaiot.broker.state import KnownNode, NodeTable
from pyaiot.cluster import outgoing
from pyaiot.cluster.outgoing import (
    FRAME_SIZE_MAX,
    JOB_FRAMES_PER_TURN,
    Outgoing,
    Packet,
    Released,
    pack,
    values_of,
)
from pyaiot.cluster.packets import (
    ITEMS_PER_FRAME_MAX,
    SEEN_UIDS_MAX,
    Beacon,
    ClusterItem,
    CurrentValues,
    Interest,
    NodeClaim,
    Release,
    SnapshotEnd,
    ValuesSent,
    decode_items,
    decode_packet,
    encode_items,
)
from pyaiot.cluster.peer import OtherBroker
from pyaiot.cluster.streams import IncomingStream
from pyaiot.messages import NodeDescribed, Reading
from pyaiot.model import ResourceType
from pyaiot.registry.record import NodeRecord

EVERYTHING = Interest(number=1, everything=True)


class Sender:
    """The outgoing side of a broker, its nodes, and the calls of `wake`."""

    def __init__(self) -> None:
        self.wakes: list[bool] = []
        self.nodes = NodeTable()
        self.claims: dict[str, NodeClaim] = {}
        self.out = Outgoing("aa" * 8, self.nodes, lambda: self.claims, self.wakes.append)

    def add(self, record: NodeRecord, *resources: str) -> NodeClaim:
        """A node of this broker, with values."""
        node = self.nodes.add(1, record, ts=0.0)
        for it in resources:
            self.nodes.keep(node, Reading(uid=node.uid, resource=it, data="1"))
        claim = self.claims[node.uid] = NodeClaim(uid=node.uid, gateway=1, term=1)
        return claim


def peer_with(interest: Interest, *, requests: bool = True) -> OtherBroker:
    """Another broker that has requested a stream."""
    beacon = Beacon(sender="bb" * 8, name="b")
    peer = OtherBroker(beacon=beacon, incoming=IncomingStream(0.0))
    peer.set_interest(interest)
    if requests:
        peer.outgoing.receive_request(1)
    return peer


def reading(uid: str = "A", value: str = "1") -> Reading:
    return Reading(uid=uid, resource="t", data=value)


def items_of(packets: list[Packet]) -> list[ClusterItem]:
    return [item for _, packet in packets for item in decode_items(decode_packet(packet)[1])]


def test_the_first_reading_wakes_the_sender_and_any_other_item_does() -> None:
    sender = Sender()
    items: list[ClusterItem] = [reading(), reading(), Release(uid="A"), reading(), Release(uid="B")]
    for item in items:
        sender.out.add(item)
    assert sender.wakes == [False, True, True]
    list(sender.out.flush([]))
    sender.out.add(reading())
    assert sender.wakes == [False, True, True, False]


def test_too_much_for_one_flush_ends_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "GATHERED_MAX", 2)
    sender, peer = Sender(), peer_with(EVERYTHING)
    for _ in range(2):
        sender.out.add(reading())
    assert len(list(sender.out.flush([peer]))) == 1
    assert (sender.out.overflows, peer.outgoing.is_active) == (0, True)
    for _ in range(3):
        sender.out.add(reading())
    assert list(sender.out.flush([peer])) == []
    assert (sender.out.overflows, peer.outgoing.is_active) == (1, False)
    assert not sender.out.has_items


def test_frames_and_items_are_counted() -> None:
    sender, peers = Sender(), [peer_with(EVERYTHING), peer_with(EVERYTHING)]
    assert (sender.out.frames, sender.out.items) == (0, 0)
    sender.out.add(reading())
    sender.out.add(Release(uid="A"))
    assert len(list(sender.out.flush(peers))) == 2
    assert (sender.out.frames, sender.out.items) == (2, 2)


def test_a_broker_that_has_requested_nothing_gets_no_frame() -> None:
    sender, peer = Sender(), peer_with(EVERYTHING, requests=False)
    sender.out.add(reading())
    assert list(sender.out.flush([peer])) == []
    peer.items.append(Release(uid="A"))
    assert list(sender.out.for_one(peer)) == []
    peer.outgoing.receive_request(1)
    assert items_of(list(sender.out.for_one(peer))) == [Release(uid="A")]
    assert list(sender.out.for_one(peer)) == []


def test_each_broker_gets_the_values_that_it_needs_and_all_other_items() -> None:
    sender = Sender()
    peers = [
        peer_with(EVERYTHING),
        peer_with(Interest(number=1, uids=("B",))),
        peer_with(Interest(number=1)),
    ]
    items: list[ClusterItem] = [reading("A"), reading("B"), Release(uid="C")]
    for item in items:
        sender.out.add(item)
    packets = list(sender.out.flush(peers))
    assert [items_of([it]) for it in packets] == [items, items[1:], items[2:]]


def test_seen_nodes_are_reported_in_parts_to_those_that_need_them() -> None:
    sender = Sender()
    needs, other = peer_with(Interest(number=1, seen=True)), peer_with(EVERYTHING)
    needs.values_sent = 7
    uids = [f"n{number:05}" for number in range(SEEN_UIDS_MAX + 1)]
    for uid in uids:
        sender.out.add(reading(uid))
    sender.out.add(Release(uid="gone"))
    list(sender.out.flush([needs, other]))
    sender.out.add_seen([needs, other])
    parts = [it for it in needs.items if type(it) is ValuesSent]
    assert [len(it.seen) for it in parts] == [SEEN_UIDS_MAX, 1]
    assert [uid for it in parts for uid in it.seen] == uids
    assert {it.number for it in parts} == {7}
    assert (other.items, sender.out.seen) == ([], set())


def test_nobody_needs_seen_nodes() -> None:
    sender = Sender()
    sender.out.add(reading())
    list(sender.out.flush([peer_with(EVERYTHING)]))
    assert sender.out.seen == set()


def current(uid: str, *resources: str, is_part: bool = False) -> CurrentValues:
    readings = tuple(Reading(uid=uid, resource=it, data="1") for it in resources)
    return CurrentValues(uid=uid, readings=readings, is_part=is_part)


def test_a_snapshot_has_claims_descriptions_and_the_values_that_are_needed() -> None:
    sender, types = Sender(), {"t": ResourceType(kind="number")}
    claims = [
        sender.add(NodeRecord(uid="A", described=types), "t"),
        sender.add(NodeRecord(uid="B"), "t", "u"),
        sender.add(NodeRecord(uid="C", admission="waiting"), "t"),
    ]
    sender.claims["no node"] = claims[0]
    sender.nodes.add(1, NodeRecord(uid="of another broker"), ts=0.0)
    end = [SnapshotEnd(), ValuesSent(number=1)]
    described = NodeDescribed(uid="A", types=types, complete=True)
    everything = list(sender.out.snapshot(peer_with(EVERYTHING)))
    a, b, c = claims
    assert everything == [a, described, current("A", "t"), b, current("B", "t", "u"), c, *end]
    named = list(sender.out.snapshot(peer_with(Interest(number=1, resources=("u",)))))
    assert named == [a, described, b, current("B", "u", is_part=True), c, *end]


def test_values_are_sent_of_own_nodes_that_are_accepted() -> None:
    sender = Sender()
    sender.add(NodeRecord(uid="A"), "t", "u")
    sender.add(NodeRecord(uid="B"), "t")
    sender.add(NodeRecord(uid="C", admission="waiting"), "t", "u")
    sender.add(NodeRecord(uid="D"), "t", "u")
    del sender.claims["D"]
    sender.claims["no node"] = sender.claims["A"]
    interest = Interest(number=4)
    end = ValuesSent(number=4)
    uids = ["A", "C", "D", "no node"]
    assert list(sender.out.values(uids, [], interest)) == [current("A", "t", "u"), end]
    found = list(sender.out.values([], ["u", "v"], interest))
    assert found == [current("A", "u", is_part=True), end]


def test_a_snapshot_is_sent_a_few_frames_at_a_time() -> None:
    sender, peer = Sender(), peer_with(EVERYTHING)
    values = current("A", *(f"r{number}" for number in range(99)))
    count = ITEMS_PER_FRAME_MAX // 100 * JOB_FRAMES_PER_TURN
    peer.jobs.append(iter([*[values] * (count + 1), ValuesSent(number=9)]))
    packets = list(sender.out.for_one(peer))
    assert [len(items_of([it])) for it in packets] == [count // JOB_FRAMES_PER_TURN] * 4
    assert (peer.values_sent, len(peer.jobs)) == (0, 1)
    assert len(items_of(list(sender.out.for_one(peer)))) == 2
    assert (peer.values_sent, len(peer.jobs)) == (9, 0)


def test_a_release_has_the_reason_if_it_is_one_of_the_protocol() -> None:
    sender, peer = Sender(), peer_with(EVERYTHING)
    for reason in ("silent", "something else"):
        record = NodeRecord(uid="A", reason=reason, last_seen=5.0)
        sender.out.add(Released("A", record, is_claimed=True))
    found = items_of(list(sender.out.flush([peer])))
    assert found == [
        Release(uid="A", ts=5.0, reason="silent", is_claimed=True),
        Release(uid="A", ts=5.0, is_claimed=True),
    ]


@pytest.mark.parametrize(
    ("count", "size", "parts"), [(17, 1000, 1), (16, 60_000, 1), (17, 60_000, 17)]
)
def test_the_values_of_a_large_node_are_sent_in_parts(count: int, size: int, parts: int) -> None:
    node = KnownNode(1, 1, NodeRecord(uid="A"), ts=0.0)
    for number in range(count):
        name = f"r{number}"
        node.readings[name] = Reading(uid="A", resource=name, data="x" * size)
    found = values_of(node)
    assert len(found) == parts
    values = [it for it in found if type(it) is CurrentValues]
    assert [it for part in values for it in part.readings] == list(node.readings.values())
    assert {it.is_part for it in values} == {parts > 1}


def test_as_many_items_as_a_frame_can_have_are_one_frame() -> None:
    items = [Release(uid=f"n{number}") for number in range(ITEMS_PER_FRAME_MAX)]
    assert len(pack(items)) == 1
    assert len(pack([*items, Release(uid="more")])) == 2
    large = Reading(uid="A", resource="r", data="x" * FRAME_SIZE_MAX)
    assert pack([large]) == [encode_items([large])]
