# SPDX-License-Identifier: BSD-3-Clause
"""Records the datagrams of chosen nodes in a pcapng file, with the outcome of each exchange.

The endpoint only appends to a list. A task writes it in a thread, a second later, when the outcome
of requests is known from their responses.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from pyaiot import __version__
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber, code_text
from pyaiot.protocols.coap.post_payload import parse_alive
from pyaiot.protocols.pcapng import PacketEndpoint, file_header, name, packet
from pyaiot.transport.peers import Peer, PeerAddress

WAITING_MAX: Final = 20_000
"""Largest number of datagrams that wait to be written. Further ones are dropped; the next comment
states their number."""
OPEN_MAX: Final = 4096
"""Largest number of requests whose outcome is awaited. Beyond it, the oldest is written without its
outcome."""
HOLD_S: Final = 1.0
"""How long a datagram waits in memory for its outcome."""
FILES: Final = 4
"""Number of files that are kept: FILE, FILE.1 … FILE.3. Beyond it the oldest is removed."""
NAMES_MAX: Final = 10_000
"""Largest number of name records in one file. Further addresses get none."""

log = logging.getLogger(__name__)


class _Datagram(msgspec.Struct):
    at: float
    peer: PeerAddress
    local: str
    data: bytes
    inbound: bool
    uid: str
    words: str = ""
    left_out: int = 0


class Trace:
    """Writes a trace."""

    def __init__(
        self,
        path: Path,
        *,
        size_max: int,
        nodes: Collection[str],
        unix_time: Callable[[], float],
    ) -> None:
        """When a file has `size_max` bytes, the next one is begun. `nodes` empty: all nodes. Raises
        `OperatorError` if the file cannot be written."""
        self._nodes = frozenset(nodes)
        self._uid_at: Callable[[PeerAddress], str | None] = lambda _address: None
        self._unix_time = unix_time
        self._waiting: list[_Datagram] = []
        self._open: OrderedDict[tuple[PeerAddress, bytes, bool], _Datagram] = OrderedDict()
        self._left_out = 0
        self._local_port = 0
        try:
            self._file = _Files(path, size_max)
        except OSError as error:
            raise OperatorError(f"The trace {path} cannot be written: {error.strerror}.") from error

    def begin(self, port: int, uid_at: Callable[[PeerAddress], str | None]) -> None:
        """Set the UDP port of the gateway, and the function that names the node at an address."""
        self._local_port = port
        self._uid_at = uid_at

    def datagram(self, data: bytes, peer: Peer, inbound: bool) -> None:
        """Record a datagram."""
        address = peer.address
        uid = self._uid(data, address, inbound=inbound)
        if self._nodes and uid not in self._nodes:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._left_out += 1
            return
        item = _Datagram(
            self._unix_time(), address, _local_host(peer.local), data, inbound, uid or ""
        )
        item.left_out, self._left_out = self._left_out, 0
        self._waiting.append(item)
        self._match(item)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    async def run(self) -> None:
        """Write, until cancelled."""
        try:
            while True:
                await asyncio.sleep(HOLD_S / 2)
                ready = self._ready(self._unix_time() - HOLD_S)
                if ready:
                    await asyncio.to_thread(self._file.write, ready, self._local_port)
        finally:
            self._file.write(self._ready(float("inf")), self._local_port)
            self.close()

    def _ready(self, before: float) -> list[_Datagram]:
        count = 0
        for item in self._waiting:
            # Unix time may step back: the datagram is then written early, and in order.
            if item.at > before:
                break
            count += 1
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        return ready

    def _uid(self, data: bytes, address: PeerAddress, *, inbound: bool) -> str | None:
        """The node of a datagram. Its first `alive` contains the uid."""
        if inbound and data[1:2] == b"\x02" and b"\xb5alive" in data:
            with contextlib.suppress(ProtocolError):
                uid = parse_alive(CoapMessage.from_bytes(data).payload).uid
                if uid is not None:
                    return uid
        return self._uid_at(address)

    def _match(self, item: _Datagram) -> None:
        """Find the request of a response, and note its outcome."""
        data = item.data
        if len(data) < 4:
            return
        token = data[4 : 4 + (data[0] & 0x0F)]
        if 0 < data[1] < Code.CREATED:
            if len(self._open) >= OPEN_MAX:
                self._open.popitem(last=False)
            self._open[item.peer, token, item.inbound] = item
        elif data[1] >= Code.CREATED:
            request = self._open.pop((item.peer, token, not item.inbound), None)
            if request is not None:
                request.words = _outcome(item)
                if item.inbound is False and not item.uid:
                    item.uid = request.uid


def _outcome(response: _Datagram) -> str:
    code = response.data[1]
    response_code = code_text(code)
    if response.inbound:
        return f"answered {response_code}"
    if code < Code.BAD_REQUEST:
        return f"accepted: {response_code}"
    try:
        reason = CoapMessage.from_bytes(response.data).payload.decode(errors="replace")
    except ProtocolError:
        reason = ""
    return f"refused: {response_code}" + (f", {reason}" if reason else "")


def _comment(item: _Datagram) -> str:
    node = f"node {item.uid}" if item.uid else "no known node"
    words = item.words
    if not words and len(item.data) >= 4:
        words = _words(item)
    left_out = f" ({item.left_out} datagrams before it were dropped)" if item.left_out else ""
    return f"{node}: {words}{left_out}"


def _words(item: _Datagram) -> str:
    try:
        message = CoapMessage.from_bytes(item.data)
    except ProtocolError as error:
        return f"not CoAP: {error}"
    if message.code == Code.EMPTY:
        return {MessageType.ACK: "acknowledged", MessageType.RST: "rejected"}.get(
            message.mtype, "ping"
        )
    if message.code < Code.CREATED:
        return "not answered within a second"
    if item.inbound and message.option(OptionNumber.OBSERVE) is not None:
        return "notification"
    return "answer"


def _local_host(pktinfo: bytes | None) -> str:
    """The local address of a datagram, from struct in6_pktinfo or in_pktinfo."""
    if pktinfo is not None and len(pktinfo) < 16:
        return socket.inet_ntop(socket.AF_INET, pktinfo[4:8])
    host = "::" if pktinfo is None else socket.inet_ntop(socket.AF_INET6, pktinfo[:16])
    return host.removeprefix("::ffff:") if "." in host else host


class _Files:
    """FILE and the previous files. Used by one thread at a time."""

    def __init__(self, path: Path, size_max: int) -> None:
        self._path = path
        self._size_max = size_max
        self._names: set[tuple[str, str]] = set()
        self._size = 0
        self._file: BinaryIO | None = self._begin()

    def write(self, items: list[_Datagram], local_port: int) -> None:
        for item in items:
            if self._file is None:
                return
            try:
                self._write(self._file, item, local_port)
            except OSError as error:
                # A full disk ends the trace only.
                log.error("Trace %s stopped: %s", self._path, error.strerror)  # noqa: TRY400
                self.close()
                return
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _write(self, file: BinaryIO, item: _Datagram, local_port: int) -> None:
        if self._size >= self._size_max:
            file.close()
            file = self._file = self._begin()
        peer = PacketEndpoint(item.peer.host, item.peer.port)
        local = PacketEndpoint(item.local, local_port)
        if item.local == "::" and "." in peer.host:
            local = PacketEndpoint("0.0.0.0", local_port)  # noqa: S104 - nothing listens there
        known = peer.host, item.uid
        blocks = b""
        if item.uid and known not in self._names and len(self._names) < NAMES_MAX:
            self._names.add(known)
            blocks = name(peer.host, item.uid)
        source, destination = (peer, local) if item.inbound else (local, peer)
        blocks += packet(
            item.at,
            source,
            destination,
            item.data,
            comment=_comment(item),
            inbound=item.inbound,
        )
        file.write(blocks)
        self._size += len(blocks)

    def _begin(self) -> BinaryIO:
        if self._path.exists() and not self._path.is_file():
            # A folder or a device must not be renamed.
            raise FileExistsError(errno.EEXIST, "Not a regular file")
        for number in range(FILES - 1, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self._path
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        # Readings may be private.
        opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        file = os.fdopen(opened, "wb")
        header = file_header(f"Pyaiot {__version__}", "coap")
        file.write(header)
        file.flush()
        self._size = len(header)
        self._names.clear()
        return file

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
