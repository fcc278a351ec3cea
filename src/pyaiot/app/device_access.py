# SPDX-License-Identifier: BSD-3-Clause
"""Makes credentials of devices, and the text to paste into a device: `aiot device add`."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from pyaiot.accounts.devices import DeviceCredential, DeviceStore, check_device_uid
from pyaiot.app.protocols import plugins
from pyaiot.config import Config
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.gateways.plugin import DeviceAccess, NewDevice, Snippet
from pyaiot.messages import check_uid

SECRET_BYTES: Final = 16
"""Random bytes of a secret: as many as a key of AES-128 has (RFC 7252 section 9.1.3.1)."""
BOARDS: Final = ("riot", "micropython", "arduino", "shell")


@dataclass(frozen=True, slots=True)
class AddedDevice:
    """A device that was added. Its secret is shown once, and not stored in this form."""

    uid: str
    protocol: str
    secret: str = field(repr=False)
    """Empty: the protocol has no credentials."""
    summary: str
    snippets: tuple[Snippet, ...] = field(repr=False)
    is_local_only: bool
    """Its listener accepts only devices on this machine."""


def accesses() -> dict[str, DeviceAccess]:
    """The ways in which devices prove their uid, by the word after `--protocol`."""
    return {access.name: access for plugin in plugins() for access in plugin.access}


def add_device(
    store: DeviceStore, config: Config, uid: str, protocol: str, *, host: str, now: float
) -> AddedDevice:
    """Store a new credential. `host`: this machine, as the device reaches it. `now`: Unix time.

    Raises `OperatorError`.
    """
    known = accesses()
    access = known.get(protocol)
    if access is None:
        raise OperatorError(f"There is no protocol {protocol!r}: choose {', '.join(known)}.")
    check_device_uid(uid)
    try:
        check_uid(uid)
    except ProtocolError as error:
        raise OperatorError(f"{str(error).capitalize()}: choose another name.") from error
    secret = ""
    if access.kind:
        secret = _new_secret()
        stored = bytes.fromhex(secret) if access.is_key else digest_of_password(secret)
        store.add(DeviceCredential(uid, access.kind, stored, now))
    device = NewDevice(uid=uid, secret=secret, host=host, config=config)
    return AddedDevice(
        uid,
        protocol,
        secret,
        access.summary(device),
        tuple(access.snippets(device)),
        access.is_local_only(config),
    )


def _new_secret() -> str:
    """Random bytes in hexadecimal digits, without those that no shell can pass as an argument."""
    while True:
        secret = secrets.token_bytes(SECRET_BYTES)
        if not {0, ord("\n")} & set(secret):
            return secret.hex()


def digest_of_password(password: str) -> bytes:
    """What is stored of a password. It is random, so that it needs no slow hash."""
    return hashlib.sha256(password.encode(errors="replace")).digest()
