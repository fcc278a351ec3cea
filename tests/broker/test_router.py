# SPDX-License-Identifier: BSD-3-Clause
"""Routing: ownership of nodes, commands and their one receipt."""

from collections.abc import Sequence
from operator import length_hint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.broker.client_rates import COMMANDS_BURST
from pyaiot.broker.commands import GATEWAY_GRACE_S, IN_FLIGHT_MAX
from pyaiot.broker.deliveries import CloseGateway, Delivery, ToAll, ToOneClient, ToOneGateway
from pyaiot.broker.router import Router
from pyaiot.broker.state import RESOURCES_MAX
from pyaiot.messages import (
    Command,
    FromGateway,
    GatewayState,
    Hello,
    Ignored,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Problem,
    Reading,
    Receipt,
)

OURS, THEIRS = 1, 2
TS = 1_700_000_000.0


def router(*, acknowledges: bool = True) -> Router:
    it = Router()
    for gateway, name in ((OURS, "ours"), (THEIRS, "theirs")):
        it.gateway_connected(gateway, acknowledges=acknowledges, ts=TS)
        if acknowledges:
            hello = Hello(name=name, protocol="CoAP", instance=name)
            it.from_gateway(gateway, hello, now=0.0, ts=TS)
    return it


def send(it: Router, message: FromGateway, gateway: int = OURS, now: float = 0.0) -> list[Delivery]:
    return list(it.from_gateway(gateway, message, now=now, ts=TS))


def published(deliveries: Sequence[Delivery]) -> list[object]:
    return [item.message for item in deliveries if isinstance(item, ToAll) and not item.is_registry]


def receipts(deliveries: Sequence[Delivery]) -> list[tuple[str, Receipt]]:
    return [
        (item.client, item.message)
        for item in deliveries
        if isinstance(item, ToOneClient) and isinstance(item.message, Receipt)
    ]


def start(it: Router, command: Command, now: float = 0.0, client: str = "c") -> Command:
    (delivery,) = it.from_client(client, command, now=now)
    assert isinstance(delivery, ToOneGateway)
    assert isinstance(delivery.message, Command)
    return delivery.message


SWITCH_ON = Command(id="mine", uid="A", resource="led", payload="1", timeout_s=5.0)


def test_node_that_appears_is_announced_to_all_with_its_gateway() -> None:
    it = router()
    assert published(send(it, NodeAppeared(uid="A", ts=5.0))) == [
        NodeAppeared(uid="A", ts=5.0, gateway="ours")
    ]


def test_ignored_messages_are_reported_with_their_gateway() -> None:
    it = router()
    assert it.gateways.ignored() == []
    (message,) = published(send(it, Ignored(count=12, topic="home/x", ts=7.0)))
    assert message == Ignored(gateway="ours", count=12, topic="home/x", ts=7.0)
    assert it.gateways.ignored() == [message]
    it.gateway_lost(OURS, now=0.0, ts=TS)
    assert it.gateways.ignored() == []


def test_repeated_new_of_a_node_changes_nothing() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    send(it, Reading(uid="A", resource="t", data="1"))
    assert send(it, NodeAppeared(uid="A")) == []
    node = it.nodes.get("A")
    assert node is not None
    assert "t" in node.readings


def test_reading_of_a_node_never_announced_announces_it() -> None:
    reading = Reading(uid="A", resource="t", data="1")
    messages = published(send(router(), reading))
    assert messages == [NodeAppeared(uid="A", ts=TS, gateway="ours"), reading]


def test_latest_reading_is_the_one_remembered() -> None:
    it = router()
    send(it, Reading(uid="A", resource="t", data="1"))
    send(it, Reading(uid="A", resource="t", data="2"))
    node = it.nodes.get("A")
    assert node is not None
    assert node.readings["t"].data == "2"


def test_reset_forgets_the_values_and_keeps_the_node() -> None:
    it = router()
    send(it, Reading(uid="A", resource="t", data="1"))
    assert published(send(it, NodeReset(uid="A", ts=1.0))) == [NodeReset(uid="A", ts=1.0)]
    node = it.nodes.get("A")
    assert node is not None
    assert not node.readings


@pytest.mark.parametrize(
    "message",
    [
        NodeAppeared(uid="A"),
        Reading(uid="A", resource="t", data="false"),
        NodeReset(uid="A"),
        NodeLeft(uid="A"),
    ],
)
def test_gateway_cannot_send_messages_of_a_node_of_another_gateway(message: FromGateway) -> None:
    it = router()
    send(it, Reading(uid="A", resource="t", data="true"))
    deliveries = send(it, message, THEIRS)
    assert deliveries == [
        ToOneGateway(
            Problem(detail="the node A belongs to the gateway ours", uid="A", owner="ours"), THEIRS
        )
    ]
    assert it.refused == 1
    node = it.nodes.get("A")
    assert node is not None
    assert node.gateway == OURS
    assert node.readings["t"].data == "true"


