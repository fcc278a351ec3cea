# SPDX-License-Identifier: BSD-3-Clause
"""The UDP socket of the MQTT-SN gateway."""

import asyncio
import errno
import ipaddress
import logging
import select
import socket
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import confine_to_loopback, is_both_loopbacks

DATAGRAM_BYTES_MAX: Final = 65536
"""The largest datagram that UDP can carry."""
TURN_DATAGRAMS_MAX: Final = 64
"""Datagrams that are read in a row. Then the MQTT connections are served."""
RECEIVE_BUFFER: Final = 1024 * 1024
"""Size in bytes of the kernel's receive buffer. Beyond it, datagrams are lost."""

log = logging.getLogger(__name__)


class Address(NamedTuple):
    """The source of a datagram, and the own address that it was sent to."""

    remote: tuple[str, int] | tuple[str, int, int, int]
    """As the socket reports it, with the scope of a link-local address."""
    local: bytes = b""
    """Packet info to answer from the same address; empty if the socket is bound to one."""

    @property
    def host(self) -> str:
        """The IP address without port and zone; IPv4 is not mapped into IPv6."""
        address = ipaddress.ip_address(str(self.remote[0]).partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return str(mapped or address)


class Endpoint:
    """One UDP port."""

    def __init__(self, host: str, port: int, advertise_address: str = "") -> None:
        """Raises `OperatorError` if the port or the advertise address cannot be used."""
        self._socket = _bind(host, port, confined=not advertise_address)
        self._loop = asyncio.get_running_loop()
        self._watch: select.epoll | None = None
        self._on_datagram: Callable[[bytes, Address], None] | None = None
        self.host: str
        self.port: int
        self.host, self.port = self._socket.getsockname()[:2]
        self._wildcard = self.host in ("::", "0.0.0.0")  # noqa: S104 - compared, not bound
        self.unsent = 0
        """Datagrams that the system did not accept."""
        self._advertise_to: tuple[Any, ...] | None = None
        try:
            if self._wildcard:
                self._enable_packet_info()
            if advertise_address:
                self._advertise_to = self._prepare_advertising(advertise_address)
        except BaseException:
            self._socket.close()
            raise

    def listen(self, on_datagram: Callable[[bytes, Address], None]) -> None:
        """Pass each datagram to `on_datagram`, which must not raise.

        Where epoll exists, the socket is watched through an epoll of its own: libuv stops watching
        a socket for good after an ICMP error, and an epoll itself never has errors.
        """
        self._on_datagram = on_datagram
        if hasattr(select, "epoll"):
            self._watch = select.epoll()
            self._watch.register(self._socket, select.EPOLLIN)
            self._loop.add_reader(self._watch, self._read)
        else:
            self._loop.add_reader(self._socket, self._read)

    def send(self, datagram: bytes, address: Address) -> None:
        """Send the datagram, or count it as unsent: the protocol retransmits what matters."""
        self._send(datagram, address.remote, address.local)

    def advertise(self, datagram: bytes) -> None:
        if self._advertise_to is not None:
            self._send(datagram, self._advertise_to, b"")

    def close(self) -> None:
        if self._watch is not None:
            self._loop.remove_reader(self._watch)
            self._watch.close()
            self._watch = None
        elif self._on_datagram is not None:
            self._loop.remove_reader(self._socket)
        self._on_datagram = None
        self._socket.close()

    def _read(self) -> None:
        for _ in range(TURN_DATAGRAMS_MAX):
            if self._on_datagram is None:
                return
            try:
                datagram, address = self._receive()
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP error for a datagram that was sent earlier: its receiver is unreachable.
                log.debug("MQTT-SN socket: %s", error)
                continue
            self._on_datagram(datagram, address)

    def _receive(self) -> tuple[bytes, Address]:
        if not self._wildcard:
            datagram, remote = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            return datagram, Address(remote)
        datagram, control, _, remote = self._socket.recvmsg(DATAGRAM_BYTES_MAX, 128)
        return datagram, Address(remote, self._local(control))

    def _local(self, control: list[tuple[int, int, bytes]]) -> bytes:
        for _, kind, data in control:
            if kind == socket.IPV6_PKTINFO and self._socket.family is socket.AF_INET6:
                # A group is no source address: the interface suffices.
                group = ipaddress.IPv6Address(data[:16])
                if (group.ipv4_mapped or group).is_multicast:
                    return bytes(16) + data[16:]
                return data
            if kind == _IP_PKTINFO and self._socket.family is socket.AF_INET:
                # struct in_pktinfo: interface, our address, the address in the header
                return bytes(4) + data[4:8] + bytes(4)
        return b""

    def _send(self, datagram: bytes, remote: tuple[Any, ...], local: bytes) -> None:
        control = []
        if local and self._socket.family is socket.AF_INET6:
            control.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local))
        elif local:
            control.append((socket.IPPROTO_IP, _IP_PKTINFO, local))
        try:
            if control:
                self._socket.sendmsg((datagram,), control, 0, remote)
            else:
                self._socket.sendto(datagram, remote)
        except OSError as error:
            self.unsent += 1
            log.debug("MQTT-SN: a datagram to %s was not sent: %s", remote, error)

    def _enable_packet_info(self) -> None:
        if self._socket.family is socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif _IP_PKTINFO:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def _prepare_advertising(self, text: str) -> tuple[Any, ...]:
        """The target of ADVERTISE. A group is joined, so that SEARCHGW sent to it is received."""
        try:
            found = socket.getaddrinfo(
                text,
                self.port,
                self._socket.family,
                socket.SOCK_DGRAM,
                0,
                socket.AI_NUMERICHOST
                | (socket.AI_V4MAPPED if self._socket.family is socket.AF_INET6 else 0),
            )[0][4]
            address = ipaddress.ip_address(text.partition("%")[0])
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if address.is_multicast and address.version == 6:
                group = address.packed + int(found[3]).to_bytes(4, "little" if _LITTLE else "big")  # type: ignore[misc]
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
                self._socket.setsockopt(
                    socket.IPPROTO_IPV6,
                    socket.IPV6_MULTICAST_IF,
                    int(found[3]),  # type: ignore[misc]
                )
            elif address.is_multicast:
                group = address.packed + socket.INADDR_ANY.to_bytes(4, "big")
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        except (OSError, ValueError) as error:
            raise OperatorError(
                f"mqttsn.advertise_address: {text!r} cannot be used from {self.host}: {error}."
            ) from error
        return found


