# SPDX-License-Identifier: BSD-3-Clause
"""Handshakes of devices with a key pair: the responder of EDHOC (RFC 9528, RFC 9668). Pure.

A handshake ends with an OSCORE context for the uid of the device. `now` is the loop's time in
seconds.
"""

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.gateways.coap.oscore.device import ContextKeys
from pyaiot.protocols.edhoc.credentials import (
    by_value,
    device_credential,
    gateway_credential,
    key_id_of,
    public_key_of,
    reference,
)
from pyaiot.protocols.edhoc.messages import MESSAGE_BYTES_MAX, read_message
from pyaiot.protocols.edhoc.responder import EdhocHandshake, EdhocRefused
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.rate_limit import RateLimitedLog

IDENTIFIER_BYTES: Final = 3
"""Length of a connection identifier, by which an OSCORE context is found, in bytes. Contexts with a
pre-shared secret use two bytes, so the two kinds never collide."""
HANDSHAKES_MAX: Final = 256
"""Largest number of handshakes that wait for a third message. Beyond it the oldest is forgotten,
and its device begins again."""
HANDSHAKE_S: Final = 60.0
"""How long a handshake waits for its third message. After that the message is refused."""
HOST_HANDSHAKES_PER_S: Final = 1.0
HOST_HANDSHAKES_BURST: Final = 10.0
"""Rate limit and burst of handshakes that one host may begin. Each costs 0.5 ms. Above it: 4.29."""
HANDSHAKES_PER_S: Final = 50.0
HANDSHAKES_BURST: Final = 200.0
"""The same for all hosts together."""

log = logging.getLogger(__name__)


class TooManyHandshakes(ProtocolError):
    """The rate limit of the host, or of all hosts, was exceeded. `wait_s`: how long to wait; 0:
    unknown."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many handshakes")
        self.wait_s = wait_s


class Begun(msgspec.Struct, frozen=True):
    """A handshake that waits for its third message."""

    handshake: EdhocHandshake
    until: float


class EdhocResponder:
    """All handshakes at one UDP port."""

    def __init__(
        self,
        private_key: bytes,
        contexts: OscoreContexts,
        established: Callable[[str], None],
        refresh: Callable[[], None] = lambda: None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`private_key`: of the gateway. `established` is called with the uid of a device with a
        new context: the device has forgotten its previous observations. `refresh` reads the
        credentials again, for a device that was just added."""
        self.opened = 0
        """Number of handshakes that ended with a context."""
        self.refused = 0
        """Number of messages that were refused."""
        self._private_key = private_key
        self._credential = gateway_credential(public_key_of(private_key))
        self._contexts = contexts
        self._established = established
        self._refresh = refresh
        self._random_bytes = random_bytes
        self._devices: dict[bytes, tuple[DeviceCredential, bytes]] = {}
        self._begun: OrderedDict[bytes, Begun] = OrderedDict()
        self._rate = HostRateLimit(
            Rate(HOST_HANDSHAKES_PER_S, HOST_HANDSHAKES_BURST),
            Rate(HANDSHAKES_PER_S, HANDSHAKES_BURST),
        )
        self._lines = RateLimitedLog(log)

    def __len__(self) -> int:
        """Number of handshakes that wait for a third message."""
        return len(self._begun)

    def set_devices(self, devices: Iterable[DeviceCredential]) -> None:
        """Replace the devices that may connect. Their secrets are public keys."""
        self._devices = {}
        for device in devices:
            its = device_credential(device.uid, device.secret)
            for name in (reference(key_id_of(device.uid)), by_value(its)):
                self._devices[name] = device, its

    def receive_message(self, payload: bytes, host: str, now: float) -> bytes:
        """The response to a POST to `/.well-known/edhoc`: a second or fourth message.

        Raises `EdhocRefused`, which has the response, and `TooManyHandshakes`.
        """
        try:
            if len(payload) > MESSAGE_BYTES_MAX:
                raise EdhocRefused("too long")
            try:
                identifier, message = read_message(payload)
            except ProtocolError as error:
                raise EdhocRefused("not an EDHOC message") from error
            if identifier is None:
                return self._begin(message, host, now)
            return self.finish(identifier, message, host, now).message_4
        except EdhocRefused as problem:
            self._refuse(host, problem, now)
            raise

    def receive_combined(self, identifier: bytes, message_3: bytes, host: str, now: float) -> None:
        """Process the third message before an OSCORE message (RFC 9668). After that, a context with
        this kid exists. Raises `EdhocRefused`."""
        try:
            self.finish(identifier, message_3, host, now)
        except EdhocRefused as problem:
            self._refuse(host, problem, now)
            raise

    def _begin(self, message_1: bytes, host: str, now: float) -> bytes:
        wait_s = self._rate.take(host, now=now)
        if wait_s != 0:
            self.refused += 1
            raise TooManyHandshakes(wait_s or 0.0)
        handshake = EdhocHandshake(self._private_key, self._credential, message_1)
        identifier = self._new_identifier(handshake.peers_identifier)
        message_2 = handshake.message_2(identifier)
        self._forget(now)
        self._begun[identifier] = Begun(handshake, now + HANDSHAKE_S)
        return message_2

    def finish(self, identifier: bytes, message_3: bytes, host: str, now: float) -> EdhocHandshake:
        """Process a third message. If it raises `EdhocRefused`, only this handshake has ended (RFC
        9528 section 5.4.3)."""
        begun = self._begun.pop(identifier, None)
        if begun is None or now >= begun.until:
            raise EdhocRefused("unknown handshake")
        found: list[DeviceCredential] = []

        def find(name: bytes) -> bytes | None:
            if name not in self._devices:
                self._refresh()
            device = self._devices.get(name)
            if device is None:
                return None
            found.append(device[0])
            return device[1]

        keys = begun.handshake.finish(message_3, find)
        device = found[0]
        self.opened += 1
        self._contexts.establish(device, ContextKeys(*keys))
        self._established(device.uid)
        log.debug("EDHOC handshake of %s at %s", device.uid, host)
        return begun.handshake

    def _new_identifier(self, peers: bytes) -> bytes:
        while True:
            identifier = self._random_bytes(IDENTIFIER_BYTES)
            is_used = identifier in self._begun or self._contexts.uids_of(identifier)
            if identifier != peers and not is_used:
                return identifier

    def _forget(self, now: float) -> None:
        """Make room for one more handshake."""
        while self._begun:
            oldest = next(iter(self._begun))
            if len(self._begun) < HANDSHAKES_MAX and now < self._begun[oldest].until:
                break
            del self._begun[oldest]

    def _refuse(self, host: str, problem: EdhocRefused, now: float) -> None:
        self.refused += 1
        self._lines.warning("EDHOC message from %s refused: %s", host, problem, now=now)
