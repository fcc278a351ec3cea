# SPDX-License-Identifier: BSD-3-Clause
"""Three machines, each a network namespace with a nats-server and a broker, and a gateway beside
them with PostgreSQL. It needs separate network and mount namespaces."""

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.faults.named_processes import NamedProcesses
from benchmarks.processes import ROOT, free_port

HOSTS: Final = ("10.77.0.1", "10.77.0.2", "10.77.0.3")
GATEWAY_HOST: Final = "10.77.0.254"
BROKER_PORT: Final = 8000


def postgres_server() -> Any:
    # By its path: other distributions install a package `tests`, too.
    path = ROOT / "tests" / "history" / "postgres_server.py"
    spec = importlib.util.spec_from_file_location("postgres_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.programs() is None:
        raise SystemExit("PostgreSQL is not installed: apt install postgresql")
    return module.running_server()


def database_pids(server: Any) -> list[int]:
    """The processes of PostgreSQL."""
    parent = server._process.pid
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [parent, *map(int, path.read_text("ascii").split())]


def make_networks() -> None:
    """The namespaces `m1` to `m3`, and a bridge between them and this one."""
    if Path("/run/netns/m1").exists():
        return
    commands = [
        "mount -t tmpfs tmpfs /run",
        "ip link add bridge type bridge",
        f"ip address add {GATEWAY_HOST}/24 dev bridge",
        "ip link set bridge up",
    ]
    for number, host in enumerate(HOSTS, 1):
        name = f"m{number}"
        commands += [
            f"ip netns add {name}",
            f"ip link add {name} type veth peer name eth0 netns {name}",
            f"ip link set {name} master bridge up",
            f"ip -n {name} address add {host}/24 dev eth0",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set eth0 up",
        ]
    for command in commands:
        subprocess.run(command.split(), check=True)


class Machines(NamedProcesses):
    """Starts everything at the beginning of the block."""

    def __init__(self, folder: Path, database: str, skews: Mapping[int, Mapping[str, str]]) -> None:
        """`skews`: environment variables of the processes of each machine."""
        super().__init__(folder)
        self.database = database
        self.coap_port = free_port()
        self._skews = dict(skews)
        self.aiot("generate-keys", "--key-file", str(folder / "keys"))
        name = folder.name.lower()
        self.token = self.aiot("token", "add", name, "--role", "admin").strip()

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, server: Any, skews: Mapping[int, Mapping[str, str]] | None = None
    ) -> Iterator[Self]:
        with (
            tempfile.TemporaryDirectory(prefix="aiot-cluster-") as folder,
            cls(Path(folder), server.url, skews or {}) as machines,
        ):
            yield machines

    def __enter__(self) -> Self:
        try:
            for number in range(1, 1 + len(HOSTS)):
                self.start(f"nats {number}")
            for number in range(1, 1 + len(HOSTS)):
                self.start(f"broker {number}")
            self.start("gateway")
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, name: str) -> None:
        """Start a process, without waiting until it is ready."""
        kind, _, machine = name.partition(" ")
        number = int(machine or 0)
        words = getattr(self, f"_{kind}")(number)
        if number:
            words = ["nsenter", f"--net=/run/netns/m{number}", *words]
        self.run(name, words, f"{kind}{machine}.log", self._skews.get(number, {}))

    def set_variables(self, number: int, variables: Mapping[str, str]) -> None:
        """Set environment variables of processes of a machine that start from now on."""
        self._skews[number] = variables

    def _nats(self, number: int) -> Sequence[str]:
        """The settings of docs/how-to/three-machines.md."""
        host = HOSTS[number - 1]
        routes = ", ".join(f"nats://{it}:6222" for it in HOSTS if it != host)
        file = self.folder / f"nats{number}.conf"
        file.write_text(
            f"listen: {host}:4222\n"
            f"cluster {{\n  name: pyaiot\n  listen: {host}:6222\n  routes: [{routes}]\n"
            '  ping_interval: "1s"\n  ping_max: 2\n}\n'
        )
        return [str(Path(sys.executable).with_name("nats-server")), "-c", str(file)]

    def _broker(self, number: int) -> Sequence[str]:
        # The nats-server of the same machine first, as an operator would write it.
        order = HOSTS[number - 1 :] + HOSTS[: number - 1]
        servers = ",".join(f"nats://{host}:4222" for host in order)
        return [
            *(sys.executable, "-m", "pyaiot", "broker", "--host", HOSTS[number - 1]),
            *("--port", str(BROKER_PORT), "--insecure", "--key-file", str(self.folder / "keys")),
            *("--history", self.database, "--cluster", servers),
            *("--cluster-broker", f"broker {number}"),
        ]

    def _gateway(self, _number: int) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "pyaiot", "coap-gateway", "--coap-port", str(self.coap_port)),
            *("--key-file", str(self.folder / "keys"), "--broker-host", ",".join(HOSTS)),
            *("--broker-port", str(BROKER_PORT)),
        ]

    def log(self, name: str) -> str:
        path = self.folder / f"{name.replace(' ', '')}.log"
        return path.read_text(encoding="utf-8", errors="replace")

    def cut(self, number: int, hosts: Sequence[str]) -> None:
        """Drop packets from these hosts at a machine, until `heal`."""
        rules = "".join(f"add rule inet faults in ip saddr {host} drop\n" for host in hosts)
        self._nft(
            number,
            "add table inet faults\n"
            "add chain inet faults in { type filter hook input priority 0; }\n" + rules,
        )

    def heal(self, number: int) -> None:
        self._nft(number, "add table inet faults\ndelete table inet faults\n")

    def _nft(self, number: int, script: str) -> None:
        subprocess.run(
            ["nsenter", f"--net=/run/netns/m{number}", "nft", "-f", "-"],
            input=script,
            text=True,
            check=True,
        )

    def variables(self) -> dict[str, str]:
        return {
            **super().variables(),
            "AIOT_CLUSTER_SERVERS": f"nats://{HOSTS[0]}:4222",
            "AIOT_CLUSTER_DATABASE": self.database,
            "AIOT_HISTORY_STORE": self.database,
            "AIOT_COAP_NEW_NODES_PER_S": "10000",
        }


def wait_until(is_true: Any, limit_s: float, what: str) -> float:
    """Wait until the condition is true. Returns the seconds."""
    begin = time.monotonic()
    while not is_true():
        if time.monotonic() - begin > limit_s:
            raise SystemExit(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begin
