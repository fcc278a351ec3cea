# SPDX-License-Identifier: BSD-3-Clause
"""Gateways share the nodes: each share has one gateway, also after kills and cuts."""

import random
from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.shares import (
    GONE_AFTER_S,
    LISTEN_S,
    PRESENCE_INTERVAL_S,
    PRESENCE_SIZE_MAX,
    Presence,
    Shares,
    assign,
    read_presence,
    share_of,
)
from pyaiot.mqtt.embedded.machines import MACHINES_MAX, SHARES

NAMES = [f"10.0.0.{it}:6222" for it in range(1, MACHINES_MAX + 1)]
EVERY = frozenset(range(SHARES))


@pytest.mark.parametrize(
    ("uid", "share"), [("A", 0), ("B", 9), ("R", 5), ("node3", 10), ("a.b", 0)]
)
def test_a_node_has_the_share_that_nats_server_computes(uid: str, share: int) -> None:
    # Observed at nats-server 2.15 with `partition(12,1)`.
    assert share_of(uid) == share


@pytest.mark.parametrize("count", range(1, MACHINES_MAX + 1))
def test_shares_are_assigned_evenly(count: int) -> None:
    for names in combinations(NAMES, count):
        found = assign(names)
        assert frozenset().union(*found.values()) == EVERY
        sizes = [len(it) for it in found.values()]
        assert sum(sizes) == SHARES
        assert max(sizes) - min(sizes) <= 1
        assert assign(names[::-1]) == found


def test_few_shares_move_when_a_gateway_is_lost() -> None:
    before, after = assign(NAMES[:3]), assign(NAMES[:2])
    kept = [len(before[name] & after[name]) for name in NAMES[:2]]
    assert sum(kept) >= SHARES // 2


@given(st.text(max_size=40), st.sets(st.integers(0, SHARES - 1)), st.booleans(), st.booleans())
def test_a_presence_is_read_as_it_was_written(
    name: str, holds: set[int], leaves: bool, listens: bool
) -> None:
    presence = Presence(
        gateway=f"x{name}", holds=tuple(sorted(holds)), leaves=leaves, listens=listens
    )
    assert read_presence(msgspec.json.encode(presence)) == presence


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"gateway":"","holds":[]}',
        b'{"gateway":"a","holds":[12]}',
        b'{"gateway":"a","holds":[-1]}',
        b'{"gateway":"a"}',
        b'{"gateway":"\xff","holds":[]}',
        b" " * PRESENCE_SIZE_MAX + b'{"gateway":"a","holds":[]}',
    ],
)
def test_what_is_no_presence_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_presence(payload)


