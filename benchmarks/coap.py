# SPDX-License-Identifier: BSD-3-Clause
"""CoAP nodes (RFC 7252) for load, with the messages of firmware (legacy protocol, section 3)."""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.processes import HOST, BenchmarkError

NODE_PORT: Final = 5683
"""Gateways send requests to this port at the source address of a post."""
NODES_MAX: Final = 4000

CON, NON, ACK = 0, 1, 2
GET, POST, PUT = 1, 2, 3
CHANGED, CONTENT, NOT_FOUND = 0x44, 0x45, 0x84
_URI_PATH, _CONTENT_FORMAT = 11, 12
_LINK_FORMAT = 40


def encode(
    kind: int, code: int, message_id: int, token: bytes, options: bytes, payload: bytes
) -> bytes:
    head = bytes([0x40 | kind << 4 | len(token), code]) + message_id.to_bytes(2, "big")
    return head + token + options + (b"\xff" + payload if payload else b"")


def post(path: str, payload: str, message_id: int) -> bytes:
    """A NON post as RIOT sends it: one Uri-Path, Content-Format 0 as an empty option."""
    segment = path.encode()
    options = bytes([_URI_PATH << 4 | len(segment)]) + segment + b"\x10"
    token = message_id.to_bytes(2, "little")
    return encode(NON, POST, message_id, token, options, payload.encode())


def uri_path(options: bytes) -> tuple[str, bytes]:
    """The path of a request, and its payload."""
    segments = []
    number = at = 0
    while at < len(options) and options[at] != 0xFF:
        fields = [options[at] >> 4, options[at] & 15]
        at += 1
        for index, field in enumerate(fields):
            if field == 13:
                fields[index] = options[at] + 13
                at += 1
            elif field == 14:
                fields[index] = int.from_bytes(options[at : at + 2], "big") + 269
                at += 2
        number += fields[0]
        if number == _URI_PATH:
            segments.append(options[at : at + fields[1]].decode())
        at += fields[1]
    return "/".join(segments), options[at + 1 :]


class Node:
    """A node with its own address. It posts, and answers requests of the gateway."""

    def __init__(
        self,
        number: int,
        gateway_port: int,
        resources: Mapping[str, str],
        on_response: Callable[[int], None] = lambda _code: None,
    ) -> None:
        """`on_response` is called with the code of each answer to a post."""
        self.uid = f"C0A9{number:011X}"
        self.resources = dict(resources)
        self._on_response = on_response
        self._message_id = number * 7 & 0xFFFF
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = f"127.83.{number // 250}.{number % 250 + 1}"
        try:
            self.socket.bind((address, NODE_PORT))
            self.socket.connect((HOST, gateway_port))
        except OSError as error:
            self.socket.close()
            raise BenchmarkError(f"cannot bind {address}, UDP port {NODE_PORT}: {error}") from error

    def fileno(self) -> int:
        return self.socket.fileno()

    def post(self, path: str, payload: str) -> None:
        self._message_id = self._message_id + 1 & 0xFFFF
        self.socket.send(post(path, payload, self._message_id))

    def receive(self) -> None:
        """Handle one datagram: the answer to a post, or a request."""
        try:
            datagram = self.socket.recv(2048)
        except ConnectionError:
            return  # an ICMP error: the port of the gateway was closed
        kind, code = datagram[0] >> 4 & 3, datagram[1]
        if code >= 0x40:
            self._on_response(code)
        elif code and kind in {CON, NON}:
            self.socket.send(self._answer(datagram, kind, code))

    def _answer(self, request: bytes, kind: int, code: int) -> bytes:
        token = request[4 : 4 + (request[0] & 15)]
        path, written = uri_path(request[4 + len(token) :])
        options, payload = b"", b""
        if path == ".well-known/core" and code == GET:
            options = bytes([_CONTENT_FORMAT << 4 | 1, _LINK_FORMAT])
            links = ",".join(f"</{name}>" for name in self.resources)
            code, payload = CONTENT, links.encode()
        elif path not in self.resources:
            code = NOT_FOUND
        elif code == PUT:
            self.resources[path] = written.decode()
            code, payload = CHANGED, f"{path}:{self.resources[path]}".encode()
        else:
            code, payload = CONTENT, self.resources[path].encode()
        answer_kind = ACK if kind == CON else NON
        message_id = int.from_bytes(request[2:4], "big")
        return encode(answer_kind, code, message_id, token, options, payload)

    def close(self) -> None:
        self.socket.close()


def close_all(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.close()
