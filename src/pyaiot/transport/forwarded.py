# SPDX-License-Identifier: BSD-3-Clause
"""Address, scheme and host of a client behind a reverse proxy. Pure.

`X-Forwarded-For`, `-Proto` and `-Host` are used only if the connection comes from a trusted proxy,
because any client can send them. `Forwarded` (RFC 7239) is not read.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from pyaiot.errors import OperatorError

HOPS_MAX: Final = 16
"""Addresses in `X-Forwarded-For` that are read, from the last one. Those before are ignored."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The addresses of proxies that an operator trusts."""

    def __init__(self, addresses: Iterable[str] = (), *, setting: str = "trusted_proxies") -> None:
        """`addresses`: addresses and networks. Raises `OperatorError`, which names `setting`."""
        self._networks = []
        for text in addresses:
            try:
                self._networks.append(ipaddress.ip_network(text.strip()))
            except ValueError as error:
                raise OperatorError(
                    f"{setting}: {text!r} is not an address or network: write 127.0.0.1 or"
                    " 192.0.2.0/24."
                ) from error

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether a connection from this address comes from a trusted proxy."""
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)

    def client(self, peer: str, forwarded_for: Iterable[str]) -> str:
        """The address of the client of a connection from `peer`.

        `forwarded_for`: the values of the header `X-Forwarded-For`. Each proxy appends the address
        that it got the request from, so the last address that is not of a trusted proxy is the
        client's. The addresses before it were sent by the client.
        """
        hops = [hop for value in forwarded_for for hop in value.split(",")]
        client = peer
        for hop in reversed(hops[-HOPS_MAX:]):
            found = _address(hop.strip())
            if found is None or not self.trusts(client):
                break
            client = str(found)
        return client


def forwarded_scheme(values: Sequence[str]) -> str | None:
    """`http` or `https` from the values of `X-Forwarded-Proto`; None: neither."""
    last = _last(values).lower()
    return last if last in {"http", "https"} else None


def forwarded_host(values: Sequence[str]) -> str | None:
    """The host from the values of `X-Forwarded-Host`; None: there is none. It is not checked."""
    return _last(values) or None


def _last(values: Sequence[str]) -> str:
    return values[-1].rpartition(",")[2].strip() if values else ""


def _address(text: str) -> Address | None:
    """An address, which some proxies write with its port; None: the text is not an address."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
