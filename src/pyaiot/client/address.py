# SPDX-License-Identifier: BSD-3-Clause
"""Where a broker is. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from pyaiot.errors import OperatorError

HOST: Final = "localhost"
PORT: Final = 8000
"""Where a broker is if nobody says where."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker's host and TCP port, and whether it speaks TLS there."""

    host: str = HOST
    port: int = PORT
    ssl: bool = False

    @classmethod
    def of_link(cls, link: str) -> "BrokerAddress":
        """Where a login link leads. Raises `OperatorError` if it is none."""
        parts = _parts(link)
        ssl = parts.scheme == "https"
        assert parts.hostname is not None  # noqa: S101 - `_parts` saw to it
        return cls(parts.hostname, parts.port or (443 if ssl else 80), ssl)

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def http_url(self) -> str:
        """`http://host:port`, without a slash at its end."""
        return f"http{'s' * self.ssl}://{self._authority}"

    @property
    def ws_url(self) -> str:
        """Of the door for clients."""
        return f"ws{'s' * self.ssl}://{self._authority}/ws"

    def login_url(self, link: str) -> str:
        """The login link at this place, whatever host it names. Raises `OperatorError`."""
        parts = _parts(link)
        return f"{self.http_url}{parts.path}?{parts.query}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def path(*names: str) -> str:
    """A path below `/api`, with each name percent-encoded, also its slashes."""
    return "/api/" + "/".join(quote(name, safe="") for name in names)


def _parts(link: str) -> SplitResult:
    try:
        parts = urlsplit(link)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        good = False
    if not good or parts.path != "/login" or not parts.query.startswith("token="):
        raise OperatorError(
            "That is no login link: the broker prints one at its start, which has /login?token= in"
            " it."
        )
    return parts
