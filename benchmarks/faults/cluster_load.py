# SPDX-License-Identifier: BSD-3-Clause
"""The load of a cluster: 1,000 CoAP nodes that count, a client at each broker, and commands."""

import asyncio
import contextlib
import json
import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import aiohttp

from benchmarks.faults.machines import BROKER_PORT, HOSTS, Machines
from pyaiot.protocols.coap.message import CoapMessage

LOOPBACK: Final = "127.0.0.1"
INTERVAL_S: Final = 1.0
"""Interval between two readings of a node."""
ATTEMPT_S: Final = 1.0
ATTEMPTS: Final = 3
SETTLED_S: Final = 0.5
"""Time after which an acknowledged reading must have arrived at all clients."""
COMMAND_S: Final = 0.1


class Node:
    """Posts numbers one after another, and confirms every command.

    It announces itself every 30 s, and after a post that is not accepted.
    """

    def __init__(self, uid: str, host: str, port: int, first: int) -> None:
        self.uid = uid
        self.number = first
        self.acknowledged: list[tuple[float, int]] = []
        """Time and number of each acknowledged post."""
        self.carried_out: Counter[str] = Counter()
        self.due = 0.0
        self._message_id = 0
        self._pending: bytes = b""
        self._attempts = 0
        self._alive_at = 0.0
        self._is_alive_post = False
        self._answers: deque[tuple[bytes, bytes]] = deque(maxlen=64)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setblocking(False)
        self.udp.bind((host, 0))
        self.udp.connect((LOOPBACK, port))

    def step(self, now: float) -> None:
        """Post the next number, or again a number that was not acknowledged."""
        if self._pending and self._attempts < ATTEMPTS:
            self._attempts += 1
        elif now >= self._alive_at:
            self._alive_at = now + 30.0
            self._post("alive", f"alive:{self.uid}", is_alive=True)
        else:
            self.number += 1
            self._post("server", f"n:{self.number}", is_alive=False)
        self.due = now + ATTEMPT_S
        with contextlib.suppress(OSError):
            self.udp.send(self._pending)

    def _post(self, path: str, text: str, *, is_alive: bool) -> None:
        self._message_id = (self._message_id + 1) % 65536
        option = bytes([0xB0 + len(path)]) + path.encode() + b"\x10\xff"
        self._pending = struct.pack("!BBH", 0x40, 2, self._message_id) + option + text.encode()
        self._attempts = 1
        self._is_alive_post = is_alive

    def receive(self, now: float) -> None:
        with contextlib.suppress(OSError):
            data = self.udp.recv(2048)
            if self._pending and data[:1] == b"\x60" and data[2:4] == self._pending[2:4]:
                if data[1] == 0x44 and not self._is_alive_post:
                    self.acknowledged.append((now, self.number))
                elif data[1] != 0x44:
                    self._alive_at = now
                self.due = now if self._is_alive_post else now + INTERVAL_S
                self._pending = b""
            elif len(data) >= 4 and 1 <= data[1] <= 4:
                self.udp.send(self._answer(data))

    def _answer(self, data: bytes) -> bytes:
        """Answer every request with 2.04, and a duplicate with the same message."""
        for message_id, known in self._answers:
            if message_id == data[2:4]:
                return known
        token = data[4 : 4 + (data[0] & 0x0F)]
        kind = 0x60 if data[0] & 0x30 == 0 else 0x50
        answer = bytes([kind | len(token), 0x44]) + data[2:4] + token
        self._answers.append((data[2:4], answer))
        if data[1] == 3:
            self.carried_out[CoapMessage.from_bytes(data).payload.decode()] += 1
        return answer


