# SPDX-License-Identifier: BSD-3-Clause
"""Creates credentials of devices, and the text to paste into a device: `aiot device add`."""

import hashlib
import secrets
import time
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Final

from pyaiot.accounts.device_credential import DeviceCredential, check_device_uid
from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.protocols import plugins
from pyaiot.config import Config
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.gateways.base import device_file
from pyaiot.gateways.plugin import DeviceAccess, Enrolled, Language, NewDevice, Snippet
from pyaiot.messages import check_uid
from pyaiot.transport.addresses import own_address
from pyaiot.web.api.schemas import (
    DeviceEntry,
    DeviceProtocol,
    DeviceSnippet,
    NewDeviceCredential,
)

SECRET_BYTES: Final = 16
"""Length of a secret in bytes: that of an AES-128 key (RFC 7252 section 9.1.3.1)."""
BOARDS: Final = ("riot", "micropython", "arduino", "shell")


@dataclass(frozen=True, slots=True)
class AddedDevice:
    """A new device. Its secret is shown once, and only a hash of passwords is stored."""

    uid: str
    protocol: str
    secret: str = field(repr=False)
    """Empty: the protocol has no credentials."""
    summary: str
    snippets: tuple[Snippet, ...] = field(repr=False)
    is_local_only: bool
    """Its listener accepts only devices on this machine."""


def accesses() -> dict[str, DeviceAccess]:
    """The methods by which devices authenticate, by the argument of `--protocol`."""
    return {access.name: access for plugin in plugins() for access in plugin.access}


def add_device(
    store: DeviceStore,
    config: Config,
    uid: str,
    protocol: str,
    *,
    host: str,
    now: float,
    language: Language = "en",
    public_key: str = "",
) -> AddedDevice:
    """Store a new credential. `host`: the address of this machine, as the device reaches it. `now`:
    Unix time. `language`: of the summary. `public_key`: that of a device with its own key pair, in
    hexadecimal digits; empty: a key pair is created. Raises `OperatorError`."""
    known = accesses()
    access = known.get(protocol)
    if access is None:
        raise OperatorError(f"There is no protocol {protocol!r}: choose {', '.join(known)}.")
    check_device_uid(uid)
    forbidden = sorted(set(access.forbidden) & set(uid))
    if forbidden:
        raise OperatorError(
            f"With {protocol}, the name of a device has no {' '.join(forbidden)}: choose another"
            " name."
        )
    problem = access.problem(uid)
    if problem:
        raise OperatorError(f"{problem[:1].upper()}{problem[1:]}.")
    uid = f"{access.uid_prefix}{uid}"
    check_device_uid(uid)
    try:
        check_uid(uid)
    except ProtocolError as error:
        raise OperatorError(f"{str(error).capitalize()}: choose another name.") from error
    _check_names(store, access, uid)
    if access.excludes and store.credential(uid, access.excludes) is not None:
        other = next(it.name for it in known.values() if it.kind == access.excludes)
        raise OperatorError(
            f"The device {uid} has a credential for {other}, and cannot have both: remove it first"
            f" with aiot device remove {uid}."
        )
    if public_key and access.enroll is None:
        raise OperatorError(f"Devices with {protocol} have no public key: leave out --public-key.")
    secret, stored = "", b""
    if access.kind:
        secret, stored = (
            _random_secret(access) if access.enroll is None else access.enroll(config, public_key)
        )
        store.add(DeviceCredential(uid, access.kind, stored, now))
    device = NewDevice(
        uid=uid, secret=secret, stored=stored, host=host, config=config, language=language
    )
    return AddedDevice(
        uid,
        protocol,
        secret,
        access.summary(device),
        tuple(access.snippets(device)),
        access.is_local_only(config),
    )


def _check_names(store: DeviceStore, access: DeviceAccess, uid: str) -> None:
    """Raise `OperatorError` if another device of the protocol connects with the same name."""
    plugin = next(it for it in plugins() if access in it.access)
    by_kind = {it.kind: it for it in plugin.access if it.kind}
    names = {uid, access.other_name(uid)} - {""}
    for other in store.credentials():
        its = by_kind.get(other.kind)
        if its is not None and other.uid != uid and names & {other.uid, its.other_name(other.uid)}:
            raise OperatorError(
                f"The device {other.uid} connects with this name already: choose another name."
            )


def _random_secret(access: DeviceAccess) -> Enrolled:
    secret = _new_secret()
    return Enrolled(secret, bytes.fromhex(secret) if access.is_key else digest_of_password(secret))


def _new_secret() -> str:
    """Random bytes in hexadecimal digits, except sequences that cannot be passed as an argument."""
    while True:
        secret = secrets.token_bytes(SECRET_BYTES)
        if not {0, ord("\n")} & set(secret):
            return secret.hex()


class LocalDevices:
    """The credentials of the gateways of this process, for the web side. See
    `DeviceAdministration`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def protocols(self) -> list[DeviceProtocol]:
        return [
            DeviceProtocol(
                name=access.name,
                title=access.title or plugin.protocol,
                has_credentials=bool(access.kind),
            )
            for plugin in plugins()
            for access in plugin.access
        ]

    def devices(self) -> list[DeviceEntry]:
        names = {access.kind: name for name, access in accesses().items()}
        found: dict[str, list[DeviceCredential]] = {}
        with self._store() as store:
            for it in store.credentials():
                found.setdefault(it.uid, []).append(it)
        return [
            DeviceEntry(
                uid=uid,
                protocols=tuple(names.get(it.kind, it.kind) for it in credentials),
                created_at=max(it.created_at for it in credentials),
            )
            for uid, credentials in found.items()
        ]

    def add(self, uid: str, protocol: str, language: Language) -> NewDeviceCredential:
        host = own_address() or "127.0.0.1"
        with self._store() as store:
            added = add_device(
                *(store, self._config, uid, protocol),
                host=host,
                now=time.time(),
                language=language,
            )
        return NewDeviceCredential(
            uid=added.uid,
            protocol=protocol,
            summary=added.summary,
            secret=added.secret,
            snippets=[DeviceSnippet(board=it.board, text=it.text) for it in added.snippets],
            is_local_only=added.is_local_only,
        )

    def remove(self, uid: str) -> int:
        with self._store() as store:
            return store.remove(uid)

    def _store(self) -> AbstractContextManager[DeviceStore]:
        return closing(DeviceStore(device_file(self._config.devices)))


def digest_of_password(password: str) -> bytes:
    """The stored form of a password. It is random, so it needs no slow hash."""
    return hashlib.sha256(password.encode(errors="replace")).digest()
