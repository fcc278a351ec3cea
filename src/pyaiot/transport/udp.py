# SPDX-License-Identifier: BSD-3-Clause
"""Reads a UDP socket, and sends through it."""

import asyncio
import contextlib
import logging
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from pyaiot.transport.addresses import ANY
from pyaiot.transport.datagram_batches import (
    BATCH_MAX,
    DatagramBatches,
    open_batches,
)
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.peers import Peer

DATAGRAM_BYTES_MAX: Final = 65536
"""Bytes of one datagram. UDP has no larger ones."""
DATAGRAMS_PER_TURN: Final = 64
"""Datagrams that are read in one turn of the event loop. Further ones wait for the next turn."""
DATAGRAMS_AT_ONCE: Final = 4
"""Datagrams of which each may take long that are processed before the time is checked."""
TURN_LIMIT_S: Final = 0.005
"""Time after which a turn always ends. A request outside the fast path takes 1 to 3
ms."""
GATHERING_RATE: Final = 10_000
"""Datagrams a second above which they are gathered before they are read."""
GATHERING_S: Final = 0.001
"""Time for which datagrams are gathered. It delays each by as much at most, which is no more than
they wait for each other at such a rate."""
RATE_WINDOW_S: Final = 0.02
"""Time over which the rate of datagrams is measured."""
PEERS_MAX: Final = 32_768
"""Peers whose addresses are kept in their parsed form. Beyond that, all are parsed again."""
LOCAL_ADDRESSES_MAX: Final = 256
"""Local addresses that peers share. Beyond that, further peers have copies."""
# Linux; Python 3.11 has no names for these. recvmsg(2), ipv6(7), ip(7).
_MSG_ERRQUEUE: Final = 0x2000
_IPV6_RECVERR: Final = 25
_IP_RECVERR: Final = 11
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)
_MULTICAST: Final = 0xFF
_MULTICAST_IPV4: Final = 0xE
_MAPPED: Final = bytes(10) + b"\xff\xff"

log = logging.getLogger(__name__)


_Control: TypeAlias = list[tuple[int, int, bytes]]
"""The control messages of a datagram, as recvmsg(2) returns them."""
Receive: TypeAlias = Callable[[Sequence[tuple[bytes, Peer]]], int | None]
"""Takes datagrams that were read together, each with its peer. Returns how many it has taken, at
least one: the others are passed on again, in the next turn if the time of this one is over. None:
all of them."""
Fail: TypeAlias = Callable[[OSError, Peer, bytes | None], None]
"""Takes an error, the peer that caused it, and the datagram that the ICMP error quotes. None: the
datagram could not be sent."""
DatagramTrace: TypeAlias = Callable[[bytes, Peer, bool], None]
"""Takes each datagram, its peer, and whether it is inbound."""


