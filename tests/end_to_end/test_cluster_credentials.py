# SPDX-License-Identifier: BSD-3-Clause
"""The connection to a real nats-server, which demands TLS, a user, a token, an nkey or a JWT."""

import asyncio
import base64
import binascii
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pyaiot.cluster.credentials import KeyCredentials, parse_servers, read_credentials
from pyaiot.cluster.nats_link import NatsLink
from tests.authority import new_authority
from tests.programs import Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 20.0
OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3


class Nkey:
    """A key pair of NATS, written as its servers and tools write it."""

    def __init__(self, kind: int, number: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.public = _text(bytes([kind]) + self._key.public_key().public_bytes_raw())
        prefix = bytes([(18 << 3) | (kind >> 5), (kind & 31) << 3])
        self.seed = _text(prefix + bytes([number]) * 32)

    def jwt(self, subject: "Nkey", kind: str) -> str:
        """What this key claims of another one (NATS JWT version 2)."""
        claims = {
            "jti": "test",
            "iat": 1_700_000_000,
            "iss": self.public,
            "sub": subject.public,
            "name": kind,
            "nats": {"type": kind, "version": 2, **_LIMITS.get(kind, {})},
        }
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64(self._key.sign(text.encode()))}"


_NONE: dict[str, Any] = {"subs": -1, "data": -1, "payload": -1}
_LIMITS: dict[str, dict[str, Any]] = {
    "account": {"limits": {**_NONE, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}},
    "user": _NONE,
}


def _text(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Nats:
    """A nats-server with some lines of configuration."""

    def __init__(self, programs: Programs, folder: Path, lines: str) -> None:
        self.port = free_port(socket.SOCK_STREAM)
        file = folder / "nats.conf"
        file.write_text(f'listen: "127.0.0.1:{self.port}"\n{lines}\n')
        programs.start(Path(sys.executable).with_name("nats-server"), "-c", file)


@asynccontextmanager
async def connecting(nats: Nats, scheme: str = "nats://", **how: Any) -> AsyncIterator[NatsLink]:
    key = how.pop("key", None)
    servers = parse_servers(f"{scheme}127.0.0.1:{nats.port}")
    link = NatsLink(servers, "test", "run", lambda _packet: None, key=key and (lambda: key), **how)
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])


async def connects(nats: Nats, scheme: str = "nats://", **how: Any) -> bool:
    """Whether a link connects, and its packets arrive; False: the server refuses it."""
    received: list[bytes] = []
    async with connecting(nats, scheme, **how) as link, time_limit(LIMIT_S):
        while link.problem and not _is_final(link.problem):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if link.problem:
            return False
        async with connecting(nats, scheme, **how) as other:
            other._received = received.append
            while not received:
                link.send("", b"packet")
                await asyncio.sleep(0.01)
        assert received[0] == b"packet"
        return True


def _is_final(problem: str) -> bool:
    return any(word in problem.lower() for word in ("refuses", "certificate", "closed"))


async def test_a_user_needs_its_password(programs: Programs, tmp_path: Path) -> None:
    nats = Nats(programs, tmp_path, 'authorization { user: "me", password: "s@cret" }')
    assert await connects(nats, "nats://me:s%40cret@")
    assert not await connects(nats, "nats://me:wrong@")
    assert not await connects(nats)


async def test_a_token_is_the_user_of_the_url(programs: Programs, tmp_path: Path) -> None:
    nats = Nats(programs, tmp_path, 'authorization { token: "t0ken" }')
    assert await connects(nats, "nats://t0ken@")
    assert not await connects(nats, "nats://other@")


async def test_an_nkey_signs_the_nonce_of_the_server(programs: Programs, tmp_path: Path) -> None:
    known, unknown = Nkey(USER, 1), Nkey(USER, 2)
    nats = Nats(programs, tmp_path, f"authorization {{ users: [{{ nkey: {known.public} }}] }}")
    assert await connects(nats, key=KeyCredentials(known.seed))
    assert not await connects(nats, key=KeyCredentials(unknown.seed))
    assert not await connects(nats)


async def test_a_jwt_of_an_account_of_the_operator_is_accepted(
    programs: Programs, tmp_path: Path
) -> None:
    operator, account, user = Nkey(OPERATOR, 1), Nkey(ACCOUNT, 2), Nkey(USER, 3)
    nats = Nats(
        programs,
        tmp_path,
        f"operator: {operator.jwt(operator, 'operator')}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {operator.jwt(account, 'account')} }}",
    )
    of_account = credentials(tmp_path, account.jwt(user, "user"), user)
    assert await connects(nats, key=of_account)
    of_another = credentials(tmp_path, Nkey(ACCOUNT, 4).jwt(user, "user"), user)
    assert not await connects(nats, key=of_another)


def credentials(folder: Path, jwt: str, user: Nkey) -> KeyCredentials:
    """A file as `nsc` writes it, read."""
    file = folder / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    file.chmod(0o600)
    return read_credentials(file)


async def test_tls_needs_a_certificate_of_the_authority(programs: Programs, tmp_path: Path) -> None:
    made = new_authority(tmp_path)
    nats = Nats(
        programs,
        tmp_path,
        f'tls {{ cert_file: "{made.certificate("server")}", key_file: "{made.key("server")}" }}',
    )
    trusting = ssl.create_default_context(cafile=str(made.ca))
    assert await connects(nats, "tls://", tls=trusting)
    # The server requires TLS, also for a URL without it.
    assert await connects(nats, "nats://", tls=trusting)
    assert not await connects(nats, "tls://", tls=ssl.create_default_context())
