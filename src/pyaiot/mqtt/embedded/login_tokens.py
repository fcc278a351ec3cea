# SPDX-License-Identifier: BSD-3-Clause
"""The JSON Web Tokens in which nats-server requests a decision on a client, and the answers.

nats-server calls it auth callout: at each connection it sends a request in a signed token, and
expects a token with the permissions of the connection, signed by a key that its settings name
(NATS ADR-26). Keys are Ed25519, written as base32 of a type, the key and a CRC.
"""

import base64
import binascii
import functools
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.ed25519 import KEY_SIZE, public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REQUEST_SIZE_MAX: Final = 64 * 1024
"""Largest request of nats-server, in bytes. A larger one, with a huge user name, gets no answer."""
_ACCOUNT: Final = bytes([0])
"""The type of the public key of an account; its first letter in base32 is A."""
_HEADER: Final = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"ed25519-nkey"}').rstrip(b"=")


class Login(msgspec.Struct, frozen=True, rename={"password": "pass"}):
    """User name and password of a CONNECT packet."""

    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Login({self.user!r})"


class LoginClient(msgspec.Struct, frozen=True):
    """A client that connects."""

    host: str = ""
    mqtt_id: str = ""
    """Its client id. nats-server makes one up if the client sends none."""


class _Server(msgspec.Struct, frozen=True):
    id: str


class _Request(msgspec.Struct, frozen=True):
    server_id: _Server
    user_nkey: str
    client_info: LoginClient
    connect_opts: Login


class _Claims(msgspec.Struct, frozen=True):
    nats: _Request


class LoginRequest(msgspec.Struct, frozen=True):
    """A request of nats-server to decide whether a client may connect."""

    server_id: str
    user_key: str
    client: LoginClient
    login: Login


_claims: Final = msgspec.json.Decoder(_Claims)


def read_request(token: bytes) -> LoginRequest:
    """Read a request. Raises `ProtocolError`.

    The signature is not checked: only nats-server can publish where requests come from.
    """
    parts = token.split(b".")
    if len(token) > REQUEST_SIZE_MAX or len(parts) != 3:
        raise ProtocolError("not a token")
    try:
        body = base64.urlsafe_b64decode(parts[1] + b"===")
        request = _claims.decode(body).nats
    except (binascii.Error, ValueError, RecursionError) as error:
        raise ProtocolError(f"not a request to connect: {error}") from error
    return LoginRequest(
        request.server_id.id, request.user_nkey, request.client_info, request.connect_opts
    )


class TokenIssuer:
    """Signs answers, with a key that is made for each start and kept in memory."""

    def __init__(self) -> None:
        self._private_key = secrets.token_bytes(KEY_SIZE)
        self.public_key = _nkey(_ACCOUNT, public_key(self._private_key))
        """The public key, as the settings of nats-server name it."""

    @functools.cached_property
    def _key(self) -> "Ed25519PrivateKey":
        # Imported for the first device that logs in: it takes 8 MB.
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

        return ed25519.Ed25519PrivateKey.from_private_bytes(self._private_key)

    def accept(
        self,
        request: LoginRequest,
        *,
        account: str,
        publish: list[str],
        subscribe: list[str],
        subscriptions_max: int,
        now: float,
    ) -> bytes:
        """The answer that lets a client connect. `now` is Unix time in seconds.

        `publish`, `subscribe`: the subjects that it may use, and no others.
        """
        user = {
            "pub": {"allow": publish},
            "sub": {"allow": subscribe},
            "subs": subscriptions_max,
            "data": -1,
            "payload": -1,
            "allowed_connection_types": ["MQTT"],
            "type": "user",
            "version": 2,
        }
        claims = {"sub": request.user_key, "name": request.login.user, "aud": account, "nats": user}
        return self._answer(request, now, jwt=self._sign(claims, now).decode())

    def refuse(self, request: LoginRequest, reason: str, *, now: float) -> bytes:
        """The answer that refuses a client."""
        return self._answer(request, now, error=reason)

    def _answer(self, request: LoginRequest, now: float, **answer: str) -> bytes:
        content = {**answer, "type": "authorization_response", "version": 2}
        return self._sign({"sub": request.user_key, "aud": request.server_id, "nats": content}, now)

    def _sign(self, claims: dict[str, Any], now: float) -> bytes:
        claims = {**claims, "iat": int(now), "iss": self.public_key}
        digest = hashlib.sha256(msgspec.json.encode(claims)).digest()
        claims["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
        body = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=")
        signed = _HEADER + b"." + body
        return signed + b"." + base64.urlsafe_b64encode(self._key.sign(signed)).rstrip(b"=")


def _nkey(kind: bytes, key: bytes) -> str:
    data = kind + key
    # CRC-16/XMODEM, low byte first.
    data += binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data).rstrip(b"=").decode()
