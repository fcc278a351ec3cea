# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many MQTT-SN clients in one process, whose datagrams are almost ready.

Nothing of `pyaiot` is used here: what loads must cost little.
"""

import json
import select
import socket
import struct
import sys
import time
from typing import Any, Final

from benchmarks.processes import HOST, BenchmarkError, answer

PAYLOAD: Final = '{"value":"21.5°C"}'.encode()
_CONNACK: Final = b"\x03\x05\x00"
LIMIT_S: Final = 10.0
TRIES: Final = 20
IN_FLIGHT: Final = 8
"""Publications of one client that are not acknowledged, when it sends as fast as it can."""


def datagram(kind: int, body: bytes) -> bytes:
    """MQTT-SN 1.2 section 5.2, for packets of less than 256 bytes."""
    return bytes((len(body) + 2, kind)) + body


class Nodes:
    """All of them, each at a port of its own, with one topic that is registered."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._sockets: list[socket.socket] = []
        self._heads: list[bytes] = []
        for number in range(spec["nodes"]):
            uid = f"sn-{number:04}"
            node = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            node.connect((HOST, spec["port"]))
            node.settimeout(LIMIT_S / TRIES)
            _ask(node, datagram(0x04, b"\x04\x01\x01\x68" + uid.encode()), _CONNACK)
            topic = f"node/{uid}/temperature".encode()
            regack = _ask(node, datagram(0x0A, b"\0\0\0\1" + topic), b"\x07\x0b")
            node.setblocking(False)
            self._sockets.append(node)
            # PUBLISH of QoS 1; the message id and the payload follow.
            self._heads.append(bytes((7 + len(PAYLOAD), 0x0C, 0x20)) + regack[2:4])
        self._poll = select.epoll()
        for node in self._sockets:
            self._poll.register(node, select.EPOLLIN)
        self._number = {node.fileno(): number for number, node in enumerate(self._sockets)}
        self._message_ids = [1] * len(self._sockets)

    def send(self, seconds: float, in_flight: int) -> dict[str, Any]:
        """Each sends the next one when one is acknowledged, and has `in_flight` on their way."""
        began = time.monotonic()
        end = began + seconds
        acknowledged = refused = open_ = 0
        for number in range(len(self._sockets)):
            for _ in range(in_flight):
                self._publish(number)
                open_ += 1
        running = True
        while open_:
            ready = self._poll.poll(LIMIT_S)
            if not ready:
                break
            running = running and time.monotonic() < end
            if running:
                stopped = time.monotonic()
            for descriptor, _ in ready:
                number = self._number[descriptor]
                node = self._sockets[number]
                while True:
                    try:
                        heard = node.recv(64)
                    except BlockingIOError:
                        break
                    if heard[1] != 0x0D:
                        raise BenchmarkError(f"the gateway said {heard.hex()}")
                    acknowledged += running and heard[6] == 0
                    refused += heard[6] != 0
                    if running:
                        self._publish(number)
                    else:
                        open_ -= 1
        return {
            "acknowledged": acknowledged,
            "refused": refused,
            "lost": open_,
            "seconds": stopped - began,
        }

    def _publish(self, number: int) -> None:
        message_id = self._message_ids[number] = self._message_ids[number] % 0xFFFF + 1
        self._sockets[number].send(self._heads[number] + struct.pack("!H", message_id) + PAYLOAD)


def _ask(node: socket.socket, question: bytes, expected: bytes) -> bytes:
    """Its answer begins as expected. Repeated until it comes."""
    for _ in range(TRIES):
        try:
            node.send(question)
            heard = node.recv(64)
        except TimeoutError:
            continue
        except ConnectionRefusedError:  # it has not started yet
            time.sleep(LIMIT_S / TRIES)
            continue
        if not heard.startswith(expected):
            raise BenchmarkError(f"the gateway answered {heard.hex()}")
        return heard
    raise BenchmarkError("the gateway does not answer")


def main() -> None:
    try:
        nodes = Nodes(json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - the parent is told, whatever it is
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(connected=True)
    for line in sys.stdin:
        question = json.loads(line)
        answer(**nodes.send(question["seconds"], question["in_flight"]))


if __name__ == "__main__":
    main()
