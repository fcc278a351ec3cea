# SPDX-License-Identifier: BSD-3-Clause
"""Peers of a datagram endpoint. Pure.

Code above the endpoint uses `host`, `address` and `at_port`, and passes peers back; `remote`,
`local` and `route` belong to the transport.
"""

import ipaddress
from typing import Any, Final, NamedTuple, TypeAlias

Security: TypeAlias = str
"""The kind of credential that protects the datagrams of a peer, as its protocol names it; "":
none."""
_PKTINFO_IPV4_BYTES: Final = 12
"""Bytes of struct in_pktinfo: interface, local address, destination."""


class PeerAddress(NamedTuple):
    """The source of a datagram. `host` is in its usual form: IPv4 not mapped, and without a
    zone.

    `uid` is that of the device whose credential the peer has proved; "": none. So a secured peer
    and an unsecured one at the same host and port have two addresses.
    """

    host: str
    port: int
    scope_id: int = 0
    uid: str = ""


class Peer:
    """The source of datagrams, and the local address that they are sent to.

    Peers are equal if their remote addresses and identities are. fe80::1 on two interfaces is two
    peers.
    """

    __slots__ = ("address", "host", "local", "route", "security")

    def __init__(self, remote: Any, local: bytes | None = None) -> None:
        """Both as the transport reports them. `local` None: it chooses the address to send from."""
        self.local = local
        self.route = b""
        """Both in the form of the kernel, for batches (`transport.datagram_batches`); b"": not
        known."""
        self.host: str = remote[0]
        """The host with its zone, by which hosts are limited."""
        scope_id = remote[3] if len(remote) > 3 else 0
        self.address = PeerAddress(plain_host(self.host), remote[1], scope_id)
        self.security: Security = ""

    def secured(self, uid: str, security: Security) -> "Peer":
        """The same source, authenticated as the device `uid`."""
        peer = Peer.__new__(Peer)
        peer.local, peer.host, peer.route = self.local, self.host, self.route
        peer.address = self.address._replace(uid=uid)
        peer.security = security
        return peer

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Peer)
            and self.host == other.host
            and self.address == other.address
            and self.security == other.security
        )

    def __hash__(self) -> int:
        return hash((self.host, self.address.port))

    def __repr__(self) -> str:
        host, port = self.address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def remote(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address for the socket. It is not kept, because there is a peer for each node."""
        host, address = self.host, self.address
        # A socket of IPv6 writes IPv4 addresses with colons, too.
        return (host, address.port, 0, address.scope_id) if ":" in host else (host, address.port)

    @property
    def is_this_machine(self) -> bool:
        """Whether the datagram was sent to its own source address."""
        if self.local is None:
            return False
        if len(self.local) == _PKTINFO_IPV4_BYTES:
            return str(ipaddress.IPv4Address(self.local[4:8])) == self.address.host
        return plain_host(str(ipaddress.IPv6Address(self.local[:16]))) == self.address.host

    def at_port(self, port: int) -> "Peer":
        """The same host, local address and identity, at another port."""
        host, _, *rest = self.remote
        peer = Peer((host, port, *rest), self.local)
        return peer.secured(self.address.uid, self.security) if self.security else peer


def plain_host(host: str) -> str:
    """An address in its usual form: without a zone, IPv4 not mapped into IPv6."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
