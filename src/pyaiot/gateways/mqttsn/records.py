# SPDX-License-Identifier: BSD-3-Clause
"""A client of MQTT-SN as it stands in the state file."""

import msgspec

from pyaiot.gateways.mqttsn.endpoint import Address
from pyaiot.gateways.saved_address import SavedAddress, load_address, save_address
from pyaiot.protocols.mqttsn.gateway_table import Peer, Saved
from pyaiot.protocols.mqttsn.memory import SavedSession


class _Record(msgspec.Struct, frozen=True):
    address: SavedAddress | None
    """None: the client is away."""
    node_id: bytes | None
    session: SavedSession


def write_record(saved: Saved[Address]) -> bytes | None:
    """None: it cannot be found again, because its network interface is gone."""
    address = node_id = None
    if saved.peer is not None:
        address = save_address(saved.peer.address.remote, saved.peer.address.local)
        node_id = saved.peer.node_id
        if address is None:
            return None
    return msgspec.msgpack.encode(_Record(address, node_id, saved.session))


def read_record(record: bytes) -> Saved[Address]:
    """Raises `msgspec.DecodeError`, and `OSError` where the network interface is gone."""
    found = msgspec.msgpack.decode(record, type=_Record)
    if found.address is None:
        return Saved(None, found.session)
    return Saved(Peer(Address(*load_address(found.address)), found.node_id), found.session)
