# SPDX-License-Identifier: BSD-3-Clause
"""The byte stream from an MQTT broker, from which the gateway reads packets."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.packet import PacketReader
from pyaiot.protocols.mqtt.packets import Publish
from pyaiot.protocols.mqtt.stream import INVALID, StreamPacket, read_packets

CORPUS: list[bytes] = [
    bytes.fromhex(text)
    for text in (
        "30070003612f623233 3109000361 2f6233",  # QoS 0, then retained
        "3209000361 2f6200073233 3a09000361 2f6200073233",  # QoS 1, and again
        "340700036162630009 62020009",  # QoS 2
        "3008000161 00313233 30070001610126313233",  # MQTT 5: without and with properties
        "20020000 9003000301 d000",
        "30ffffff7f",
        "30ffffffff7f",
        "",
    )
]


def fuzz_one(data: bytes) -> None:
    """Packets do not depend on how bytes are split, and equal those of the complete parser."""
    for has_properties in (False, True):
        whole = _packets(data, len(data) or 1, has_properties=has_properties)
        assert whole == _packets(data, 3, has_properties=has_properties)
    for found in _packets(data, len(data) or 1, has_properties=False):
        if found is None:
            break
        first, topic, payload, packet_id = found
        body = b"" if topic is None else len(topic.encode()).to_bytes(2, "big") + topic.encode()
        body += packet_id.to_bytes(2, "big") if packet_id else b""
        reader = PacketReader(packet_bytes_max=10**6)
        try:
            (packet,) = reader.receive_bytes(
                bytes([first]) + _length(len(body + payload)) + body + payload
            )
        except ProtocolError:
            continue  # the complete parser is stricter
        if isinstance(packet, Publish) and packet.qos < 2:
            assert (topic, payload, packet_id) == (packet.topic, packet.payload, packet.packet_id)


def _packets(data: bytes, step: int, *, has_properties: bool) -> list[StreamPacket | None]:
    """The packets, and None where the rest is invalid."""
    found: list[StreamPacket | None] = []
    waiting = b""
    for start in range(0, len(data), step):
        waiting += data[start : start + step]
        packets, end = read_packets(waiting, has_properties=has_properties)
        found += packets
        if end == INVALID:
            return [*found, None]
        waiting = waiting[end:]
    return found


def _length(size: int) -> bytes:
    encoded = b""
    while True:
        size, low = divmod(size, 128)
        encoded += bytes([low | 0x80 if size else low])
        if not size:
            return encoded
