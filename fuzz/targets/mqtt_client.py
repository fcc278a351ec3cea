# SPDX-License-Identifier: BSD-3-Clause
"""What an MQTT broker, or whoever stands in its place, sends to a client of it."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.packet import PacketReader
from pyaiot.protocols.mqtt.packets import Connect

CORPUS: list[bytes] = [
    bytes.fromhex(text)
    for text in (
        "20020000 40020001 50020002 70020002 9003000301",  # each wish answered
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
    """Wrong bytes are one error; however they are cut, the same is told and answered."""
    assert _told(data, len(data) or 1) == _told(data, 3)


def _told(data: bytes, step: int) -> tuple[list[object], bytes]:
    client = MqttClientProtocol()
    client.opened(Connect("c", clean_session=False, keep_alive_s=60), now=0.0)
    client.take()
    told: list[object] = []
    answers = b""
    try:
        for start in range(0, len(data), step):
            for event in client.received(data[start : start + step], now=1.0):
                told.append(event)
                if len(told) == 1:
                    client.publish(1, "t", b"1", qos=1, retain=False, now=1.0)
                    client.publish(2, "t", b"2", qos=2, retain=False, now=1.0)
                    client.subscribe(3, "a/#", qos=1, now=1.0)
                    client.unsubscribe(4, "b", now=1.0)
            answers += client.take()
    except (ProtocolError, ConnectionRefused) as error:
        told.append(type(error))
        answers += client.take()
    # What we say is always well-formed, and to its end.
    reader = PacketReader(packet_bytes_max=10**6)
    assert all(repr(packet).isprintable() for packet in reader.feed(answers))
    assert not reader.waiting_bytes
    return told, answers
