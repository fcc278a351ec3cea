# SPDX-License-Identifier: BSD-3-Clause
"""One device that uses OSCORE: its security context, and the exchanges with it. Pure."""

from collections import OrderedDict
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from pyaiot.protocols.oscore.numbers import ReplayWindow, SequenceNumbers
from pyaiot.transport.peers import Peer, PeerAddress
from pyaiot.transport.rate_limit import RateLimit

RESPONSES_MAX: Final = 8
"""Largest number of requests of one device whose answers are remembered. A copy of an older one is
refused as a replay."""
REQUESTS_MAX: Final = 8
"""Largest number of requests to one device that may still be answered. RFC 7252 section 4.7: one at
a time is usual."""
OBSERVATIONS_MAX: Final = 256
"""Largest number of observations of one device: as many as a node has resources. Beyond it,
notifications of the oldest are rejected until it is renewed."""

ExchangeKey: TypeAlias = tuple[PeerAddress, bytes]
"""The unsecured address of a device, and a token."""


class ContextKeys(NamedTuple):
    """The input from which a security context is derived."""

    secret: bytes
    salt: bytes
    sender_id: bytes
    """Of the gateway."""
    recipient_id: bytes
    """Of the device."""

    def derive(self) -> SecurityContext:
        return SecurityContext(
            self.secret,
            sender_id=self.sender_id,
            recipient_id=self.recipient_id,
            master_salt=self.salt,
        )


def pre_shared_keys(credential: DeviceCredential) -> ContextKeys:
    """The keys of a device whose credential is the secret itself."""
    return ContextKeys(credential.secret, b"", GATEWAY_ID, device_id(credential.uid))


class ContextNumbers(msgspec.Struct, eq=False):
    """The state of one credential that must outlive the process."""

    numbers: SequenceNumbers
    window: ReplayWindow | None
    """None: lost, for example because the process was killed. The device must then prove that its
    next request is new (RFC 8613, Appendix B.1.2)."""


class ReceivedRequest(msgspec.Struct, eq=False):
    """A request of the device, and its response."""

    datagram: bytes
    ids: RequestIds
    plaintext: bytes = b""
    """The response that uses the nonce of the request."""
    reply: bytes = b""
    """The datagram of the response, for copies of the request."""


class SentRequest(msgspec.Struct, eq=False):
    """A request to the device. Its retransmissions are the same datagram."""

    device: "OscoreDevice"
    peer: Peer
    plain: bytes
    protected: bytes
    ids: RequestIds
    answered: bool = False
    notified: int = -1
    """The highest sequence number in a response: notifications must arrive in order."""

    def take_response(self, partial_iv: bytes) -> bool:
        """Record a response with this Partial IV. Returns whether it is new: a second one with the
        same value is a copy."""
        if partial_iv:
            number = int.from_bytes(partial_iv, "big")
            is_new = number > self.notified
            self.notified = max(self.notified, number)
        else:
            is_new = not self.answered
        self.answered = True
        return is_new


class OscoreDevice(msgspec.Struct, eq=False):
    """A device whose keys are loaded."""

    credential: DeviceCredential
    context: SecurityContext
    stored: ContextNumbers
    peer: Peer | None = None
    """The address of its latest request."""
    challenge: bytes = b""
    """The Echo value that its next request must contain; empty if none was sent."""
    challenges: RateLimit | None = None
    received: OrderedDict[ExchangeKey, ReceivedRequest] = msgspec.field(default_factory=OrderedDict)
    sent: OrderedDict[ExchangeKey, SentRequest] = msgspec.field(default_factory=OrderedDict)
    observed: OrderedDict[ExchangeKey, SentRequest] = msgspec.field(default_factory=OrderedDict)

    def at(self, peer: Peer) -> Peer:
        """The secured peer of this device at an address."""
        known = self.peer
        if known is None or known.remote != peer.remote or known.local != peer.local:
            known = self.peer = peer.secured(self.credential.uid, "oscore")
        return known


K = TypeVar("K")
V = TypeVar("V")


def keep(table: OrderedDict[K, V], key: K, value: V, size: int) -> K | None:
    """Put a value at the end of a table of limited size. Returns the key that was dropped."""
    dropped = None
    if key in table:
        del table[key]
    elif len(table) >= size:
        dropped, _ = table.popitem(last=False)
    table[key] = value
    return dropped
