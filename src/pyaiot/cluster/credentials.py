# SPDX-License-Identifier: BSD-3-Clause
"""How a broker authenticates to a nats-server: a user name in the URL, or a key file.

A key file contains an nkey seed (`SU…`), alone or with a JWT as written by `nsc` (`.creds`).
"""

import base64
import binascii
import re
import stat
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from pyaiot.errors import OperatorError, reason_of

DEFAULT_PORT: Final = 4222
"""Default TCP port of a nats-server."""
SERVERS_MAX: Final = 16
"""Largest number of nats-servers. More are refused at the start."""
_FILE_SIZE_MAX: Final = 64 * 1024
_SEED: Final = re.compile(r"\bSU[A-Z2-7]{56}\b")
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_USER_PREFIX: Final = 20 << 3


class NatsServer(msgspec.Struct, frozen=True):
    """Address of a nats-server."""

    host: str
    port: int
    has_tls: bool
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_servers(text: str) -> list[NatsServer]:
    """Parse `nats://[USER:PASSWORD@]HOST[:PORT][,…]`, or `tls://…`. Raises `OperatorError`. Scheme
    and user apply to all servers that follow.
    """
    servers: list[NatsServer] = []
    scheme, user = "nats", ""
    for part in filter(None, (it.strip() for it in text.split(","))):
        found, separator, rest = part.partition("://")
        if separator:
            scheme = found
        else:
            rest = part
        if scheme not in ("nats", "tls"):
            raise OperatorError(
                "The servers of a cluster begin with nats:// or tls://, for example"
                " nats://10.0.0.1,10.0.0.2,10.0.0.3."
            )
        before, at, address = rest.rpartition("@")
        if at:
            user = before
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError:
            host, port = None, 0
        if not host or parts.path or not port:
            raise OperatorError(f"{address[:64]!r} is not HOST or HOST:PORT of a nats-server.")
        name, _, password = user.partition(":")
        servers.append(NatsServer(host, port, scheme == "tls", unquote(name), unquote(password)))
    if not 0 < len(servers) <= SERVERS_MAX:
        raise OperatorError(f"A cluster has 1 to {SERVERS_MAX} nats-servers.")
    return servers


class KeyCredentials:
    """A user with an Ed25519 key, and optionally a JWT."""

    def __init__(self, seed: str, jwt: str = "") -> None:
        """Raises `ValueError` for an invalid seed."""
        # Loaded where it is used.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            PublicFormat,
        )

        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        if binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
            raise ValueError("the checksum of the seed is wrong")
        self._key = Ed25519PrivateKey.from_private_bytes(raw[2:34])
        public = bytes([_USER_PREFIX]) + self._key.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw
        )
        public += binascii.crc_hqx(public, 0).to_bytes(2, "little")
        self.public = base64.b32encode(public).decode().rstrip("=")
        self._jwt = jwt

    def answer(self, nonce: str) -> dict[str, object]:
        """The fields of CONNECT that answer the server's nonce."""
        signature = base64.urlsafe_b64encode(self._key.sign(nonce.encode())).decode().rstrip("=")
        identity = {"jwt": self._jwt} if self._jwt else {"nkey": self.public}
        return {**identity, "sig": signature}


def read_credentials(path: Path) -> KeyCredentials:
    """Read the key from a file that only its owner can read. Raises `OperatorError`."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            text = file.read(_FILE_SIZE_MAX).decode("ascii", "replace")
    except OSError as error:
        raise OperatorError(
            f"The credentials file {path} cannot be read: {reason_of(error)}."
        ) from error
    if mode & stat.S_IRWXO:
        raise OperatorError(
            f"The credentials file {path} is accessible to every user: restrict it with chmod 600"
            f" {path}."
        )
    seed, jwt = _SEED.search(text), _JWT.search(text)
    if seed is None:
        raise OperatorError(
            f"The credentials file {path} has no nkey seed of a user: a line that begins with SU."
        )
    try:
        return KeyCredentials(seed[0], jwt[0] if jwt else "")
    except ValueError as error:
        raise OperatorError(f"The credentials file {path}: {error}.") from error
