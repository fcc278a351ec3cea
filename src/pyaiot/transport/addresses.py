# SPDX-License-Identifier: BSD-3-Clause
"""Addresses to listen on, and the addresses of this machine."""

import contextlib
import errno
import ipaddress
import logging
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pyaiot.errors import OperatorError

ANY: Final = ("::", "0.0.0.0")  # noqa: S104 - compared, or bound if an operator sets it
"""The unspecified addresses of IPv6 and IPv4. `::` means both families."""
LOOPBACK: Final = ("127.0.0.1", "::1")
BROKERS_MAX: Final = 16
"""Brokers to which a gateway or a client may connect, one at a time. More are refused."""
_NO_HOST: Final = frozenset(" /?#@[]\\\"'<>;,")
"""Characters that end the host in a URL, or the URL in the policy of a page."""
_ATTEMPTS: Final = 20
"""Attempts to find a port that is free in both families."""
_MISSING: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
"""Errors of a machine that lacks an address family or its loopback address."""
_SIOCGIFADDR: Final = 0x8915
_INTERFACES_OF_IPV6: Final = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE: Final = "00"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def name_lookup() -> Iterator[None]:
    """Raise `gaierror`, as for an unknown host, where Python raises `UnicodeError`: for names that
    IDNA cannot encode, such as `192.168..1` or a label of 64 characters."""
    try:
        yield
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "Invalid host name") from error


def authority(host: str, port: int) -> str:
    """Host and port as a URL has them, an IPv6 address in brackets (RFC 3986 section 3.2).

    Raises `OperatorError` if the host cannot be part of a URL.
    """
    named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        is_valid = bool(urlsplit(f"//{named}").hostname)
    except ValueError:
        is_valid = False
    if not (is_valid and host.isprintable() and _NO_HOST.isdisjoint(host)):
        raise OperatorError(
            f"Invalid host {host[:100]!r}: write a name, or an address without brackets."
        )
    return named


def parse_hosts(text: str, port: int) -> list[tuple[str, int]]:
    """The hosts of `HOST[:PORT][,HOST[:PORT]…]`, with `port` where none is given.

    Raises `OperatorError`.
    """
    if "," not in text:
        return [(text, port)]
    found = []
    for part in map(str.strip, text.split(",")):
        try:
            # An IPv6 address alone has colons, too.
            bare = part.count(":") > 1 and "[" not in part
            parts = urlsplit(f"//[{part}]" if bare else f"//{part}")
            host, own_port = parts.hostname, parts.port or port
        except ValueError:
            host, own_port = None, 0
        if not host or parts.path or parts.username:
            raise OperatorError(
                f"{part[:64]!r} is not the address of a broker: set HOST, or HOST[:PORT] of several"
                " brokers, separated by commas."
            )
        found.append((host, own_port))
    if len(found) > BROKERS_MAX:
        raise OperatorError(f"At most {BROKERS_MAX} brokers can be set.")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_both_loopbacks(host: str) -> bool:
    """Whether `host` means the loopback addresses of both families."""
    return host == "localhost" or host in LOOPBACK


def listening_sockets(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """TCP sockets that are bound to one port and do not listen yet. Raises `OSError`.

    `is_shared`: other processes of this user may listen on the same port, and the kernel gives
    each of them its share of the connections (SO_REUSEPORT).

    `::` and the empty host mean every address of IPv6 and IPv4. A loopback address and `localhost`
    mean both loopback addresses. An address family that this machine lacks is skipped.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            return _sockets(host, port, is_shared)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or not attempts_left:
                raise
    raise AssertionError("unreachable")


def _sockets(host: str, port: int, is_shared: bool) -> list[socket.socket]:
    if host in ("", ANY[0]):
        return _both(ANY, port, is_shared, second_may_be_taken=False)
    if is_both_loopbacks(host):
        named = reversed(LOOPBACK) if host == LOOPBACK[1] else LOOPBACK
        return _both(tuple(named), port, is_shared, second_may_be_taken=True)
    with name_lookup():
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, str(address[0]), _port_of(sockets) or port, is_shared))
    except BaseException:
        _close(sockets)
        raise
    return sockets


def _both(
    hosts: tuple[str, ...], port: int, is_shared: bool, *, second_may_be_taken: bool
) -> list[socket.socket]:
    """The first host is required; the second one is added if the machine has it."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                sockets.append(_bound(family, host, _port_of(sockets) or port, is_shared))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                if taken and port and sockets and second_may_be_taken:
                    log.warning("TCP port %d of %s is in use; not listening there", port, host)
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


def _bound(family: int, host: str, port: int, is_shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        # Connections in TIME-WAIT do not prevent the bind.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a separate socket, so that its peers have IPv4 addresses.
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
    """Restrict a UDP socket that is not bound yet to the loopback interface (Linux 5.7).

    Returns whether that succeeded. A socket bound to `::` then has both loopback addresses.
    """
    option = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, b"lo")
    except OSError as error:
        log.debug("not listening on the loopback address of IPv6: %s", error)
        return False
    return True


def own_address() -> str:
    """The address of this machine towards other networks; without a route to them, its address in
    its own network; or empty. Sends nothing."""
    for family, target in (
        (socket.AF_INET, "192.0.2.1"),  # reserved for documentation (RFC 5737)
        (socket.AF_INET6, "2001:db8::1"),
    ):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            address: str = probe.getsockname()[0]
            # Without a route, the kernel may choose loopback.
            if not is_loopback(address):
                return address
    return next(iter(interface_addresses()), "")


def interface_addresses() -> list[str]:
    """Addresses of the network interfaces, except loopback and link-local addresses (Linux)."""
    found = []
    # Other systems lack `fcntl` or the request: they have no addresses here.
    with contextlib.suppress(ImportError, OSError):
        import fcntl  # noqa: PLC0415

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):  # the interface has no address
                    request = struct.pack("256s", name.encode()[:15])
                    answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                    found.append(socket.inet_ntoa(answer[20:24]))
    with contextlib.suppress(OSError):
        for line in _INTERFACES_OF_IPV6.read_text(encoding="ascii").splitlines():
            digits, _, _, scope, *_ = line.split()
            if scope == _GLOBAL_SCOPE:
                found.append(str(ipaddress.IPv6Address(int(digits, 16))))
    return [address for address in found if not is_loopback(address)]
