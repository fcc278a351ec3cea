# SPDX-License-Identifier: BSD-3-Clause
"""Gateways with tokens own their nodes by name; those with the key file may be limited."""

import pytest

from pyaiot.broker.deliveries import Delivery, ToAll, ToOneGateway
from pyaiot.broker.identity import LEGACY, GatewayIdentity
from pyaiot.broker.router import Router
from pyaiot.messages import (
    Command,
    FromGateway,
    GatewayState,
    Hello,
    NodeAppeared,
    NodeLeft,
    Problem,
    Reading,
)
from pyaiot.registry.registry import Registry

TS = 1_700_000_000.0
ROOF = GatewayIdentity("roof", has_token=True)
CELLAR = GatewayIdentity("cellar", has_token=True)
COAP_ONLY = GatewayIdentity("legacy", protocols=frozenset({"coap"}))


def router(registry: Registry | None = None) -> Router:
    it = Router(registry)
    it.names.with_tokens = frozenset({"roof", "cellar"})
    return it


def connect(
    it: Router, number: int, identity: GatewayIdentity, name: str = "coap", protocol: str = "CoAP"
) -> None:
    it.gateway_connected(number, acknowledges=True, ts=TS, identity=identity)
    send(it, Hello(name=name, protocol=protocol, instance=f"{number}"), number)


def send(it: Router, message: FromGateway, gateway: int) -> list[Delivery]:
    return list(it.from_gateway(gateway, message, now=0.0, ts=TS))


def owner_in_refusal(deliveries: list[Delivery]) -> str:
    (delivery,) = deliveries
    assert isinstance(delivery, ToOneGateway)
    assert isinstance(delivery.message, Problem)
    return delivery.message.owner


def reading(uid: str = "A", resource: str = "temperature", data: object = "21") -> Reading:
    return Reading(uid=uid, resource=resource, data=data, ts=TS)


def test_gateway_has_the_name_of_its_token_whatever_it_calls_itself() -> None:
    it = router()
    connect(it, 1, ROOF, name="something else")
    assert [state.name for state in it.gateways.states(TS)] == ["roof"]
    send(it, NodeAppeared(uid="A"), 1)
    assert it.registry.records["A"].gateway == "roof"


@pytest.mark.parametrize("identity", [LEGACY, CELLAR, GatewayIdentity("local")])
def test_other_gateway_cannot_take_the_name_of_a_token(identity: GatewayIdentity) -> None:
    it = router()
    connect(it, 1, identity, name="roof")
    assert [state.name for state in it.gateways.states(TS)] == [identity.name]


@pytest.mark.parametrize("identity", [LEGACY, CELLAR])
def test_nodes_of_an_absent_gateway_cannot_be_claimed(identity: GatewayIdentity) -> None:
    it = router()
    connect(it, 1, ROOF)
    send(it, NodeAppeared(uid="A"), 1)
    it.gateway_lost(1, now=0.0, ts=TS)
    connect(it, 2, identity, name="thief")
    assert owner_in_refusal(send(it, NodeAppeared(uid="A"), 2)) == "roof"
    assert owner_in_refusal(send(it, reading(), 2)) == "roof"
    assert it.refused == 2
    assert it.nodes.get("A") is None
    connect(it, 3, ROOF)
    send(it, reading(), 3)
    node = it.nodes.get("A")
    assert node is not None
    assert node.gateway == 3


@pytest.mark.parametrize("reason", ["left", "silent"])
def test_node_that_left_its_gateway_may_roam(reason: str) -> None:
    it = router()
    connect(it, 1, ROOF)
    send(it, NodeAppeared(uid="A"), 1)
    send(it, NodeLeft(uid="A", reason=reason), 1)  # type: ignore[arg-type]
    connect(it, 2, LEGACY, name="other")
    send(it, reading(), 2)
    assert it.registry.records["A"].gateway == "other"


def test_nodes_of_an_absent_gateway_are_held_after_a_restart_of_the_broker() -> None:
    it = router()
    connect(it, 1, ROOF)
    send(it, NodeAppeared(uid="A"), 1)
    record = it.registry.records["A"]
    record.is_online = False  # as it is read from the file after a kill
    again = router()
    again.loaded([record], TS)
    connect(again, 1, LEGACY)
    assert owner_in_refusal(send(again, NodeAppeared(uid="A"), 1)) == "roof"


def test_nodes_of_a_gateway_whose_tokens_were_removed_may_be_claimed() -> None:
    it = router()
    connect(it, 1, ROOF)
    send(it, NodeAppeared(uid="A"), 1)
    it.gateway_lost(1, now=0.0, ts=TS)
    it.names.with_tokens = frozenset()
    connect(it, 2, LEGACY, name="other")
    send(it, NodeAppeared(uid="A"), 2)
    assert it.registry.records["A"].gateway == "other"


def test_newer_link_of_a_gateway_has_its_nodes_while_the_older_is_not_yet_lost() -> None:
    it = router()
    connect(it, 1, ROOF)
    send(it, NodeAppeared(uid="A"), 1)
    connect(it, 2, ROOF)
    assert send(it, NodeAppeared(uid="A"), 2) == []
    it.gateway_lost(1, now=0.0, ts=TS)
    assert it.nodes.uids_of(2) == ["A"]
    command = Command(id="1", uid="A", resource="led", payload="1")
    (sent,) = it.from_client("c", command, now=0.0)
    assert isinstance(sent, ToOneGateway)
    assert sent.gateway == 2


def test_instance_of_another_gateway_does_not_replace_its_link() -> None:
    it = router()
    connect(it, 1, ROOF)
    it.gateway_connected(2, acknowledges=True, ts=TS, identity=LEGACY)
    deliveries = send(it, Hello(name="x", protocol="CoAP", instance="1"), 2)
    assert all(isinstance(delivery, ToAll) for delivery in deliveries)
    assert {state.name for state in it.gateways.states(TS)} == {"roof", "x"}


def test_key_file_limited_to_protocols_reports_no_nodes_of_others() -> None:
    it = router()
    connect(it, 1, COAP_ONLY, protocol="MQTT")
    for message in (NodeAppeared(uid="A"), reading()):
        (delivery,) = send(it, message, 1)
        assert isinstance(delivery, ToOneGateway)
        assert "MQTT" in delivery.message.detail  # type: ignore[union-attr]
    assert it.refused == 2
    assert len(it.nodes) == 0
    connect(it, 2, COAP_ONLY, protocol="CoAP")
    send(it, reading(), 2)
    assert it.nodes.get("A") is not None


def test_limit_applies_to_gateways_without_hello_by_the_protocol_of_their_nodes() -> None:
    it = router()
    for number, protocol in ((1, "CoAP"), (2, "MQTT")):
        it.gateway_connected(number, acknowledges=False, ts=TS, identity=COAP_ONLY)
        assert send(it, NodeAppeared(uid=protocol), number) == []
        send(it, reading(protocol, "temperature"), number)
        assert it.nodes.get(protocol) is None
        send(it, reading(protocol, "protocol", protocol), number)
        send(it, reading(protocol, "temperature"), number)
    assert [node.uid for node in it.nodes] == ["CoAP"]
    assert set(it.nodes.get("CoAP").readings) == {"protocol", "temperature"}  # type: ignore[union-attr]


def test_gateway_without_hello_is_announced_as_legacy() -> None:
    it = router()
    (delivery,) = it.gateway_connected(1, acknowledges=False, ts=TS, identity=LEGACY)
    assert isinstance(delivery, ToAll)
    assert isinstance(delivery.message, GatewayState)
    assert delivery.message.name == "legacy"
