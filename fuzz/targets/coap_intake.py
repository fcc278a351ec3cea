# SPDX-License-Identifier: BSD-3-Clause
"""A series of datagrams from two peers that arrive at the CoAP intake."""

from functools import partial
from random import Random

from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.endpoint import host_limits
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import NodeAlive, NodePosted, ValuesPosted, values_of
from pyaiot.gateways.coap.observations import Observations
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.observe import NotificationNumber
from pyaiot.transport.peers import Peer

CORPUS: list[bytes] = [
    bytes.fromhex("1052021234abcdb5") + b"alive\xffalive:A" + bytes.fromhex("0440000001"),
    bytes.fromhex("1142021234abcdb5") + b"alive\xffreset:A",
    bytes.fromhex("1050021234b6") + b"server\xfft:1",
    # A node, its first value, and a notification of the resource.
    bytes.fromhex("1250020006b5616c697665ff616c6976653a41")
    + bytes.fromhex("105102000774b6736572766572ff743a31")
    + bytes.fromhex("105845000100000000000000006102ff31"),
    bytes.fromhex("0b6045000761626331ff31323404700000070844010001abcdefff"),
    b"",
]
PEERS = (Peer(("::ffff:10.0.0.1", 5683, 0, 0)), Peer(("fe80::1%2", 49152, 0, 2)))


def fuzz_one(data: bytes) -> None:
    """The first byte of each datagram is its length, whose lowest bit also chooses the peer."""
    nodes = LiveNodes(silence_limit_s=120.0, nodes_max=4)
    table: AddressTable[Peer] = AddressTable()
    intake = CoapIntake(nodes, table, limits=host_limits(), has_request=lambda _peer, _token: False)
    intake.observations = Observations(poll_s=0.0, random=Random(1), next_token=partial(bytes, 8))
    observed = intake.observations.add("A", "t", "/t", PEERS[0], observable=True, now=0.0)
    assert observed is not None
    observed.known = NotificationNumber(0, 0.0)
    now = 0.0
    while data:
        peer = PEERS[data[0] & 1]
        datagram, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        now += 0.5
        intake.receive_datagrams(iter([(datagram, peer)]), now=now, unix_time=partial(float, now))
        while (event := intake.next_event()) is not None:
            uids: list[str] = []
            if isinstance(event, NodePosted | ValuesPosted):
                uids += (uid for uid, _, _ in values_of([event]))
            elif isinstance(event, NodeAlive):
                uids.append(event.uid)
            assert all(uid in nodes and table.get(uid) is not None for uid in uids)
        answers = intake.datagrams_to_send()
        assert sum(len(answer) for answer, _ in answers) <= AMPLIFICATION_MAX * len(datagram)
        for answer, to in answers:
            assert to is peer
            CoapMessage.from_bytes(answer)
