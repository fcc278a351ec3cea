# SPDX-License-Identifier: BSD-3-Clause
"""Machines whose embedded MQTT brokers are a cluster, and devices that connect to any of them."""

import asyncio
import itertools
import json
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import asyncpg
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.end_to_end.test_cluster import watching
from tests.programs import Program, Programs, free_port
from tests.time_limits import time_limit

LIMIT_S = 60.0
MACHINES = 3
ACKNOWLEDGED_LIMIT_S = 2.0
"""How long a device waits for an acknowledgement before it connects to another machine."""


class Machines:
    """`aiot run` on three machines, simulated by addresses of loopback."""

    def __init__(self, programs: Programs, database: str) -> None:
        """`database`: the URL of their history, registry and accounts."""
        self._programs = programs
        self._database = database
        self.secret = programs.home / "secret"
        self.secret.write_text("a secret of all machines\n")
        self.secret.chmod(0o600)
        self.routes = [f"127.0.0.1:{free_port(socket.SOCK_STREAM)}" for _ in range(MACHINES)]
        self.mqtt_ports = [free_port(socket.SOCK_STREAM) for _ in range(MACHINES)]
        self._ended: set[int] = set()
        self.running = [self.start(number) for number in range(MACHINES)]
        self.urls = [self._url(it) for it in self.running]

    def start(self, number: int) -> Program:
        """Start one machine. It is ready when a second one runs: wait with `url_of`."""
        folder = self._programs.home / f"machine-{number}"
        folder.mkdir(exist_ok=True)
        settings = folder / "pyaiot.toml"
        settings.write_text(
            f'[mqtt]\nfolder = "{folder}/mqtt"\ncluster_secret_file = "{self.secret}"\n'
        )
        return self._programs.aiot(
            *("run", "--config", str(settings), "--history", self._database),
            *("--web-port", "0", "--coap-port", "0", "--mqttsn-port", "0", "--ws-port", "0"),
            *("--mqtt-port", str(self.mqtt_ports[number]), "--mqtt-cluster"),
            *(",".join(self.routes), "--mqtt-cluster-listen", self.routes[number]),
            *("--cluster-broker", f"machine {number}"),
            XDG_DATA_HOME=str(folder),
            XDG_STATE_HOME=str(folder),
        )

    def end(self, number: int, by: signal.Signals) -> None:
        self.running[number].send(by)
        self._ended.add(number)

    def restart(self, number: int) -> None:
        self._ended.discard(number)
        self.running[number] = self.start(number)
        self.urls[number] = self._url(self.running[number])

    def restart_ended(self) -> None:
        """Start those again that have ended, or are about to."""
        for number in sorted(self._ended):
            self.running[number].exit_code(LIMIT_S)
            self.restart(number)

    @staticmethod
    def _url(program: Program) -> str:
        text = ""
        while "Ctrl+C" not in text:
            text += program.line(LIMIT_S)
        found = re.search(r"Pyaiot: (http://\S+)/", text)
        assert found is not None
        return found[1]


