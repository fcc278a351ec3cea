# SPDX-License-Identifier: BSD-3-Clause
"""Addresses to listen on, and the addresses at which other machines reach this one."""

import contextlib
import errno
import ipaddress
import logging
import socket
import struct
from pathlib import Path
from typing import Final

ANY: Final = ("::", "0.0.0.0")  # noqa: S104 - compared, or bound because it is configured
"""All addresses of IPv6, and of IPv4. The former means both."""
LOOPBACK: Final = ("127.0.0.1", "::1")
_ATTEMPTS: Final = 20
"""Attempts to find a port that is free in both families."""
_MISSING: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
"""Errors on a machine without an address family, or without its loopback address."""
_SIOCGIFADDR: Final = 0x8915
_INTERFACES_OF_IPV6: Final = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE: Final = "00"

log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether a service that listens on this address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_both_loopbacks(host: str) -> bool:
    """Whether this host means the loopback addresses of both families."""
    return host == "localhost" or host in LOOPBACK


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """TCP sockets bound to the same port, not listening yet. Raises `OSError`.

    `::` and the empty host mean all addresses, of IPv6 and IPv4. A loopback address, and
    localhost, mean both loopback addresses. A family that this machine lacks is skipped.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            return _sockets(host, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or not attempts_left:
                raise
    raise AssertionError("unreachable")


def _sockets(host: str, port: int) -> list[socket.socket]:
    if host in ("", ANY[0]):
        return _both(ANY, port, second_may_be_taken=False)
    if is_both_loopbacks(host):
        named = reversed(LOOPBACK) if host == LOOPBACK[1] else LOOPBACK
        return _both(tuple(named), port, second_may_be_taken=True)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            place = str(address[0])
            sockets.append(_bound(family, place, _port_of(sockets) or port))
    except BaseException:
        _close(sockets)
        raise
    return sockets


def _both(hosts: tuple[str, ...], port: int, *, second_may_be_taken: bool) -> list[socket.socket]:
    """Bind the first host, and the second one if the machine has it."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                sockets.append(_bound(family, host, _port_of(sockets) or port))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                if taken and port and sockets and second_may_be_taken:
                    log.warning("TCP port %d of %s is taken: not listening there", port, host)
                elif error.errno in _MISSING:
                    missing = error
                else:
                    raise
    except BaseException:
        _close(sockets)
        raise
    if not sockets and missing is not None:
        raise missing
    return sockets


def _bound(family: int, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        # Connections in TIME_WAIT must not block the port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has its own socket, so that its peers have IPv4 addresses.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _port_of(sockets: list[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1]) if sockets else 0


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def confine_to_loopback(sock: socket.socket) -> bool:
    """Restrict an unbound UDP socket to the loopback interface (Linux 5.7). Whether that worked.

    Bound to `::`, it then has both loopback addresses.
    """
    option = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, b"lo")
    except OSError as error:
        log.debug("not listening on the IPv6 loopback address: %s", error)
        return False
    return True


def own_address() -> str:
    """The address of this machine towards other networks; "" if it has none. Sends nothing."""
    for family, elsewhere in (
        (socket.AF_INET, "192.0.2.1"),  # RFC 5737: a documentation address
        (socket.AF_INET6, "2001:db8::1"),
    ):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            address: str = probe.getsockname()[0]
            # Without a default route, the loopback address may be chosen.
            if not is_loopback(address):
                return address
    return ""


def interface_addresses() -> list[str]:
    """Addresses of the network interfaces, without loopback and link-local addresses (Linux)."""
    found = []
    # Linux only. Elsewhere the list is empty.
    with contextlib.suppress(ImportError, OSError):
        import fcntl  # noqa: PLC0415

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):  # without an address
                    request = struct.pack("256s", name.encode()[:15])
                    answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                    found.append(socket.inet_ntoa(answer[20:24]))
    with contextlib.suppress(OSError):
        for line in _INTERFACES_OF_IPV6.read_text(encoding="ascii").splitlines():
            digits, _, _, scope, *_ = line.split()
            if scope == _GLOBAL_SCOPE:
                found.append(str(ipaddress.IPv6Address(int(digits, 16))))
    return [address for address in found if not is_loopback(address)]
