# SPDX-License-Identifier: BSD-3-Clause
"""Faults of three machines whose embedded MQTT brokers are one cluster: `aiot run` on each, beside
PostgreSQL, and devices that publish with QoS 1."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

import aiohttp
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.faults.machines import database_pids, postgres_server, wait_until
from benchmarks.faults.named_processes import NamedProcesses
from benchmarks.processes import HOST, free_port, is_served

MACHINES: Final = 3
DEVICES: Final = 12
KILLS: Final = int(os.environ.get("AIOT_FAULTS_KILLS", "9"))
LIMIT_S: Final = 90.0
INTERVAL_S: Final = 0.1
"""Between an acknowledgement and the next publication of a device."""
ACKNOWLEDGED_S: Final = 2.0
"""How long a device waits for an acknowledgement. Then it connects to the next machine."""
SETTLE_S: Final = 8.0
"""Between the return of a machine and the next fault."""
STOPPED_S: Final = 12.0
AWAY_S: Final = 4.0
"""How long a machine stays away after all devices are served again."""


@dataclass
class MqttClusterRow:
    """A line of the table: times in seconds, without a reading of a device."""

    fault: str
    median_s: float
    most_s: float
    longest_s: float
    lost: str
    twice: int
    left: int

    def line(self) -> str:
        return (
            f"| {self.fault} | {self.median_s:.1f} s | {self.most_s:.1f} s |"
            f" {self.longest_s:.1f} s | {self.lost} | {self.twice} | {self.left} |"
        )


class MqttMachines(NamedProcesses):
    """The machines, on ports of loopback. All are started when the block begins."""

    def __init__(self, folder: Path, server: Any, more: dict[str, str]) -> None:
        """`server`: PostgreSQL. `more`: environment variables of the processes."""
        super().__init__(folder)
        self.database: str = server.url
        self._server = server
        self._more = more
        self.web_ports = [free_port() for _ in range(MACHINES)]
        self.mqtt_ports = [free_port() for _ in range(MACHINES)]
        self._routes = [f"{HOST}:{free_port()}" for _ in range(MACHINES)]
        self._secret = folder / "secret"
        self._secret.touch(mode=0o600)
        self._secret.write_text("the secret of all machines\n", encoding="ascii")

    def __enter__(self) -> Self:
        try:
            for number in range(MACHINES):
                self.start(number)
            for number in range(MACHINES):
                self.until_ready(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, number: int) -> None:
        home = self.folder / f"machine-{number}"
        home.mkdir(exist_ok=True)
        settings = home / "pyaiot.toml"
        settings.write_text(
            f'[mqtt]\nfolder = "{home}/mqtt"\ncluster_secret_file = "{self._secret}"\n',
            encoding="utf-8",
        )
        words = [
            *(sys.executable, "-m", "pyaiot", "run", "--config", str(settings)),
            *("--history", self.database, "--cluster-broker", f"machine {number}"),
            *("--web-port", str(self.web_ports[number]), "--ws-port", "0"),
            *("--coap-port", "0", "--mqttsn-port", "0"),
            *("--mqtt-port", str(self.mqtt_ports[number])),
            *("--mqtt-cluster", ",".join(self._routes)),
            *("--mqtt-cluster-listen", self._routes[number]),
        ]
        more = {"XDG_DATA_HOME": str(home), "XDG_STATE_HOME": str(home), **self._more}
        self.run(f"machine {number}", words, f"machine-{number}.log", more)

    def until_ready(self, number: int) -> None:
        wait_until(
            lambda: is_served(self.web_ports[number], "/healthz"), LIMIT_S, f"machine {number}"
        )

    def start_again(self, number: int) -> None:
        self.start(number)
        self.until_ready(number)

    def start_next_version(self, number: int) -> None:
        """This version, after an earlier one."""
        self._more = {}
        self.start_again(number)

    def kill_process(self, number: int) -> None:
        """Kill `aiot run`. The kernel ends its nats-server."""
        self.kill(f"machine {number}")

    def kill_machine(self, number: int) -> None:
        """Kill `aiot run` and its nats-server at once, as if the machine had lost its power."""
        self.signal(f"machine {number}", signal.SIGSTOP)
        self.signal_children(number, signal.SIGKILL)
        self.kill(f"machine {number}")

    def signal_children(self, number: int, what: signal.Signals) -> None:
        """Of `aiot run` on this machine: its nats-server."""
        pid = self.pid(f"machine {number}")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        for child in map(int, children.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, what)

    def signal_database(self, _number: int, what: signal.Signals) -> None:
        for pid in database_pids(self._server):
            os.kill(pid, what)

    def stop(self, number: int) -> None:
        self.signal(f"machine {number}", signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        self.signal(f"machine {number}", signal.SIGCONT)

    def end(self, number: int) -> None:
        self.signal(f"machine {number}", signal.SIGTERM)
        self.wait(f"machine {number}")


class Device:
    """Publishes 1, 2, 3, … with QoS 1, each when the one before was acknowledged. It connects to
    the next machine when its own does not answer."""

    def __init__(self, uid: str, ports: Sequence[int]) -> None:
        self.uid = uid
        self.acknowledged: list[tuple[float, int]] = []
        """When, and the number."""
        self.sent_again: set[int] = set()
        """Numbers whose acknowledgement did not arrive: they may be in the history twice."""
        self._ports = itertools.cycle(ports)
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stops.set()
        self._thread.join()

    def _run(self) -> None:
        number = 1
        while not self._stops.is_set():
            client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self.uid)
            accepted = threading.Event()
            client.on_connect = lambda *_, found=accepted: found.set()
            client.on_message = self._on_message
            try:
                client.connect(HOST, next(self._ports))
            except OSError:
                self._stops.wait(INTERVAL_S)
                continue
            client.loop_start()
            if accepted.wait(ACKNOWLEDGED_S):
                client.subscribe([("gateway/check", 0), (f"gateway/{self.uid}/discover", 0)])
                while not self._stops.is_set():
                    sent = client.publish(f"node/{self.uid}/n", json.dumps(number), qos=1)
                    if not self._is_acknowledged(client, sent):
                        self.sent_again.add(number)
                        break
                    self.acknowledged.append((time.monotonic(), number))
                    number += 1
                    self._stops.wait(INTERVAL_S)
            client.disconnect()
            client.loop_stop()

    @staticmethod
    def _is_acknowledged(client: paho.Client, sent: paho.MQTTMessageInfo) -> bool:
        until = time.monotonic() + ACKNOWLEDGED_S
        while sent.rc == paho.MQTT_ERR_SUCCESS and time.monotonic() < until:
            if sent.is_published() or not client.is_connected():
                return sent.is_published()
            time.sleep(0.005)
        return False

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic == "gateway/check":
            client.publish("node/check", json.dumps({"id": self.uid}))
        elif message.payload == b"resources":
            client.publish(f"node/{self.uid}/resources", json.dumps(["n"]))


class Watcher:
    """A client of one broker: when it got a new number of each device, and who left."""

    def __init__(self, port: int) -> None:
        self.numbers: dict[str, int] = {}
        self.last_at: dict[str, float] = {}
        self.longest_s: dict[str, float] = {}
        """The longest time between two numbers of a device, since `begin`."""
        self.left = 0
        self._port = port

    def begin(self) -> None:
        self.longest_s = {}

    async def run(self) -> None:
        """Until cancelled: join, and again when the connection is lost."""
        async with aiohttp.ClientSession() as web:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    await self._watch(web)
                await asyncio.sleep(0.2)

    async def _watch(self, web: aiohttp.ClientSession) -> None:
        url = f"http://{HOST}:{self._port}/ws"
        async with web.ws_connect(url, protocols=["pyaiot.v2"], heartbeat=2.0) as client:
            await client.send_str('[{"type":"new","data":"client"}]')
            async for frame in client:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    return
                for message in json.loads(frame.data):
                    self._receive(message, time.monotonic())

    def _receive(self, message: dict[str, Any], now: float) -> None:
        if message["type"] == "out":
            self.left += 1
        if message["type"] != "update" or message["endpoint"] != "n":
            return
        uid, number = message["uid"], int(message["data"])
        if number > self.numbers.get(uid, 0):
            gap_s = now - self.last_at.get(uid, now)
            self.longest_s[uid] = max(gap_s, self.longest_s.get(uid, 0.0))
            self.numbers[uid], self.last_at[uid] = number, now


class Load:
    """Devices that are spread over the machines, and a client at each, in threads."""

    def __init__(self, machines: MqttMachines, prefix: str) -> None:
        ports = machines.mqtt_ports
        self.devices = [
            Device(f"{prefix}-{number}", [*ports[number % 3 :], *ports[: number % 3]])
            for number in range(DEVICES)
        ]
        self.watchers = [Watcher(port) for port in machines.web_ports]
        self._stopped = threading.Event()
        self._clients = threading.Thread(target=lambda: asyncio.run(self._watch()), name="clients")

    def __enter__(self) -> Self:
        self._clients.start()
        for device in self.devices:
            device.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        for device in self.devices:
            device.stop()
        self._stopped.set()
        self._clients.join()

    async def _watch(self) -> None:
        tasks = [asyncio.create_task(watcher.run()) for watcher in self.watchers]
        while not self._stopped.is_set():  # noqa: ASYNC110 - an event of threads
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def serves_all(self, watcher: Watcher, since: float) -> bool:
        """Whether a client has a number of each device that was acknowledged after `since`."""
        for device in self.devices:
            later = [number for at, number in device.acknowledged[-50:] if at > since]
            if not later or watcher.numbers.get(device.uid, 0) < later[0]:
                return False
        return True


@dataclass
class Fault:
    """What happens to one of the machines, and how it ends."""

    name: str
    begin: Callable[[MqttMachines, int], None]
    end: Callable[[MqttMachines, int], None]
    for_s: float = 0.0
    """How long it lasts, if it does not last until all devices are served again."""


_STOPPED: Final = f"is stopped (SIGSTOP) for {STOPPED_S:.0f} s"
FAULTS: Final = (
    Fault("`aiot run` is ended (SIGTERM)", MqttMachines.end, MqttMachines.start_again),
    Fault("`aiot run` is killed (kill -9)", MqttMachines.kill_process, MqttMachines.start_again),
    Fault(
        "`aiot run` is killed together with its nats-server",
        MqttMachines.kill_machine,
        MqttMachines.start_again,
    ),
    Fault(f"`aiot run` {_STOPPED}", MqttMachines.stop, MqttMachines.go_on, STOPPED_S),
    Fault(
        f"nats-server of a machine {_STOPPED}",
        partial(MqttMachines.signal_children, what=signal.SIGSTOP),
        partial(MqttMachines.signal_children, what=signal.SIGCONT),
        STOPPED_S,
    ),
    Fault(
        f"PostgreSQL {_STOPPED}",
        partial(MqttMachines.signal_database, what=signal.SIGSTOP),
        partial(MqttMachines.signal_database, what=signal.SIGCONT),
        STOPPED_S,
    ),
)


def rows() -> Iterator[MqttClusterRow]:
    wanted = os.environ.get("AIOT_FAULTS_ONLY", "")
    for fault in FAULTS:
        if wanted in fault.name:
            with _running() as machines:
                yield _repeated(machines, fault, MACHINES if fault.for_s else KILLS)
    if (earlier := os.environ.get("AIOT_FAULTS_EARLIER")) and wanted in "upgrade":
        with _running({"PYTHONPATH": str(Path(earlier) / "src")}) as machines:
            upgrade = Fault(
                "`aiot run` is ended (SIGTERM), and that of the next version is started",
                MqttMachines.end,
                MqttMachines.start_next_version,
            )
            yield _repeated(machines, upgrade, MACHINES)


@contextlib.contextmanager
def _running(more: dict[str, str] | None = None) -> Iterator[MqttMachines]:
    """PostgreSQL and the machines; `more`: environment variables of these."""
    with (
        postgres_server() as server,
        tempfile.TemporaryDirectory(prefix="aiot-mqtt-") as folder,
        MqttMachines(Path(folder), server, more or {}) as machines,
    ):
        yield machines


def _repeated(machines: MqttMachines, fault: Fault, times: int) -> MqttClusterRow:
    without_s: list[float] = []
    with Load(machines, "mqtt") as load:
        _wait_until_served(load, range(MACHINES), 0.0, "all devices")
        for device in load.devices:
            # Before the gateways have their first sessions, nobody stores for them.
            device.acknowledged.clear()
        time.sleep(SETTLE_S)
        for turn in range(min(KILLS, times)):
            victim = turn % MACHINES
            others = [it for it in range(MACHINES) if it != victim]
            for watcher in load.watchers:
                watcher.begin()
            begun_at = time.monotonic()
            fault.begin(machines, victim)
            _wait_until_served(load, others, begun_at + 0.2, fault.name)
            time.sleep(max(AWAY_S, begun_at + fault.for_s - time.monotonic()))
            found = [load.watchers[others[0]].longest_s[it.uid] for it in load.devices]
            without_s += found
            print(
                f"{fault.name}, {turn}: {median(found):.1f} to {max(found):.1f} s",
                *(f"{it:.1f}" for it in sorted(found)),
                file=sys.stderr,
                flush=True,
            )
            fault.end(machines, victim)
            time.sleep(SETTLE_S)
        load.stop()
    until = time.monotonic() + 20
    while True:
        lost, doubled, total = asyncio.run(_recorded(machines.database, load.devices))
        if not lost or time.monotonic() > until:
            break
        time.sleep(0.5)
    without_s.sort()
    return MqttClusterRow(
        fault.name,
        median(without_s),
        without_s[int(len(without_s) * 0.99)],
        without_s[-1],
        f"{lost} of {total:,}",
        doubled,
        max(watcher.left for watcher in load.watchers),
    )


def _wait_until_served(load: Load, numbers: Sequence[int], since: float, what: str) -> None:
    """Wait until clients of these machines have a number of each device of after `since`."""
    wait_until(
        lambda: all(load.serves_all(load.watchers[it], since) for it in numbers), LIMIT_S, what
    )


async def _recorded(database: str, devices: Sequence[Device]) -> tuple[int, int, int]:
    """Acknowledged readings that are not in the history, that are in it twice although they were
    sent once, and all."""
    import asyncpg  # only here

    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetch(
            "SELECT uid, number FROM pyaiot.reading JOIN pyaiot.series ON series = id"
            " WHERE resource = 'n'"
        )
    finally:
        await connection.close()
    counts = Counter((row["uid"], int(row["number"])) for row in found)
    wanted = [(it.uid, number) for it in devices for _, number in it.acknowledged]
    again = {(it.uid, number) for it in devices for number in it.sent_again}
    lost = sum(key not in counts for key in wanted)
    doubled = sum(counts[key] > 1 for key in wanted if key not in again)
    return lost, doubled, len(wanted)
