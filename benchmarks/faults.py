# SPDX-License-Identifier: BSD-3-Clause
"""What recovers how soon after a fault, and what is lost: writes docs/reference/reliability.md.

    python -m benchmarks.faults > docs/reference/reliability.md

A broker and a CoAP gateway run as processes of their own, under the load of `fault_load`. It needs
PostgreSQL (`apt install postgresql`) for one row, and takes three minutes.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import aiohttp

from benchmarks.fault_load import HOST, Load
from benchmarks.processes import ROOT, free_port, is_served
from pyaiot.broker.keys import Keys, load_keys, mint_token

START_LIMIT_S: Final = 30.0
STOPPED_S: Final = 5.0
"""How long a process is stopped by SIGSTOP, and a database is away."""
GATEWAYS: Final = 200
NODES_OF_GATEWAY: Final = 50
CLIENTS: Final = 10_000


class Rig:
    """A broker and a CoAP gateway as processes that can be killed, stopped and started again."""

    def __init__(self, folder: Path, history: str = "") -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.web_port = free_port()
        self.coap_port = free_port()
        self._history = history
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._run("generate-keys", "--key-file", str(self.keys)).wait()

    def __enter__(self) -> Self:
        self.start("broker")
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def start(self, name: str) -> None:
        """Start `broker` or `coap-gateway`, without waiting until it is ready."""
        flags = ["--key-file", str(self.keys)]
        if name == "broker":
            flags += ["--web-port", str(self.web_port)]
            flags += ["--history", self._history] if self._history else []
        else:
            flags += ["--broker-port", str(self.web_port), "--coap-port", str(self.coap_port)]
        self._running[name] = self._run(name, *flags)

    def ready(self) -> None:
        until = time.monotonic() + START_LIMIT_S
        while not is_served(self.web_port, "/healthz"):
            if time.monotonic() > until:
                raise SystemExit((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def _run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("AIOT_", "XDG_"))
        }
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pyaiot", *arguments],
                cwd=self.folder,
                env={**environment, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@dataclass
class Row:
    """A line of the table."""

    fault: str
    served_s: float
    lost: str
    commands: str = "–"


def fault(name: str, make: Callable[[Rig], None], history: str = "") -> Row:
    """Make one fault under load. The time begins when it ends, or when the part is started."""
    with (
        tempfile.TemporaryDirectory(prefix="aiot-faults-") as folder,
        Rig(Path(folder), history) as rig,
    ):
        rig.ready()
        rig.start("coap-gateway")
        with Load(rig.coap_port, rig.web_port) as load:
            load.until_served()
            time.sleep(2)
            make(rig)
            served_s = load.until_served()
            time.sleep(2)
            load.stop()
            lost = load.lost()
            posts, receipts = len(load.acknowledged), load.receipts
    without = receipts["none"]
    ended = ", ".join(f"{count} {state}" for state, count in sorted(receipts.items()) if count)
    return Row(
        name,
        served_s,
        f"{lost} of {posts} acknowledged readings",
        f"{without} without a receipt: {ended}",
    )


def killed(name: str) -> Callable[[Rig], None]:
    def make(rig: Rig) -> None:
        rig.kill(name)
        rig.start(name)

    return make


def stopped(name: str) -> Callable[[Rig], None]:
    def make(rig: Rig) -> None:
        rig.signal(name, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        rig.signal(name, signal.SIGCONT)

    return make


def both_killed(rig: Rig) -> None:
    for name in ("broker", "coap-gateway"):
        rig.kill(name)
    for name in ("broker", "coap-gateway"):
        rig.start(name)


def few_descriptors(rig: Rig) -> None:
    """No further descriptor for a while: no new connection, file or socket."""
    pid = rig.pid("broker")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    time.sleep(STOPPED_S)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def postgres() -> Iterator[Row]:
    # By its path: other distributions install a package `tests`, too.
    path = ROOT / "tests" / "history" / "postgres_server.py"
    spec = importlib.util.spec_from_file_location("postgres_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    programs, running_server = module.programs, module.running_server
    if programs() is None:
        return
    with running_server() as server:

        def restarted(_rig: Rig) -> None:
            server.stop()
            time.sleep(STOPPED_S)
            server.start()

        name = f"PostgreSQL of the history is stopped at once and away for {STOPPED_S:.0f} s"
        yield fault(name, restarted, server.url)


# -- many gateways and many clients ---------------------------------------------------------------


def gateways() -> Row:
    """The broker is killed, and 200 gateways with 50 nodes each connect to it at once."""
    with tempfile.TemporaryDirectory(prefix="aiot-faults-") as folder, Rig(Path(folder)) as rig:
        rig.ready()
        took_s = asyncio.run(_reconnecting(rig, load_keys(rig.keys)))
    nodes = GATEWAYS * NODES_OF_GATEWAY
    return Row(
        f"Broker is killed (kill -9); {GATEWAYS} gateways with {NODES_OF_GATEWAY} nodes each"
        " connect again at once",
        took_s,
        f"0 of {nodes:,} nodes",
    )


async def _reconnecting(rig: Rig, keys: Keys) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        links = await _connect_all(session, rig, keys)
        await _until_online(session, rig)
        rig.kill("broker")
        rig.start("broker")
        start = time.monotonic()
        await asyncio.to_thread(rig.ready)
        links += await _connect_all(session, rig, keys)
        await _until_online(session, rig)
        return time.monotonic() - start


async def _connect_all(
    session: aiohttp.ClientSession, rig: Rig, keys: Keys
) -> list[aiohttp.ClientWebSocketResponse]:
    """The links. One that is not kept is closed."""

    async def connect(number: int) -> aiohttp.ClientWebSocketResponse:
        token = mint_token(keys)
        socket = await session.ws_connect(
            f"ws://{HOST}:{rig.web_port}/gw", protocols=["pyaiot.v2", "token", token]
        )
        messages = [f'{{"type":"hello","name":"g{number}","protocol":"CoAP","version":"1"}}']
        for node in range(NODES_OF_GATEWAY):
            uid = f"g{number}-{node}"
            messages.append(f'{{"type":"new","uid":"{uid}"}}')
            messages.append(f'{{"type":"update","uid":"{uid}","endpoint":"n","data":1}}')
        await socket.send_str(f"[{','.join(messages)}]")
        return socket

    return await asyncio.gather(*map(connect, range(GATEWAYS)))


async def _until_online(session: aiohttp.ClientSession, rig: Rig) -> None:
    url = f"http://{HOST}:{rig.web_port}/metrics"
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until:
        async with session.get(url) as answer:
            text = await answer.text()
        online = sum(map(float, re.findall(r"(?m)^pyaiot_nodes\{[^}]*\} (\S+)", text)))
        if online == GATEWAYS * NODES_OF_GATEWAY:
            return
        await asyncio.sleep(0.05)
    raise SystemExit("not all nodes are online again")


def clients() -> Row:
    """10,000 WebSocket clients, then a reading: when the last one has it."""
    with tempfile.TemporaryDirectory(prefix="aiot-faults-") as folder, Rig(Path(folder)) as rig:
        rig.ready()
        rig.start("coap-gateway")
        resource.setrlimit(resource.RLIMIT_NOFILE, (12_000, 20_000))
        with Load(rig.coap_port, rig.web_port) as load:
            load.until_served()
            took_s = asyncio.run(_many_clients(rig))
            served_s = load.until_served()
            load.stop()
            lost = load.lost()
    return Row(
        f"{CLIENTS:,} WebSocket clients connect and join (in {took_s:.0f} s)",
        served_s,
        f"{lost} of {len(load.acknowledged)} acknowledged readings, no client",
    )


async def _many_clients(rig: Rig) -> float:
    start = time.monotonic()
    opened: list[asyncio.StreamWriter] = []
    upgrade = (
        f"GET /ws HTTP/1.1\r\nHost: {HOST}:{rig.web_port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
        "Sec-WebSocket-Protocol: pyaiot.v2\r\n\r\n"
    ).encode()
    join = b'[{"type":"new","data":"client"}]'
    frame = bytes([0x81, 0x80 | len(join)]) + bytes(4) + join

    async def connect(number: int) -> None:
        source = (f"127.0.{1 + number // 250}.{1 + number % 250}", 0)
        reader, writer = await asyncio.open_connection(HOST, rig.web_port, local_addr=source)
        opened.append(writer)
        writer.write(upgrade)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame)
        await reader.readuntil(b'"joined"')

    for first in range(0, CLIENTS, 100):
        await asyncio.gather(*map(connect, range(first, first + 100)))
    took_s = time.monotonic() - start
    for writer in opened:
        writer.transport.abort()
    return took_s


# -- the page -------------------------------------------------------------------------------------

TESTS: Final = (
    (
        "MQTT broker, gateway and broker are killed, one after the other",
        "10 s",
        "test_everything_that_is_killed_is_back_within_ten_seconds",
    ),
    (
        "Gateway and broker are killed with readings that MQTT acknowledged",
        "",
        "test_what_was_acknowledged_outlives_a_gateway_and_a_broker_that_are_killed",
    ),
    ("A disk is full: audit log", "5 s", "test_full_disk_is_reported_once_and_nothing_is_lost"),
    (
        "The file of the registry fails while nodes are forgotten",
        "5 s",
        "test_nodes_that_were_forgotten_while_the_file_failed_are_removed_from_it",
    ),
    ("A database of the history is emptied", "", "test_an_emptied_database_is_created_again"),
    ("The clock steps: nodes", "0 s", "test_a_clock_that_jumps_loses_no_node"),
    ("The clock steps: MQTT nodes", "0 s", "test_a_clock_that_jumps_loses_no_mqtt_node"),
    ("Descriptors run out", "", "test_broker_without_free_descriptors_waits_quietly_and_recovers"),
    (
        "DTLS handshakes and posts over a wire that loses, delays and doubles",
        "",
        "test_handshake_and_posts_survive_a_bad_wire",
    ),
    ("The network doubles datagrams", "", "test_datagram_that_the_network_doubles_counts_once"),
    (
        "A restart between acknowledged readings and the link",
        "",
        "test_entries_survive_kill_9_and_the_command_line_shows_them",
    ),
)
"""Faults that tests make: the fault, the time to recover that the test allows, and the test."""

HEAD: Final = """\
# Reliability