class Watcher:
    """A client of one broker: the last number of each node, and counts of messages."""

    def __init__(self, host: str, token: str) -> None:
        self.host = host
        self.numbers: dict[str, int] = {}
        self.kinds: Counter[str] = Counter()
        """Messages since `ClusterLoad.begin`, by type."""
        self.is_joined = False
        self._token = token

    async def run(self) -> None:
        """Join, and join again after a lost connection, until cancelled."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with aiohttp.ClientSession(headers=headers) as web:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    await self._watch(web)
                self.is_joined = False
                await asyncio.sleep(0.2)

    async def _watch(self, web: aiohttp.ClientSession) -> None:
        url = f"http://{self.host}:{BROKER_PORT}/ws"
        async with web.ws_connect(
            url, protocols=["pyaiot.v2"], heartbeat=2.0, max_msg_size=0
        ) as client:
            await client.send_str('[{"type":"new","data":"client"}]')
            async for frame in client:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    return
                for message in json.loads(frame.data):
                    self._receive(message)

    def _receive(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "update":
            if message["endpoint"] == "n":
                self.numbers[message["uid"]] = int(message["data"])
        elif kind == "joined":
            self.is_joined = True
        elif self.is_joined:
            self.kinds[kind] += 1


class ClusterLoad:
    """Runs in threads from the start of the block to `stop`."""

    def __init__(self, machines: Machines, nodes: int) -> None:
        self.first = int(time.time()) * 100
        """The first number of each node: larger than all numbers of earlier loads."""
        self.nodes = [
            # Each has its own host address, because the gateway limits the posts of one host.
            Node(
                f"node-{number}",
                f"127.1.{number // 250}.{number % 250 + 1}",
                machines.coap_port,
                self.first,
            )
            for number in range(nodes)
        ]
        self.watchers = [Watcher(host, machines.token) for host in HOSTS]
        self.receipts: Counter[str] = Counter()
        self._headers = {"Authorization": f"Bearer {machines.token}"}
        self._commands = 0
        self._begun_at = 0.0
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._post, name="nodes"),
            threading.Thread(target=lambda: asyncio.run(self._clients()), name="clients"),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        for node in self.nodes:
            node.udp.close()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def begin(self, limit_s: float) -> None:
        """Wait until the system has recovered, and count from now on."""
        self.until_recovered(limit_s)
        self._begun_at = time.monotonic()
        self.receipts.clear()
        for watcher in self.watchers:
            watcher.kinds.clear()

    def until_recovered(self, limit_s: float, since: float = 0.0) -> float:
        """Seconds until all brokers show a reading of each node that was acknowledged `since`."""
        begin = time.monotonic()
        while problem := self.problem(HOSTS, since):
            if time.monotonic() - begin > limit_s:
                raise SystemExit(f"not recovered within {limit_s:.0f} s: {problem}")
            time.sleep(0.05)
        return time.monotonic() - begin

    # -- recovery -----------------------------------------------------------------------------

    def problem(self, hosts: Sequence[str], since: float = 0.0) -> str:
        """The first problem; empty if the system has recovered."""
        now = time.monotonic()
        watchers = [it for it in self.watchers if it.host in hosts]
        for watcher in watchers:
            if not watcher.is_joined:
                return f"no client at {watcher.host}"
        for node in self.nodes:
            last = node.acknowledged[-1:]
            if not last or last[0][0] < since:
                return f"{node.uid} is not acknowledged"
            settled = self._settled(node, now)
            for watcher in watchers:
                if watcher.numbers.get(node.uid, 0) < settled:
                    return f"{node.uid} at {watcher.host}"
        return ""

    def serves(self, hosts: Sequence[str], since: float) -> bool:
        """Whether these brokers show a number of any node that was acknowledged after `since`."""
        for node in self.nodes:
            for at, number in reversed(node.acknowledged):
                if at < since:
                    break
                if all(
                    it.numbers.get(node.uid, 0) >= number
                    for it in self.watchers
                    if it.host in hosts
                ):
                    return True
        return False

    @staticmethod
    def _settled(node: Node, now: float) -> int:
        """The last number that was acknowledged at least `SETTLED_S` ago."""
        for at, number in reversed(node.acknowledged):
            if at < now - SETTLED_S:
                return number
        return 0

    def acknowledged(self) -> Iterator[tuple[str, int]]:
        """Readings since `begin`."""
        for node in self.nodes:
            for at, number in node.acknowledged:
                if at >= self._begun_at:
                    yield node.uid, number

    def twice(self) -> int:
        """Commands that were carried out more than once."""
        return sum(count > 1 for node in self.nodes for count in node.carried_out.values())

    # -- threads ------------------------------------------------------------------------------

    def _post(self) -> None:
        with selectors.DefaultSelector() as selector:
            for node in self.nodes:
                selector.register(node.udp, selectors.EVENT_READ, node)
            begin = time.monotonic()
            for number, node in enumerate(self.nodes):
                node.due = begin + number * 5 * INTERVAL_S / len(self.nodes)
            looked_at = 0.0
            while not self._stopped.is_set():
                for key, _ in selector.select(0.005):
                    key.data.receive(time.monotonic())
                now = time.monotonic()
                if now - looked_at >= 0.01:
                    looked_at = now
                    for node in self.nodes:
                        if node.due <= now:
                            node.step(now)

    async def _clients(self) -> None:
        tasks = [asyncio.create_task(watcher.run()) for watcher in self.watchers]
        tasks.append(asyncio.create_task(self._send_commands()))
        while not self._stopped.is_set():  # noqa: ASYNC110 - the event of a thread
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _send_commands(self) -> None:
        """Send commands to the nodes and brokers in turn, without waiting for earlier ones."""
        timeout = aiohttp.ClientTimeout(total=8.0)
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=timeout) as web,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                await asyncio.sleep(COMMAND_S)
                self._commands += 1
                tasks.create_task(self._command(web, self._commands))

    async def _command(self, web: aiohttp.ClientSession, number: int) -> None:
        node = self.nodes[number % len(self.nodes)]
        host = HOSTS[number % len(HOSTS)]
        url = f"http://{host}:{BROKER_PORT}/api/nodes/{node.uid}/resources/led?timeout=2"
        try:
            async with web.put(url, data=str(number)) as answer:
                document = await answer.json()
                self.receipts[document.get("command", document).get("state", "none")] += 1
        except TimeoutError:
            self.receipts["no answer"] += 1
        except (aiohttp.ClientError, OSError, ValueError):
            self.receipts["not connected"] += 1
