# SPDX-License-Identifier: BSD-3-Clause
"""The record of a registration in the state file. Pure.

The file contains Unix time, and the clock may be wrong, especially after a boot. The remaining
lifetime is therefore at least `GRACE_S` and at most the whole lifetime.
"""

from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.registrations import LIFETIME_MAX_S, Registration, uid_of
from pyaiot.gateways.saved_address import SavedAddress
from pyaiot.protocols.coap.resource_directory import RegistrationParameters
from pyaiot.protocols.link_format import format_links, parse_links

GRACE_S: Final = 3600.0
"""The least remaining lifetime after a restart, unless the lifetime itself is shorter."""


class Record(msgspec.Struct, frozen=True):
    location: str
    endpoint: str
    sector: str
    host: str
    port: int
    lifetime_s: int
    attributes: tuple[tuple[str, str], ...]
    links: bytes
    expires_at: float
    """Unix time."""
    sender: SavedAddress
    """The source address of the node."""
    proved: bool
    """Whether the node is verified at that address."""

    @classmethod
    def from_bytes(cls, record: bytes) -> "Record":
        """Raises `msgspec.DecodeError`."""
        return msgspec.msgpack.decode(record, type=cls)

    def to_bytes(self) -> bytes:
        return msgspec.msgpack.encode(self)

    def registration(self, *, now: float, unix_time: float) -> Registration:
        """The registration with its remaining lifetime. Raises `ProtocolError`."""
        lifetime_s = min(self.lifetime_s, LIFETIME_MAX_S)
        if lifetime_s <= 0:
            raise ProtocolError("lifetime must be more than 0")
        left_s = max(self.expires_at - unix_time, min(GRACE_S, lifetime_s))
        return Registration(
            self.location,
            uid_of(RegistrationParameters(self.endpoint or None, self.sector)),
            self.endpoint,
            self.sector,
            self.host,
            self.port,
            self.lifetime_s,
            self.attributes,
            tuple(parse_links(self.links).links),
            len(self.links) + sum(len(value) for _, value in self.attributes),
            now + min(left_s, lifetime_s),
        )


def record_of(
    registration: Registration,
    sender: SavedAddress,
    *,
    proved: bool,
    now: float,
    unix_time: float,
) -> Record:
    """The record to store for a registration."""
    return Record(
        location=registration.location,
        endpoint=registration.endpoint,
        sector=registration.sector,
        host=registration.host,
        port=registration.port,
        lifetime_s=registration.lifetime_s,
        attributes=registration.attributes,
        links=format_links(registration.links),
        expires_at=unix_time + registration.expires_at - now,
        sender=sender,
        proved=proved,
    )
