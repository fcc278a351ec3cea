# SPDX-License-Identifier: BSD-3-Clause
"""What a broker queues for the others, one rule at a time."""

import msgspec
import pytest

from pyaiot.broker.deliveries import ToAll
from pyaiot.cluster.local_side import LocalSide
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.packets import (
    UIDS_OF_INTEREST_MAX,
    CurrentValues,
    Forgotten,
    GatewayGone,
    Interest,
    NodeClaim,
)
from pyaiot.messages import NodeReset
from tests.cluster.simulation import TS, SimBroker, World


@pytest.fixture
def world() -> World:
    """One broker with a gateway that is linked."""
    found = World(1, brokers=1, gateways=1)
    found.run(1.0)
    return found


def broker_of(world: World) -> SimBroker:
    return world.brokers["broker 0"]


def local_of(world: World) -> LocalSide:
    return broker_of(world).member.local


def nodes_of(world: World) -> OwnedNodes:
    nodes = broker_of(world).router.nodes
    assert isinstance(nodes, OwnedNodes)
    return nodes


def taken(world: World) -> list[object]:
    """What was queued since the last call."""
    out = broker_of(world).member.out
    found, out._gathered = list(out._gathered), []
    return list(found)


def another_claims(world: World, uid: str) -> None:
    claim = NodeClaim(uid=uid, gateway=1, term=99)
    assert broker_of(world).member.directory.set("another broker", claim)


def test_the_first_claim_of_a_node_without_values_is_new(world: World) -> None:
    taken(world)
    world.gateways[0].appear("A")
    (claim,) = taken(world)
    assert isinstance(claim, NodeClaim)
    assert claim.is_new


def test_a_node_that_has_values_is_claimed_with_them(world: World) -> None:
    world.gateways[0].appear("A")
    world.gateways[0].read("A", "t", 1)
    taken(world)
    node = broker_of(world).router.nodes.get("A")
    assert node is not None
    local = local_of(world)
    local.directory.remove(local.run, "A")
    local.node_owned(node)
    claim, values = taken(world)
    assert isinstance(claim, NodeClaim)
    assert not claim.is_new
    assert isinstance(values, CurrentValues)
    assert [it.data for it in values.readings] == [1]


def test_a_later_claim_of_a_node_without_values_is_not_new(world: World) -> None:
    world.gateways[0].appear("A")
    taken(world)
    node = broker_of(world).router.nodes.get("A")
    assert node is not None
    another_claims(world, "A")
    local_of(world).node_owned(node)
    claim, values = taken(world)
    assert isinstance(claim, NodeClaim)
    assert claim.term > 99
    assert not claim.is_new
    assert values == CurrentValues(uid="A", readings=())


def test_a_claim_that_has_not_changed_is_not_sent_again(world: World) -> None:
    world.gateways[0].appear("A")
    taken(world)
    node = broker_of(world).router.nodes.get("A")
    assert node is not None
    local_of(world).node_owned(node)
    assert taken(world) == []


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_released_node_is_settled_later_if_another_broker_claims_it(
    world: World, is_claimed: bool
) -> None:
    world.gateways[0].appear("A")
    if is_claimed:
        another_claims(world, "A")
    taken(world)
    broker_of(world).router.nodes.remove("A")
    (released,) = taken(world)
    assert getattr(released, "is_claimed") is is_claimed  # noqa: B009 - of a union
    assert local_of(world).unsettled == ({"A"} if is_claimed else set())


@pytest.mark.parametrize("group", ["", "a group"])
def test_values_that_a_gateway_does_not_report_again_are_removed(world: World, group: str) -> None:
    """Those of a group have time to be reported."""
    gateway = world.gateways[0]
    gateway.appear("A")
    gateway.appear("B")
    gateway.read("A", "t", 1)
    gateway.read("B", "t", 1)
    broker = broker_of(world)
    known = broker.router.gateways[gateway.number]
    assert known.hello is not None
    known.hello = msgspec.structs.replace(known.hello, group=group)
    nodes = nodes_of(world)
    for uid in ("A", "B"):
        node = nodes.get(uid)
        assert node is not None
        nodes.moved.setdefault(gateway.number, {})[uid] = tuple(node.readings.values())
    gateway.read("B", "t", 2)
    found = local_of(world).announced(gateway.number, TS)
    messages = [it.message for it in found if isinstance(it, ToAll)]
    resets = [it.uid for it in messages if isinstance(it, NodeReset)]
    assert resets == ([] if group else ["A"])
    assert nodes.moved == {}


def test_a_gateway_that_has_not_changed_is_not_sent_again(world: World) -> None:
    taken(world)
    local_of(world).gateways_changed()
    assert taken(world) == []


def test_what_a_gateway_had_before_is_forgotten_with_it(world: World) -> None:
    gateway, broker = world.gateways[0], broker_of(world)
    nodes_of(world).moved[gateway.number] = {"A": ()}
    taken(world)
    broker.router.gateway_lost(gateway.number, now=world.now, ts=TS)
    local_of(world).gateways_changed()
    assert taken(world) == [GatewayGone(number=gateway.number)]
    assert nodes_of(world).moved == {}


def test_a_forgotten_node_is_sent(world: World) -> None:
    taken(world)
    local_of(world).forgotten("A")
    assert taken(world) == [Forgotten(uid="A")]


def test_only_edited_nodes_are_edits(world: World) -> None:
    world.gateways[0].appear("A")
    world.gateways[0].appear("B")
    broker_of(world).router.registry.records["B"].revision = 1
    assert [getattr(it, "uid") for it in local_of(world).edits()] == ["B"]  # noqa: B009 - of a union


def test_an_interest_has_a_new_number_only_if_it_has_changed(world: World) -> None:
    local = local_of(world)
    first = local.set_interest(["A"])
    taken(world)
    assert local.set_interest(["A", "A"]) == first
    assert taken(world) == []
    assert local.set_interest(["A"], seen=True) == first + 1
    assert taken(world) == [Interest(number=first + 1, uids=("A",), seen=True)]


@pytest.mark.parametrize("more", [0, 1])
def test_an_interest_in_too_many_nodes_is_one_in_all(world: World, more: int) -> None:
    local = local_of(world)
    local.set_interest(f"node {it}" for it in range(UIDS_OF_INTEREST_MAX + more))
    assert local.interest.everything is (more == 1)
