# SPDX-License-Identifier: BSD-3-Clause
"""The constants of MQTT-SN 1.2, with the names of the specification."""

import enum
from typing import Final

PROTOCOL_ID: Final = 0x01  # 5.3.8
PACKET_BYTES_MAX: Final = 65535  # 5.2.1
CLIENT_ID_CHARACTERS_MAX: Final = 23
"""5.3.1. Firmware in the field uses longer ids; a gateway has its own limit."""

TOPIC_ID_MIN: Final = 0x0001
TOPIC_ID_MAX: Final = 0xFFFE
"""5.3.11: 0x0000 and 0xFFFF are reserved."""
NO_TOPIC_ID: Final = 0x0000  # 5.4.10, 5.4.16
MESSAGE_ID_MAX: Final = 0xFFFF
NO_MESSAGE_ID: Final = 0x0000  # 5.4.12
SHORT_TOPIC_BYTES: Final = 2  # 3, 6.7

# 7.2, the best practice values
T_ADV_S: Final = 900.0
T_WAIT_S: Final = 300.0
T_RETRY_S: Final = 10.0
N_RETRY: Final = 5


class PacketType(enum.IntEnum):
    """5.2.2, table 3."""

    ADVERTISE = 0x00
    SEARCHGW = 0x01
    GWINFO = 0x02
    CONNECT = 0x04
    CONNACK = 0x05
    WILLTOPICREQ = 0x06
    WILLTOPIC = 0x07
    WILLMSGREQ = 0x08
    WILLMSG = 0x09
    REGISTER = 0x0A
    REGACK = 0x0B
    PUBLISH = 0x0C
    PUBACK = 0x0D
    PUBCOMP = 0x0E
    PUBREC = 0x0F
    PUBREL = 0x10
    SUBSCRIBE = 0x12
    SUBACK = 0x13
    UNSUBSCRIBE = 0x14
    UNSUBACK = 0x15
    PINGREQ = 0x16
    PINGRESP = 0x17
    DISCONNECT = 0x18
    WILLTOPICUPD = 0x1A
    WILLTOPICRESP = 0x1B
    WILLMSGUPD = 0x1C
    WILLMSGRESP = 0x1D
    FORWARDED = 0xFE
    """"Encapsulated message", 5.5."""


class TopicIdType(enum.IntEnum):
    """5.3.4: how a packet names a topic. 0b11 is reserved."""

    NORMAL = 0b00
    """A registered id; in SUBSCRIBE and UNSUBSCRIBE, a topic name."""
    PREDEFINED = 0b01
    SHORT = 0b10
    """A topic name of two bytes."""


class ReturnCode(enum.IntEnum):
    """5.3.10. Packets may have other codes too."""

    ACCEPTED = 0x00
    CONGESTION = 0x01
    INVALID_TOPIC_ID = 0x02
    NOT_SUPPORTED = 0x03


class Flag(enum.IntFlag):
    """5.3.4: the flags besides QoS and topic id type."""

    DUP = 0x80
    RETAIN = 0x10
    WILL = 0x08
    CLEAN_SESSION = 0x04
