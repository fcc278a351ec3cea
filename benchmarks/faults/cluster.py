# SPDX-License-Identifier: BSD-3-Clause
"""Faults of a cluster: three brokers and nats-servers, PostgreSQL, a gateway with 1,000 nodes."""

import asyncio
import json
import os
import random
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.faults.cluster_load import ClusterLoad
from benchmarks.faults.machines import (
    BROKER_PORT,
    GATEWAY_HOST,
    HOSTS,
    Machines,
    database_pids,
    make_networks,
    postgres_server,
    wait_until,
)

NODES: Final = int(os.environ.get("AIOT_FAULTS_NODES", "1000"))
LIMIT_S: Final = 90.0
FAILOVERS: Final = 30
FAILOVER_NODES: Final = 100
AWAY_S: Final = 12.0
"""How long a process is down: longer than the time after which a lost broker loses its nodes."""
STOPPED_S: Final = 5.0
FAKETIME: Final = "usr/lib/*/faketime/libfaketimeMT.so.1"


@dataclass
class ClusterRow:
    """A line of the table."""

    fault: str
    served_s: float
    recovered_s: float
    lost: str
    left: int
    commands: str

    def line(self) -> str:
        served = f"{self.served_s:.1f} s" if self.served_s else "–"
        return (
            f"| {self.fault} | {served} | {self.recovered_s:.1f} s | {self.lost} |"
            f" {self.left} | {self.commands} |"
        )


@dataclass(frozen=True)
class Fault:
    """A fault that `begin` causes and `end` removes.

    Both get the machines and the number of the machine whose broker has the link of the gateway.
    `begin` returns the hosts whose clients must still be served.
    """

    name: str
    begin: Callable[[Machines, int], list[str]]
    end: Callable[[Machines, int], None]
    for_s: float


def others(number: int) -> list[str]:
    return [host for host in HOSTS if host != HOSTS[number - 1]]


def next_to(number: int) -> int:
    return number % len(HOSTS) + 1


def of_process(text: str, name: str, *, stop: bool, besides: bool) -> Fault:
    """Kill a process and start it again, or stop it. `name` has a placeholder for the number of its
    machine: that of the gateway's broker, or with `besides` the next one."""

    def named(owner: int) -> str:
        return name.format(next_to(owner) if besides else owner)

    def begin(machines: Machines, owner: int) -> list[str]:
        if stop:
            machines.signal(named(owner), signal.SIGSTOP)
        else:
            machines.kill(named(owner))
        if not name.startswith("broker"):
            return list(HOSTS)
        return others(next_to(owner) if besides else owner)

    def end(machines: Machines, owner: int) -> None:
        if stop:
            machines.signal(named(owner), signal.SIGCONT)
        else:
            machines.start(named(owner))

    how = "is stopped (SIGSTOP) for" if stop else "is killed (kill -9), and started again after"
    return Fault(f"{text} {how} {AWAY_S:.0f} s", begin, end, AWAY_S)


def upgraded() -> Fault:
    def begin(machines: Machines, owner: int) -> list[str]:
        machines.signal(f"broker {owner}", signal.SIGTERM)
        machines.wait(f"broker {owner}")
        return others(owner)

    def end(machines: Machines, owner: int) -> None:
        machines.start(f"broker {owner}")

    name = f"Broker of the gateway is ended (SIGTERM), and started again after {AWAY_S:.0f} s"
    return Fault(name, begin, end, AWAY_S)


def all_nats() -> Fault:
    def begin(machines: Machines, _owner: int) -> list[str]:
        for number in range(1, 4):
            machines.kill(f"nats {number}")
        return []

    def end(machines: Machines, _owner: int) -> None:
        for number in range(1, 4):
            machines.start(f"nats {number}")

    return Fault(
        f"All nats-servers are killed, and started again after {AWAY_S:.0f} s", begin, end, AWAY_S
    )


def of_database(server: Any, *, stop: bool) -> Fault:
    def begin(_machines: Machines, _owner: int) -> list[str]:
        if stop:
            for pid in database_pids(server):
                os.kill(pid, signal.SIGSTOP)
        else:
            server.stop()
        return list(HOSTS)

    def end(_machines: Machines, _owner: int) -> None:
        if stop:
            for pid in database_pids(server):
                os.kill(pid, signal.SIGCONT)
        else:
            server.start()

    how = "is stopped (SIGSTOP)" if stop else "is ended at once, and away"
    return Fault(f"PostgreSQL {how} for {STOPPED_S:.0f} s", begin, end, STOPPED_S)


