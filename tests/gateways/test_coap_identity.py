# SPDX-License-Identifier: BSD-3-Clause
"""Devices with a credential have the identity that they proved, not one that they claim."""

import pytest

from pyaiot.gateways.coap.intake_events import NodeAlive, NodePosted, ValuesPosted
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code
from pyaiot.transport.peers import Peer, Security
from tests.gateways.test_coap_intake import CON, HERE, THERE, Port, known, request

SECURITIES: tuple[Security, ...] = ("dtls-psk", "oscore")


@pytest.fixture(params=SECURITIES)
def lamp(request: pytest.FixtureRequest) -> Peer:
    return HERE.secured("lamp", request.param)


@pytest.fixture
def port() -> Port:
    opened = Port()
    opened.secured = {"lamp"}
    return opened


def words(answers: list[CoapMessage]) -> bytes:
    (answer,) = answers
    assert answer.code == Code.FORBIDDEN
    return answer.payload


def uids(port: Port) -> list[str]:
    found: list[str] = []
    for event in port.events:
        if isinstance(event, NodePosted | NodeAlive):
            found.append(event.uid)
        elif isinstance(event, ValuesPosted):
            found += [reading.uid for reading in event.readings]
    return found


def test_reading_before_alive_counts_for_the_proved_uid(port: Port, lamp: Peer) -> None:
    assert port.code(request("server", "led:1"), lamp) == Code.CHANGED
    assert uids(port) == ["lamp", "lamp"]
    assert port.code(request("server", "led:0", 2), lamp) == Code.CHANGED
    assert uids(port) == ["lamp"]


def test_alive_with_another_uid_is_refused(port: Port, lamp: Peer) -> None:
    assert words(port.receive(request("alive", "alive:robot"), lamp)).startswith(b"the credential")
    assert uids(port) == []
    assert port.intake.posts.refused == 1


def test_alive_without_uid_is_the_proved_one(port: Port, lamp: Peer) -> None:
    assert port.code(request("alive", "reset"), lamp) == Code.CHANGED
    assert uids(port) == ["lamp"]


def test_claim_without_the_credential_is_refused(port: Port, lamp: Peer) -> None:
    for peer in (HERE, THERE):
        assert words(port.receive(request("alive", "alive:lamp"), peer)).startswith(b"this uid")
    known(port, lamp, "lamp")
    for peer in (HERE, THERE):
        assert words(port.receive(request("alive", "alive:lamp", 2), peer)).startswith(b"this uid")
    assert port.table.get("lamp") is not None
    assert port.intake.posts.refused == 4


def test_plain_reading_from_the_address_of_a_secured_node_is_not_its_own(
    port: Port, lamp: Peer
) -> None:
    known(port, lamp, "lamp")
    assert port.code(request("server", "led:1", 2), HERE) == Code.SERVICE_UNAVAILABLE
    assert port.code(request("server", "led:1", 3), HERE.at_port(50_000)) != Code.CHANGED
    assert uids(port) == []
    known(port, HERE, "other")
    assert uids(port) == ["other", "other"]
    assert port.table.uid_at(lamp.address) == "lamp"


def test_secured_node_moves_at_once(port: Port, lamp: Peer) -> None:
    known(port, lamp, "lamp")
    moved = THERE.secured("lamp", lamp.security)
    assert port.code(request("server", "led:1", 2), moved) == Code.CHANGED
    node = port.table.get("lamp")
    assert node is not None
    assert node.peer == moved
    # Another port of its host is the same node, and no move.
    assert port.code(request("server", "led:1", 3), moved.at_port(50_000)) == Code.CHANGED
    assert port.table.get("lamp") is node


def test_credential_takes_the_uid_from_an_unsecured_node(lamp: Peer) -> None:
    port = Port()
    known(port, THERE, "lamp")
    port.secured.add("lamp")
    assert port.code(request("server", "led:1", 2), lamp) == Code.CHANGED
    assert port.code(request("server", "led:0", 3), THERE) != Code.CHANGED
    assert port.table.uid_at(lamp.address) == "lamp"
    assert port.table.uid_at(THERE.address) is None


def test_confirmable_copy_over_dtls_counts_once(port: Port) -> None:
    lamp = HERE.secured("lamp", "dtls-psk")
    for counted in (["lamp", "lamp"], []):
        assert port.code(request("server", "led:1", 7, mtype=CON), lamp) == Code.CHANGED
        assert uids(port) == counted


def test_secured_node_is_verified_from_the_start(port: Port, lamp: Peer) -> None:
    known(port, lamp, "lamp")
    node = port.nodes.get("lamp")
    assert node is not None
    assert node.verified


def test_secured_peers_differ_by_identity_and_protection() -> None:
    peers = {HERE, HERE.secured("a", "oscore"), HERE.secured("b", "oscore")}
    assert len(peers | {HERE.secured("a", "dtls-psk")}) == 4
    assert HERE.secured("a", "oscore").at_port(1) == HERE.at_port(1).secured("a", "oscore")