class CountingDevice:
    """Publishes 1, 2, 3, … with QoS 1, each when the one before was acknowledged. It connects to
    the next machine when its own does not answer."""

    def __init__(self, uid: str, ports: Sequence[int], interval_s: float = 0.1) -> None:
        self.uid = uid
        self.acknowledged = 0
        self.carried_out: list[str] = []
        """Payloads of commands for its resource `led`."""
        self.sent_again: set[int] = set()
        """Numbers whose acknowledgement did not arrive."""
        self.longest_gap_s = 0.0
        """The longest time between two acknowledgements."""
        self._set = f"gateway/{uid}/led/set"
        self._ports = itertools.cycle(ports)
        self._interval_s = interval_s
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stops.set()
        self._thread.join(LIMIT_S)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stops.is_set():
            client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self.uid)
            accepted = threading.Event()
            client.on_connect = lambda *_, found=accepted: found.set()
            client.on_message = self._on_message
            try:
                client.connect("127.0.0.1", next(self._ports))
            except OSError:
                self._stops.wait(0.1)
                continue
            client.loop_start()
            if accepted.wait(ACKNOWLEDGED_LIMIT_S):
                topics = ("gateway/check", f"gateway/{self.uid}/discover", self._set)
                client.subscribe([(topic, 0) for topic in topics])
                while not self._stops.is_set():
                    number = self.acknowledged + 1
                    sent = client.publish(f"node/{self.uid}/count", json.dumps(number), qos=1)
                    if not self._is_acknowledged(client, sent):
                        # It may have arrived.
                        self.sent_again.add(number)
                        break
                    self.acknowledged = number
                    self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - last)
                    last = time.monotonic()
                    self._stops.wait(self._interval_s)
            client.disconnect()
            client.loop_stop()

    @staticmethod
    def _is_acknowledged(client: paho.Client, sent: paho.MQTTMessageInfo) -> bool:
        deadline = time.monotonic() + ACKNOWLEDGED_LIMIT_S
        while sent.rc == paho.MQTT_ERR_SUCCESS and time.monotonic() < deadline:
            if sent.is_published() or not client.is_connected():
                return sent.is_published()
            time.sleep(0.005)
        return False

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic == "gateway/check":
            client.publish("node/check", json.dumps({"id": self.uid}))
        elif message.topic == self._set:
            self.carried_out.append(message.payload.decode())
            client.publish(f"node/{self.uid}/led", json.dumps({"value": message.payload.decode()}))
        elif message.payload == b"resources":
            client.publish(f"node/{self.uid}/resources", json.dumps(["count", "led"]))


@contextmanager
def counting(uids: Sequence[str], ports: Sequence[int]) -> Iterator[list[CountingDevice]]:
    """Devices that are spread over the machines."""
    devices = []
    for index, uid in enumerate(uids):
        first = index % len(ports)
        devices.append(CountingDevice(uid, [*ports[first:], *ports[:first]]))
    for device in devices:
        device.start()
    try:
        yield devices
    finally:
        for device in devices:
            device.stop()


async def recorded(database: str, uid: str) -> list[int]:
    """The numbers of a device in the history, in the order of their times."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(_RECORDED, uid)
    finally:
        await connection.close()
    return [int(row[0]) for row in rows]


_RECORDED = """
    SELECT number FROM pyaiot.reading JOIN pyaiot.series ON series = id
    WHERE uid = $1 AND resource = 'count' ORDER BY at
"""


class Seen:
    """The messages that a client of one machine receives."""

    def __init__(self, messages: list[dict[str, object]]) -> None:
        self._messages = messages

    def numbers(self, uid: str) -> list[int]:
        return [
            int(str(it["data"]))
            for it in self._messages
            if it["type"] == "update" and it["uid"] == uid and it["endpoint"] == "count"
        ]

    def came_and_went(self, devices: Collection[CountingDevice]) -> Counter[str]:
        """How many of these appeared, and how many left."""
        uids = {it.uid for it in devices}
        of_them = (it for it in self._messages if it.get("uid") in uids)
        return Counter(str(it["type"]) for it in of_them if it["type"] in ("new", "out"))


@asynccontextmanager
async def seen_at(url: str) -> AsyncIterator[Seen]:
    async with watching(url) as messages:
        yield Seen(messages)


async def brokers_at(url: str) -> list[str]:
    """The other brokers that are online according to this one."""
    async with aiohttp.ClientSession() as web, web.get(f"{url}/api/cluster") as answer:
        return [it["name"] for it in (await answer.json())["peers"] if it["state"] == "online"]


async def until_complete(urls: Sequence[str]) -> None:
    """Wait until each broker sees all others."""
    async with time_limit(LIMIT_S):
        for url in urls:
            while len(await brokers_at(url)) < len(urls) - 1:  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.05)
