# SPDX-License-Identifier: BSD-3-Clause
"""UDP sockets: opens them, with errors for the operator; reads and sends datagrams."""

import asyncio
import contextlib
import errno
import logging
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import ANY, confine_to_loopback, is_both_loopbacks
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.peers import Peer

DATAGRAM_BYTES_MAX: Final = 65536
"""Bytes of one datagram. UDP has no larger ones."""
DATAGRAMS_PER_TURN: Final = 64
"""Datagrams that are read in one turn of the event loop. Further ones wait for the next turn."""
DATAGRAMS_AT_ONCE: Final = 4
"""Datagrams that are handed on together."""
TURN_LIMIT_S: Final = 0.005
"""Time after which a turn ends, whatever was read. A request outside the fast path takes 1 to 3
ms."""
PEERS_MAX: Final = 32_768
"""Peers whose addresses are kept in their parsed form. Beyond that, all are parsed again."""
RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Receive buffer that is requested from the system, which may grant less. Datagrams that do not
fit are lost."""
# Linux; Python 3.11 has no names for these. socket(7), recvmsg(2), ipv6(7), ip(7).
_SO_RCVBUFFORCE: Final = 33
_MSG_ERRQUEUE: Final = 0x2000
_IPV6_RECVERR: Final = 25
_IP_RECVERR: Final = 11
_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)
_MULTICAST: Final = 0xFF
_MULTICAST_IPV4: Final = 0xE
_MAPPED: Final = bytes(10) + b"\xff\xff"

log = logging.getLogger(__name__)


def udp_socket(host: str, port: int, interface: str, *, protocol: str, flag: str) -> socket.socket:
    """A bound dual-stack socket with an exclusive port, of IPv4 only where the kernel has no IPv6.
    Raises `OperatorError`.

    `protocol` and `flag`, which sets the port, are used in error messages.

    A loopback address means both: where the system allows it, the socket is bound to all addresses
    of the loopback interface, and receives from this machine only.
    """
    family, flags, every_host = socket.AF_INET6, socket.AI_V4MAPPED, ANY[0]
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        log.info("%s: IPv4 only, the kernel has no IPv6 (%s)", protocol, error.strerror)
        family, flags, every_host = socket.AF_INET, socket.AddressInfo(0), ANY[1]
        sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        enlarge(sock)
        if family == socket.AF_INET6:
            # IPv4 peers appear as mapped addresses.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if is_both_loopbacks(host):
            is_ipv6 = family == socket.AF_INET6
            both = is_ipv6 and not interface and confine_to_loopback(sock)
            host = "::" if both else "127.0.0.1"
        elif not host or host == ANY[0]:
            host = every_host
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, 0, flags)
    except OSError as error:
        sock.close()
        if isinstance(error, socket.gaierror):
            raise OperatorError(
                f"{protocol} cannot listen on {host!r}: {error.strerror}."
            ) from error
        if error.errno in (errno.ENODEV, errno.EPERM) and interface:
            raise OperatorError(
                f"{protocol} cannot use the network interface {interface!r}: {error.strerror}."
            ) from error
        raise OperatorError(f"{protocol} cannot listen on {host} port {port}: {error}.") from error
    bind(sock, found[0][4], host, server=f"{protocol} server", flag=flag)
    return sock


def bind(sock: socket.socket, address: Any, host: str, *, server: str, flag: str) -> None:
    """Bind a socket, or close it and raise `OperatorError` with a sentence for the operator."""
    port = address[1]
    protocol = server.split(maxsplit=1)[0]
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"UDP port {port} is in use: stop the other {server}, or choose another port"
                f" with {flag}."
            ) from error
        raise OperatorError(f"{protocol} cannot listen on {host} port {port}: {error}.") from error


def enlarge(sock: socket.socket) -> None:
    """Request a larger receive buffer. Root may exceed the system's limit."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if hasattr(socket, "AF_PACKET"):  # Linux
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)


