# SPDX-License-Identifier: BSD-3-Clause
"""Peers of a datagram endpoint, and what their hosts may cost it."""

import ipaddress

import pytest

from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer, PeerAddress

LOCAL = ipaddress.IPv6Address("::ffff:10.0.0.1").packed + bytes(4)


@pytest.mark.parametrize(
    ("remote", "address", "shown"),
    [
        (("::ffff:10.0.0.1", 7, 0, 0), PeerAddress("10.0.0.1", 7), "10.0.0.1:7"),
        (("10.0.0.1", 7), PeerAddress("10.0.0.1", 7), "10.0.0.1:7"),
        (("fe80::1%eth0", 7, 0, 3), PeerAddress("fe80::1", 7, 3), "[fe80::1]:7"),
    ],
)
def test_address_is_the_same_for_each_form_of_the_socket(
    remote: tuple[str, int], address: PeerAddress, shown: str
) -> None:
    peer = Peer(remote)
    assert peer.address == address
    assert repr(peer) == shown
    assert peer.remote == remote


def test_peers_are_equal_if_their_remote_addresses_are() -> None:
    one = Peer(("::ffff:10.0.0.1", 7, 0, 0), LOCAL)
    assert one == Peer(one.remote)
    assert hash(one) == hash(Peer(one.remote))
    assert one != one.at_port(8)
    assert one != one.remote


def test_another_port_has_the_same_host_scope_and_local_address() -> None:
    peer = Peer(("fe80::1%eth0", 7, 0, 3), LOCAL).at_port(8)
    assert (peer.remote, peer.local) == (("fe80::1%eth0", 8, 0, 3), LOCAL)
    assert Peer(("10.0.0.1", 7)).at_port(8).remote == ("10.0.0.1", 8)


def test_peer_on_this_machine_sent_to_its_own_address() -> None:
    assert Peer(("::ffff:10.0.0.1", 7, 0, 0), LOCAL).is_this_machine
    assert not Peer(("::ffff:10.0.0.2", 7, 0, 0), LOCAL).is_this_machine
    assert not Peer(("::ffff:10.0.0.1", 7, 0, 0)).is_this_machine


def limits(*, unverified: float, verified: float) -> HostLimits:
    together = Rate(1.0, 1000.0)
    return HostLimits(
        HostRateLimit(Rate(1.0, unverified), together), HostRateLimit(Rate(1.0, verified), together)
    )


def test_verified_host_has_a_rate_of_its_own_and_no_limit_of_bytes() -> None:
    it = limits(unverified=2.0, verified=5.0)
    it.amplification.received("a", 10)
    assert not it.amplification.take("a", AMPLIFICATION_MAX * 10 + 1)
    assert [it.take_request("a", now=0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    it.verify("a")
    assert it.is_verified("a")
    assert not it.is_verified("b")
    assert it.amplification.take("a", 1_000_000)
    assert [it.take_request("a", now=0.0) for _ in range(6)] == [0.0] * 5 + [1.0]
    assert (it.held_back, it.refused) == (1, 2)


def test_one_rate_for_verified_and_other_hosts_is_counted_once() -> None:
    it = HostLimits(HostRateLimit(Rate(1.0, 1.0), Rate(1.0, 10.0)))
    it.take_request("a", now=0.0)
    it.verify("a")
    assert it.take_request("a", now=0.0) == 1.0
    assert it.refused == 1
