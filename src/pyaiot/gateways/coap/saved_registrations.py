# SPDX-License-Identifier: BSD-3-Clause
"""Stores registrations of the resource directory across a restart.

Some nodes do not register again when their update is answered 4.04.
"""

import logging
from collections.abc import Callable

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.directory_resources import DirectoryServer
from pyaiot.gateways.coap.records import Record, record_of
from pyaiot.gateways.saved_address import load_address, save_address
from pyaiot.gateways.state_store import StateStore
from pyaiot.transport.peers import Peer

log = logging.getLogger(__name__)


def restore_registrations(
    kept: StateStore,
    directory: DirectoryServer,
    verify: Callable[[Peer], None],
    *,
    now: float,
    unix_time: float,
) -> None:
    """Restore the registrations in `kept`, and verify the peers that were verified."""
    restored = 0
    for text in kept.take_records():
        try:
            record = Record.from_bytes(text)
            registration = record.registration(now=now, unix_time=unix_time)
            remote, _ = load_address(record.sender)
            peer = Peer(remote)
        except (msgspec.DecodeError, ProtocolError, OSError, ValueError) as error:
            log.debug("a registration was not restored: %s", error)
            continue
        if record.proved:
            verify(peer)
        restored += directory.restore(registration, peer)
    if restored:
        log.info("%d registrations restored from before the restart", restored)


def save_registration(
    directory: DirectoryServer,
    uid: str,
    peer: Peer,
    *,
    proved: bool,
    now: float,
    unix_time: float,
) -> bytes | None:
    """The record of the registration of this node; None if there is none to store."""
    registration = directory.directory.of(uid)
    sender = save_address(peer.remote)
    if registration is None or sender is None:
        return None
    record = record_of(registration, sender, proved=proved, now=now, unix_time=unix_time)
    return record.to_bytes()
