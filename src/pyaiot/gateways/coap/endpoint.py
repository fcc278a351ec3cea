# SPDX-License-Identifier: BSD-3-Clause
"""The one UDP socket of the CoAP gateway, under aiocoap's stack.

aiocoap's own server context would share a port that is taken (SO_REUSEPORT) and open TCP, TLS
and WebSocket listeners next to it. This one opens what it is told and nothing else.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import aiocoap
from aiocoap.resource import Site
from aiocoap.transports.udp6 import MessageInterfaceUDP6, UDP6EndpointAddress

from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.peers import Address

DATAGRAM_BYTES_MAX: Final = 65536
PAYLOAD_BYTES_MAX: Final = 1024
"""Payload of one request. More is answered 4.13, and may come in blocks (RFC 7959)."""
_ERROR_QUEUE: Final = 0x2000
"""MSG_ERRQUEUE of Linux, which Python 3.11 has no name for; recvmsg(2)."""
_IPV6_RECVERR: Final = 25
_CANCELLED_MEANWHILE: Final = asyncio.InvalidStateError
"""aiocoap hears in the next turn of the loop that a request was cancelled in this one, as at its
deadline. An answer or an error that comes in this very turn finds nobody, and is dropped."""

log = logging.getLogger(__name__)


class Peer(UDP6EndpointAddress):  # type: ignore[misc]  # aiocoap has no types
    """An endpoint with its scope: fe80::1 on two interfaces is two peers.

    aiocoap leaves the scope out of the comparison, so that an answer from one interface would
    end a request to the other.
    """

    # aiocoap makes endpoints of its own class from ICMP errors, and looks ours up by them.
    __hash__ = UDP6EndpointAddress.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UDP6EndpointAddress) and self.sockaddr == other.sockaddr

    @property
    def address(self) -> Address:
        host, port, _, scope_id = self.sockaddr
        return Address(plain_host(host), port, scope_id)

    @property
    def is_this_machine(self) -> bool:
        """The datagram came from the very address that it was sent to."""
        return self.pktinfo is not None and self._plainaddress_local() == self.address.host

    def at_port(self, port: int) -> "Peer":
        """The same machine, reached from the same local address, at another port."""
        host, _, flow_info, scope_id = self.sockaddr
        return Peer((host, port, flow_info, scope_id), self.interface, pktinfo=self.pktinfo)


class _Transport(MessageInterfaceUDP6):  # type: ignore[misc]  # aiocoap has no types
    """aiocoap's transport, with scoped peers, and with errors that meet whom they are about."""

    _watch: "select.epoll | None" = None
    refused: "Callable[[Peer, str], None] | None" = None
    """Told of each request that is refused here, and why."""

    def listen(self) -> None:
        """Read the socket through an epoll of its own, where there is one.

        libuv ends its watch of a socket for good when an ICMP error comes (`uv__poll_io`): one
        node that is switched off would make the gateway deaf. An epoll is never in error itself.
        """
        if hasattr(select, "epoll"):
            self._watch = select.epoll()
            self._watch.register(self._socket, select.EPOLLIN)
            self.loop.remove_reader(self._socket)
            self.loop.add_reader(self._watch, self._read)

    async def shutdown(self) -> None:
        if self._watch is not None:
            self.loop.remove_reader(self._watch)
            self._watch.close()
        await super().shutdown()

    @property
    def _socket(self) -> socket.socket:
        opened: socket.socket = self.transport.get_extra_info("socket")
        return opened

    def _read(self) -> None:
        for flags in (_ERROR_QUEUE, 0):
            try:
                found = self._socket.recvmsg(DATAGRAM_BYTES_MAX, 1024, flags)
            except BlockingIOError:
                continue
            except OSError as error:
                # The same error is in the queue, with the address that it is about.
                log.debug("CoAP socket: %s", error)
                continue
            if flags:
                self.datagram_errqueue_received(*found)
            else:
                self.datagram_msg_received(*found)

    def datagram_msg_received(
        self, data: bytes, ancdata: list[tuple[int, int, bytes]], _flags: int, address: Any
    ) -> None:
        pktinfo = _control(ancdata, socket.IPV6_PKTINFO)
        try:
            message = aiocoap.Message.decode(data, Peer(address, self, pktinfo=pktinfo))
        except (aiocoap.error.UnparsableMessage, ValueError):
            # Not CoAP: RFC 7252 section 4.2 and 4.3 let it be ignored silently.
            log.debug("%s sent what is not CoAP", address)
            return
        message.direction = aiocoap.message.Direction.INCOMING
        if message.code.is_request() and len(message.payload) > PAYLOAD_BYTES_MAX:
            self._refuse_size(message)
            return
        with contextlib.suppress(_CANCELLED_MEANWHILE):
            self._ctx.dispatch_message(message)

    def _refuse_size(self, request: aiocoap.Message) -> None:
        confirmable = request.mtype is aiocoap.CON
        answer = aiocoap.Message(
            code=aiocoap.REQUEST_ENTITY_TOO_LARGE,
            _mtype=aiocoap.ACK if confirmable else aiocoap.NON,
            _mid=request.mid if confirmable else self._ctx._next_message_id(),
            _token=request.token,
            # RFC 7959 section 4: the largest that would be taken at once.
            size1=PAYLOAD_BYTES_MAX,
        )
        answer.remote = request.remote.as_response_address()
        self.send(answer)
        if self.refused is not None:
            self.refused(request.remote, f"it has more than {PAYLOAD_BYTES_MAX} bytes")

    def datagram_errqueue_received(
        self, _data: bytes, ancdata: list[tuple[int, int, bytes]], _flags: int, address: Any
    ) -> None:
        """An ICMP error: what waits for an answer of this peer fails now."""
        error = _control(ancdata, _IPV6_RECVERR)
        if error is not None:
            # struct sock_extended_err begins with the number of the error.
            self._failed(struct.unpack_from("=I", error)[0], Peer(address, self))

    def send(self, message: aiocoap.Message) -> None:
        peer = message.remote
        control = []
        if peer.pktinfo is not None:
            control.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, peer.pktinfo))
        datagram = (message.encode(),)
        try:
            try:
                self._socket.sendmsg(datagram, control, 0, peer.sockaddr)
            except OSError:
                # Linux tells the ICMP error of an earlier datagram to whoever sends next, to
                # whatever address, and has then forgotten it.
                self._socket.sendmsg(datagram, control, 0, peer.sockaddr)
        except BlockingIOError:
            log.debug("a datagram to %s was lost here: the socket is full", peer.hostinfo)
        except OSError as error:
            # Not at once: aiocoap is in the middle of its bookkeeping of this message.
            self.loop.call_soon(self._failed, error.errno or 0, peer)

    def _failed(self, number: int, peer: Peer) -> None:
        if self._shutting_down is None:
            with contextlib.suppress(_CANCELLED_MEANWHILE):
                self._ctx.dispatch_error(OSError(number, os.strerror(number)), peer)


