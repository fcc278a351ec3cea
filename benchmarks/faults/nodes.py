# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that post numbers, repeat what is not acknowledged, and confirm commands.

A node writes the numbers that were acknowledged, and the payloads of the commands that it carried
out, into the `Ledger` that it gets.
"""

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.protocols.coap.message import CoapMessage

HOST: Final = "127.0.0.1"
UID: Final = "counter"
RESOURCES: Final = ("n", "led")
ATTEMPT_S: Final = 0.5
"""After this time without an acknowledgement, a datagram is sent again, twice at most."""
MQTT_WAIT_S: Final = 1.5
"""How long an MQTT node waits for an acknowledgement before it publishes the next number."""
CHECK_EVERY: Final = 50
"""Posts between two announcements."""
REMEMBERED: Final = 64
"""Message ids of requests to a CoAP node, by which it recognises duplicates."""


@dataclass
class Ledger:
    """The acknowledged numbers and executed commands of a node."""

    acknowledged: set[int] = field(default_factory=set)
    carried_out: Counter[str] = field(default_factory=Counter)
    """Payloads of commands."""


class Node(Protocol):
    """A node. `post` blocks until the number is acknowledged or abandoned."""

    def post(self, number: int) -> None: ...

    def close(self) -> None: ...


MakeNode: TypeAlias = Callable[[int, Ledger], Node]
"""Makes a node that sends to this port."""


class CoapNode:
    """Posts Confirmable messages, and answers every request."""

    def __init__(self, port: int, ledger: Ledger) -> None:
        self._ledger = ledger
        self._message_id = 0
        self._answers: dict[bytes, bytes] = {}
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((HOST, 0))
        self._udp.connect((HOST, port))

    def close(self) -> None:
        self._udp.close()

    def post(self, number: int) -> None:
        if number % CHECK_EVERY == 1:
            self._post(f"alive:{UID}")
        if self._post(f"n:{number}"):
            self._ledger.acknowledged.add(number)

    def _post(self, text: str) -> bool:
        self._message_id = (self._message_id + 1) % 65536
        path = b"\xb5alive" if text.startswith("alive") else b"\xb6server"
        post = struct.pack("!BBH", 0x40, 2, self._message_id) + path + b"\x10\xff" + text.encode()
        for _ in range(3):
            with contextlib.suppress(OSError):
                self._udp.send(post)
            until = time.monotonic() + ATTEMPT_S
            while (left := until - time.monotonic()) > 0:
                if not select.select([self._udp], [], [], left)[0]:
                    break
                with contextlib.suppress(OSError):
                    data = self._udp.recv(2048)
                    if data[:1] == b"\x60" and data[2:4] == post[2:4]:
                        return data[1] == 0x44
                    self._answer(data)
        return False

    def _answer(self, data: bytes) -> None:
        """2.04 to every request: an empty discovery, and a write that is confirmed. A duplicate
        gets the same answer again (RFC 7252 section 4.2)."""
        if len(data) < 4 or not 1 <= data[1] <= 4:
            return
        if data[2:4] not in self._answers:
            token = data[4 : 4 + (data[0] & 0x0F)]
            kind = 0x60 if data[0] & 0x30 == 0 else 0x50
            self._answers[data[2:4]] = bytes([kind | len(token), 0x44]) + data[2:4] + token
            if data[1] == 3:
                self._ledger.carried_out[CoapMessage.from_bytes(data).payload.decode()] += 1
            if len(self._answers) > REMEMBERED:
                del self._answers[next(iter(self._answers))]
        self._udp.send(self._answers[data[2:4]])


class MqttNode:
    """Publishes with QoS 1 and connects again when its connection is lost."""

    def __init__(self, port: int, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changed = threading.Condition()
        self._numbers: dict[int, int] = {}
        """Numbers that were published, by message id."""
        self._early: set[int] = set()
        """Message ids of acknowledgements that arrived before `_numbers` has them."""
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, UID, clean_session=False, protocol=paho.MQTTv311
        )
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.reconnect_delay_set(0.2, 1)  # type: ignore[arg-type]  # fractions work
        self._client.connect_timeout = 2.0
        self._client.connect_async(HOST, port, keepalive=5)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def post(self, number: int) -> None:
        if number % CHECK_EVERY == 1:
            self._announce()
        with self._changed:
            self._early.clear()
        # Not within `_changed`: paho has its own lock, here and when it calls `_on_publish`.
        message_id = self._publish("n", number).mid
        with self._changed:
            if message_id in self._early:
                self._ledger.acknowledged.add(number)
                return
            self._numbers[message_id] = number
            self._changed.wait_for(lambda: number in self._ledger.acknowledged, MQTT_WAIT_S)

    def _announce(self) -> None:
        self._client.publish("node/check", json.dumps({"id": UID}), qos=1)

    def _publish(self, resource: str, value: Any) -> paho.MQTTMessageInfo:
        return self._client.publish(f"node/{UID}/{resource}", json.dumps({"value": value}), qos=1)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(f"gateway/{UID}/#", 1), ("gateway/check", 1)])
        self._announce()

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, *_: Any) -> None:
        with self._changed:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)
                return
            self._ledger.acknowledged.add(number)
            self._changed.notify_all()

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/led/set"):
            self._ledger.carried_out[message.payload.decode()] += 1
            self._publish("led", message.payload.decode())
        elif message.topic == "gateway/check":
            self._announce()
        elif message.payload == b"resources":
            client.publish(f"node/{UID}/resources", json.dumps(RESOURCES), qos=1)


class MqttSnNode:
    """Publishes with QoS 1 (MQTT-SN 1.2), and connects again when nothing is acknowledged."""

    _CONNECT: Final = b"\x04\x04\x01\x00\x0a" + UID.encode()
    """With a clean session and a keep-alive of 10 s."""

    def __init__(self, port: int, ledger: Ledger) -> None:
        self._ledger = ledger
        self._message_id = 0
        self._topics: dict[str, bytes] = {}
        self._set_topic = b""
        self._received: bytes = b""
        self._due: list[str] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((HOST, 0))
        self._udp.connect((HOST, port))

    def close(self) -> None:
        self._udp.close()

    def post(self, number: int) -> None:
        if not self._topics and not self._connect():
            return
        if number % CHECK_EVERY == 1:
            self._publish("node/check", json.dumps({"id": UID}))
        if self._publish(f"node/{UID}/n", json.dumps({"value": number})):
            self._ledger.acknowledged.add(number)
        while self._due and self._topics:
            self._publish(f"node/{UID}/led", json.dumps({"value": self._due.pop(0)}))

    def _connect(self) -> bool:
        if self._request(self._CONNECT, b"\x05", 1) != b"\x05\x00":
            return False
        topics = {}
        for topic in ("node/check", *(f"node/{UID}/{name}" for name in RESOURCES)):
            body = b"\x0a\x00\x00" + self._next_id() + topic.encode()
            regack = self._request(body, b"\x0b", 3, 3)
            if regack is None or regack[5:6] != b"\x00":
                return False
            topics[topic] = regack[1:3]
        body = b"\x12\x20" + self._next_id() + f"gateway/{UID}/led/set".encode()
        suback = self._request(body, b"\x13", 2, 4)
        if suback is None:
            return False
        self._set_topic = suback[2:4]
        self._topics = topics
        return self._publish("node/check", json.dumps({"id": UID}))

    def _publish(self, topic: str, text: str) -> bool:
        body = b"\x0c\x20" + self._topics[topic] + self._next_id() + text.encode()
        puback = self._request(body, b"\x0d", 4, 3)
        if puback is None:
            self._topics = {}
        return puback is not None and puback[5:6] == b"\x00"

    def _next_id(self) -> bytes:
        self._message_id = self._message_id % 0xFFFF + 1
        return struct.pack("!H", self._message_id)

    def _request(self, body: bytes, kind: bytes, at: int, id_at: int = 0) -> bytes | None:
        """The answer of this kind, without its length; None if there is none after three attempts.

        The message id is at `at` in the request and `id_at` in the answer, if it has one.
        """
        for attempt in range(3):
            if attempt and body[0] in (0x0C, 0x12):
                body = body[:1] + bytes([body[1] | 0x80]) + body[2:]  # DUP
            with contextlib.suppress(OSError):
                self._udp.send(bytes([len(body) + 1]) + body)
            until = time.monotonic() + ATTEMPT_S
            while (left := until - time.monotonic()) > 0:
                if not select.select([self._udp], [], [], left)[0]:
                    break
                with contextlib.suppress(OSError):
                    data = self._udp.recv(2048)[1:]
                    if data[:1] == b"\x18":  # the gateway does not know this client
                        return None
                    if data[:1] == kind and (
                        not id_at or data[id_at : id_at + 2] == body[at : at + 2]
                    ):
                        return data
                    self._answer(data)
        return None

    def _answer(self, data: bytes) -> None:
        """Carry out a command. A copy of the previous one is only acknowledged."""
        if data[:1] != b"\x0c" or data[2:4] != self._set_topic:
            return
        if data[1] & 0x60:
            self._udp.send(b"\x07\x0d" + data[2:6] + b"\x00")
        if data[1] & 0x80 and data[4:] == self._received:
            return
        self._received = data[4:]
        self._ledger.carried_out[data[6:].decode()] += 1
        self._due.append(data[6:].decode())