def of_gateway(*, stop: bool) -> Fault:
    def begin(machines: Machines, _owner: int) -> list[str]:
        if stop:
            machines.signal("gateway", signal.SIGSTOP)
        else:
            machines.kill("gateway")
            machines.start("gateway")
        return [] if stop else list(HOSTS)

    def end(machines: Machines, _owner: int) -> None:
        if stop:
            machines.signal("gateway", signal.SIGCONT)

    if stop:
        return Fault(f"Gateway is stopped (SIGSTOP) for {STOPPED_S:.0f} s", begin, end, STOPPED_S)
    return Fault("Gateway is killed (kill -9), and started again at once", begin, end, 0.0)


def partition(text: str, *, besides: bool, gateway_too: bool, one_way: bool = False) -> Fault:
    """Disconnect a machine from the others."""

    def victim(owner: int) -> int:
        return next_to(owner) if besides else owner

    def begin(machines: Machines, owner: int) -> list[str]:
        number = victim(owner)
        machines.cut(number, others(number) + [GATEWAY_HOST] * gateway_too)
        if not one_way:
            for other in range(1, 4):
                if other != number:
                    machines.cut(other, [HOSTS[number - 1]])
        if gateway_too:
            return others(number)
        return [HOSTS[owner - 1]]

    def end(machines: Machines, _owner: int) -> None:
        for number in range(1, 4):
            machines.heal(number)

    return Fault(f"{text}, for {AWAY_S:.0f} s", begin, end, AWAY_S)


def faults(server: Any) -> Iterator[Fault]:
    of_it, other = "of the gateway's machine", "of another machine"
    yield upgraded()
    for besides, whose in ((False, of_it), (True, other)):
        for stop in (False, True):
            yield of_process(f"Broker {whose}", "broker {}", stop=stop, besides=besides)
    yield of_process(f"nats-server {of_it}", "nats {}", stop=False, besides=False)
    yield all_nats()
    for stop in (False, True):
        yield of_database(server, stop=stop)
        yield of_gateway(stop=stop)
    yield partition(
        "The gateway's machine is cut from the other two", besides=False, gateway_too=False
    )
    yield partition("… and from the gateway", besides=False, gateway_too=True)
    yield partition(
        "Another machine receives nothing from the other two, which receive from it",
        besides=True,
        gateway_too=False,
        one_way=True,
    )


def rows() -> Iterator[ClusterRow]:
    make_networks()
    with postgres_server() as server:
        wanted = os.environ.get("AIOT_FAULTS_ONLY", "")
        chosen = [it for it in faults(server) if wanted in it.name]
        if chosen:
            with Machines.running(server) as machines:
                for fault in chosen:
                    yield _measured(machines, fault)
        stopped = of_process(
            "nats-server of the gateway's machine", "nats {}", stop=True, besides=False
        )
        if wanted in stopped.name:
            # On new machines: brokers that lost their nats-server stay connected to another one.
            with Machines.running(server) as machines:
                yield _measured(machines, stopped)
        if (earlier := os.environ.get("AIOT_FAULTS_EARLIER")) and wanted in "upgrade":
            variables = {"PYTHONPATH": str(Path(earlier) / "src")}
            with Machines.running(server, dict.fromkeys((1, 2, 3), variables)) as machines:
                yield _upgraded(machines)
        if wanted in "clocks":
            with Machines.running(server, _skewed()) as machines:
                fault = of_broker(stop=False)
                row = _measured(machines, fault)
                row.fault = f"Clocks of the brokers differ by 1 h and by -1 h. {row.fault}"
                yield row


def _upgraded(machines: Machines) -> ClusterRow:
    """Replace brokers of an earlier version one after the other."""
    recovered_s: list[float] = []
    with ClusterLoad(machines, NODES) as load:
        load.begin(LIMIT_S)
        for number in (1, 2, 3):
            time.sleep(3)
            machines.signal(f"broker {number}", signal.SIGTERM)
            machines.wait(f"broker {number}")
            machines.set_variables(number, {})
            started_at = time.monotonic()
            machines.start(f"broker {number}")
            recovered_s.append(load.until_recovered(LIMIT_S, started_at))
        time.sleep(3)
        load.stop()
    name = "Brokers are replaced, one after the other, by those of the next version"
    return _row(name, 0.0, max(recovered_s), load, machines)


def failovers() -> Iterator[ClusterRow]:
    """Repeat a fault, and measure the time from it until other brokers show new values."""
    make_networks()
    with postgres_server() as server, Machines.running(server) as machines:
        for fault in (upgraded(), *(of_broker(stop=stop) for stop in (False, True))):
            yield _repeated(machines, fault)


def of_broker(*, stop: bool) -> Fault:
    return of_process("Broker of the gateway's machine", "broker {}", stop=stop, besides=False)