class DatagramEndpoint:
    """One UDP socket: reads it, and answers from the address that the peer sent to."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        protocol: str,
        local_addresses: bool = True,
        limits: HostLimits | None = None,
    ) -> None:
        """`sock` is bound. Without `local_addresses`, the system chooses the address to send from.

        `limits`: those of hosts; None: there are none.
        """
        self.limits = limits
        self.trace: DatagramTrace | None = None
        self.unsent = 0
        """Datagrams that the system did not accept."""
        self.host: str
        self.port: int
        self.host, self.port = sock.getsockname()[:2]
        self.is_wildcard = self.host in ANY
        self._socket = sock
        self._loop = loop
        self._protocol = protocol
        self._is_ipv6 = sock.family is socket.AF_INET6
        self._packet_info = (
            (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
            if self._is_ipv6
            else (socket.IPPROTO_IP, _IP_PKTINFO)
        )
        self._peers: dict[Any, tuple[_Control, Peer]] = {}
        """Without batches: by address, with the control messages that it came with."""
        self._peers_by_route: dict[bytes, Peer] = {}
        self._local_addresses: dict[bytes, bytes] = {}
        self._read_ahead: Sequence[tuple[bytes, Peer]] = ()
        """Datagrams that were read, and not taken yet."""
        self._is_called_again = False
        self._rate_since = time.monotonic()
        self._rate_count = 0
        """Datagrams since `_rate_since`, at most `RATE_WINDOW_S` ago when one is read."""
        self._gathers = False
        self._gathering: asyncio.TimerHandle | None = None
        """Runs while datagrams are gathered and the socket is not watched."""
        self._receive: Receive | None = None
        self._fail: Fail | None = None
        self._epoll: select.epoll | None = None
        if local_addresses and self._is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif local_addresses and _IP_PKTINFO:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._batches: DatagramBatches | None = open_batches(
            sock, self._packet_info if local_addresses else None, sends_info=self.is_wildcard
        )

    def listen(self, receive: Receive, fail: Fail | None = None) -> None:
        """Call `receive` with the datagrams of each turn until `stop`. It must not raise.

        With `fail`, ICMP errors are delivered to the peer that caused them (Linux).

        Where the system has epoll, the socket is read through its own epoll: libuv stops
        watching a socket for good after an ICMP error (`uv__poll_io`), so that one node that is
        switched off would end all reception. An epoll never reports an error itself.
        """
        self._receive, self._fail = receive, fail
        if hasattr(select, "epoll"):
            if fail is not None:
                if self._is_ipv6:
                    self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            self._epoll = select.epoll()
            self._epoll.register(self._socket, select.EPOLLIN)
            self._loop.add_reader(self._epoll, self._read_turn)
        else:
            self._loop.add_reader(self._socket, self._read_turn)

    def stop(self) -> None:
        """Stop reading. Datagrams may still be sent; errors are no longer reported."""
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll)
            self._epoll.close()
            self._epoll = None
        elif self._receive is not None:
            self._loop.remove_reader(self._socket)
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._receive = None
        self._read_ahead = ()

    def close(self) -> None:
        self.stop()
        self._socket.close()

    def send(self, datagram: bytes, peer: Peer) -> None:
        """Send a datagram, unless the anti-amplification limit forbids it."""
        self.send_all(((datagram, peer),))

    def send_all(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        """Send each datagram that the anti-amplification limit allows."""
        if self.limits is not None:
            allowed = self.limits.amplification.take_all(datagrams)
            if len(allowed) < len(datagrams):
                log.debug("%s: anti-amplification limit reached", self._protocol)
            datagrams = allowed
        if self.trace is not None:
            for datagram, peer in datagrams:
                self.trace(datagram, peer, False)
        if self._batches is None or len(datagrams) == 1:
            self._send_each(datagrams)
            return
        for begin in range(0, len(datagrams), BATCH_MAX):
            self._send_batch(self._batches, datagrams[begin : begin + BATCH_MAX])

    def _send_batch(
        self, batches: DatagramBatches, datagrams: Sequence[tuple[bytes, Peer]]
    ) -> None:
        """Send up to `BATCH_MAX` datagrams, in order."""
        try:
            sent = batches.send(datagrams)
        except OSError:
            sent = 0  # sending them one by one shows the error
        if sent < len(datagrams):
            self._send_each(datagrams[sent:])

    def _send_each(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        for datagram, peer in datagrams:
            try:
                self._send_once(datagram, peer)
            except OSError as error:
                self._send_again(datagram, peer, error)

    def send_unlimited(self, datagram: bytes, peer: Peer) -> None:
        """Send a datagram to a peer that cannot be forged, such as one of the settings."""
        if self.trace is not None:
            self.trace(datagram, peer, False)
        try:
            self._send_once(datagram, peer)
        except OSError as error:
            self._send_again(datagram, peer, error)

    def _send_again(self, datagram: bytes, peer: Peer, error: OSError) -> None:
        """Sending failed. Linux reports the ICMP error of an earlier datagram to the next send
        to any destination, and then clears it."""
        try:
            if not isinstance(error, BlockingIOError):
                self._send_once(datagram, peer)
                return
        except OSError as again:
            error = again
        self.unsent += 1
        if isinstance(error, BlockingIOError):
            log.debug("%s: send buffer full, datagram to %s dropped", self._protocol, peer)
            return
        log.debug("%s: datagram to %s not sent: %s", self._protocol, peer, error)
        # Not at once: the caller may be in the middle of its bookkeeping of this datagram.
        self._loop.call_soon(self._report, error.errno or 0, peer, None)

    def _send_once(self, datagram: bytes, peer: Peer) -> None:
        local = peer.local
        if local is None or not self.is_wildcard:
            self._socket.sendto(datagram, peer.remote)
        else:
            control = ((*self._packet_info, local),)
            self._socket.sendmsg((datagram,), control, 0, peer.remote)

    def _read_turn(self) -> None:
        if not self._is_called_again:
            self._read()

    def _read(self) -> None:
        # A bounded number and time: a flood must not starve the event loop.
        began = time.monotonic()
        ends_at = began + TURN_LIMIT_S
        rest = DATAGRAMS_PER_TURN
        received = self._read_ahead
        has_more = True
        while rest > 0 and self._receive is not None:
            if not received:
                count_max = min(rest, DATAGRAMS_AT_ONCE if self._batches is None else BATCH_MAX)
                received = self.read_some(count_max)
                has_more = len(received) == count_max
                if not received:
                    break
            taken = self._receive(received)
            rest -= len(received) if taken is None else taken
            received = () if taken is None else received[taken:]
            if time.monotonic() >= ends_at or not (received or has_more):
                break
        self._read_ahead = () if self._receive is None else received
        self._measure_rate(DATAGRAMS_PER_TURN - rest, began)
        if self._gathers and not (received or has_more):
            self._gather()
        if self._read_ahead and not self._is_called_again:
            # The socket may have nothing more to read, so that it would cause no further turn.
            self._is_called_again = True
            self._loop.call_soon(self._read_again)
        if self._fail is not None and self._epoll is not None:
            with contextlib.suppress(BlockingIOError):
                self._read_error()

    def _measure_rate(self, count: int, now: float) -> None:
        self._rate_count += count
        elapsed = now - self._rate_since
        if elapsed >= RATE_WINDOW_S:
            self._gathers = self._rate_count >= elapsed * GATHERING_RATE
            self._rate_since, self._rate_count = now, 0

    def _gather(self) -> None:
        """Stop watching the socket for a moment.

        At high rates the event loop would turn for each few datagrams, and each turn costs as much
        as five of them: system calls, and a frame of the link with what these few reported.
        """
        if self._epoll is not None and self._gathering is None:
            self._epoll.modify(self._socket, 0)
            self._gathering = self._loop.call_later(GATHERING_S, self._read_gathered)

    def _read_gathered(self) -> None:
        self._gathering = None
        if self._epoll is not None:
            self._epoll.modify(self._socket, select.EPOLLIN)
            self._read_turn()

    def _read_again(self) -> None:
        self._is_called_again = False
        if self._read_ahead and self._receive is not None:
            self._read()

    def read_some(self, count_max: int) -> list[tuple[bytes, Peer]]:
        """Up to `count_max` datagrams that have arrived, each with its peer."""
        if self._batches is None:
            received = self._read_each(count_max)
        else:
            received = self._read_batch(self._batches, count_max)
        if self.limits is not None:
            self.limits.amplification.received_all(received)
        if self.trace is not None:
            for datagram, peer in received:
                self.trace(datagram, peer, True)
        return received

    def _read_batch(self, batches: DatagramBatches, count_max: int) -> list[tuple[bytes, Peer]]:
        for _ in range(count_max):
            try:
                batch = batches.receive(count_max)
            except BlockingIOError:
                break
            except OSError as error:
                # The error queue has the same error together with the peer that caused it.
                log.debug("%s socket: %s", self._protocol, error)
                continue
            peers = self._peers_by_route
            return [
                (datagram, peers.get(route) or self._new_peer_on(batches, route))
                for datagram, route in batch
            ]
        return []

    def _new_peer_on(self, batches: DatagramBatches, route: bytes) -> Peer:
        if len(self._peers_by_route) >= PEERS_MAX:
            self._peers_by_route.clear()
        remote, control = batches.parse(route)
        peer = self._peers_by_route[route] = Peer(remote, self._local_address(control))
        if peer.local is not None:
            answers_on = batches.from_local(route, peer.local)
            peer.route = route if answers_on == route else answers_on
        elif not self.is_wildcard:
            peer.route = route
        return peer

    def _read_each(self, count_max: int) -> list[tuple[bytes, Peer]]:
        received: list[tuple[bytes, Peer]] = []
        peers, recvmsg = self._peers, self._socket.recvmsg
        for _ in range(count_max):
            try:
                data, control, _flags, remote = recvmsg(DATAGRAM_BYTES_MAX, 256)
            except BlockingIOError:
                break
            except OSError as error:
                # The error queue has the same error together with the peer that caused it.
                log.debug("%s socket: %s", self._protocol, error)
                continue
            known = peers.get(remote)
            if known is not None and known[0] == control:
                peer = known[1]
            else:
                peer = self._new_peer(remote, control)
            received.append((data, peer))
        return received

    def _new_peer(self, remote: Any, control: _Control) -> Peer:
        if len(self._peers) >= PEERS_MAX:
            self._peers.clear()
        peer = Peer(remote, self._local_address(control))
        self._peers[remote] = control, peer
        return peer

    def _local_address(self, control: _Control) -> bytes | None:
        """The address that a datagram was sent to: one object for all peers."""
        local = _local_address(control)
        if len(self._local_addresses) >= LOCAL_ADDRESSES_MAX:
            self._local_addresses.clear()
        return None if local is None else self._local_addresses.setdefault(local, local)

    def _read_error(self) -> None:
        quoted, control, _flags, remote = self._socket.recvmsg(
            DATAGRAM_BYTES_MAX, 1024, _MSG_ERRQUEUE
        )
        wanted = (socket.IPPROTO_IPV6, _IPV6_RECVERR)
        if not self._is_ipv6:
            wanted = (socket.IPPROTO_IP, _IP_RECVERR)
        for level, kind, data in control:
            if (level, kind) == wanted:
                # struct sock_extended_err begins with the error number.
                self._report(struct.unpack_from("=I", data)[0], Peer(remote), quoted)
                return

    def _report(self, number: int, peer: Peer, quoted: bytes | None) -> None:
        if self._receive is not None and self._fail is not None:
            self._fail(OSError(number, os.strerror(number)), peer, quoted)


def _local_address(control: _Control) -> bytes | None:
    """The address that a datagram was sent to, in the form of the packet info."""
    for level, kind, data in control:
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            # Nothing can be sent from a multicast address: the interface is enough.
            if data[0] == _MULTICAST or (
                data[12] >> 4 == _MULTICAST_IPV4 and data.startswith(_MAPPED)
            ):
                return bytes(16) + data[16:]
            return data
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # struct in_pktinfo: interface, local address, destination in the header.
            return bytes(4) + data[4:8] + bytes(4)
    return None