<!-- Written by python -m benchmarks.faults. -->

What recovers how soon after a fault, and what is lost. [What happens when things
fail](../explanation/failures.md) explains why.

## Measured

A broker and a CoAP gateway run as processes of their own on one machine, which other work may use
as well. A node posts up to 50 confirmable readings a second, and a program sends commands one after
another. *Served*: from the end of the fault, or the start of the part that was killed, until a
client reads a value that was posted after it. *Lost*: readings that were acknowledged with 2.04 and
are not in the history: if both parts are killed at the same moment, nobody has the readings of the
last second, which the gateway keeps in memory until the broker confirms them. Each command that
reached the broker got one receipt; `not connected`: its connection was refused or lost; `unknown`:
the node had not appeared yet.

| fault | served | lost | commands |
| --- | --- | --- | --- |
"""

TAIL: Final = """
## Shown by tests

| fault | recovers within | test |
| --- | --- | --- |
"""


def main() -> None:
    rows = [
        fault("Broker is killed (kill -9) and started again", killed("broker")),
        fault(f"Broker is stopped (SIGSTOP) for {STOPPED_S:.0f} s", stopped("broker")),
        fault("Gateway is killed (kill -9) and started again", killed("coap-gateway")),
        fault(f"Gateway is stopped (SIGSTOP) for {STOPPED_S:.0f} s", stopped("coap-gateway")),
        fault("Both are killed (kill -9) and started again", both_killed),
        fault(f"Broker has no free descriptor for {STOPPED_S:.0f} s", few_descriptors),
        *postgres(),
        gateways(),
        clients(),
    ]
    print(HEAD, end="")
    for row in rows:
        print(f"| {row.fault} | {row.served_s:.1f} s | {row.lost} | {row.commands} |")
    print(TAIL, end="")
    for name, within, test in TESTS:
        print(f"| {name} | {within or 'its test'} | `{test}` |")


if __name__ == "__main__":
    main()