_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)  # Linux; Python 3.11 has no name for it
_LITTLE: Final = socket.htons(1) != 1


def _bind(host: str, port: int, *, confined: bool) -> socket.socket:
    """A socket of the family of the address. `::` accepts IPv4 too. Raises `OperatorError`.

    `confined`: a loopback address means those of both families, if the system allows it.
    """
    try:
        sock, address = _new_socket(host, port, confined=confined)
    except OSError as error:
        raise OperatorError(f"MQTT-SN cannot listen on {host!r}: {error.strerror}.") from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"UDP port {port} is in use: stop the other MQTT-SN gateway, or choose another port"
                " with --mqttsn-port."
            ) from error
        raise OperatorError(f"MQTT-SN cannot listen on {host} port {port}: {error}.") from error
    return sock


def _new_socket(host: str, port: int, *, confined: bool) -> tuple[socket.socket, Any]:
    """A socket, not bound yet, and the address to bind it to. Raises `OSError`."""
    host = host or "::"
    if host == "::" or (confined and is_both_loopbacks(host)):
        try:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        except OSError:
            # The kernel has no IPv6.
            host = "0.0.0.0" if host == "::" else "127.0.0.1"  # noqa: S104 - as requested
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if host == "::" or confine_to_loopback(sock):
                return sock, ("::", port)
            sock.close()
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family is socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock, address


async def finds_gateway(host: str, port: int, limit_s: float) -> bool:
    """Whether a gateway on this machine answers SEARCHGW (6.1) in time."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class _Search(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: Any) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    # The same socket receives IPv4, and loopback of IPv6 may be disabled.
    host = {"::": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared
    try:
        transport, _ = await loop.create_datagram_endpoint(_Search, remote_addr=(host, port))
    except OSError:
        return False  # for example, no free file descriptor
    try:
        transport.sendto(b"\x03\x01\x00")
        async with asyncio.timeout(limit_s):
            return (await answer)[1:2] == b"\x02"  # GWINFO
    except (OSError, TimeoutError):
        return False
    finally:
        transport.close()
