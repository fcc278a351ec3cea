# SPDX-License-Identifier: BSD-3-Clause
"""A uid that a device proved with a credential is refused to others at all gateways."""

from typing import Any

import pytest

from pyaiot.broker.deliveries import Delivery, ToOneGateway
from pyaiot.broker.router import Router
from pyaiot.errors import Refused
from pyaiot.messages import NodeAppeared, NodeLeft, Problem, Reading
from pyaiot.registry.record import NodeRecord, edited_row, observed_row, record_of
from pyaiot.registry.registry import Registry
from tests.broker.test_router import OURS, THEIRS, TS, published, router, send

SECURED = NodeAppeared(uid="lamp", secured=True)
UNSECURED = NodeAppeared(uid="lamp")
FORGED = Reading(uid="lamp", resource="led", data="forged")


def problems(deliveries: list[Delivery]) -> list[str]:
    return [
        it.message.detail
        for it in deliveries
        if isinstance(it, ToOneGateway) and isinstance(it.message, Problem)
    ]


def leaves(it: Router, gateway: int = OURS, **details: Any) -> list[Delivery]:
    return send(it, NodeLeft(uid="lamp", reason="silent", **details), gateway)


@pytest.mark.parametrize("gateway", [OURS, THEIRS])
@pytest.mark.parametrize("message", [UNSECURED, FORGED])
def test_an_offline_node_with_a_credential_is_not_claimed_without_it(
    gateway: int, message: NodeAppeared | Reading
) -> None:
    it = router()
    send(it, SECURED)
    leaves(it)
    refused = send(it, message, gateway)
    assert published(refused) == []
    assert "the node lamp had a credential, and this claim has none" in problems(refused)[0]
    assert it.nodes.get("lamp") is None
    assert it.refused == 1
    assert published(send(it, SECURED, THEIRS))


def test_a_lost_gateway_does_not_free_the_uid() -> None:
    it = router()
    send(it, SECURED)
    it.gateway_lost(OURS, now=0.0, ts=TS)
    assert problems(send(it, UNSECURED, THEIRS))


def test_a_device_with_a_credential_takes_its_uid_from_one_without() -> None:
    it = router()
    send(it, UNSECURED, THEIRS)
    send(it, FORGED, THEIRS)
    taken = published(send(it, SECURED))
    assert [type(message).__name__ for message in taken] == ["NodeLeft", "NodeAppeared"]
    node = it.nodes.get("lamp")
    assert node is not None
    assert (node.gateway, node.readings) == (OURS, {})
    assert "belongs to the gateway ours" in problems(send(it, FORGED, THEIRS))[0]
    assert "belongs to the gateway ours" in problems(send(it, SECURED, THEIRS))[0]


def test_a_node_that_gets_a_credential_while_it_is_online_is_secured() -> None:
    it = router()
    send(it, UNSECURED)
    assert published(send(it, SECURED)) == []
    leaves(it)
    assert problems(send(it, UNSECURED, THEIRS))


def test_a_removed_credential_frees_the_uid_for_its_own_gateway_to_report() -> None:
    it = router()
    send(it, SECURED)
    assert leaves(it, THEIRS, unsecured=True) == []
    leaves(it)
    assert problems(send(it, UNSECURED, THEIRS))
    assert leaves(it, unsecured=True) == []
    assert published(send(it, UNSECURED, THEIRS))


def test_a_forgotten_node_is_free() -> None:
    it = router()
    send(it, SECURED)
    leaves(it)
    it.registry.forget("lamp", 0.0)
    assert published(send(it, UNSECURED, THEIRS))


@pytest.mark.parametrize("rule", ["approve", "known"])
def test_a_credential_admits_a_newcomer(rule: Any) -> None:
    registry = Registry(admission=rule)
    assert registry.appear("lamp", "ours", "CoAP", TS, secured=True).admission == "accepted"


def test_a_node_with_a_credential_is_not_forgotten_to_make_room() -> None:
    registry = Registry(offline_max=0)
    record = registry.appear("lamp", "ours", "CoAP", TS, secured=True)
    registry.leave(record, "silent", (), TS)
    other = registry.appear("desk", "ours", "CoAP", TS)
    registry.leave(other, "silent", (), TS)
    assert set(registry.records) == {"lamp"}


def test_it_is_stored() -> None:
    stored = NodeRecord(uid="lamp", gateway="ours", secured=True)
    row = record_of((*observed_row(stored), "[]", *edited_row(stored)[1:]))
    assert row.secured
    registry = Registry()
    registry.load([row])
    with pytest.raises(Refused, match="aiot node forget lamp"):
        registry.appear("lamp", "theirs", "CoAP", TS)
