# SPDX-License-Identifier: BSD-3-Clause
"""Messages of an MQTT broker to the bridge: a topic, a zero byte, the payload."""

import json

from pyaiot.errors import ProtocolError
from pyaiot.homeassistant.bridge import Bridge
from pyaiot.homeassistant.discovery import components_of
from pyaiot.homeassistant.names import Topics
from pyaiot.messages import Joined, NodeAppeared, NodeDescribed, Reading, RegisteredNode
from pyaiot.model import ResourceType

CORPUS: list[bytes] = [
    b"",
    b"pyaiot/pyaiot_a/led/set\0ON",
    b"pyaiot/pyaiot_a/level/set\0" + b"21.5",
    b"pyaiot/pyaiot_a/level/set\0nan",
    b"pyaiot/pyaiot_a/lamp/set\0" + b'{"state":"ON","color":{"r":255,"g":136,"b":0}}',
    b"pyaiot/pyaiot_a/lamp/set\0" + b"[" * 5000,
    b"pyaiot/pyaiot_a/mode/set\0eco",
    b"pyaiot/pyaiot_a/js/set\0" + "é".encode() * 100,
    b"pyaiot/pyaiot_a/go/set\0PRESS",
    b"pyaiot/+/#/set\0ON",
    b'homeassistant/device/pyaiot_a/config\0{"o":{"name":"Pyaiot"},"cmps":{"sensor.x":{"p":"x"}}}',
    b'homeassistant/device/pyaiot_b/config\0{"o":{"name":"Pyaiot"},"cmps":{"":{}}}',
    b'homeassistant/device/pyaiot_b/config\0{"o":{"name":"Pyaiot"},"cmps":' + b"[" * 2000,
    b"homeassistant/status\0online",
]
TOPICS = Topics("pyaiot", "homeassistant")
TYPES = {
    "led": ResourceType(kind="boolean", writable=True),
    "level": ResourceType(kind="number", writable=True, minimum=0, maximum=100),
    "lamp": ResourceType(kind="colour", writable=True),
    "mode": ResourceType(kind="enum", writable=True, choices=("eco", "boost")),
    "js": ResourceType(kind="text", writable=True),
    "go": ResourceType(kind="command", on="go"),
}


def fuzz_one(data: bytes) -> None:
    """A command is refused or valid for the node; published messages are valid."""
    head, _, payload = data.partition(b"\0")
    topic = head.decode(errors="replace")
    bridge = Bridge(TOPICS, now=0.0)
    bridge.receive(
        [
            RegisteredNode(uid="a", state="online"),
            NodeDescribed(uid="a", types=TYPES),
            NodeAppeared(uid="a"),
            Reading.received("a", "lamp", "#112233", 1.0),
            Joined(nodes=1),
        ],
        0.0,
    )
    device = TOPICS.device_of_config(topic)
    components = components_of(payload)
    if device and components is not None:
        bridge.receive_earlier(device, components)
    try:
        command = bridge.receive_command(topic, payload)
    except ProtocolError:
        pass
    else:
        assert command.uid == "a"
        assert command.resource in TYPES
        assert topic == TOPICS.command("pyaiot_a", command.resource)
    for publication in bridge.publications_to_send(1000.0, 10**9):
        assert not {"+", "#"} & set(publication.topic)
        if publication.topic.endswith("/config") and publication.payload:
            assert set(json.loads(publication.payload)) == {"dev", "o", "cmps", "avty", "avty_mode"}
            assert len(publication.payload) < 100_000 + 2 * len(data)
