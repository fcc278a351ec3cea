# SPDX-License-Identifier: BSD-3-Clause
"""Notifications that the intake reads itself are accepted as by the observer, for all others."""

from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.gateways.coap import endpoint
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import (
    NodePosted,
    ResponseReceived,
    ValuesPosted,
    reports_of,
    senders_of,
    values_of,
)
from pyaiot.gateways.coap.observer import Observer
from pyaiot.gateways.live_node import READINGS_BURST
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.messages.checks import SHORT_LENGTH
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.transport.peers import Peer

if TYPE_CHECKING:
    from pyaiot.gateways.coap.observations import Observation

HERE = Peer(("::ffff:10.0.0.1", 5683, 0, 0))
THERE = Peer(("::ffff:10.0.0.2", 5683, 0, 0))
NON = MessageType.NON


class Port:
    """An intake with an observed node, and the observer behind it."""

    def __init__(self, *, reads_notifications: bool = True) -> None:
        self.limits = endpoint.host_limits()
        self.nodes = LiveNodes(silence_limit_s=120.0, nodes_max=10)
        table: AddressTable[Peer] = AddressTable()
        self.intake = CoapIntake(
            self.nodes, table, limits=self.limits, has_request=lambda _peer, _token: False
        )
        self.now = 0.0
        socket = SimpleNamespace(verify=lambda peer: self.limits.verify(peer.host))
        self.observer = Observer(
            socket,
            cast("Any", None),
            cast("Any", SimpleNamespace(time=lambda: self.now)),
            self._on_values,
            poll_s=0.0,
        )
        self.observations = self.observer.observations
        self.observations._random = Random(1)
        if reads_notifications:
            self.intake.observations = self.observations
        alive = CoapMessage(NON, Code.POST, 1, b"t", ((11, b"alive"),), b"alive:A").to_bytes()
        self.receive(alive)
        added = self.observations.add("A", "t", "/t", HERE, observable=True, now=0.0)
        assert added is not None
        self.observed: Observation[Peer] = added
        added.token = TOKEN
        self.observations._by_token = {TOKEN: added}

    def _on_values(
        self, uid: str, resource: str, payload: bytes, format_: int | None, notified: bool
    ) -> None:
        ts = 1000.0 + self.now
        self.intake.posts.receive_values(
            uid, resource, payload, format_, notified=notified, now=self.now, ts=ts
        )

    def receive(self, datagram: bytes, peer: Peer = HERE) -> list[object]:
        """What the datagram caused: values with reports and senders, other events, answers."""
        unix_time = lambda: 1000.0 + self.now  # noqa: E731
        self.intake.receive_datagrams(iter([(datagram, peer)]), now=self.now, unix_time=unix_time)
        found: list[object] = []
        self.events: list[object] = []
        while (event := self.intake.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, ResponseReceived):
                found.append(self.observer.receive_response(event.message, event.peer) or b"")
            elif isinstance(event, NodePosted | ValuesPosted):
                found += [*values_of([event]), *reports_of([event]), *senders_of([event])]
            else:
                found.append(repr(event))
        return [it for it in found if it != b""] + self.intake.datagrams_to_send()


TOKEN = b"\xa7tokens."


def notification(
    number: int,
    payload: bytes = b"20.5",
    *options: tuple[int, bytes | str | int],
    mtype: MessageType = NON,
    token: bytes = TOKEN,
) -> bytes:
    encoded = build_options((OptionNumber.OBSERVE, number), *options)
    message_id = number & 0xFFFF
    return CoapMessage(mtype, Code.CONTENT, message_id, token, encoded, payload).to_bytes()


def established() -> Port:
    port = Port()
    port.receive(notification(1))  # the first value of a resource is for the general path
    assert isinstance(port.events[0], ResponseReceived)
    return port


def test_notifications_that_arrive_together_are_one_event() -> None:
    port = established()
    port.now = 1.0
    together = iter([(notification(n, b"%d" % n), HERE) for n in (2, 3, 4)])
    assert not port.intake.receive_datagrams(together, now=1.0, unix_time=lambda: 7.0)
    event = port.intake.next_event()
    assert isinstance(event, ValuesPosted)
    assert [(it.uid, it.resource, it.data, it.ts) for it in event.readings] == [
        ("A", "t", str(n), 7.0) for n in (2, 3, 4)
    ]
    assert port.intake.next_event() is None
    assert not port.intake.datagrams_to_send()
    assert port.limits.is_verified(HERE.host)
    assert port.nodes.last_seen("A") == 1.0


@pytest.mark.parametrize(
    ("datagram", "peer"),
    [
        (notification(1), HERE),  # not newer
        (notification(2, mtype=MessageType.CON), HERE),
        (notification(2), THERE),
        (notification(2), HERE.at_port(5684)),
        (notification(2), HERE.secured("A", "oscore")),
        (notification(2, token=b"\xa7token.."), HERE),
        (notification(2, b"1" * (SHORT_LENGTH + 1)), HERE),
        (notification(2, b"{}", (OptionNumber.CONTENT_FORMAT, 50)), HERE),
    ],
)
def test_other_notifications_are_for_the_observer(datagram: bytes, peer: Peer) -> None:
    port = established()
    port.receive(datagram, peer)
    assert isinstance(port.events[0], ResponseReceived)


def test_response_to_a_registration_is_not_taken_for_a_notification() -> None:
    port = established()
    port.observed.registering += 1
    port.receive(notification(2))
    assert isinstance(port.events[0], ResponseReceived)


def test_notifications_above_the_rate_of_a_node_are_for_the_observer() -> None:
    port = established()
    for number in range(2, int(READINGS_BURST) + 1):
        port.receive(notification(number))
        assert isinstance(port.events[0], ValuesPosted)
    port.receive(notification(500))
    assert isinstance(port.events[0], ResponseReceived)
    assert port.observed.too_fast == 1


ARRIVALS = st.lists(
    st.tuples(
        st.builds(
            notification,
            st.integers(0, 5) | st.sampled_from([0xFFFFFF, 1 << 23]),
            st.sampled_from([b"1", b"2\0", b"\0", b"\xff", b"", b"20.5\xc2\xb0C", b"x" * 300]),
            mtype=st.sampled_from([NON, MessageType.CON]),
            token=st.sampled_from([TOKEN, TOKEN, b"\xa7token.."]),
        )
        | st.builds(
            notification,
            st.integers(0, 5),
            st.just(b"1"),
            st.sampled_from([(12, 0), (12, 50), (14, 3600), (14, 0), (14, 255), (23, 0), (9, b"")]),
        )
        | st.binary(max_size=30),
        st.sampled_from([HERE, HERE, THERE, HERE.at_port(1)]),
        st.floats(0.0, 70.0) | st.just(0.0),
    ),
    max_size=30,
)


@given(arrivals=ARRIVALS)
def test_notifications_are_accepted_as_by_the_observer(
    arrivals: list[tuple[bytes, Peer, float]],
) -> None:
    short, general = Port(), Port(reads_notifications=False)
    for datagram, peer, pause_s in arrivals:
        for port in (short, general):
            port.now += pause_s
        assert short.receive(datagram, peer) == general.receive(datagram, peer)
        assert list(short.nodes.everything()) == list(general.nodes.everything())
        assert short.nodes.get_timer() == general.nodes.get_timer()
        for name in ("known", "failures", "too_fast", "due_at", "accept"):
            assert getattr(short.observed, name) == getattr(general.observed, name), name
        for host in (HERE.host, THERE.host):
            assert short.limits.is_verified(host) == general.limits.is_verified(host)
