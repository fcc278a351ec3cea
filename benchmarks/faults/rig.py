# SPDX-License-Identifier: BSD-3-Clause
"""Services as separate processes, which can be killed, stopped and started again."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from benchmarks.faults.named_processes import NamedProcesses
from benchmarks.faults.nodes import CoapNode, MakeNode, MqttNode, MqttSnNode
from benchmarks.processes import free_port, is_served

START_LIMIT_S: Final = 30.0
_GATEWAY: Final = "--key-file {keys} --broker-port {web}"


@dataclass(frozen=True)
class Parts:
    """Which processes run, and which node uses them.

    A command is one of `aiot`, or a program whose name begins with `/`. `{web}` is the port of the
    broker, `{device}` the one that the node sends to, `{free}` any, `{folder}` the home folder.
    """

    make_node: MakeNode
    commands: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)


BROKER: Final = "broker --key-file {keys} --web-port {web}"
COAP: Final = Parts(
    CoapNode,
    {"broker": BROKER, "coap-gateway": f"coap-gateway {_GATEWAY} --coap-port {{device}}"},
)
MQTT: Final = Parts(
    MqttNode,
    {
        "broker": BROKER,
        "mosquitto": "/usr/sbin/mosquitto -c {folder}/mosquitto.conf",
        "mqtt-gateway": f"mqtt-gateway {_GATEWAY} --mqtt-host 127.0.0.1 --mqtt-port {{device}}",
    },
    # With a fixed client id, the MQTT broker keeps messages while the gateway is down.
    {"AIOT_MQTT_CLIENT_ID": "faults"},
)
_RUN: Final = "run --key-file {keys} --web-port {web} --ws-port {free}"
_PORTS: Final = ("--coap-port", "--mqtt-port", "--mqttsn-port")


def everything(make_node: MakeNode, flag: str) -> Parts:
    """One process with the embedded MQTT broker. The node uses the port of this flag."""
    ports = " ".join(f"{it} {{device}}" if it == flag else f"{it} {{free}}" for it in _PORTS)
    return Parts(make_node, {"run": f"{_RUN} {ports}"})


ALL_COAP: Final = everything(CoapNode, "--coap-port")
ALL_MQTT: Final = everything(MqttNode, "--mqtt-port")
ALL_MQTTSN: Final = everything(MqttSnNode, "--mqttsn-port")


class Rig(NamedProcesses):
    """Starts the first process at the beginning of the block, the others with `start_rest`."""

    def __init__(
        self,
        parts: Parts,
        folder: Path,
        *,
        more: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`more`: additional flags of the first process."""
        super().__init__(folder)
        self.web_port = free_port()
        self.device_port = free_port()
        self._parts = parts
        self._more = more
        self._environment = {**parts.environment, **(environment or {})}
        self.aiot("generate-keys", "--key-file", str(self.keys))
        (folder / "mosquitto.conf").write_text(
            f"listener {self.device_port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nuser root\n"
        )

    @classmethod
    @contextlib.contextmanager
    def running(cls, parts: Parts, more: str = "") -> Iterator[Self]:
        """Start all processes in a temporary folder."""
        with (
            tempfile.TemporaryDirectory(prefix="aiot-faults-") as folder,
            cls(parts, Path(folder), more=more) as rig,
        ):
            rig.ready()
            rig.start_rest()
            yield rig

    def __enter__(self) -> Self:
        self.start(self.first)
        return self

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def first(self) -> str:
        return next(iter(self._parts.commands))

    def start(self, name: str) -> None:
        """Start a process, without waiting until it is ready."""
        command = self._parts.commands[name]
        if name == self.first:
            command += f" {self._more}"
        words = [
            word.format(
                keys=self.keys,
                web=self.web_port,
                device=self.device_port,
                free=free_port() if word == "{free}" else 0,
                folder=self.folder,
            )
            for word in command.split()
        ]
        if not command.startswith("/"):
            words = [sys.executable, "-m", "pyaiot", *words]
        self.run(name, words, "log", {})

    def start_rest(self) -> None:
        for name in self._parts.commands:
            if name != self.first:
                self.start(name)

    def ready(self) -> None:
        until = time.monotonic() + START_LIMIT_S
        while not is_served(self.web_port, "/healthz"):
            if time.monotonic() > until:
                raise SystemExit(self.log()[-2000:])
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def variables(self) -> dict[str, str]:
        return {**super().variables(), **self._environment}
