# SPDX-License-Identifier: BSD-3-Clause
"""A CoAP device whose DTLS is tinydtls, as in RIOT. Runs where the package DTLSSocket is.

    python device.py PORT UID KEY-IN-HEX

Each line of input is a datagram in hexadecimal digits, which it sends in its session. It prints
`connected` when the session is established, `alert LEVEL CODE`, and `received DIGITS` for each
datagram. A Confirmable request is answered 2.04. The line `reboot` starts again at another port,
without closing the session.
"""

import select
import socket
import sys
from typing import Any, Final

from DTLSSocket import dtls  # type: ignore[import-not-found]  # see scripts/tinydtls.py

GATEWAY: Final = "::1"
"""Stands for the peer within tinydtls, which takes IPv6 addresses. The socket has the real one."""
CONNECTED: Final = 0x1DE
PUT, CHANGED = 3, 0x44


class Device:
    def __init__(self, port: int, uid: bytes, key: bytes) -> None:
        self._port = port
        self._uid, self._key = uid, key
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.connect(("127.0.0.1", port))
        self._connected = False
        self._waiting: list[bytes] = []
        self._dtls: Any = dtls.DTLS(
            read=self._read, write=self._write, event=self._event, pskId=uid, pskStore={uid: key}
        )
        self._peer: Any = self._dtls.connect(GATEWAY, port)

    def receive(self) -> None:
        self._dtls.handleMessageAddr(GATEWAY, self._port, self.udp.recv(2048))

    def retransmit(self) -> None:
        self._dtls.checkRetransmit()

    def send(self, datagram: bytes) -> None:
        if self._connected:
            self._dtls.write(self._peer, datagram)
        else:
            self._waiting.append(datagram)

    def _write(self, _to: object, record: bytes) -> int:
        return self.udp.send(record)

    def _read(self, _from: object, datagram: bytes) -> int:
        print("received", datagram.hex(), flush=True)
        if datagram[0] & 0x30 == 0 and 1 <= datagram[1] <= 4:
            token = datagram[4 : 4 + (datagram[0] & 0x0F)]
            self.send(bytes((0x60 | len(token), CHANGED)) + datagram[2:4] + token)
        return len(datagram)

    def _event(self, level: int, code: int) -> None:
        if code != CONNECTED:
            print("alert", level, code, flush=True)
            return
        self._connected = True
        print("connected", flush=True)
        waiting, self._waiting = self._waiting, []
        for datagram in waiting:
            self.send(datagram)


def main() -> None:
    arguments = int(sys.argv[1]), sys.argv[2].encode(), bytes.fromhex(sys.argv[3])
    device = Device(*arguments)
    while True:
        for ready in select.select([device.udp, sys.stdin], [], [], 0.1)[0]:
            if ready is device.udp:
                device.receive()
                continue
            line = sys.stdin.readline()
            if not line:
                return
            if line.strip() == "reboot":
                device = Device(*arguments)
                break
            device.send(bytes.fromhex(line))
        device.retransmit()


if __name__ == "__main__":
    main()
