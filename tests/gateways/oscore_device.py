# SPDX-License-Identifier: BSD-3-Clause
"""A device that speaks OSCORE, for tests: it protects and unprotects datagrams."""

from collections.abc import Sequence

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.gateways.coap.oscore.device import ContextNumbers
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from pyaiot.protocols.oscore.messages import (
    protect_request,
    protect_response,
    read_protected,
    unprotect_request,
    unprotect_response,
)
from pyaiot.protocols.oscore.numbers import ReplayWindow, SequenceNumbers


def credential(uid: str, *, created_at: float = 0.0) -> DeviceCredential:
    """The credential of a device. Its secret is derived from its uid."""
    return DeviceCredential(uid, "oscore", uid.encode().ljust(16, b"."), created_at)


def device_context(of: DeviceCredential) -> SecurityContext:
    return SecurityContext(of.secret, sender_id=device_id(of.uid), recipient_id=GATEWAY_ID)


class OscoreTestDevice:
    """The keys and numbers of one device."""

    def __init__(self, uid: str) -> None:
        self.context = device_context(credential(uid))
        self.number = 0
        self._of_token: dict[bytes, RequestIds] = {}

    def protect(self, request: bytes, number: int | None = None) -> bytes:
        """A protected request. `number`: the sequence number; None: the next one."""
        if number is None:
            number, self.number = self.number, self.number + 1
        protected, ids = protect_request(self.context, request, number)
        self._of_token[read_protected(protected).token] = ids
        return protected

    def read_response(self, datagram: bytes) -> CoapMessage:
        """The decrypted response. Raises `ProtocolError` if it is not one to this request."""
        message = read_protected(datagram)
        ids = self._of_token[message.token]
        return CoapMessage.from_bytes(unprotect_response(self.context, message, ids))

    def read_request(self, datagram: bytes) -> tuple[CoapMessage, RequestIds]:
        """The decrypted request of the gateway, and the ids that its response is bound to."""
        message = read_protected(datagram)
        inner = CoapMessage.from_bytes(unprotect_request(self.context, message))
        return inner, RequestIds(GATEWAY_ID, message.option.partial_iv)

    def respond(self, response: CoapMessage, ids: RequestIds, *, own_number: bool = False) -> bytes:
        number = None
        if own_number:
            number, self.number = self.number, self.number + 1
        return protect_response(self.context, response.to_bytes(), ids, number)


class NumbersInMemory:
    """A store of numbers without a file."""

    def __init__(self, *, lost: bool = False) -> None:
        self.lost = lost
        self.reserved = 0
        self.block = 1024

    def take_all(self, credentials: Sequence[DeviceCredential]) -> list[ContextNumbers]:
        taken = []
        for _ in credentials:
            numbers = SequenceNumbers()
            self._reserve(numbers)
            taken.append(ContextNumbers(numbers, None if self.lost else ReplayWindow()))
        return taken

    def reserve(self, _credential: DeviceCredential, numbers: SequenceNumbers) -> None:
        self._reserve(numbers)

    def _reserve(self, numbers: SequenceNumbers) -> None:
        numbers.add(self.reserved, self.reserved + self.block)
        self.reserved += self.block
