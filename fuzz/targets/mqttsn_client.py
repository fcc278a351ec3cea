# SPDX-License-Identifier: BSD-3-Clause
"""MQTT-SN datagrams that a client receives, while it makes requests.

The input is a sequence of datagrams, each after a byte with its length and a request of the client.
"""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.client import PENDING_REQUESTS_MAX, MqttSnClientProtocol
from pyaiot.protocols.mqttsn.client_events import ClientConfig
from pyaiot.protocols.mqttsn.mqtt import Will
from pyaiot.protocols.mqttsn.packets import Packet, parse_packet


def row(*datagrams: tuple[int, str]) -> bytes:
    """Requests, and datagrams in hexadecimal digits."""
    parts = []
    for request, text in datagrams:
        datagram = bytes.fromhex(text)
        parts.append(bytes((request << 5 | len(datagram),)) + datagram)
    return b"".join(parts)


CORPUS: list[bytes] = [
    row((0, "0206"), (0, "0208"), (0, "030500")),
    row((0, "030500"), (1, "070b0005000100"), (0, "070d0005000200")),
    row((0, "030500"), (2, "0813200005000100"), (0, "090c20000500093233")),
    row((0, "030500"), (3, "070b0005000100"), (0, "040f0002"), (0, "040e0002")),
    row((0, "030500"), (4, "0218"), (5, "080c026162000031"), (0, "0217")),
    row((0, "030500"), (6, "0218"), (0, "090a00050007612f62"), (0, "080c400005000931")),
    row((0, "030500"), (7, "031b00"), (0, "031d00"), (0, "04100009")),
]


def fuzz_one(data: bytes) -> None:
    """Only the codec raises, and only `ProtocolError`; every packet sent can be parsed."""
    now = 1000.0
    client = MqttSnClientProtocol(ClientConfig(client_id="node", will=Will("last", b"gone")))
    effects: list[object] = [*client.connect(now=now)]
    index = 0
    while index < len(data):
        stop = index + 1 + (data[index] & 31)
        match data[index] >> 5 if len(client) < PENDING_REQUESTS_MAX - 1 else 0:
            case 1:
                effects += client.publish("a/b", b"1", now=now)[1]
            case 2:
                effects += client.subscribe("a/#", now=now)[1]
            case 3:
                effects += client.publish("a/b", b"2", qos=2, now=now)[1]
            case 4:
                effects += client.sleep(60, now=now)
            case 5:
                effects += client.wake(now=now)
            case 6:
                now += 20
                effects += client.handle_timer(now=now)
            case 7:
                effects += client.change_will(None, now=now)[1]
        try:
            effects += client.receive_packet(parse_packet(data[index + 1 : stop]), now=now)
        except ProtocolError:
            effects += client.connect(now=now)
        index = stop
    for effect in effects:
        if isinstance(effect, Packet):
            assert parse_packet(effect.to_bytes()) == effect