_Control: TypeAlias = list[tuple[int, int, bytes]]
"""The control messages of a datagram, as recvmsg(2) returns them."""
Receive: TypeAlias = Callable[[Sequence[tuple[bytes, Peer]]], None]
"""Takes the datagrams of one turn of the event loop, each with its peer."""
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
        self._receive: Receive | None = None
        self._fail: Fail | None = None
        self._epoll: select.epoll | None = None
        if local_addresses and self._is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif local_addresses and _IP_PKTINFO:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def listen(self, receive: Receive, fail: Fail | None = None) -> None:
        """Call `receive` with the datagrams of each turn until `stop`. It must not raise.

        With `fail`, ICMP errors are delivered to the peer that caused them (Linux).

        Where the system has epoll, the socket is read through an epoll of its own: libuv stops
        watching a socket for good after an ICMP error (`uv__poll_io`), so that one node that is
        switched off would make the gateway deaf. An epoll never reports an error itself.
        """
        self._receive, self._fail = receive, fail
        if hasattr(select, "epoll"):
            if fail is not None:
                if self._is_ipv6:
                    self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            self._epoll = select.epoll()
            self._epoll.register(self._socket, select.EPOLLIN)
            self._loop.add_reader(self._epoll, self._read)
        else:
            self._loop.add_reader(self._socket, self._read)

    def stop(self) -> None:
        """Stop reading. Datagrams may still be sent; errors are no longer reported."""
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll)
            self._epoll.close()
            self._epoll = None
        elif self._receive is not None:
            self._loop.remove_reader(self._socket)
        self._receive = None

    def close(self) -> None:
        self.stop()
        self._socket.close()

    def send(self, datagram: bytes, peer: Peer) -> None:
        """Send a datagram, unless the anti-amplification limit forbids it."""
        self.send_all(((datagram, peer),))

    def send_all(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        """Send each datagram that the anti-amplification limit allows."""
        trace, send_once = self.trace, self._send_once
        take = None if self.limits is None else self.limits.amplification.take
        for datagram, peer in datagrams:
            if take is not None and not take(peer.host, len(datagram)):
                log.debug("%s: anti-amplification limit of %s reached", self._protocol, peer)
                continue
            if trace is not None:
                trace(datagram, peer, False)
            try:
                send_once(datagram, peer)
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
        """Sending failed. Linux reports the ICMP error of an earlier datagram to the next send,
        whatever its destination, and then clears it."""
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

    def _read(self) -> None:
        # A bounded number and time: a flood must not starve the event loop.
        ends_at = time.monotonic() + TURN_LIMIT_S
        for _ in range(DATAGRAMS_PER_TURN // DATAGRAMS_AT_ONCE):
            received = self._read_some()
            if received and self._receive is not None:
                self._receive(received)
            if len(received) < DATAGRAMS_AT_ONCE or time.monotonic() >= ends_at:
                break
        if self._fail is not None and self._epoll is not None:
            with contextlib.suppress(BlockingIOError):
                self._read_error()

    def _read_some(self) -> list[tuple[bytes, Peer]]:
        received: list[tuple[bytes, Peer]] = []
        amplification = None if self.limits is None else self.limits.amplification
        peers, recvmsg = self._peers, self._socket.recvmsg
        for _ in range(DATAGRAMS_AT_ONCE):
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
            if amplification is not None:
                amplification.received(peer.host, len(data))
            if self.trace is not None:
                self.trace(data, peer, True)
            received.append((data, peer))
        return received

    def _new_peer(self, remote: Any, control: _Control) -> Peer:
        if len(self._peers) >= PEERS_MAX:
            self._peers.clear()
        peer = Peer(remote, _local_address(control))
        self._peers[remote] = control, peer
        return peer

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


async def answers_probe(
    host: str, port: int, probe: bytes, is_answer: Callable[[bytes], bool], limit_s: float
) -> bool:
    """Whether a UDP server of this machine answers `probe` within `limit_s` as `is_answer` says."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class _Probe(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: Any) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    # A dual-stack socket receives IPv4 too, and the IPv6 loopback may be disabled.
    host = "127.0.0.1" if host in ANY else host
    try:
        transport, _ = await loop.create_datagram_endpoint(_Probe, remote_addr=(host, port))
    except OSError:
        return False  # for example no free file descriptor
    try:
        transport.sendto(probe)
        async with asyncio.timeout(limit_s):
            return is_answer(await answer)
    except (OSError, TimeoutError):
        return False
    finally:
        transport.close()