def _control(ancdata: list[tuple[int, int, bytes]], wanted: int) -> bytes | None:
    for level, kind, data in ancdata:
        if level == socket.IPPROTO_IPV6 and kind == wanted:
            return data
    return None


def plain_host(host: str) -> str:
    """An address as people write it: no zone, IPv4 not mapped into IPv6."""
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address)


async def open_context(host: str, port: int, site: Site, *, interface: str = "") -> aiocoap.Context:
    """A CoAP context on one UDP port. Raises `OperatorError` if the port cannot be had.

    `interface`: hear and speak on this network interface only.
    """
    loop = asyncio.get_running_loop()
    # A stranger's odd datagram is worth no line in the operator's log.
    logging.getLogger("coap-gateway").setLevel(logging.ERROR)
    # Its errors are answers that nobody waits for any more: the deadline was first.
    logging.getLogger("coap-gateway.blockwise-requester").setLevel(logging.CRITICAL)
    context = aiocoap.Context(loop=loop, serversite=site, loggername="coap-gateway")
    sock = _bind(host, port, interface)

    async def listening(manager: Any) -> _Transport:
        transport: _Transport = await _Transport._create_transport_endpoint(
            sock, manager, log=context.log, loop=loop
        )
        transport.listen()
        return transport

    try:
        # How aiocoap's own constructors add a transport; there is no public way to give a socket.
        await context._append_tokenmanaged_messagemanaged_transport(listening)
    except BaseException:
        sock.close()
        raise
    return context


def local_address(context: aiocoap.Context) -> tuple[str, int]:
    """The address and UDP port that the context has, also when it asked for any."""
    host, port = _transport(context)._socket.getsockname()[:2]
    return host, port


def tell_refusals(context: aiocoap.Context, refused: Callable[[Peer, str], None]) -> None:
    """Have `refused` called for each request that is refused before the site sees it."""
    _transport(context).refused = refused


def _transport(context: aiocoap.Context) -> _Transport:
    interface: _Transport = context.request_interfaces[0].token_interface.message_interface
    return interface


async def answers_ping(host: str, port: int, limit_s: float) -> bool:
    """Whether an endpoint of this machine answers a CoAP ping (RFC 7252 section 4.3)."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class _Ping(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: Any) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    host = {"::": "::1"}.get(host, host)
    try:
        transport, _ = await loop.create_datagram_endpoint(_Ping, remote_addr=(host, port))
    except OSError:
        # No file descriptor is free, for one.
        return False
    try:
        # Empty, confirmable, message id 1; the answer is an empty reset of that id.
        transport.sendto(b"\x40\x00\x00\x01")
        async with asyncio.timeout(limit_s):
            return await answer == b"\x70\x00\x00\x01"
    except (OSError, TimeoutError):
        return False
    finally:
        transport.close()


def _bind(host: str, port: int, interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # IPv4 arrives here too, as mapped addresses.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        found = socket.getaddrinfo(
            host or "::", port, socket.AF_INET6, socket.SOCK_DGRAM, 0, socket.AI_V4MAPPED
        )
        sock.bind(found[0][4])
    except OSError as error:
        sock.close()
        if isinstance(error, socket.gaierror):
            raise OperatorError(f"CoAP cannot listen on {host!r}: {error.strerror}.") from error
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"UDP port {port} is taken: end the other CoAP server, or choose another port"
                " with --coap-port."
            ) from error
        if error.errno in (errno.ENODEV, errno.EPERM) and interface:
            raise OperatorError(
                f"CoAP cannot use the network interface {interface!r}: {error.strerror}."
            ) from error
        raise OperatorError(f"CoAP cannot listen on {host} port {port}: {error}.") from error
    return sock
