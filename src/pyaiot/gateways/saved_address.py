# SPDX-License-Identifier: BSD-3-Clause
"""Addresses in a state file: network interfaces are stored by name.

The index of an interface may change with a reboot, for example that of a border router's tunnel.
"""

import socket
import sys

import msgspec

_PKTINFO_IPV6_BYTES = 20
"""struct in6_pktinfo: the local address, and the index of the interface."""


class SavedAddress(msgspec.Struct, frozen=True, array_like=True):
    """The source of datagrams (`host`, `port`), and the local address that they are sent to."""

    host: str
    port: int
    is_ipv6: bool
    flow_info: int = 0
    scope: str = ""
    """The interface of a link-local address."""
    local: bytes = b""
    """The packet info without the index of its interface; empty: unknown."""
    local_interface: str = ""


def save_address(
    sockaddr: tuple[str, int] | tuple[str, int, int, int], local: bytes = b""
) -> SavedAddress | None:
    """An address in the form of the socket, with its packet info. None if its interface is
    missing."""
    host, port = sockaddr[:2]
    scope = local_interface = ""
    flow_info = 0
    try:
        if len(sockaddr) == 4:
            flow_info = sockaddr[2]
            scope = socket.if_indextoname(sockaddr[3]) if sockaddr[3] else ""
        if len(local) == _PKTINFO_IPV6_BYTES:
            number = int.from_bytes(local[16:], sys.byteorder)
            local_interface = socket.if_indextoname(number) if number else ""
            local = local[:16]
    except OSError:
        return None
    return SavedAddress(host, port, len(sockaddr) == 4, flow_info, scope, local, local_interface)


def load_address(saved: SavedAddress) -> tuple[tuple[str, int] | tuple[str, int, int, int], bytes]:
    """The arguments of `save_address`. Raises `OSError` if the interface is missing."""
    local = saved.local
    if len(local) == 16:
        number = socket.if_nametoindex(saved.local_interface) if saved.local_interface else 0
        local += number.to_bytes(4, sys.byteorder)
    if not saved.is_ipv6:
        return (saved.host, saved.port), local
    scope_id = socket.if_nametoindex(saved.scope) if saved.scope else 0
    return (saved.host, saved.port, saved.flow_info, scope_id), local
