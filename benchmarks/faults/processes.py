# SPDX-License-Identifier: BSD-3-Clause
"""Faults of processes: kills, stops, restarts, and no free file descriptors."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.faults.machines import postgres_server
from benchmarks.faults.rig import ALL_MQTT, COAP, MQTT, Rig
from benchmarks.faults.row import MakeFault, Row, fault

AWAY_S: Final = 5.0
"""How long a process is stopped (SIGSTOP), and a server is down."""


def killed(*names: str) -> MakeFault:
    def make(rig: Rig) -> None:
        for name in names:
            rig.kill(name)
        for name in names:
            rig.start(name)

    return make


def stopped(name: str) -> MakeFault:
    def make(rig: Rig) -> None:
        rig.signal(name, signal.SIGSTOP)
        time.sleep(AWAY_S)
        rig.signal(name, signal.SIGCONT)

    return make


def restarted(name: str) -> MakeFault:
    """End a process with SIGTERM, as a service manager does, and start it again later."""

    def make(rig: Rig) -> None:
        rig.signal(name, signal.SIGTERM)
        rig.wait(name)
        time.sleep(AWAY_S)
        rig.start(name)

    return make


def to_child(number: signal.Signals) -> MakeFault:
    """Send a signal to the embedded MQTT broker."""

    def make(rig: Rig) -> None:
        signal_child(rig, number)

    return make


def signal_child(rig: Rig, number: signal.Signals) -> None:
    parent = rig.pid("run")
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()
    for pid in map(int, children):
        if b"nats-server" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, number)


def few_descriptors(name: str) -> MakeFault:
    """Allow no further file descriptors for a while: no new connection, file or socket."""

    def make(rig: Rig) -> None:
        pid = rig.pid(name)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        time.sleep(AWAY_S)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    return make


def postgres() -> Iterator[Row]:
    with postgres_server() as server:

        def away(_rig: Rig) -> None:
            server.stop()
            time.sleep(AWAY_S)
            server.start()

        name = f"PostgreSQL of the history is stopped at once and away for {AWAY_S:.0f} s"
        yield fault(name, away, COAP, f"--history {server.url}")


def rows() -> Iterator[Row]:
    again = "(kill -9) and started again"
    for_s = f"for {AWAY_S:.0f} s"
    yield fault(f"Broker is killed {again}", killed("broker"), COAP)
    yield fault(f"Broker is stopped (SIGSTOP) {for_s}", stopped("broker"), COAP)
    yield fault(f"CoAP gateway is killed {again}", killed("coap-gateway"), COAP)
    yield fault(f"CoAP gateway is stopped (SIGSTOP) {for_s}", stopped("coap-gateway"), COAP)
    yield fault(
        f"Broker and CoAP gateway are killed {again}", killed("broker", "coap-gateway"), COAP
    )
    yield fault(f"MQTT gateway is killed {again}", killed("mqtt-gateway"), MQTT)
    yield fault(f"MQTT gateway is stopped (SIGSTOP) {for_s}", stopped("mqtt-gateway"), MQTT)
    yield fault(f"MQTT broker (mosquitto) is ended and away {for_s}", restarted("mosquitto"), MQTT)
    yield fault("Embedded MQTT broker is killed (kill -9)", to_child(signal.SIGKILL), ALL_MQTT)
    yield fault(
        "Embedded MQTT broker is stopped (SIGSTOP), until it is replaced",
        to_child(signal.SIGSTOP),
        ALL_MQTT,
    )
    yield fault(f"Broker has no free descriptor {for_s}", few_descriptors("broker"), COAP)
    yield fault(
        f"CoAP gateway has no free descriptor {for_s}", few_descriptors("coap-gateway"), COAP
    )
    yield fault(
        f"MQTT gateway has no free descriptor {for_s}", few_descriptors("mqtt-gateway"), MQTT
    )
    yield from postgres()
