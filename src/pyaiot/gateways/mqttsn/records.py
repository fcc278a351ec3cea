# SPDX-License-Identifier: BSD-3-Clause
"""The form of an MQTT-SN client in the state file."""

import msgspec

from pyaiot.gateways.saved_address import SavedAddress, load_address, save_address
from pyaiot.protocols.mqttsn.gateway_events import ClientAddress, SavedClient
from pyaiot.protocols.mqttsn.session_data import SavedSession
from pyaiot.transport.peers import Peer


class _Record(msgspec.Struct, frozen=True):
    address: SavedAddress | None
    """None: the client is away."""
    node_id: bytes | None
    session: SavedSession


def write_record(saved: SavedClient[Peer]) -> bytes | None:
    """The record of a client. None: its network interface no longer exists."""
    address = node_id = None
    if saved.peer is not None:
        address = save_address(saved.peer.address.remote, saved.peer.address.local or b"")
        node_id = saved.peer.node_id
        if address is None:
            return None
    return msgspec.msgpack.encode(_Record(address, node_id, saved.session))


def read_record(record: bytes) -> SavedClient[Peer]:
    """Raises `msgspec.DecodeError`, and `OSError` if the network interface no longer exists."""
    found = msgspec.msgpack.decode(record, type=_Record)
    if found.address is None:
        return SavedClient(None, found.session)
    remote, local = load_address(found.address)
    return SavedClient(ClientAddress(Peer(remote, local or None), found.node_id), found.session)
