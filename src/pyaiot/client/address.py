# SPDX-License-Identifier: BSD-3-Clause
"""The address of a broker. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import authority, parse_hosts

HOST: Final = "localhost"
PORT: Final = 8000
"""Default address of a broker."""


class BrokerAddress(msgspec.Struct, frozen=True):
    """Host and TCP port of a broker, and whether it uses TLS."""

    host: str = HOST
    port: int = PORT
    ssl: bool = False

    def __post_init__(self) -> None:
        """Raises `OperatorError` if the host cannot be part of a URL."""
        authority(self.host, self.port)

    @classmethod
    def from_link(cls, link: str) -> "BrokerAddress":
        """The address in a sign-in link. Raises `OperatorError` if the link is invalid."""
        parts = _parts(link)
        ssl = parts.scheme == "https"
        assert parts.hostname is not None  # noqa: S101 - `_parts` checked it
        return cls(parts.hostname, parts.port or (443 if ssl else 80), ssl)

    @classmethod
    def from_url(cls, url: str) -> "BrokerAddress":
        """The address in the URL of a broker. Raises `OperatorError` if the URL is invalid."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("http", "https"):
            raise OperatorError(
                f"Invalid URL {url[:100]!r}: write http://host:port or https://host."
            )
        ssl = parts.scheme == "https"
        return cls(host, port or (443 if ssl else 80), ssl)

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def http_url(self) -> str:
        """`http://host:port`, without a trailing slash."""
        return f"http{'s' * self.ssl}://{authority(self.host, self.port)}"

    @property
    def ws_url(self) -> str:
        """URL of the WebSocket for clients."""
        return f"ws{'s' * self.ssl}://{authority(self.host, self.port)}/ws"

    def sign_in_url(self, link: str) -> str:
        """The sign-in link, with its address replaced by this one. Raises `OperatorError`."""
        parts = _parts(link)
        return f"{self.http_url}{parts.path}?{parts.query}"


class BrokerAddresses:
    """The brokers of one cluster, of which a client uses one at a time."""

    def __init__(self, addresses: Iterable[BrokerAddress]) -> None:
        """At least one."""
        self._addresses = deque(addresses)

    @classmethod
    def of(cls, hosts: str, port: int, *, ssl: bool) -> "BrokerAddresses":
        """Those of `HOST[:PORT][,HOST[:PORT]…]`. Raises `OperatorError`."""
        return cls(BrokerAddress(host, own, ssl) for host, own in parse_hosts(hosts, port))

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[BrokerAddress]:
        return iter(self._addresses)

    @property
    def current(self) -> BrokerAddress:
        return self._addresses[0]

    def failed(self, address: BrokerAddress) -> None:
        """This one does not answer: the next one is used, unless another is already."""
        if address is self.current:
            self._addresses.rotate(-1)


def path(*names: str) -> str:
    """A path below `/api`. Each name is percent-encoded, including slashes."""
    return "/api/" + "/".join(quote(name, safe="") for name in names)


def _parts(link: str) -> SplitResult:
    try:
        parts = urlsplit(link)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        is_valid = False
    if not is_valid or parts.path != "/login" or not parts.query.startswith("token="):
        raise OperatorError(
            "Invalid sign-in link. The broker prints the link at its start; it contains"
            " /login?token=."
        )
    return parts
