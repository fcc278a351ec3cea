# SPDX-License-Identifier: BSD-3-Clause
"""The one UDP socket of the CoAP gateway, under aiocoap's stack.

aiocoap's own server context would share a port that is taken (SO_REUSEPORT) and open TCP, TLS
and WebSocket listeners next to it. This one opens what it is told and nothing else.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

import aiocoap
from aiocoap.numbers.constants import TransportTuning
from aiocoap.resource import Site
from aiocoap.transports.udp6 import MessageInterfaceUDP6, UDP6EndpointAddress

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.datagrams import Lane, Traced, Watcher
from pyaiot.gateways.coap.peers import Address
from pyaiot.protocols.coap.message import CoapMessage, rejection
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.coap.post import PAYLOAD_BYTES_MAX, write_too_many
from pyaiot.protocols.coap.request import is_request, option_problem, read_datagram, write_error
from pyaiot.transport.anti_amplification import AmplificationLimit
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.udp import udp_socket

DATAGRAM_BYTES_MAX: Final = 65536
DATAGRAMS_PER_TURN: Final = 64
"""Datagrams that are read at once. Then others have their turn of the loop."""
REMEMBERED_S: Final = 60.0
"""How long aiocoap remembers a request, to know it again: as long as the lane a post, for the same
reason. It would be 247 s, and each takes 3.4 kB."""
HOST_REQUESTS_PER_S: Final = 20.0
HOST_REQUESTS_BURST: Final = 200.0
"""Requests that reach aiocoap from a host that never answered one, sustained and at once. Above:
4.29, or no answer to a Non-confirmable one."""
STRANGERS_REQUESTS_PER_S: Final = 50.0
STRANGERS_REQUESTS_BURST: Final = 500.0
"""The same of all such hosts together. Above: not answered, and counted."""
NODE_REQUESTS_PER_S: Final = 50.0
NODE_REQUESTS_BURST: Final = 1200.0
"""Requests that reach aiocoap from a host of nodes that answer, say with the blocks of a large
value. Above: 4.29, or no answer to a Non-confirmable one."""
NODES_REQUESTS_PER_S: Final = 500.0
NODES_REQUESTS_BURST: Final = 2000.0
"""The same of all nodes together. Above: not answered, and counted."""
ANSWER_MESSAGE_IDS: Final = 0x8000
"""Message IDs below this are those of answers. Requests to nodes have the others."""
_ERROR_QUEUE: Final = 0x2000
"""MSG_ERRQUEUE of Linux, which Python 3.11 has no name for; recvmsg(2)."""
_IPV6_RECVERR: Final = 25
_ERRORS: Final = 0x80
_ACK: Final = 0x60
_RESPONSES: Final = 0x40
"""Codes of responses begin here (RFC 7252 section 12.1)."""
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


class _Remembering(TransportTuning):  # type: ignore[misc]  # aiocoap has no types
    """How requests that come in are remembered."""

    EXCHANGE_LIFETIME = REMEMBERED_S


class Client(Watcher, Protocol):
    """Is asked before the watcher: our requests to nodes, which do not go through aiocoap."""

    def failed(self, error: OSError, peer: "Peer", quoted: bytes | None) -> None:
        """The network said that there is no way to a peer: by ICMP, or (`quoted` None) at once."""


class _Transport(MessageInterfaceUDP6):  # type: ignore[misc]  # aiocoap has no types
    """aiocoap's transport, with scoped peers, and with errors that meet whom they are about."""

    _watch: "select.epoll | None" = None
    _lane: "Lane | None" = None
    client: "Client | None" = None
    watcher: "Watcher | None" = None
    _restraint: "AmplificationLimit | None" = None
    trace: "Traced | None" = None
    _socket: socket.socket

    def listen(self, sock: socket.socket) -> None:
        """Read the socket through an epoll of its own, where there is one.

        libuv ends its watch of a socket for good when an ICMP error comes (`uv__poll_io`): one
        node that is switched off would make the gateway deaf. An epoll is never in error itself.
        """
        self._socket = sock
        self._answers_as_bound = sock.getsockname()[0] != "::"
        self._strangers = HostRateLimit(
            Rate(HOST_REQUESTS_PER_S, HOST_REQUESTS_BURST),
            Rate(STRANGERS_REQUESTS_PER_S, STRANGERS_REQUESTS_BURST),
        )
        self._nodes = HostRateLimit(
            Rate(NODE_REQUESTS_PER_S, NODE_REQUESTS_BURST),
            Rate(NODES_REQUESTS_PER_S, NODES_REQUESTS_BURST),
        )
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

    def refusals(self) -> tuple[int, int]:
        """Datagrams not sent to who proved nothing, and requests over a rate, ever."""
        held_back = 0 if self._restraint is None else self._restraint.held_back
        return held_back, self._strangers.refused + self._nodes.refused

    def _read(self) -> None:
        lane, restraint = self._lane, self._restraint
        # At most so many: a flood must not keep the loop from everything else.
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, ancdata, _flags, sockaddr = self._socket.recvmsg(DATAGRAM_BYTES_MAX, 256)
            except BlockingIOError:
                break
            except OSError as error:
                # The same error is in the queue, with the address that it is about.
                log.debug("CoAP socket: %s", error)
                continue
            if restraint is not None:
                restraint.received(sockaddr[0], len(data))
            if self.trace is not None:
                self.trace(data, sockaddr, _control(ancdata, socket.IPV6_PKTINFO), True)
            if lane is not None:
                pktinfo = _control(ancdata, socket.IPV6_PKTINFO)
                answer = lane.receive(data, sockaddr, pktinfo)
                if answer is not None:
                    if answer:
                        self._send(answer, sockaddr, pktinfo)
                    continue
            self.datagram_msg_received(data, ancdata, 0, sockaddr)
        with contextlib.suppress(BlockingIOError):
            self.datagram_errqueue_received(
                *self._socket.recvmsg(DATAGRAM_BYTES_MAX, 1024, _ERROR_QUEUE)
            )

    def datagram_msg_received(
        self, data: bytes, ancdata: list[tuple[int, int, bytes]], _flags: int, address: Any
    ) -> None:
        """A datagram for a request of ours, for a watch, or for aiocoap."""
        for receiver in (self.client, self.watcher):
            answer = None if receiver is None else receiver.receive(data, address)
            if answer is not None:
                if answer:
                    self._send(answer, address, _control(ancdata, socket.IPV6_PKTINFO))
                return
        peer = Peer(address, self, pktinfo=_control(ancdata, socket.IPV6_PKTINFO))
        try:
            read = read_datagram(data)
        except ProtocolError as error:
            self._refuse(peer, rejection(data) or b"", error)
            return
        if self._lane is not None and not self._is_let_through(self._lane, data, peer):
            return
        if is_request(read) and not self._is_in_order(read, peer):
            return
        try:
            message = aiocoap.Message.decode(data, peer)
        except (aiocoap.error.UnparsableMessage, ValueError):
            log.debug("%s sent what aiocoap does not take", address)
            return
        message.direction = aiocoap.message.Direction.INCOMING
        if message.code.is_request():
            message.transport_tuning = _Remembering()
        with contextlib.suppress(_CANCELLED_MEANWHILE):
            self._ctx.dispatch_message(message)

    def _is_in_order(self, request: CoapMessage, peer: Peer) -> bool:
        """Whether somebody may handle a request; if not, it is answered here."""
        problem = option_problem(request)
        if problem:
            # RFC 7252 section 5.4.1: if it is Non-confirmable, it is ignored.
            confirmable = request.mtype is MessageType.CON
            answer = write_error(request, Code.BAD_OPTION, 0) if confirmable else b""
            self._refuse(peer, answer, problem)
        elif len(request.payload) > PAYLOAD_BYTES_MAX:
            # RFC 7959 section 4: Size1 is the largest that would be taken at once.
            size1 = OptionNumber.SIZE1, PAYLOAD_BYTES_MAX
            code = Code.REQUEST_ENTITY_TOO_LARGE
            answer = write_error(request, code, self.next_message_id(), size1)
            self._refuse(peer, answer, f"it has more than {PAYLOAD_BYTES_MAX} bytes")
        else:
            return True
        return False

    def _refuse(self, peer: Peer, answer: bytes, problem: object) -> None:
        if answer:
            self._send(answer, peer.sockaddr, peer.pktinfo)
        if self._lane is not None:
            self._lane.post_refused(peer.address.host, problem)

    def _is_let_through(self, lane: Lane, data: bytes, peer: Peer) -> bool:
        """Whether aiocoap sees a datagram: it remembers each request, from whomever it is."""
        code = data[1]
        if code == 0:
            # A ping is answered, and nothing kept of it. Others end an exchange of ours, or none.
            message_id = data[2] << 8 | data[3]
            return data[0] & 0x30 == 0 or (peer, message_id) in self._ctx._active_exchanges
        if code >= _RESPONSES:
            return self._reset(peer, data)
        if (_token(data), peer) in self._ctx.token_manager.incoming_requests:
            # RFC 7252 section 5.3.1: a token is in use once. It is answered when it comes again;
            # aiocoap would end the other one, and complain if that has not begun.
            return False
        host = peer.address.host
        proved = self._restraint is not None and self._restraint.credit(peer.sockaddr[0]) is None
        crowd = self._nodes if proved else self._strangers
        wait_s = crowd.take(host, now=self.loop.time())
        if wait_s == 0:
            return True
        if wait_s is not None:
            answer = write_too_many(data, int(wait_s) + 1)
            if answer:
                self._send(answer, peer.sockaddr, peer.pktinfo)
        lane.post_refused(host, "too many requests")
        return False

    def _reset(self, peer: Peer, data: bytes) -> bool:
        """Reject a Confirmable response that nobody asked for (RFC 7252 section 4.2): False."""
        answer = rejection(data)
        if answer is not None:
            self._send(answer, peer.sockaddr, peer.pktinfo)
        return False

    def datagram_errqueue_received(
        self, data: bytes, ancdata: list[tuple[int, int, bytes]], _flags: int, address: Any
    ) -> None:
        """An ICMP error: the request that it quotes fails now."""
        error = _control(ancdata, _IPV6_RECVERR)
        if error is not None:
            # struct sock_extended_err begins with the number of the error.
            self._failed(struct.unpack_from("=I", error)[0], Peer(address, self), data)

    def send(self, message: aiocoap.Message) -> None:
        datagram = message.encode()
        if getattr(message, "is_unwanted", False):
            # RFC 7967 section 2.1: a Confirmable request is acknowledged all the same.
            if message.mtype is not aiocoap.ACK:
                return
            datagram = bytes((_ACK, 0)) + datagram[2:4]
        elif self._restraint is not None and message.code >= _ERRORS:
            credit = self._restraint.credit(message.remote.sockaddr[0])
            if credit is not None and credit < len(datagram):
                message.payload = b""  # words for people; the code says it too
                datagram = message.encode()
        self._send(datagram, message.remote.sockaddr, message.remote.pktinfo)

    def _send(self, datagram: bytes, sockaddr: Any, pktinfo: bytes | None) -> None:
        restraint = self._restraint
        if restraint is not None and not restraint.may_send(sockaddr[0], len(datagram)):
            log.debug("nothing more is sent to %s before it answers", sockaddr)
            return
        if self.trace is not None:
            self.trace(datagram, sockaddr, pktinfo, False)
        try:
            try:
                self._send_once(datagram, sockaddr, pktinfo)
            except BlockingIOError:
                raise
            except OSError:
                # Linux tells the ICMP error of an earlier datagram to whoever sends next, to
                # whatever address, and has then forgotten it.
                self._send_once(datagram, sockaddr, pktinfo)
        except BlockingIOError:
            log.debug("a datagram to %s was lost here: the socket is full", sockaddr)
        except OSError as error:
            # Not at once: aiocoap is in the middle of its bookkeeping of this message.
            self.loop.call_soon(self._failed, error.errno or 0, Peer(sockaddr, self), None)

    def _send_once(self, datagram: bytes, sockaddr: Any, pktinfo: bytes | None) -> None:
        if pktinfo is None or self._answers_as_bound:
            self._socket.sendto(datagram, sockaddr)
            return
        # From the address that the peer spoke to: we have several.
        control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, pktinfo)]
        self._socket.sendmsg((datagram,), control, 0, sockaddr)

    def proved(self, peer: Peer) -> None:
        if self._restraint is not None:
            self._restraint.proved(peer.sockaddr[0])

    def is_proved(self, peer: Peer) -> bool:
        return self._restraint is None or self._restraint.credit(peer.sockaddr[0]) is None

    def next_message_id(self) -> int:
        """Of answers: it is unique towards each peer for long enough."""
        message_id: int = self._ctx._next_message_id()
        return message_id

    def send_to(self, datagram: bytes, peer: Peer) -> None:
        self._send(datagram, peer.sockaddr, peer.pktinfo)

    def _failed(self, number: int, peer: Peer, quoted: bytes | None) -> None:
        if self._shutting_down is None:
            error = OSError(number, os.strerror(number))
            if self.client is not None:
                self.client.failed(error, peer, quoted)
            with contextlib.suppress(_CANCELLED_MEANWHILE):
                self._ctx.dispatch_error(error, peer)