def test_node_may_roam_after_it_left() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    send(it, NodeLeft(uid="A"))
    assert published(send(it, NodeAppeared(uid="A", ts=1.0), THEIRS)) == [
        NodeAppeared(uid="A", ts=1.0, gateway="theirs")
    ]


def test_node_that_was_refused_is_announced_by_its_next_reading() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    send(it, NodeAppeared(uid="A"), THEIRS)
    it.gateway_lost(OURS, now=0.0, ts=TS)
    reading = Reading(uid="A", resource="t", data="1")
    assert published(send(it, reading, THEIRS)) == [
        NodeAppeared(uid="A", ts=TS, gateway="theirs"),
        reading,
    ]


def test_nodes_of_a_lost_gateway_are_out_with_the_reason() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    send(it, NodeAppeared(uid="B"), THEIRS)
    messages = published(it.gateway_lost(OURS, now=0.0, ts=TS))
    assert messages == [
        NodeLeft(uid="A", ts=TS, reason="gateway lost"),
        GatewayState(name="ours", protocol="CoAP", state="lost", ts=TS),
    ]
    assert it.nodes.get("B") is not None


def test_messages_of_a_lost_gateway_are_dropped() -> None:
    it = router()
    it.gateway_lost(OURS, now=0.0, ts=TS)
    assert send(it, NodeAppeared(uid="A")) == []
    assert len(it.nodes) == 0


def test_gateway_that_connects_again_replaces_its_dead_connection() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    it.gateway_connected(3, acknowledges=True, ts=TS)
    deliveries = send(it, Hello(name="ours", protocol="CoAP", instance="ours"), 3)
    assert CloseGateway(OURS, "replaced by a newer connection") in deliveries
    assert published(send(it, NodeAppeared(uid="A"), 3))


def test_gateway_of_the_same_name_in_another_process_replaces_nothing() -> None:
    it = router()
    it.gateway_connected(3, acknowledges=True, ts=TS)
    deliveries = send(it, Hello(name="ours", protocol="CoAP", instance="another"), 3)
    assert not any(isinstance(item, CloseGateway) for item in deliveries)


def test_legacy_gateway_is_named_legacy_and_announced_at_once() -> None:
    deliveries = Router().gateway_connected(1, acknowledges=False, ts=TS)
    assert published(deliveries) == [GatewayState(name="legacy", state="connected", ts=TS)]


def test_resources_of_a_node_are_bounded() -> None:
    it = router()
    for index in range(RESOURCES_MAX):
        send(it, Reading(uid="A", resource=f"r{index}", data="1"))
    (answer,) = send(it, Reading(uid="A", resource="one more", data="1"))
    assert isinstance(answer, ToOneGateway)
    assert isinstance(answer.message, Problem)


def test_command_goes_to_the_gateway_of_the_node_and_its_receipt_to_the_client() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    sent = start(it, SWITCH_ON, now=1.0)
    assert (sent.uid, sent.resource, sent.payload, sent.client) == ("A", "led", "1", "c")
    assert sent.id != "mine"
    deliveries = send(it, Receipt(id=sent.id, state="confirmed", detail="2.04"), now=1.25)
    assert receipts(deliveries) == [
        ("c", Receipt(id="mine", state="confirmed", detail="2.04", elapsed_ms=250.0))
    ]


def test_second_receipt_of_a_command_goes_nowhere() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    sent = start(it, SWITCH_ON)
    send(it, Receipt(id=sent.id, state="confirmed"))
    assert send(it, Receipt(id=sent.id, state="refused")) == []


def test_receipt_of_another_gateway_does_not_count() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    sent = start(it, SWITCH_ON)
    assert send(it, Receipt(id=sent.id, state="confirmed"), THEIRS) == []
    assert len(it.commands) == 1


def test_command_to_a_node_that_is_not_there_is_unknown_at_once() -> None:
    assert receipts(router().from_client("c", SWITCH_ON, now=0.0)) == [
        ("c", Receipt(id="mine", state="unknown", detail="no node A"))
    ]


def test_client_cannot_forge_the_sender_of_a_command() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    forged = Command(uid="A", resource="led", payload="1", client="somebody else")
    assert start(it, forged).client == "c"


def test_gateway_that_does_not_answer_ends_in_a_timeout_after_the_grace() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    start(it, SWITCH_ON)
    assert not receipts(it.expire(5.0 + GATEWAY_GRACE_S - 0.01))
    ((client, receipt),) = receipts(it.expire(5.0 + GATEWAY_GRACE_S))
    assert (client, receipt.state) == ("c", "timeout")
    assert not receipts(it.expire(1000.0))


