# SPDX-License-Identifier: BSD-3-Clause
"""Worker: many MQTT-SN clients in one process with prepared datagrams.

It does not use `pyaiot`: load must be cheap.
"""

import select
import socket
import struct
import time
from typing import Any, Final

from benchmarks.processes import HOST, BenchmarkError, run_worker

PAYLOAD: Final = '{"value":"21.5°C"}'.encode()
_CONNACK: Final = b"\x03\x05\x00"
LIMIT_S: Final = 10.0
TRIES: Final = 20
IN_FLIGHT: Final = 8
"""Unacknowledged publications of one client in saturating load."""


def datagram(kind: int, body: bytes) -> bytes:
    """MQTT-SN 1.2 section 5.2, for packets of less than 256 bytes."""
    return bytes((len(body) + 2, kind)) + body


class Nodes:
    """All clients. Each has a port and one registered topic."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._sockets: list[socket.socket] = []
        self._heads: list[bytes] = []
        for number in range(spec["nodes"]):
            uid = f"sn-{number:04}"
            node = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            node.connect((HOST, spec["port"]))
            node.settimeout(LIMIT_S / TRIES)
            _exchange(node, datagram(0x04, b"\x04\x01\x01\x68" + uid.encode()), _CONNACK)
            topic = f"node/{uid}/temperature".encode()
            regack = _exchange(node, datagram(0x0A, b"\0\0\0\1" + topic), b"\x07\x0b")
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
        """Publish from all clients with `in_flight` unacknowledged publications each.

        It ends after `seconds`, but not before the first acknowledgement.
        """
        began = stopped = time.monotonic()
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
            running = running and (time.monotonic() < end or not acknowledged)
            if running:
                stopped = time.monotonic()
            for descriptor, _ in ready:
                number = self._number[descriptor]
                node = self._sockets[number]
                while True:
                    try:
                        received = node.recv(64)
                    except BlockingIOError:
                        break
                    if received[1] != 0x0D:
                        raise BenchmarkError(f"the gateway sent {received.hex()}")
                    acknowledged += running and received[6] == 0
                    refused += received[6] != 0
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


def _exchange(node: socket.socket, request: bytes, expected: bytes) -> bytes:
    """Send a request until its answer arrives, which starts with `expected`."""
    for _ in range(TRIES):
        try:
            node.send(request)
            received = node.recv(64)
        except TimeoutError:
            continue
        except ConnectionRefusedError:  # it is not ready
            time.sleep(LIMIT_S / TRIES)
            continue
        if not received.startswith(expected):
            raise BenchmarkError(f"the gateway answered {received.hex()}")
        return received
    raise BenchmarkError("the gateway does not answer")


if __name__ == "__main__":
    run_worker(Nodes, "send")
