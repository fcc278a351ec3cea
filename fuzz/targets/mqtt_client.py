# SPDX-License-Identifier: BSD-3-Clause
"""Bytes that an MQTT client receives from a broker."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.packet import PacketReader
from pyaiot.protocols.mqtt.packets import Connect

CORPUS: list[bytes] = [
    bytes.fromhex(text)
    for text in (
        "20020000 40020001 50020002 70020002 9003000301",  # each request answered
        "20020100 30070003612f623233 3209000361 2f6200073233 340700036162630009 62020009",
        "20020005",  # a refusal
        "20020000 d000 b0020004 900300 0380",
        "20020000 30ffffff7f",  # a packet without end
        "d000 20020000",
        "f000",
        "",
    )
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise one error; events and answers do not depend on how bytes are split."""
    assert _events(data, len(data) or 1) == _events(data, 3)


def _events(data: bytes, step: int) -> tuple[list[object], bytes]:
    client = MqttClientProtocol()
    client.connection_opened(Connect("c", clean_session=False, keep_alive_s=60), now=0.0)
    client.bytes_to_send()
    events: list[object] = []
    answers = b""
    try:
        for start in range(0, len(data), step):
            for event in client.receive_bytes(data[start : start + step], now=1.0):
                events.append(event)
                if len(events) == 1:
                    client.publish(1, "t", b"1", qos=1, retain=False, now=1.0)
                    client.publish(2, "t", b"2", qos=2, retain=False, now=1.0)
                    client.subscribe(3, "a/#", qos=1, now=1.0)
                    client.unsubscribe(4, "b", now=1.0)
            answers += client.bytes_to_send()
    except (ProtocolError, ConnectionRefused) as error:
        events.append(type(error))
        answers += client.bytes_to_send()
    # The bytes to send are always complete, valid packets.
    reader = PacketReader(packet_bytes_max=10**6)
    assert all(repr(packet).isprintable() for packet in reader.receive_bytes(answers))
    assert not reader.waiting_bytes
    return events, answers
