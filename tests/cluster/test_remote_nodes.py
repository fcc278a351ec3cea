# SPDX-License-Identifier: BSD-3-Clause
"""What a broker does with the gateways and nodes that another one reports."""

from typing import Any

import msgspec

from pyaiot.broker.deliveries import Delivery, ToAll, ToOneGateway
from pyaiot.broker.identity import LEGACY
from pyaiot.broker.router import Router
from pyaiot.broker.state import KnownNode
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.packets import Edited, GatewayItem, NodeClaim
from pyaiot.cluster.remote_nodes import RemoteNodes
from pyaiot.messages import GatewayState, Hello, NodeAppeared, Problem, Reading
from pyaiot.registry.admission import AdmissionRule
from pyaiot.registry.record import Edit, edited_row
from pyaiot.registry.registry import Registry

TS = 1_700_000_000.0
HELLO = Hello(name="cellar", protocol="CoAP", instance="i1", clock=5.0)
CELLAR = GatewayItem(
    number=7,
    name="cellar",
    protocol="CoAP",
    version="",
    instance="i1",
    identity="legacy",
    has_token=False,
    linked_at=6.0,
)
CLAIM = NodeClaim(uid="A", gateway=7, term=1, ts=TS - 60)


class Here:
    """A router, and what it knows of another broker."""

    def __init__(self, admission: AdmissionRule = "open") -> None:
        self.nodes = OwnedNodes()
        self.router = Router(nodes=self.nodes, registry=Registry(admission=admission))
        self.claimed: list[KnownNode] = []
        self.remote = RemoteNodes(self.router, self.claimed.append)

    def gateway(self, known: int | None = None, **different: Any) -> tuple[int, list[GatewayState]]:
        item = msgspec.structs.replace(CELLAR, **different)
        number, found = self.remote.gateway(known, item, "other", TS)
        return number, [it.message for it in found if isinstance(it.message, GatewayState)]

    def link(self, hello: Hello = HELLO) -> None:
        """A gateway of this broker, with the node A."""
        self.router.gateway_connected(1, acknowledges=True, ts=TS, identity=LEGACY)
        for message in (
            hello,
            NodeAppeared(uid="A", ts=TS),
            Reading(uid="A", resource="t", data="1", ts=TS),
        ):
            self.router.from_gateway(1, message, now=0.0, ts=TS)

    def node(self) -> KnownNode:
        node = self.nodes.get("A")
        assert node is not None
        return node


def messages(deliveries: list[Delivery]) -> list[str]:
    return [type(it.message).__name__ for it in deliveries if isinstance(it, ToAll)]


def test_a_gateway_is_announced_once_and_when_it_changes() -> None:
    here = Here()
    number, found = here.gateway()
    assert [(it.name, it.state) for it in found] == [("cellar", "connected")]
    assert here.gateway(number) == (number, [])
    assert [it.name for it in here.gateway(number, name="attic")[1]] == ["attic"]
    assert here.gateway(None)[0] != number


def test_a_gateway_without_a_link_is_away_until_its_broker_is_back() -> None:
    here = Here()
    number, _ = here.gateway(is_away=True)
    gateway = here.router.gateways[number]
    assert (gateway.is_away, gateway.broker) == (True, "other")
    here.remote.gateway_is_back(number)
    assert gateway.is_away is False


def test_a_node_moves_with_its_gateway_and_is_not_announced_again() -> None:
    here = Here()
    here.link()
    number, _ = here.gateway(protocol="MQTT")
    assert not here.remote.has(number, "A")
    assert here.remote.place(number, CLAIM, TS) == []
    assert here.remote.has(number, "A")
    assert here.node().record.protocol == "MQTT"
    assert [it.data for it in here.node().readings.values()] == ["1"]
    assert here.claimed == []


def test_a_broker_claims_a_node_whose_gateway_has_a_newer_link_here() -> None:
    here = Here()
    here.link()
    cases: tuple[dict[str, Any], ...] = ({"linked_at": 4.0}, {"linked_at": 5.0, "is_away": True})
    for earlier in cases:
        number, _ = here.gateway(**earlier)
        assert here.remote.place(number, CLAIM, TS) == []
        assert here.claimed == [here.node()]
        assert here.node().gateway == 1
        here.claimed.clear()


def test_a_broker_does_not_claim_a_node_whose_gateway_is_away_or_has_no_clock() -> None:
    for away, ours, theirs in ((True, 5.0, 4.0), (False, None, 4.0), (False, 5.0, None)):
        here = Here()
        here.link(msgspec.structs.replace(HELLO, clock=ours))
        here.router.gateways[1].is_away = away
        number, _ = here.gateway(linked_at=theirs)
        here.remote.place(number, CLAIM, TS)
        assert here.claimed == []
        assert here.node().gateway == number


def test_a_gateway_of_another_process_or_identity_takes_a_node_over_with_a_refusal() -> None:
    cases: tuple[dict[str, Any], ...] = (
        {"instance": "i2"},
        {"instance": ""},
        {"identity": "attic"},
    )
    for different in cases:
        here = Here()
        here.link()
        number, _ = here.gateway(name="attic", **different)
        deliveries = here.remote.place(number, CLAIM, TS)
        [refusal] = [it.message for it in deliveries if isinstance(it, ToOneGateway)]
        assert isinstance(refusal, Problem)
        assert (refusal.uid, refusal.owner) == ("A", "attic")
        kinds = messages(deliveries)
        assert kinds.index("NodeLeft") < kinds.index("NodeAppeared")
        assert here.node().readings == {}


def test_a_node_that_waits_appears_when_it_is_accepted() -> None:
    here = Here("approve")
    number, _ = here.gateway()
    waiting = msgspec.structs.replace(CLAIM, is_waiting=True)
    assert "NodeAppeared" not in messages(here.remote.place(number, waiting, TS))
    here.node().record.admission = "accepted"
    assert here.remote.place(number, waiting, TS) == []
    assert "NodeAppeared" in messages(here.remote.place(number, CLAIM, TS))
    assert here.node().appeared.ts == TS - 60
    assert here.remote.place(number, CLAIM, TS) == []


def test_of_two_simultaneous_edits_that_of_the_greater_broker_takes_effect() -> None:
    for is_greater in (False, True):
        here = Here()
        here.link()
        ours = here.router.registry.edited("A", Edit(label="ours"))
        here.router.edited(ours, TS)
        theirs = msgspec.structs.replace(ours.annotations, label="theirs")
        uid, *row = edited_row(msgspec.structs.replace(ours, annotations=theirs))
        here.remote.edited(Edited(uid=uid, row=row), TS, is_greater=is_greater)
        record = here.router.registry.get("A")
        assert record is not None
        assert record.annotations.label == ("theirs" if is_greater else "ours")


def test_values_that_may_be_old_are_taken_back_from_clients_too() -> None:
    here = Here()
    number, _ = here.gateway()
    here.remote.place(number, CLAIM, TS)
    assert here.remote.drop_values(number, "A", TS) == []
    here.remote.readings(number, [Reading(uid="A", resource="t", data="1", ts=TS)])
    assert "NodeReset" in messages(here.remote.drop_values(number, "A", TS))
    assert here.node().readings == {}
