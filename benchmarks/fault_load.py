# SPDX-License-Identifier: BSD-3-Clause
"""The load during a fault: a CoAP node that counts, and a program that commands it.

The node posts the next number every 20 ms, confirmable, and remembers which posts were acknowledged
with 2.04: these must be in the history. It answers every request with 2.04, so that a command is
confirmed. The program sends a command after another and remembers how each ended.
"""

import contextlib
import http.client
import json
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Self

HOST: Final = "127.0.0.1"
UID: Final = "counter"
POST_INTERVAL_S: Final = 0.02
ATTEMPT_S: Final = 0.5
"""After this time without an acknowledgement, a post is sent again, twice at most."""
SERVED_LIMIT_S: Final = 60.0


class Load:
    """Runs in two threads from the begin of the block to `stop`."""

    def __init__(self, coap_port: int, web_port: int) -> None:
        self.acknowledged: set[int] = set()
        self.number = 0
        self.receipts: Counter[str] = Counter()
        """Commands by the state of their receipt; `not connected`: the broker was not there, or
        the connection was lost before the answer."""
        self._coap_port = coap_port
        self._web_port = web_port
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._post, name="node"),
            threading.Thread(target=self._command, name="program"),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def until_served(self) -> float:
        """Seconds from now until a client reads a number that is posted from now on."""
        start, number = time.monotonic(), self.number
        while time.monotonic() - start < SERVED_LIMIT_S:
            if self.latest() > number:
                return time.monotonic() - start
            time.sleep(0.02)
        raise SystemExit(f"not served within {SERVED_LIMIT_S:.0f} s")

    def latest(self) -> int:
        """The number that the broker has; -1 if it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
            document = self.get(f"/api/nodes/{UID}/resources/n", timeout_s=1.0)
            return int(document["data"])
        return -1

    def lost(self, limit_s: float = 20.0) -> int:
        """Acknowledged numbers that are not in the history, after `limit_s` at most."""
        until = time.monotonic() + limit_s
        while True:
            recorded = {int(row["value"]) for row in self._recorded()}
            missing = len(self.acknowledged - recorded)
            if not missing or time.monotonic() > until:
                return missing
            time.sleep(0.2)

    def get(self, path: str, timeout_s: float = 10.0) -> Any:
        connection = http.client.HTTPConnection(HOST, self._web_port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def _recorded(self) -> Iterator[Any]:
        cursor = ""
        while True:
            path = f"/api/nodes/{UID}/resources/n/history?from=-1h&limit=5000{cursor}"
            document = self.get(path)
            yield from document.get("readings", ())
            if not document.get("next"):
                return
            cursor = f"&cursor={document['next']}"

    # -- the node -------------------------------------------------------------------------------

    def _post(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((HOST, 0))
            udp.connect((HOST, self._coap_port))
            message_id = 0
            while not self._stopped.is_set():
                self.number += 1
                is_alive = self.number % 50 == 1
                for text in ([f"alive:{UID}"] if is_alive else []) + [f"n:{self.number}"]:
                    message_id = (message_id + 1) % 65536
                    if self._send(udp, message_id, text) and text[0] == "n":
                        self.acknowledged.add(self.number)
                time.sleep(POST_INTERVAL_S)

    def _send(self, udp: socket.socket, message_id: int, text: str) -> bool:
        path = b"\xb5alive" if text.startswith("alive") else b"\xb6server"
        post = struct.pack("!BBH", 0x40, 2, message_id) + path + b"\x10\xff" + text.encode()
        for _ in range(3):
            if self._stopped.is_set():
                return False
            with contextlib.suppress(OSError):
                udp.send(post)
            until = time.monotonic() + ATTEMPT_S
            while (left := until - time.monotonic()) > 0:
                if not select.select([udp], [], [], left)[0]:
                    break
                with contextlib.suppress(OSError):
                    data = udp.recv(2048)
                    if data[:1] == b"\x60" and data[2:4] == post[2:4]:
                        return data[1] == 0x44
                    self._answer(udp, data)
        return False

    def _answer(self, udp: socket.socket, data: bytes) -> None:
        """2.04 to every request: an empty discovery, and a write that is confirmed."""
        if len(data) >= 4 and 1 <= data[1] <= 4:
            token = data[4 : 4 + (data[0] & 0x0F)]
            kind = 0x60 if data[0] & 0x30 == 0 else 0x50
            udp.send(bytes([kind | len(token), 0x44]) + data[2:4] + token)

    # -- the program ----------------------------------------------------------------------------

    def _command(self) -> None:
        while not self._stopped.is_set():
            time.sleep(0.1)
            connection = http.client.HTTPConnection(HOST, self._web_port, timeout=20)
            try:
                connection.request("PUT", f"/api/nodes/{UID}/resources/led?timeout=2", "1")
                document = json.loads(connection.getresponse().read())
                self.receipts[document.get("command", document).get("state", "none")] += 1
            except (OSError, http.client.HTTPException, ValueError):
                self.receipts["not connected"] += 1
            finally:
                connection.close()
