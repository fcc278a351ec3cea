# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many MQTT nodes in one process with prepared publications.

It uses neither `pyaiot` nor an MQTT library: load must be cheap.
"""

import json
import socket
from typing import Any, Final

from benchmarks.paced_writes import ROUNDS, TOGETHER, write_in_turn
from benchmarks.processes import HOST, BenchmarkError, run_worker

CONNECTS_TOGETHER: Final = 100
"""Connections opened before the first answer is read."""
LIMIT_S: Final = 20.0

_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x82
_CONNACK: Final = b"\x20\x02\x00\x00"
_SUBACK: Final = b"\x90\x03\x00\x01\x00"


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def packet(kind: int, *parts: bytes) -> bytes:
    """MQTT 3.1.1 section 2.2, for packets of less than 2 MB."""
    body = b"".join(parts)
    size, length = b"", len(body)
    while True:
        length, low = divmod(length, 128)
        size += bytes([low | 0x80 if length else low])
        if not length:
            return bytes([kind]) + size + body


def publication(topic: str, payload: str, *, qos: int = 0) -> bytes:
    """With QoS 1 all have the same packet identifier: acknowledgements are ignored."""
    identifier = b"\x00\x07" if qos else b""
    return packet(_PUBLISH | qos << 1, text(topic), identifier, payload.encode())


def connect(uid: str) -> bytes:
    """MQTT 3.1.1 section 3.1: a clean session without keep-alive."""
    return packet(_CONNECT, text("MQTT"), b"\x04\x02\x00\x00", text(uid))


def accepts_nodes(connection: socket.socket) -> bool:
    """Whether the MQTT broker accepts a node."""
    connection.sendall(connect("early"))
    return connection.recv(16).startswith(_CONNACK)


def own_topic(uid: str) -> str:
    return f"node/{uid}/temperature"


def own_payload(degrees: int) -> str:
    return f'{{"value":"{degrees}.5°C"}}'


def homie_topic(uid: str) -> str:
    return f"homie/5/{uid}/room/temperature"


def homie_payload(degrees: int) -> str:
    return f"{degrees}.5°C"


def first_messages(uid: str, *, homie: bool) -> bytes:
    """What a node sends when it connects: its description and its first value."""
    if homie:
        description = {
            "homie": "5.0",
            "nodes": {"room": {"properties": {"temperature": {"datatype": "string"}}}},
        }
        return (
            publication(f"homie/5/{uid}/$description", json.dumps(description))
            + publication(f"homie/5/{uid}/$state", "ready")
            + publication(homie_topic(uid), homie_payload(20))
        )
    return (
        publication("node/check", f'{{"id":"{uid}"}}')
        + publication(f"node/{uid}/resources", '["temperature"]')
        + publication(own_topic(uid), own_payload(20))
    )


class Nodes:
    """All nodes. Each has a connection and one resource (legacy protocol, section 4).

    `homie`: they are Homie devices instead.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._homie = bool(spec.get("homie"))
        value_topic, value_payload = (
            (homie_topic, homie_payload) if self._homie else (own_topic, own_payload)
        )
        uids = [f"mqtt-{number:05}" for number in range(spec["nodes"])]
        self._sockets: list[socket.socket] = []
        for first in range(0, len(uids), CONNECTS_TOGETHER):
            self._connect(spec["port"], uids[first : first + CONNECTS_TOGETHER])
        self._writes = [
            [
                b"".join(
                    publication(
                        value_topic(uid),
                        value_payload(20 + (turn + more) % ROUNDS),
                        qos=spec.get("qos", 0),
                    )
                    for more in range(TOGETHER)
                )
                for uid in uids
            ]
            for turn in range(ROUNDS)
        ]

    def _connect(self, port: int, uids: list[str]) -> None:
        opened = []
        for uid in uids:
            connection = socket.create_connection((HOST, port), timeout=LIMIT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            subscription = text(f"gateway/{uid}/#") + b"\x00"
            connection.sendall(connect(uid) + packet(_SUBSCRIBE, b"\x00\x01", subscription))
            opened.append((connection, uid))
        for connection, uid in opened:
            answered = b""
            while len(answered) < len(_CONNACK + _SUBACK):
                piece = connection.recv(4096)
                if not piece:
                    raise BenchmarkError("the MQTT broker closed a connection")
                answered += piece
            if answered != _CONNACK + _SUBACK:
                raise BenchmarkError(f"the MQTT broker answered {answered!r}")
            connection.sendall(first_messages(uid, homie=self._homie))
            self._sockets.append(connection)

    def send(self, seconds: float, rate: float) -> dict[str, Any]:
        """Send in turn from all nodes, `rate` publications per second in total."""
        return write_in_turn(self._sockets, self._writes, seconds=seconds, rate=rate)


if __name__ == "__main__":
    run_worker(Nodes, "send")
