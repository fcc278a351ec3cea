# SPDX-License-Identifier: BSD-3-Clause
"""Worker: CoAP nodes whose messages are protected by OSCORE (RFC 8613).

Posts are protected before the measurement, because protecting costs as much CPU as the gateway
uses.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

from benchmarks.coap import post
from benchmarks.coap_posts import Nodes
from benchmarks.processes import run_worker
from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.errors import ProtocolError
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from pyaiot.protocols.oscore.messages import (
    protect_request,
    protect_response,
    read_protected,
    unprotect_request,
    unprotect_response,
)

ALIVE_MAX: Final = 1000
"""Sequence numbers for `alive`. Posts have higher ones, so that numbers are sent in order."""
_CHANGED_BYTES: Final = 4 + 2 + 1 + 1 + 1 + 8
"""Length of a 2.04 response: header, token, empty OSCORE option, payload marker, code, tag. Other
responses are longer."""


def uid_of(number: int) -> str:
    return f"OSCORE{number:06}"


def credential_of(number: int, created_at: float) -> DeviceCredential:
    """The credential of a node. The gateway must have it too."""
    secret = hashlib.sha256(uid_of(number).encode()).digest()[:16]
    return DeviceCredential(uid_of(number), "oscore", secret, created_at)


class OscoreNodes(Nodes):
    """Nodes with security contexts."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self._message_ids = cycle(range(1 << 16))
        self._contexts = {
            number: SecurityContext(
                credential_of(index, 0.0).secret,
                sender_id=device_id(uid_of(index)),
                recipient_id=GATEWAY_ID,
            )
            for index, number in enumerate(self._sockets)
        }
        self._ids_of: dict[bytes, RequestIds] = {}
        """Of the `alive` messages, by token."""
        self._numbers = dict.fromkeys(self._sockets, ALIVE_MAX)
        self._prepared = {number: self._posts(number, spec["posts"]) for number in self._sockets}
        self._numbers = dict.fromkeys(self._sockets, 0)
        self._next_node = cycle(self._sockets)

    def _posts(self, number: int, count: int) -> Iterator[bytes]:
        return iter([self._protect(number, "server", f"t:{n / 10:.1f}°C") for n in range(count)])

    def _protect(self, number: int, path: str, text: str) -> bytes:
        sequence = self._numbers[number]
        self._numbers[number] += 1
        plain = post(path, text, next(self._message_ids))
        protected, ids = protect_request(self._contexts[number], plain, sequence)
        if path == "alive":
            self._ids_of[plain[4:6]] = ids
        return protected

    def announce(self, *, quiet_s: float) -> dict[str, Any]:
        """Post `alive` for each node, and check the answer. Answer requests until none arrives."""
        for index, (number, opened) in enumerate(self._sockets.items()):
            while number not in self._accepted_nodes:
                with contextlib.suppress(ConnectionError):  # the gateway is not ready
                    opened.send(self._protect(number, "alive", f"alive:{uid_of(index)}"))
                self._receive_all(0.05)
        while self._receive_all(quiet_s):
            pass
        return {}

    def _receive(self, number: int) -> None:
        at = self._sockets[number]
        try:
            datagram = at.recv(2048)
        except ConnectionError:
            return
        code = datagram[1]
        if number in self._accepted_nodes and code == 0x44 and len(datagram) == _CHANGED_BYTES:
            self.accepted += 1
        elif code >= 64:
            self._receive_first(number, datagram)
        elif code:
            at.send(self._respond(number, datagram))

    def _receive_first(self, number: int, datagram: bytes) -> None:
        """The answer to `alive`: what is inside counts."""
        with contextlib.suppress(ProtocolError, KeyError):
            message = read_protected(datagram)
            inner = unprotect_response(self._contexts[number], message, self._ids_of[message.token])
            if inner[1] == 0x44 and len(datagram) == _CHANGED_BYTES:
                self._accepted_nodes.add(number)
                return
        self.refused += 1

    def _respond(self, number: int, datagram: bytes) -> bytes:
        """Answer a request of the gateway: there are no resources."""
        context = self._contexts[number]
        message = read_protected(datagram)
        inner = unprotect_request(context, message)
        ids = RequestIds(GATEWAY_ID, message.option.partial_iv)
        plain = bytes((0x60 | len(message.token), 0x45)) + inner[2 : 4 + len(message.token)]
        return protect_response(context, plain + b"\xc1\x28", ids)

    def _send(self) -> None:
        number = next(self._next_node)
        datagram = next(self._prepared[number], None)
        if datagram is not None:
            self._sockets[number].send(datagram)


if __name__ == "__main__":
    run_worker(OscoreNodes, "announce", "post")
