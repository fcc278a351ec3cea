# SPDX-License-Identifier: BSD-3-Clause
"""Brokers of neighbouring levels work together, and others refuse each other with a sentence."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyaiot.cluster.member import GRACE_S, PEER_TIMEOUT_S
from pyaiot.cluster.packets import (
    LEVEL,
    Beacon,
    ClusterItem,
    Header,
    decode_items,
    decode_packet,
    encode_header,
)
from pyaiot.cluster.peer import BEACONS_COMPARED, INCOMPATIBLE_MAX, refusal
from tests.cluster.simulation import TS, SimBroker, World

HERE = Path(__file__).parent
LEVELS = sorted(HERE.glob("level-*.packets"))
"""What a broker of the first release with this level sent: every packet and item that it has.

The first line names the runs of sender and receiver."""


def fields() -> dict[str, dict[str, bool]]:
    """Of each packet and item: its fields, and whether they must be there."""
    kinds: Any = msgspec.inspect.multi_type_info([*Header.__args__, *ClusterItem.__args__])
    return {
        kind.tag: {field.encode_name: field.required for field in kind.fields} for kind in kinds
    }


@pytest.mark.parametrize("path", LEVELS, ids=lambda path: path.stem)
def test_packets_of_a_level_are_understood(path: Path) -> None:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    world = World(1, brokers=0, gateways=0)
    receiver = SimBroker(world, "receiver", int(json.loads(first)["receiver"], 16))
    receiver.member.local.set_interest(None)
    shown: dict[str, set[str]] = {}
    for line in lines:
        world.now += 0.1
        receiver.receive(json.loads(line).encode())
        receiver.turn()
        for uid, values in receiver.view.items():
            shown.setdefault(uid, set()).update(f"{key}={data}" for key, data in values.items())
    assert receiver.member.invalid == 0
    assert receiver.member.resyncs == 0
    assert receiver.published == {
        **{f"new {uid}": 1 for uid in "ABCD"},
        **{f"out {uid}": 1 for uid in "ABCD"},
    }
    assert shown["A"] == {"temperature=21.5°C", "temperature=22.5°C"}
    assert shown["B"] == {"led=1"}


def test_the_recordings_have_every_packet_and_item_of_their_level() -> None:
    found = {
        tag
        for path in LEVELS
        for line in path.read_text("utf-8").splitlines()[1:]
        for tag in tags(json.loads(line).encode())
    }
    assert found == fields().keys()
    assert [path.stem for path in LEVELS] == [f"level-{number + 1}" for number in range(LEVEL)]


def tags(packet: bytes) -> list[str]:
    header, body = decode_packet(packet)
    items = decode_items(body) if body else []
    return [str(type(it).__struct_config__.tag) for it in (header, *items)]


def test_an_earlier_version_of_this_level_can_read_what_this_one_sends() -> None:
    """What it does not know is a new field, which it ignores."""
    recorded = json.loads((HERE / f"level-{LEVEL}.fields").read_text())
    present = fields()
    assert present.keys() == recorded.keys(), "another kind of packet needs another LEVEL"
    for tag, before in recorded.items():
        now = present[tag]
        removed = [name for name, required in before.items() if required and name not in now]
        assert not removed, f"{tag} has no {removed}, which others need: raise LEVEL"
        added = [name for name, required in now.items() if required and not before.get(name)]
        assert not added, f"{tag} needs {added}, which others do not send: raise LEVEL"


def beacon(level: int, name: str = "other", **fields: Any) -> bytes:
    return encode_header(Beacon(sender="ff" * 8, name=name, level=level, version="9.9", **fields))


def test_a_broker_of_the_next_level_is_one_of_the_cluster() -> None:
    broker = SimBroker(World(1, brokers=0, gateways=0), "broker", 1)
    broker.member.receive_packet(beacon(LEVEL + 1), 1.0, TS)
    assert [it.state for it in broker.member.state(1.0).peers] == ["joining"]


def test_a_broker_of_a_far_level_is_shown_and_refused_with_a_sentence() -> None:
    broker = SimBroker(World(1, brokers=0, gateways=0), "broker", 1)
    member = broker.member
    member.receive_packet(beacon(LEVEL + 2, nodes=7), 100.0, TS)
    assert not member.peers
    (shown,) = member.state(101.0).peers
    assert (shown.name, shown.version, shown.state, shown.silent_s) == (
        *("other", "9.9", "incompatible"),
        1.0,
    )
    ((found, _),) = member.incompatible
    assert refusal(found) == (
        "other has version 9.9, which is too much newer: it has level 3 of the packets between"
        " brokers, and this one level 1. Neighbouring levels work together: upgrade one release"
        " after the other."
    )
    member.handle_timer(100.1 + PEER_TIMEOUT_S + GRACE_S, TS)
    assert not member.state(110.0).peers


def test_a_broker_of_a_far_level_that_leaves_is_not_shown() -> None:
    member = SimBroker(World(1, brokers=0, gateways=0), "broker", 1).member
    member.receive_packet(beacon(LEVEL + 2), 1.0, TS)
    member.receive_packet(beacon(LEVEL + 2, leaves=True), 1.5, TS)
    assert not member.state(2.0).peers


def test_refused_brokers_have_a_limit() -> None:
    member = SimBroker(World(1, brokers=0, gateways=0), "broker", 1).member
    for number in range(INCOMPATIBLE_MAX + 5):
        far = Beacon(sender=f"{number:016x}", name=f"b{number}", level=LEVEL + 2)
        member.receive_packet(encode_header(far), 1.0, TS)
    assert len(member.state(2.0).peers) == INCOMPATIBLE_MAX


def test_a_clock_that_differs_is_shown_after_some_beacons_in_a_row() -> None:
    member = SimBroker(World(1, brokers=0, gateways=0), "broker", 1).member
    for number, late_s in enumerate((0, 30, 0, 0, 0)):
        ts = TS + number
        member.receive_packet(beacon(LEVEL, time=ts + 3600 - late_s), 100.0 + number, ts)
        shown = [it.ahead_s for it in member.state(100.0 + number).peers]
        assert shown == ([3570.0] if number == BEACONS_COMPARED - 1 else [0.0])


def test_a_broker_that_was_stopped_and_reads_old_beacons_shows_no_wrong_clock() -> None:
    member = SimBroker(World(1, brokers=0, gateways=0), "broker", 1).member
    for number in range(BEACONS_COMPARED * 2):
        ts = TS + (60 if number < BEACONS_COMPARED - 1 else 0) + number
        member.receive_packet(beacon(LEVEL, time=TS + number), 100.0 + number, ts)
        assert [it.ahead_s for it in member.state(101.0).peers] == [0.0]
