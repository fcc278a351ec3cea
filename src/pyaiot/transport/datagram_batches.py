# SPDX-License-Identifier: BSD-3-Clause
"""Many datagrams in one system call: recvmmsg(2) and sendmmsg(2), which Python does not offer.

Each datagram has a slot: its bytes, and beside them the address of its peer followed by the packet
info (the local address), in the form of the kernel. These last two together are the *route* of the
datagram: that of a received one, written into another slot, answers it.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pyaiot.transport.peers import Peer

BATCH_MAX: Final = 32
"""Datagrams of one system call."""
RECEIVED_BYTES_MAX: Final = 65536
"""Bytes of one received datagram. UDP has no larger ones. Unused pages take no memory."""
SENT_BYTES_MAX: Final = 2048
"""Largest datagram that is sent in a batch, in bytes. Larger ones are sent alone."""
_MSG_DONTWAIT: Final = 0x40
_NAME_ROOM: Final = 32
"""Bytes of a route for the address of the peer, which takes up to 28."""
# struct sockaddr_in6 (ipv6(7)): family, port and flow in network order, address, scope.
_SOCKADDR_IPV6: Final = struct.Struct("=H2s4s16sI")
# struct sockaddr_in (ip(7)): family, port in network order, address.
_SOCKADDR_IPV4: Final = struct.Struct("=H2s4s8x")


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr (recvmsg(2))."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vector", ctypes.c_void_p),
        ("vector_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _BatchHeader(ctypes.Structure):
    """struct mmsghdr (recvmmsg(2)): a header, and the bytes of its datagram."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class _ControlHeader(ctypes.Structure):
    """struct cmsghdr (cmsg(3))."""

    _fields_ = (
        ("length", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
    )


class ParsedRoute(NamedTuple):
    """A route in the form of Python's sockets."""

    remote: tuple[Any, ...]
    """The address of the peer, as recvmsg(2) returns it."""
    control: list[tuple[int, int, bytes]]
    """The control messages, as recvmsg(2) returns them."""


class _Slots:
    """Room for `BATCH_MAX` datagrams, and the headers that describe it to the kernel."""

    def __init__(
        self, size_max: int, name_size: int, control_size: int, *, has_control: bool = True
    ) -> None:
        """`has_control` False: the kernel does not read the packet info of the routes."""
        self.size_max = size_max
        self.route_size = _NAME_ROOM + control_size
        self.data = mmap.mmap(-1, BATCH_MAX * size_max)
        self.routes = mmap.mmap(
            -1, -(-BATCH_MAX * self.route_size // mmap.PAGESIZE) * mmap.PAGESIZE
        )
        data_at = ctypes.addressof(ctypes.c_char.from_buffer(self.data))
        routes_at = ctypes.addressof(ctypes.c_char.from_buffer(self.routes))
        vectors = (_IoVector * BATCH_MAX)()
        headers = (_BatchHeader * BATCH_MAX)()
        vectors_at = ctypes.addressof(vectors)
        for index in range(BATCH_MAX):
            header = headers[index].header
            vectors[index].base = data_at + index * size_max
            vectors[index].length = size_max
            header.name = routes_at + index * self.route_size
            header.name_length = name_size
            header.vector = vectors_at + index * ctypes.sizeof(_IoVector)
            header.vector_length = 1
            if control_size and has_control:
                header.control = routes_at + index * self.route_size + _NAME_ROOM
                header.control_length = control_size
        self.headers_at = ctypes.addressof(headers)
        self._owned = vectors, headers
        # Views of words: an item of a ctypes structure costs several times as much.
        self.header_bytes = memoryview(headers).cast("B")
        self.header_words = self.header_bytes.cast("L")
        self.header_halves = self.header_bytes.cast("I")
        self.vector_words = memoryview(vectors).cast("B").cast("L")


_WORD: Final = ctypes.sizeof(ctypes.c_size_t)
_HEADER_SIZE: Final = ctypes.sizeof(_BatchHeader)
_HEADER_WORDS: Final = _HEADER_SIZE // _WORD
_HEADER_HALVES: Final = _HEADER_SIZE // 4
_CONTROL_LENGTH: Final = _Header.control_length.offset // _WORD
_LENGTH: Final = _BatchHeader.length.offset // 4
_CONTROL_HEADER_SIZE: Final = ctypes.sizeof(_ControlHeader)


class DatagramBatches:
    """Receives and sends batches on one UDP socket.

    Its callers handle what does not fit: `receive` and `send` raise `OSError` as the socket does.
    """

    def __init__(
        self,
        sock: socket.socket,
        packet_info: tuple[int, int] | None,
        calls: tuple[Any, Any],
        *,
        sends_info: bool,
    ) -> None:
        """See `open_batches`. `calls`: recvmmsg(2) and sendmmsg(2)."""
        self._is_ipv6 = sock.family is socket.AF_INET6
        self._packet_info = packet_info
        name_size = (_SOCKADDR_IPV6 if self._is_ipv6 else _SOCKADDR_IPV4).size
        info_size = 0
        if packet_info is not None:
            info_size = 20 if self._is_ipv6 else 12  # struct in6_pktinfo, struct in_pktinfo
        self._info_end = _NAME_ROOM + _CONTROL_HEADER_SIZE + info_size
        space = -(-info_size // _WORD) * _WORD
        control_size = _CONTROL_HEADER_SIZE + space if packet_info is not None else 0
        self._control_size = control_size
        self._received = _Slots(RECEIVED_BYTES_MAX, name_size, control_size)
        self._prepared = bytes(self._received.header_bytes)
        self._sent = _Slots(SENT_BYTES_MAX, name_size, control_size, has_control=sends_info)
        route_size = self._received.route_size
        self._places = [
            (
                *(index * RECEIVED_BYTES_MAX, index * _HEADER_HALVES + _LENGTH),
                *(index * route_size, (index + 1) * route_size),
                index * _HEADER_WORDS + _CONTROL_LENGTH,
            )
            for index in range(BATCH_MAX)
        ]
        """Where each received datagram, its size, its route and the size of its packet info are."""
        self._descriptor = sock.fileno()
        self._recvmmsg, self._sendmmsg = calls

    def receive(self, count_max: int) -> list[tuple[bytes, bytes]]:
        """Up to `count_max` datagrams that have arrived, each with its route, in order.

        Raises `BlockingIOError` if there is none, `OSError` for an ICMP error.
        """
        slots = self._received
        count = self._recvmmsg(
            self._descriptor, slots.headers_at, min(count_max, BATCH_MAX), _MSG_DONTWAIT, None
        )
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        data, routes, halves, words = (
            *(slots.data, slots.routes, slots.header_halves, slots.header_words),
        )
        received = []
        control_size = self._control_size
        for begin, size_at, route_at, route_end, control_at in self._places[:count]:
            route = routes[route_at:route_end]
            if words[control_at] != control_size:
                # Without a local address: what the slot held before must not count.
                route = route[:_NAME_ROOM] + bytes(control_size)
            received.append((data[begin : begin + halves[size_at]], route))
        # The kernel has written the sizes of what it returned.
        end = count * _HEADER_SIZE
        slots.header_bytes[:end] = self._prepared[:end]
        return received

    def send(self, datagrams: Sequence[tuple[bytes, Peer]]) -> int:
        """Send datagrams, each along the route of its peer, at most `BATCH_MAX`.

        Returns how many were sent: the next one has no route, has more than `SENT_BYTES_MAX` bytes
        or was refused by the system. Raises `OSError` if the system refused the first.
        """
        slots = self._sent
        data, routes, vectors, route_size = (
            *(slots.data, slots.routes, slots.vector_words, slots.route_size),
        )
        begin = at = index = 0
        for datagram, peer in datagrams:
            size, route = len(datagram), peer.route
            if size > SENT_BYTES_MAX or not route:
                break
            data[begin : begin + size] = datagram
            routes[at : at + route_size] = route
            vectors[index + 1] = size
            begin += SENT_BYTES_MAX
            at += route_size
            index += 2
        count: int = self._sendmmsg(self._descriptor, slots.headers_at, index // 2, _MSG_DONTWAIT)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count

    def parse(self, route: bytes) -> ParsedRoute:
        """A route in the form of Python's sockets."""
        remote: tuple[Any, ...]
        if self._is_ipv6:
            _, port, flow, address, scope = _SOCKADDR_IPV6.unpack_from(route)
            host = socket.inet_ntop(socket.AF_INET6, address)
            remote = (host, int.from_bytes(port, "big"), int.from_bytes(flow, "big"), scope)
        else:
            _, port, address = _SOCKADDR_IPV4.unpack_from(route)
            remote = (socket.inet_ntop(socket.AF_INET, address), int.from_bytes(port, "big"))
        if self._packet_info is None:
            return ParsedRoute(remote, [])
        header = _ControlHeader.from_buffer_copy(route, _NAME_ROOM)
        if (header.level, header.kind) != self._packet_info:
            return ParsedRoute(remote, [])
        info = route[_NAME_ROOM + _CONTROL_HEADER_SIZE : self._info_end]
        return ParsedRoute(remote, [(header.level, header.kind, info)])

    def from_local(self, route: bytes, local: bytes) -> bytes:
        """The route from this local address to the same peer."""
        end = _NAME_ROOM + _CONTROL_HEADER_SIZE
        return route[:end] + local + route[self._info_end :]


def open_batches(
    sock: socket.socket, packet_info: tuple[int, int] | None, *, sends_info: bool
) -> DatagramBatches | None:
    """Batches on a bound socket; None where the system has no such calls.

    `packet_info`: level and kind of the control message with the local address, if the socket is
    set to report it. `sends_info`: datagrams are sent from the local address of their route, else
    from the one that the socket is bound to.
    """
    # musl writes the lengths of struct msghdr as two halves, which only differs on big-endian.
    if sys.platform != "linux" or sys.byteorder != "little":
        return None
    try:
        library = ctypes.CDLL(None, use_errno=True)
        receive, send = library.recvmmsg, library.sendmmsg
    except (OSError, AttributeError):
        return None
    receive.argtypes = (
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p),
    )
    send.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int
    batches = DatagramBatches(sock, packet_info, (receive, send), sends_info=sends_info)
    try:
        return batches if batches.send(()) == 0 else None
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return None  # an old kernel, or a sandbox
        raise