def test_command_is_unreachable_when_its_gateway_is_lost() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    start(it, SWITCH_ON)
    ((_, receipt),) = receipts(it.gateway_lost(OURS, now=1.0, ts=TS))
    assert (receipt.id, receipt.state) == ("mine", "unreachable")


def test_legacy_gateway_confirms_by_the_value_that_the_node_reports() -> None:
    it = router(acknowledges=False)
    send(it, NodeAppeared(uid="A"))
    start(it, SWITCH_ON)
    assert not receipts(send(it, Reading(uid="A", resource="led", data="0"), now=0.5))
    ((_, receipt),) = receipts(send(it, Reading(uid="A", resource="led", data="1"), now=1.0))
    assert (receipt.state, receipt.elapsed_ms) == ("confirmed", 1000.0)


def test_legacy_gateway_whose_node_reports_nothing_ends_in_sent_at_the_deadline() -> None:
    it = router(acknowledges=False)
    send(it, NodeAppeared(uid="A"))
    start(it, SWITCH_ON)
    assert not receipts(it.expire(4.99))
    ((_, receipt),) = receipts(it.expire(5.0))
    assert receipt.state == "sent"
    assert not receipts(send(it, Reading(uid="A", resource="led", data="1"), now=6.0))


def test_value_that_is_a_json_number_confirms_its_text() -> None:
    it = router(acknowledges=False)
    send(it, NodeAppeared(uid="A"))
    start(it, SWITCH_ON)
    assert receipts(send(it, Reading(uid="A", resource="led", data=1)))


def test_client_that_left_gets_no_receipt_and_no_other_gets_it() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    sent = start(it, SWITCH_ON)
    it.client_left("c")
    # It is addressed to no client, and still recorded.
    assert [to for to, _ in receipts(send(it, Receipt(id=sent.id, state="confirmed")))] == [""]
    assert len(it.commands) == 0


def test_commands_of_a_client_above_the_rate_are_forbidden_and_go_nowhere() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    for _ in range(int(COMMANDS_BURST)):
        start(it, SWITCH_ON)
    ((_, receipt),) = receipts(it.from_client("c", SWITCH_ON, now=0.0))
    assert receipt.state == "forbidden"
    assert it.refused == 1
    start(it, SWITCH_ON, client="another")
    start(it, SWITCH_ON, now=1.0)


def test_commands_in_flight_are_bounded() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    for index in range(IN_FLIGHT_MAX):
        start(it, SWITCH_ON, client=f"client {index}")
    ((_, receipt),) = receipts(it.from_client("one more", SWITCH_ON, now=0.0))
    assert receipt.state == "forbidden"
    assert len(it.commands) == IN_FLIGHT_MAX


def send_together(it: Router, readings: list[Reading]) -> list[Delivery]:
    """What the broker delivers for readings that arrive together."""
    deliveries: list[Delivery] = []
    rest = iter(readings)
    while len(deliveries) < 10_000:
        done = len(readings) - length_hint(rest)
        sequences, other = it.known_readings(OURS, rest)
        deliveries += map(ToAll, readings[done:], sequences)
        if other is None:
            break
        deliveries += it.from_gateway(OURS, other, now=0.0, ts=TS)
    return deliveries


@given(
    st.lists(
        st.builds(
            Reading,
            uid=st.sampled_from(["ours", "theirs", "new"]),
            resource=st.sampled_from(["led", "other"]),
            data=st.sampled_from(["0", "1"]),
        )
    ),
    st.booleans(),
    st.booleans(),
)
def test_readings_together_are_routed_as_one_by_one(
    readings: list[Reading], acknowledges: bool, is_waiting: bool
) -> None:
    together, single = router(acknowledges=acknowledges), router(acknowledges=acknowledges)
    for it in (together, single):
        for gateway, uid in ((OURS, "ours"), (THEIRS, "theirs")):
            send(it, NodeAppeared(uid=uid), gateway)
            send(it, Reading(uid=uid, resource="led", data="0"), gateway)
        node = it.nodes.get("ours")
        assert node is not None
        node.is_waiting = is_waiting
        if not is_waiting:
            start(it, Command(uid="ours", resource="led", payload="1", id="1"))
    one_by_one = [delivery for reading in readings for delivery in send(single, reading)]
    assert send_together(together, readings) == one_by_one
    assert together.refused == single.refused
    assert [dict(node.readings) for node in together.nodes] == [
        dict(node.readings) for node in single.nodes
    ]
    touched = [{node.uid for node in it.nodes.take_touched()} for it in (together, single)]
    assert touched[0] == touched[1]


def test_readings_of_a_gateway_that_is_gone_are_dropped() -> None:
    it = router()
    send(it, NodeAppeared(uid="A"))
    it.gateway_lost(OURS, now=0.0, ts=TS)
    reading = Reading(uid="A", resource="led", data="0")
    assert not send_together(it, [reading])
