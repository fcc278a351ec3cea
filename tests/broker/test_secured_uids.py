# SPDX-License-Identifier: BSD-3-Clause
"""A uid that a device proved with a credential is refused to others at all gateways."""

from typing import Any

import pytest

from pyaiot.broker import secured_uids
from pyaiot.broker.deliveries import Delivery, ToOneGateway
from pyaiot.broker.router import Router
from pyaiot.errors import Refused
from pyaiot.messages import Hello, NodeAppeared, NodeLeft, Problem, Reading, UidsSecured
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


# -- before the device has connected -------------------------------------------------------------

REPORTED = UidsSecured(uids=("lamp",))
HAS_ONE = "the node lamp has a credential at the gateway ours, and this claim has none"


def linked(it: Router, number: int, name: str) -> None:
    it.gateway_connected(number, acknowledges=True, ts=TS)
    send(it, Hello(name=name, protocol="CoAP"), number)


@pytest.mark.parametrize("message", [UNSECURED, FORGED])
def test_a_reported_credential_protects_a_uid_that_was_never_seen(
    message: NodeAppeared | Reading,
) -> None:
    it = router()
    send(it, REPORTED)
    refused = send(it, message, THEIRS)
    assert published(refused) == []
    assert problems(refused) == [HAS_ONE]
    assert it.registry.get("lamp") is None
    assert published(send(it, SECURED))


def test_a_node_without_the_credential_is_removed_when_it_is_reported() -> None:
    it = router()
    send(it, UNSECURED, THEIRS)
    (left,) = published(send(it, REPORTED))
    assert left == NodeLeft(uid="lamp", ts=TS, reason="left")
    assert problems(send(it, FORGED, THEIRS)) == [HAS_ONE]


def test_a_node_that_proved_its_uid_elsewhere_stays() -> None:
    it = router()
    send(it, SECURED, THEIRS)
    assert send(it, REPORTED) == []
    assert it.nodes.get("lamp") is not None


def test_a_lost_gateway_protects_its_uids_until_it_reports_again() -> None:
    it = router()
    send(it, REPORTED)
    it.gateway_lost(OURS, now=0.0, ts=TS)
    assert problems(send(it, UNSECURED, THEIRS)) == [HAS_ONE]
    linked(it, 7, "ours")
    send(it, UidsSecured(uids=("desk",)), 7)
    assert published(send(it, UNSECURED, THEIRS))


def test_two_gateways_of_one_name_protect_the_uids_of_both() -> None:
    it = router()
    send(it, REPORTED)
    linked(it, 7, "ours")
    send(it, UidsSecured(uids=()), 7)
    assert problems(send(it, UNSECURED, THEIRS)) == [HAS_ONE]


def test_a_removed_credential_frees_a_uid_that_was_never_seen() -> None:
    it = router()
    send(it, REPORTED)
    leaves(it, unsecured=True)
    assert published(send(it, UNSECURED, THEIRS))


def test_uids_that_follow_add_to_the_others() -> None:
    it = router()
    send(it, UidsSecured(uids=("desk",)))
    send(it, UidsSecured(uids=("lamp",), follows=True))
    for uid in ("desk", "lamp"):
        assert problems(send(it, NodeAppeared(uid=uid), THEIRS))


@pytest.mark.parametrize("limit", ["UIDS_OF_GATEWAY_MAX", "UIDS_MAX"])
def test_number_of_reported_uids_is_limited(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secured_uids, limit, 2)
    it = router()
    (problem,) = problems(send(it, UidsSecured(uids=("a", "b", "c"))))
    assert "at most 2 uids" in problem
    assert problems(send(it, NodeAppeared(uid="b"), THEIRS))
    assert published(send(it, NodeAppeared(uid="c"), THEIRS))


def test_first_report_of_a_link_does_not_follow_another() -> None:
    it = router()
    assert problems(send(it, UidsSecured(uids=("lamp",), follows=True)))
    assert published(send(it, UNSECURED, THEIRS))
