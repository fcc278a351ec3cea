# SPDX-License-Identifier: BSD-3-Clause
"""The packets from a broker of MQTT 3.1.1 or 5 in the bytes of its connection. Pure.

Publications with QoS 0 and 1 are parsed, in a single loop because there may be tens of thousands a
second. Other packets are only delimited.
"""

from typing import Final, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.packet import PacketType, read_head

StreamPacket: TypeAlias = tuple[int, str | None, bytes, int]
"""The first byte of a packet; of a publication its topic, its payload and its packet id, 0 with QoS
0; of another packet None, the bytes after its fixed header, and 0."""

INVALID: Final = -1
"""In place of an offset: what follows cannot be parsed."""
_TYPE_MASK: Final = 0xF0
_QOS_MASK: Final = 0x06
_QOS_1: Final = 0x02
_PUBLISH: Final = PacketType.PUBLISH << 4


def read_packets(data: bytes, *, has_properties: bool) -> tuple[list[StreamPacket], int]:
    """The complete packets at the start of `data`, and the offset of the first incomplete one.

    `has_properties`: the packets are of MQTT 5. A publication that is malformed, has properties
    (MQTT 5 section 3.3.2.3) or QoS 2 is returned like other packets. The offset is `INVALID` if a
    length of more than four bytes (2.2.3) follows the packets: close the connection.
    """
    packets: list[StreamPacket] = []
    size = len(data)
    start = 0
    while size - start >= 2:
        length = data[start + 1]
        body = start + 2
        end = body + length
        if length >= 0x80:
            try:
                head = read_head(data, start)
            except ProtocolError:
                return packets, INVALID
            if head is None:
                break
            body, end = head
        if end > size:
            break
        first = data[start]
        publication = None
        if first & _TYPE_MASK == _PUBLISH:
            publication = _publication(data, first, body, end, has_properties=has_properties)
        packets.append(publication or (first, None, data[body:end], 0))
        start = end
    return packets, start


def _publication(
    data: bytes, first: int, body: int, end: int, *, has_properties: bool
) -> StreamPacket | None:
    """The publication from `body` to `end`. None for one that is left to another parser."""
    qos = first & _QOS_MASK
    if qos > _QOS_1 or end - body < 2:
        return None
    topic_end = at = body + 2 + (data[body] << 8 | data[body + 1])
    packet_id = 0
    if qos:
        if at + 2 > end:
            return None
        packet_id = data[at] << 8 | data[at + 1]
        at += 2
        if not packet_id:
            return None
    if has_properties:
        if at >= end or data[at]:
            return None
        at += 1
    if at > end:
        return None
    try:
        topic = str(data[body + 2 : topic_end], "utf-8")
    except UnicodeDecodeError:
        return None
    return (first, topic, data[at:end], packet_id) if topic else None
