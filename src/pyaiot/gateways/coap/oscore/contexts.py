# SPDX-License-Identifier: BSD-3-Clause
"""The security contexts of all devices with a credential for OSCORE. Pure."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.oscore.device import (
    OBSERVATIONS_MAX,
    REQUESTS_MAX,
    ContextKeys,
    ContextNumbers,
    ExchangeKey,
    OscoreDevice,
    SentRequest,
    keep,
    pre_shared_keys,
)
from pyaiot.protocols.oscore.context import SEQUENCE_NUMBERS
from pyaiot.protocols.oscore.numbers import ReplayWindow, SequenceNumbers

CONTEXTS_MAX: Final = 4096
"""Largest number of devices whose keys are loaded. Beyond it the least recently used one is
unloaded: its keys are loaded again when needed, and requests to it that wait are not answered."""
NUMBERS_LOW: Final = 64
"""Number of reserved sequence numbers of a device below which another block is reserved."""

log = logging.getLogger(__name__)


class StoredContext(msgspec.Struct, frozen=True):
    """A context whose keys may be loaded."""

    credential: DeviceCredential
    keys: ContextKeys
    numbers: ContextNumbers
    is_kept: bool
    """Whether its numbers are stored and outlive the process."""


class NumbersStore(Protocol):
    """Stores the state that must outlive the process. Methods raise `OperatorError`."""

    def take_all(self, credentials: Sequence[DeviceCredential]) -> list[ContextNumbers]:
        """The numbers of credentials, each with a reserved block. Their windows count as lost until
        they are saved again."""
        ...

    def reserve(self, credential: DeviceCredential, numbers: SequenceNumbers) -> None:
        """Reserve another block."""
        ...


class OscoreContexts:
    """Finds the device of a message and loads its keys."""

    def __init__(self, store: NumbersStore, *, contexts_max: int = CONTEXTS_MAX) -> None:
        self._store = store
        self._contexts_max = contexts_max
        self._stored: dict[str, StoredContext] = {}
        self._uids_of: dict[bytes, list[str]] = {}
        self._loaded: OrderedDict[str, OscoreDevice] = OrderedDict()
        self._sent: dict[ExchangeKey, SentRequest] = {}

    def __len__(self) -> int:
        """Devices whose keys are loaded."""
        return len(self._loaded)

    def __contains__(self, credential: DeviceCredential) -> bool:
        """Whether this credential was added."""
        found = self._stored.get(credential.uid)
        return found is not None and found.credential == credential

    def add(self, *credentials: DeviceCredential) -> None:
        """Accept these devices. Raises `OperatorError` if their numbers cannot be stored."""
        taken = self._store.take_all(credentials) if credentials else []
        for credential, numbers in zip(credentials, taken, strict=True):
            self._put(StoredContext(credential, pre_shared_keys(credential), numbers, is_kept=True))

    def establish(self, credential: DeviceCredential, keys: ContextKeys) -> None:
        """Use new keys for a device instead of the previous ones. They are lost when the process
        ends."""
        numbers = SequenceNumbers()
        numbers.add(0, SEQUENCE_NUMBERS)
        new = ContextNumbers(numbers, ReplayWindow())
        self._put(StoredContext(credential, keys, new, is_kept=False))

    def _put(self, context: StoredContext) -> None:
        uid = context.credential.uid
        self.remove(uid)
        self._stored[uid] = context
        self._uids_of.setdefault(context.keys.recipient_id, []).append(uid)

    def remove(self, uid: str) -> None:
        """No longer accept this device."""
        context = self._stored.pop(uid, None)
        if context is None:
            return
        self._unload(uid)
        kid = context.keys.recipient_id
        self._uids_of[kid].remove(uid)
        if not self._uids_of[kid]:
            del self._uids_of[kid]

    def windows(self) -> list[tuple[DeviceCredential, ReplayWindow]]:
        """The replay windows, which are stored at the end of the process."""
        return [
            (context.credential, context.numbers.window)
            for context in self._stored.values()
            if context.is_kept and context.numbers.window is not None
        ]

    # -- devices --------------------------------------------------------------------------------

    def uids_of(self, kid: bytes | None) -> Sequence[str]:
        """The devices whose messages have this kid: usually one."""
        return () if kid is None else self._uids_of.get(kid, ())

    def device(self, uid: str) -> OscoreDevice | None:
        """The device with this uid; None: it has no credential."""
        device = self._loaded.get(uid)
        if device is not None:
            self._loaded.move_to_end(uid)
            return device
        found = self._stored.get(uid)
        if found is None:
            return None
        while len(self._loaded) >= self._contexts_max:
            self._unload(next(iter(self._loaded)))
        device = OscoreDevice(found.credential, found.keys.derive(), found.numbers)
        self._loaded[uid] = device
        return device

    def _unload(self, uid: str) -> None:
        device = self._loaded.pop(uid, None)
        if device is not None:
            for key in (*device.sent, *device.observed):
                del self._sent[key]

    def take_number(self, device: OscoreDevice) -> int | None:
        """An unused sequence number; None if none could be reserved."""
        numbers = device.stored.numbers
        if numbers.left < NUMBERS_LOW:
            try:
                self._store.reserve(device.credential, numbers)
            except OperatorError as error:
                if not numbers.left:
                    log.warning("nothing is sent to %s: %s", device.credential.uid, error)
        return numbers.take()

    # -- requests to devices --------------------------------------------------------------------

    @property
    def has_sent(self) -> bool:
        """Whether any request may be answered."""
        return bool(self._sent)

    def sent(self, key: ExchangeKey) -> SentRequest | None:
        """The request to a device with this token."""
        return self._sent.get(key)

    def keep_sent(self, key: ExchangeKey, request: SentRequest, *, observes: bool) -> None:
        """Remember a request until later requests displace it, or it is replaced."""
        before = self._sent.get(key)
        if before is not None:
            before.device.sent.pop(key, None)
            before.device.observed.pop(key, None)
        device = request.device
        table, size = (
            (device.observed, OBSERVATIONS_MAX) if observes else (device.sent, REQUESTS_MAX)
        )
        dropped = keep(table, key, request, size)
        if dropped is not None:
            del self._sent[dropped]
        self._sent[key] = request
