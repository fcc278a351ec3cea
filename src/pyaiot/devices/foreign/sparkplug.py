# SPDX-License-Identifier: BSD-3-Clause
"""A simulated edge node of Sparkplug B, without devices behind it. Pure."""

import random
import struct
from collections.abc import Iterator
from typing import ClassVar, Final

from pyaiot.devices.foreign.base import QUANTITIES, ForeignDevice
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.topic_node import OutgoingPublication
from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.packets import Will
from pyaiot.protocols.protobuf import WireType, read_fields, write_field

GROUP: Final = "sim"
_UINT64: Final = 8
_DOUBLE: Final = 10
_BOOLEAN: Final = 11
_STRING: Final = 12
_REBIRTH: Final = "Node Control/Rebirth"
_SWITCH: Final = "Switch"
_BDSEQ: Final = "bdSeq"


class SparkplugNode(ForeignDevice):
    """See `ForeignDevice`. Its id is that of the edge node; the group is `sim`."""

    prefix: ClassVar[str] = "sim-"

    def __init__(self, config: NodeConfig, rng: random.Random) -> None:
        super().__init__(config, rng)
        self._sequence = 0

    @property
    def subscriptions(self) -> tuple[str, ...]:
        return (f"spBv1.0/{GROUP}/NCMD/{self.uid}",)

    @property
    def will(self) -> Will:
        payload = _payload(None, [_metric(_BDSEQ, _UINT64, 0)])
        return Will(f"spBv1.0/{GROUP}/NDEATH/{self.uid}", payload, 1, retain=False)

    def describe(self) -> Iterator[OutgoingPublication]:
        metrics = [_metric(_BDSEQ, _UINT64, 0), _metric(_REBIRTH, _BOOLEAN, 0)]
        metrics += [
            _metric(QUANTITIES[name].title, _DOUBLE, value, QUANTITIES[name].unit)
            for name, value in self.values.items()
        ]
        if self.has_switch:
            metrics.append(_metric(_SWITCH, _BOOLEAN, self.on))
        self._sequence = 0
        yield OutgoingPublication(
            f"spBv1.0/{GROUP}/NBIRTH/{self.uid}", _payload(self._sequence, metrics)
        )

    def report(self, changed: frozenset[str]) -> Iterator[OutgoingPublication]:
        metrics = [
            _metric(_SWITCH, _BOOLEAN, self.on)
            if name == "switch"
            else _metric(QUANTITIES[name].title, _DOUBLE, self.values[name])
            for name in changed
        ]
        self._sequence = (self._sequence + 1) % 256
        yield OutgoingPublication(
            f"spBv1.0/{GROUP}/NDATA/{self.uid}", _payload(self._sequence, metrics)
        )

    def receive_publication(self, topic: str, payload: bytes, *, now: float) -> None:
        super().receive_publication(topic, payload, now=now)
        if _booleans(payload).get(_REBIRTH):
            self._outbox += self.describe()

    def switch_to(self, topic: str, payload: bytes) -> bool | None:  # noqa: ARG002
        return _booleans(payload).get(_SWITCH)


def _metric(name: str, datatype: int, value: float, unit: str = "") -> bytes:
    data = write_field(1, WireType.BYTES, name.encode())
    data += write_field(4, WireType.VARINT, datatype)
    if unit:
        key = write_field(1, WireType.BYTES, b"engUnit")
        text = write_field(1, WireType.VARINT, _STRING)
        text += write_field(8, WireType.BYTES, unit.encode())
        data += write_field(9, WireType.BYTES, key + write_field(2, WireType.BYTES, text))
    if datatype == _DOUBLE:
        bits = int.from_bytes(struct.pack("<d", value), "little")
        return data + write_field(13, WireType.FIXED64, bits)
    field = 14 if datatype == _BOOLEAN else 11
    return data + write_field(field, WireType.VARINT, int(value))


def _payload(sequence: int | None, metrics: list[bytes]) -> bytes:
    data = b"".join(write_field(2, WireType.BYTES, metric) for metric in metrics)
    return data if sequence is None else data + write_field(3, WireType.VARINT, sequence)


def _booleans(payload: bytes) -> dict[str, bool]:
    """The boolean metrics of a command; none if it cannot be read."""
    found: dict[str, bool] = {}
    try:
        for number, _wire, metric in read_fields(payload):
            if number == 2 and isinstance(metric, bytes):
                fields = {field: value for field, _wire, value in read_fields(metric)}
                name = fields.get(1)
                if isinstance(name, bytes) and isinstance(fields.get(14), int):
                    found[name.decode(errors="replace")] = fields[14] != 0
    except ProtocolError:
        return {}
    return found
