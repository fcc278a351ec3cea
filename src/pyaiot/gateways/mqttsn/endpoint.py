# SPDX-License-Identifier: BSD-3-Clause
"""The UDP socket of the MQTT-SN gateway."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Final

from pyaiot.errors import OperatorError
from pyaiot.gateways.mqttsn.admission import host_limits
from pyaiot.transport.addresses import ANY, confine_to_loopback, is_both_loopbacks, name_lookup
from pyaiot.transport.peers import Peer
from pyaiot.transport.udp import DatagramEndpoint, Receive
from pyaiot.transport.udp_sockets import answers_probe, bind

RECEIVE_BUFFER: Final = 1024 * 1024
"""Size in bytes of the kernel's receive buffer. Beyond it, datagrams are lost."""


class Endpoint:
    """The UDP port of the gateway."""

    def __init__(self, host: str, port: int, advertise_address: str = "") -> None:
        """Raises `OperatorError` if the port or the advertise address cannot be used."""
        self._socket = _bind(host, port, confined=not advertise_address)
        self.host: str = self._socket.getsockname()[0]
        self._advertise_to: Peer | None = None
        self.limits = host_limits()
        try:
            self._datagrams = DatagramEndpoint(
                self._socket,
                asyncio.get_running_loop(),
                protocol="MQTT-SN",
                local_addresses=self.host in ANY,
                limits=self.limits,
            )
            self.port = self._datagrams.port
            if advertise_address:
                self._advertise_to = Peer(self._prepare_advertising(advertise_address))
        except BaseException:
            self._socket.close()
            raise

    @property
    def unsent(self) -> int:
        """Datagrams that the system did not accept."""
        return self._datagrams.unsent

    def listen(self, receive: Receive) -> None:
        """See `DatagramEndpoint.listen`."""
        self._datagrams.listen(receive)

    def send_all(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        """Send, or count as not sent: the protocol repeats what matters."""
        self._datagrams.send_all(datagrams)

    def advertise(self, datagram: bytes) -> None:
        if self._advertise_to is not None:
            self._datagrams.send_unlimited(datagram, self._advertise_to)

    def close(self) -> None:
        self._datagrams.close()

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


_LITTLE: Final = socket.htons(1) != 1


def _bind(host: str, port: int, *, confined: bool) -> socket.socket:
    """A socket of the family of the address. `::` accepts IPv4 too. Raises `OperatorError`.

    `confined`: a loopback address means those of both families, if the system allows it.
    """
    try:
        sock, address = _new_socket(host, port, confined=confined)
    except OSError as error:
        raise OperatorError(f"MQTT-SN cannot listen on {host!r}: {error.strerror}.") from error
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    bind(sock, address, host, server="MQTT-SN gateway", flag="--mqttsn-port")
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
    with name_lookup():
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family is socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock, address


async def finds_gateway(host: str, port: int, limit_s: float) -> bool:
    """Whether a gateway on this machine answers SEARCHGW (6.1)."""
    return await answers_probe(
        host, port, b"\x03\x01\x00", lambda answer: answer[1:2] == b"\x02", limit_s
    )