def _token(datagram: bytes) -> bytes:
    return datagram[4 : 4 + (datagram[0] & 0x0F)]


def _control(ancdata: list[tuple[int, int, bytes]], wanted: int) -> bytes | None:
    for level, kind, data in ancdata:
        if level == socket.IPPROTO_IPV6 and kind == wanted:
            return data
    return None


def plain_host(host: str) -> str:
    """An address as people write it: no zone, IPv4 not mapped into IPv6."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address)


async def open_context(host: str, port: int, site: Site, *, interface: str = "") -> aiocoap.Context:
    """A CoAP context on one UDP port. Raises `OperatorError` if the port cannot be had.

    `interface`: hear and speak on this network interface only.
    """
    loop = asyncio.get_running_loop()
    # A stranger's odd datagram is worth no line in the operator's log.
    logging.getLogger("coap-gateway").setLevel(logging.ERROR)
    context = aiocoap.Context(loop=loop, serversite=site, loggername="coap-gateway")
    sock = udp_socket(host, port, interface, protocol="CoAP", flag="--coap-port")

    async def listening(manager: Any) -> _Transport:
        transport: _Transport = await _Transport._create_transport_endpoint(
            sock, manager, log=context.log, loop=loop
        )
        transport.listen(sock)
        return transport

    try:
        # How aiocoap's own constructors add a transport; there is no public way to give a socket.
        await context._append_tokenmanaged_messagemanaged_transport(listening)
    except BaseException:
        sock.close()
        raise
    messages = context.request_interfaces[0].token_interface
    messages._retransmit = _unless_cancelled(messages._retransmit)
    any_message_id = messages._next_message_id
    messages._next_message_id = lambda: any_message_id() % ANSWER_MESSAGE_IDS
    return context


def _unless_cancelled(retransmit: Callable[..., None]) -> Callable[..., None]:
    """The last wait of a request may end in the turn in which its deadline cancels it."""

    def retransmit_or_not(*exchange: Any) -> None:
        with contextlib.suppress(_CANCELLED_MEANWHILE):
            retransmit(*exchange)

    return retransmit_or_not


def local_address(context: aiocoap.Context) -> tuple[str, int]:
    """The address and UDP port that the context has, also when it asked for any."""
    host, port = _transport(context)._socket.getsockname()[:2]
    return host, port


def open_lane(context: aiocoap.Context, lane: Lane) -> None:
    """Have `lane` asked of each datagram before aiocoap, and strangers sent no more than is due."""
    transport = _transport(context)
    transport._lane = lane
    transport._restraint = AmplificationLimit()


def peer_at(context: aiocoap.Context, sockaddr: Any, pktinfo: bytes | None) -> Peer:
    """The endpoint that a datagram came from."""
    return Peer(sockaddr, _transport(context), pktinfo=pktinfo)


def next_message_id(context: aiocoap.Context) -> int:
    """Of the context's own row: it is unique towards each peer for long enough."""
    return _transport(context).next_message_id()


def watched_socket(context: aiocoap.Context) -> "_Transport":
    """The socket, whose `watcher` and `trace` may be set (see `watching.WatchedSocket`)."""
    return _transport(context)


def _transport(context: aiocoap.Context) -> _Transport:
    interface: _Transport = context.request_interfaces[0].token_interface.message_interface
    return interface
