# SPDX-License-Identifier: BSD-3-Clause
"""Datagrams of clients and unknown peers, events of the MQTT broker, and time, at a gateway.

The input is a sequence of steps: a byte for the kind, a byte for the length, and the content.
"""

import contextlib
from collections.abc import Iterator

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.gateway import MqttSnGatewayProtocol
from pyaiot.protocols.mqttsn.gateway_events import Output, Send, ToMqtt
from pyaiot.protocols.mqttsn.mqtt import (
    MqttConnect,
    MqttConnected,
    MqttEvent,
    MqttLost,
    MqttMessage,
    MqttPublish,
    MqttPublished,
    MqttRefused,
    MqttSubscribe,
    MqttSubscribed,
    MqttUnsubscribe,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqttsn.packets import parse_packet
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig

CONFIG = GatewayConfig(
    clients_max=3,
    kept_max=1,
    publish_without_connection=True,
    session=SessionConfig(predefined={7: "alarm"}, topics_max=3, messages_max=3),
)
FROM_A, FROM_B, MESSAGE, LOST, REFUSED, WAIT, WAIT_LONG = range(7)


def script(*steps: tuple[int, str]) -> bytes:
    """Steps with their content in hexadecimal digits."""
    return b"".join(bytes((kind, len(text) // 2)) + bytes.fromhex(text) for kind, text in steps)


_CONNECT = (FROM_A, "0a0404010168" + b"node".hex())
_DURABLE = (FROM_A, "0a0400010168" + b"node".hex())
_SUBSCRIBE = (FROM_A, "0812400001" + b"a/#".hex())
_NEWS = (MESSAGE, "02" + b"a/b".hex())

CORPUS: list[bytes] = [
    script(_CONNECT, (FROM_A, "090a00001234612f62"), (FROM_A, "080c200001123531")),
    script(_CONNECT, _SUBSCRIBE, _NEWS, (FROM_A, "070b0001000100"), (FROM_A, "040f0001")),
    script(_CONNECT, (FROM_A, "080c400007000131"), (FROM_A, "080c410007000131")),
    script(_DURABLE, _SUBSCRIBE, (FROM_A, "0418003c"), _NEWS, (FROM_A, "0616" + b"node".hex())),
    script((FROM_A, "0a040c0101686e6f6465"), (FROM_A, "0707306c617374"), (FROM_A, "0609676f6e65")),
    script(_CONNECT, (FROM_B, "0a04040101686e6f6465"), (FROM_A, "0218"), (WAIT_LONG, "")),
    script(_CONNECT, _SUBSCRIBE, (LOST, ""), (FROM_A, "07141200010007"), _NEWS, (WAIT, "ff")),
    script(_CONNECT, (REFUSED, ""), _DURABLE, (FROM_A, "071a306c617374"), (FROM_A, "021a")),
    script((FROM_A, "05fe01abcd0a04040101686e6f6465"), (FROM_A, "030102"), (FROM_B, "0216")),
]


def fuzz_one(data: bytes) -> None:
    """Only invalid datagrams raise, and only `ProtocolError`; every packet sent can be parsed."""
    now = 1000.0
    gateway: MqttSnGatewayProtocol[int] = MqttSnGatewayProtocol(CONFIG, now=now)
    for kind, content in _steps(data):
        outputs: list[Output[int]] = []
        if kind in (FROM_A, FROM_B):
            with contextlib.suppress(ProtocolError):
                outputs = gateway.receive_datagram(content, kind, now=now)
        elif kind in (MESSAGE, LOST, REFUSED):
            outputs = gateway.receive_mqtt_event("node", _event(kind, content), now=now)
        else:
            now += 10_000 if kind == WAIT_LONG else content[0] if content else 1
            outputs = gateway.handle_timer(now=now)
        _carry_out(gateway, outputs, now)
        assert len(gateway) <= CONFIG.clients_max


def _steps(data: bytes) -> Iterator[tuple[int, bytes]]:
    index = 0
    while index + 2 <= len(data):
        stop = index + 2 + data[index + 1]
        yield data[index] % 7, data[index + 2 : stop]
        index = stop


def _event(kind: int, content: bytes) -> MqttEvent:
    if kind == MESSAGE:
        qos = content[0] % 3 if content else 0
        return MqttMessage(content[1:4].decode("latin-1"), content[4:], qos)
    return MqttLost() if kind == LOST else MqttRefused()


def _carry_out(gateway: MqttSnGatewayProtocol[int], outputs: list[Output[int]], now: float) -> None:
    """The broker accepts everything."""
    while outputs:
        output = outputs.pop(0)
        if isinstance(output, Send):
            assert parse_packet(output.datagram).to_bytes() == output.datagram
        elif isinstance(output, ToMqtt):
            answer: MqttEvent
            match output.action:
                case MqttConnect():
                    answer = MqttConnected()
                case MqttPublish(token=token):
                    answer = MqttPublished(token)
                case MqttSubscribe(token=token, qos=qos):
                    answer = MqttSubscribed(token, qos)
                case MqttUnsubscribe(token=token):
                    answer = MqttUnsubscribed(token)
                case _:
                    continue
            outputs += gateway.receive_mqtt_event(output.client_id, answer, now=now)