class Network:
    """Gateways, and the messages between them. A gateway that takes a share from another one ends
    the session of that one, as an MQTT broker does."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.up = dict.fromkeys(NAMES[:count], True)
        self.cut: set[str] = set()
        self.tables = {name: self.new(name) for name in self.up}
        self.published_at = dict.fromkeys(self.up, 0.0)
        self.published: dict[str, Presence] = {}

    def new(self, name: str) -> Shares:
        table = Shares(name, NAMES)
        table.connected(self.now)
        return table

    def start(self, name: str) -> None:
        self.up[name] = True
        self.tables[name] = self.new(name)

    def kill(self, name: str) -> None:
        self.up[name] = False
        self.tables[name].held = frozenset()

    def publish(self, name: str) -> None:
        self.published_at[name] = self.now
        presence = self.published[name] = self.tables[name].presence(self.now)
        for other, table in self.tables.items():
            if other != name and self.up[other] and (other in self.cut) == (name in self.cut):
                table.receive(presence, self.now)

    def step(self) -> None:
        self.now += PRESENCE_INTERVAL_S / 4
        for name in [it for it, is_up in self.up.items() if is_up]:
            table = self.tables[name]
            changes = table.update(self.now)
            table.held = (table.held - changes.release) | changes.take
            for other, theirs in self.tables.items():
                if other != name and (other in self.cut) == (name in self.cut):
                    theirs.held -= changes.take
            is_due = self.now - self.published_at[name] >= PRESENCE_INTERVAL_S
            if table.presence(self.now) != self.published.get(name) or is_due:
                self.publish(name)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()

    def serving(self) -> dict[str, frozenset[int]]:
        return {name: self.tables[name].held for name, is_up in self.up.items() if is_up}


def assert_each_once(network: Network) -> None:
    holders = list(network.serving().values())
    assert frozenset().union(*holders) == EVERY
    assert sum(map(len, holders)) == SHARES


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_gateways_that_start_together_serve_each_share_once(count: int) -> None:
    network = Network(count)
    network.run(LISTEN_S + 1.0)
    assert_each_once(network)
    assert network.serving() == assign(NAMES[:count])


def test_a_killed_gateway_is_replaced_within_its_limit() -> None:
    network = Network(3)
    network.run(5.0)
    network.kill(NAMES[0])
    network.run(GONE_AFTER_S + 2 * PRESENCE_INTERVAL_S)
    assert_each_once(network)


def test_a_share_is_released_before_it_is_taken() -> None:
    network = Network(2)
    network.run(5.0)
    network.up[NAMES[2]] = True
    network.published_at[NAMES[2]] = 0.0
    network.start(NAMES[2])
    for _ in range(40):
        network.step()
        holders = [share for held in network.serving().values() for share in held]
        assert len(holders) == len(set(holders))
    assert_each_once(network)
    assert network.serving() == assign(NAMES[:3])


def test_while_one_listens_the_others_keep_its_shares() -> None:
    network = Network(2)
    network.run(5.0)
    network.up[NAMES[2]] = True
    network.published_at[NAMES[2]] = 0.0
    network.start(NAMES[2])
    unserved_steps = 0
    for _ in range(40):
        network.step()
        served = frozenset().union(*network.serving().values())
        unserved_steps += served != EVERY
    # From the release by the others until it takes them.
    assert unserved_steps <= 1
    assert network.serving() == assign(NAMES[:3])


def test_shares_that_nobody_holds_wait_for_one_that_listens() -> None:
    table = Shares(NAMES[0], NAMES[:2])
    table.connected(0.0)
    assert table.presence(0.0).listens
    assert table.assigned(0.0) is None
    assert table.unserved(0.0) == frozenset()
    table.receive(Presence(gateway=NAMES[1], holds=(), listens=True), 0.0)
    own = assign(NAMES[:2])[NAMES[0]]
    assert table.assigned(LISTEN_S) == table.unserved(LISTEN_S) == own
    assert table.update(LISTEN_S).take == own
    assert not table.presence(LISTEN_S).listens
    table.held = own
    assert table.unserved(LISTEN_S) == frozenset()
    assert table.update(LISTEN_S) == (frozenset(), frozenset())


def test_shares_of_one_that_listens_are_kept_until_it_takes_them() -> None:
    table = Shares(NAMES[0], NAMES[:2])
    table.connected(0.0)
    table.held = table.update(LISTEN_S).take
    assert table.held == EVERY
    table.receive(Presence(gateway=NAMES[1], holds=(), listens=True), LISTEN_S)
    assert table.update(LISTEN_S).release == frozenset()
    assert table.receive(Presence(gateway=NAMES[1], holds=()), LISTEN_S)
    assert table.update(LISTEN_S).release == assign(NAMES[:2])[NAMES[1]]


def test_what_others_do_is_noticed_at_once() -> None:
    table = Shares(NAMES[0], NAMES[:3])
    table.connected(0.0)
    assert table.receive(Presence(gateway=NAMES[1], holds=tuple(EVERY)), 0.0)
    assert not table.receive(Presence(gateway=NAMES[1], holds=tuple(EVERY)), 1.0)
    assert table.receive(Presence(gateway=NAMES[1], holds=(1, 2)), 1.0)
    assert not table.receive(Presence(gateway=NAMES[1], holds=(1, 2, 3)), 1.0)
    assigned = table.assigned(LISTEN_S)
    assert assigned is not None
    assert table.unserved(LISTEN_S) == assigned - {1, 2, 3}
    assert table.receive(Presence(gateway=NAMES[1], holds=(), leaves=True), 1.0)
    assert not table.receive(Presence(gateway=NAMES[1], holds=(), leaves=True), 1.0)
    assert table.receive(Presence(gateway=NAMES[2], holds=(), listens=True), 1.0)
    assert not table.receive(Presence(gateway=NAMES[2], holds=(), listens=True), 1.0)


def test_one_that_leaves_is_replaced_at_once() -> None:
    table = Shares(NAMES[0], NAMES[:2])
    table.connected(0.0)
    table.receive(Presence(gateway=NAMES[1], holds=tuple(EVERY)), 0.0)
    table.update(0.0)
    assert table.update(LISTEN_S).take == frozenset()
    table.receive(Presence(gateway=NAMES[1], holds=(), leaves=True), LISTEN_S)
    assert table.update(LISTEN_S).take == EVERY


def test_one_that_was_paused_releases_everything_and_listens_again() -> None:
    network = Network(1)
    network.run(3.0)
    table = network.tables[NAMES[0]]
    later = network.now + GONE_AFTER_S + 0.1
    changes = table.update(later)
    assert changes.release == EVERY
    table.held = frozenset()
    assert table.update(later + LISTEN_S / 2).take == frozenset()
    assert table.update(later + LISTEN_S).take == EVERY


def test_one_without_a_connection_serves_nothing() -> None:
    network = Network(1)
    network.run(3.0)
    table = network.tables[NAMES[0]]
    table.disconnected()
    assert table.update(network.now + 0.1).release == EVERY


def test_an_unknown_gateway_is_ignored() -> None:
    table = Shares(NAMES[0], NAMES[:2])
    assert not table.receive(Presence(gateway="elsewhere", holds=tuple(EVERY)), 0.0)
    assert table.gateways == [NAMES[0]]
    assert table.receive(Presence(gateway=NAMES[1], holds=()), 0.0)
    assert not table.receive(Presence(gateway=NAMES[1], holds=()), 0.0)


@pytest.mark.parametrize("seed", range(200))
def test_after_kills_and_cuts_each_share_is_served_once(seed: int) -> None:
    chance = random.Random(seed)
    network = Network(3)
    network.run(3.0)
    for _ in range(12):
        name = chance.choice(NAMES[:3])
        if not network.up[name]:
            network.start(name)
        elif chance.random() < 0.5:
            network.kill(name)
        elif name in network.cut:
            network.cut.discard(name)
        else:
            network.cut.add(name)
        network.run(chance.random() * 5.0)
    network.cut.clear()
    for name, is_up in network.up.items():
        if not is_up:
            network.start(name)
    network.run(GONE_AFTER_S + LISTEN_S + 3.0)
    assert_each_once(network)
    assert network.serving() == assign(NAMES[:3])


def test_shares_are_taken_when_the_others_serve_all_of_them() -> None:
    table = Shares(NAMES[0], NAMES)
    assert table.are_taken  # by nobody else
    half = SHARES // 2
    first, second = tuple(range(half)), tuple(range(half, SHARES))
    table.receive(Presence(gateway=NAMES[1], holds=first), 0.0)
    assert not table.are_taken
    table.receive(Presence(gateway=NAMES[2], holds=second, connects=True), 0.0)
    assert not table.are_taken
    table.receive(Presence(gateway=NAMES[2], holds=second), 0.0)
    assert table.are_taken
    table.receive(Presence(gateway=NAMES[1], holds=first, connects=True), 0.0)
    assert not table.are_taken
