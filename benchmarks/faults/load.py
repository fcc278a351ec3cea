# SPDX-License-Identifier: BSD-3-Clause
"""The load during a fault: a node that posts numbers, and a program that commands it.

The node posts the next number every 60 ms and remembers which posts were acknowledged: these must
be in the history. The program sends a command after another and remembers how each ended.
"""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from benchmarks.faults.nodes import HOST, UID, Ledger, MakeNode

POST_INTERVAL_S: Final = 0.06
"""Below the rate limit of one node."""
SERVED_LIMIT_S: Final = 60.0


class Load:
    """Runs in two threads from the start of the block to `stop`."""

    def __init__(
        self,
        make_node: MakeNode,
        device_port: int,
        web_port: int,
        headers: Mapping[str, str] | None = None,
        reading_headers: Mapping[str, str] | None = None,
    ) -> None:
        """`headers` are sent with each command, `reading_headers` with other requests."""
        self.ledger = Ledger()
        self.number = 0
        self._first = 0
        self.receipts: Counter[str] = Counter()
        """Commands by the state of their receipt; `not connected`: the broker was not there, or
        the connection was lost before the answer."""
        self._make_node = make_node
        self._device_port = device_port
        self._web_port = web_port
        self._headers = dict(headers or {})
        self._reading_headers = dict(reading_headers or {})
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

    def begin(self) -> None:
        """Wait until the node is served, and count from now on."""
        self.until_served()
        self._first = self.number + 1
        self.receipts.clear()

    @property
    def acknowledged(self) -> set[int]:
        """The acknowledged numbers since `begin`."""
        return {number for number in self.ledger.acknowledged if number >= self._first}

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

    def twice(self) -> int:
        """Commands that the node carried out more than once."""
        return sum(count > 1 for count in self.ledger.carried_out.values())

    def get(self, path: str, timeout_s: float = 10.0) -> Any:
        connection = http.client.HTTPConnection(HOST, self._web_port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=self._reading_headers)
            return json.loads(connection.getresponse().read())

    def _recorded(self) -> Iterator[Any]:
        cursor = ""
        # An end in the future, because the clock of the broker may have been set back.
        span = "to=2090-01-01T00:00:00Z"
        while True:
            path = f"/api/nodes/{UID}/resources/n/history?{span}&limit=5000{cursor}"
            document = self.get(path)
            yield from document.get("readings", ())
            if not document.get("next"):
                return
            cursor = f"&cursor={document['next']}"

    def _post(self) -> None:
        with contextlib.closing(self._make_node(self._device_port, self.ledger)) as node:
            while not self._stopped.is_set():
                self.number += 1
                node.post(self.number)
                time.sleep(POST_INTERVAL_S)

    def _command(self) -> None:
        number = 0
        while not self._stopped.is_set():
            time.sleep(0.1)
            number += 1
            connection = http.client.HTTPConnection(HOST, self._web_port, timeout=20)
            try:
                path = f"/api/nodes/{UID}/resources/led?timeout=2"
                connection.request("PUT", path, str(number), self._headers)
                document = json.loads(connection.getresponse().read())
                self.receipts[document.get("command", document).get("state", "none")] += 1
            except (OSError, http.client.HTTPException, ValueError):
                self.receipts["not connected"] += 1
            finally:
                connection.close()
