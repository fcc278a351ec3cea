# SPDX-License-Identifier: BSD-3-Clause
"""MQTT-SN datagrams that a gateway receives."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.packets import parse_packet

CORPUS: list[bytes] = [
    bytes.fromhex(text)
    for text in (
        "0500070384",  # ADVERTISE
        "030102",  # SEARCHGW
        "070207c0a80001",  # GWINFO with an address
        "0a04040101686e6f6465",  # CONNECT, as emcute sends it
        "0a040c0101686e6f6465",  # CONNECT with a will
        "0206",
        "0707306c617374",  # WILLTOPIC
        "0609676f6e65",  # WILLMSG
        "0a0a00001234612f6263",  # REGISTER
        "070b0005123400",  # REGACK
        "090c20000512353233",  # PUBLISH of QoS 1
        "080c610001000031",  # PUBLISH of QoS -1 to a predefined id
        "080c026162000031",  # PUBLISH to a short topic name
        "070d0005123502",  # PUBACK
        "04101236",  # PUBREL
        "0812201237612f23",  # SUBSCRIBE
        "07124112370009",  # SUBSCRIBE to a predefined id
        "081320000512370e",  # SUBACK
        "07140212386162",  # UNSUBSCRIBE from a short topic name
        "06166e6f6465",  # PINGREQ with a client id
        "0418003c",  # DISCONNECT with a duration
        "010006180001",  # the long form of a short length
        "05fe01abcd0216",  # PINGREQ, forwarded
        "03fe00" * 3,
        "",
    )
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise `ProtocolError`; a parsed packet can be encoded and parsed again."""
    try:
        packet = parse_packet(data)
    except ProtocolError:
        return
    written = packet.to_bytes()
    assert len(written) <= len(data)
    assert parse_packet(written) == packet
    assert repr(packet).isprintable()