def _repeated(machines: Machines, fault: Fault) -> ClusterRow:
    served_s: list[float] = []
    recovered_s: list[float] = []
    with ClusterLoad(machines, FAILOVER_NODES) as load:
        load.begin(LIMIT_S)
        for _ in range(FAILOVERS):
            wait_until(lambda: owner_of(machines, FAILOVER_NODES), LIMIT_S, "one broker has all")
            owner = owner_of(machines, FAILOVER_NODES)
            # At any point between two beacons and pings, which have intervals of a second.
            time.sleep(random.uniform(0.5, 1.5))
            begun_at = time.monotonic()
            hosts = fault.begin(machines, owner)
            served_s.append(_served(load, hosts, begun_at, fault.name))
            ended_at = time.monotonic()
            fault.end(machines, owner)
            recovered_s.append(load.until_recovered(LIMIT_S, ended_at))
        load.stop()
    served_s.sort()
    name = (
        f"{fault.name.partition(',')[0].partition(' for ')[0]}: {FAILOVERS} times, with"
        f" {FAILOVER_NODES} nodes; median {median(served_s):.1f} s, 99 %"
    )
    left = max(watcher.kinds["out"] for watcher in load.watchers)
    # With fewer than 100, the longest is the 99th percentile.
    return ClusterRow(name, served_s[-1], max(recovered_s), "–", left, "–")


def _served(load: ClusterLoad, hosts: list[str], begun_at: float, name: str) -> float:
    # Readings that were in transit when the fault began do not count.
    wait_until(lambda: load.serves(hosts, begun_at + 0.2), LIMIT_S, f"served: {name}")
    return time.monotonic() - begun_at


def _skewed() -> dict[int, dict[str, str]]:
    library = next(iter(Path("/").glob(FAKETIME)), None)
    if library is None:
        raise SystemExit("libfaketime is not installed: apt install libfaketime")
    return {
        number: {
            "LD_PRELOAD": str(library),
            "FAKETIME": step,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        for number, step in ((2, "+3600s"), (3, "-3600s"))
    }


def owner_of(machines: Machines, nodes: int = NODES) -> int:
    """The machine whose broker has all nodes; 0: none."""
    for number, host in enumerate(HOSTS, 1):
        url = f"http://{host}:{BROKER_PORT}/api/cluster"
        headers = {"Authorization": f"Bearer {machines.token}"}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            if json.load(answer)["nodes"] == nodes:
                return number
    return 0


def _measured(machines: Machines, fault: Fault) -> ClusterRow:
    with ClusterLoad(machines, NODES) as load:
        load.begin(LIMIT_S)
        wait_until(lambda: owner_of(machines), LIMIT_S, "a broker with all nodes")
        time.sleep(2)
        owner = owner_of(machines)
        begun_at = time.monotonic()
        hosts = fault.begin(machines, owner)
        served_s = 0.0
        if hosts:
            served_s = _served(load, hosts, begun_at, fault.name)
        time.sleep(max(0.0, begun_at + fault.for_s - time.monotonic()))
        ended_at = time.monotonic()
        fault.end(machines, owner)
        recovered_s = load.until_recovered(LIMIT_S, ended_at)
        time.sleep(3)
        load.stop()
    return _row(fault.name, served_s, recovered_s, load, machines)


def _row(
    name: str, served_s: float, recovered_s: float, load: ClusterLoad, machines: Machines
) -> ClusterRow:
    """Ends the program if a command was carried out twice."""
    until = time.monotonic() + 20
    while True:
        lost, doubled, total = asyncio.run(_recorded(machines.database, load))
        if not lost or time.monotonic() > until:
            break
        time.sleep(0.5)
    if load.twice():
        raise SystemExit(f"{name}: {load.twice()} commands were carried out twice")
    left = max(watcher.kinds["out"] for watcher in load.watchers)
    text = f"{lost} of {total:,}" + (f", {doubled} twice" if doubled else "")
    ended = ", ".join(f"{count} {state}" for state, count in sorted(load.receipts.items()))
    return ClusterRow(name, served_s, recovered_s, text, left, ended)


async def _recorded(database: str, load: ClusterLoad) -> tuple[int, int, int]:
    """Acknowledged readings that are not in the history, that are twice in it, and all."""
    import asyncpg  # only here

    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetch(
            "SELECT uid, number FROM pyaiot.reading JOIN pyaiot.series ON series = id"
            " WHERE resource = 'n' AND number >= $1",
            load.first,
        )
    finally:
        await connection.close()
    counts = Counter((row["uid"], int(row["number"])) for row in found)
    wanted = list(load.acknowledged())
    lost = sum(key not in counts for key in wanted)
    doubled = sum(counts[key] > 1 for key in wanted)
    return lost, doubled, len(wanted)
