# SPDX-License-Identifier: BSD-3-Clause
"""The workers of `aiot run --workers N`: the first one starts the others and keeps them running.

Each further worker is a broker of a cluster on this machine, at the same port. It reads its
settings, which contain passwords, as a line from its standard input, and ends when that is closed,
so that no worker outlives the first one.
"""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

import msgspec

from pyaiot import config as settings
from pyaiot.app.reload import ReadSettings
from pyaiot.broker.broker import Broker
from pyaiot.config import BROKERS_USER, Config, WorkersCluster
from pyaiot.errors import OperatorError, reason_of
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.plugin import Check
from pyaiot.metrics import Metric, Sample
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.child_process import end_process

START_LIMIT_S: Final = 30.0
"""How long a worker may take to listen. After that it is ended and started again."""
END_LIMIT_S: Final = 1.5
"""How long a worker may take to end. After that it is killed."""
PAUSE_FIRST_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
"""First and longest delay between the end of a worker and its next start. It is doubled with each
failure."""
_LISTENS: Final = "Broker: "
_LINE_MAX: Final = 64 * 1024

WORKERS: Final = Metric(
    "pyaiot_workers", "gauge", "Workers that serve clients, with this process. See --workers."
)
RESTARTS: Final = Metric(
    "pyaiot_worker_restarts", "counter", "Workers that ended and were started again."
)

log = logging.getLogger(__name__)


def with_workers(config: Config) -> Config:
    """The settings of the first worker; the same settings if it needs no other brokers, or has the
    nats-servers to connect to them.

    Raises `OperatorError` if workers cannot connect to each other.
    """
    section = config.of(MqttSection)
    spans_machines = bool(section.cluster) and not section.host and not config.cluster.is_on
    if config.broker.workers == 1 and not spans_machines:
        return config
    if config.broker.workers > 1 and not hasattr(socket, "SO_REUSEPORT"):
        raise OperatorError("On this system, processes cannot share a port: omit --workers.")
    fields: dict[str, Any] = {it: getattr(config.cluster, it) for it in _cluster_fields()}
    if not config.cluster.is_on:
        port, password = _free_port(), secrets.token_urlsafe(24)
        user = quote(BROKERS_USER, safe="")
        fields["servers"] = f"nats://{user}:{password}@127.0.0.1:{port}"
        fields |= {"nats_port": port, "nats_password": password}
        fields["spans_machines"] = spans_machines
    return msgspec.structs.replace(config, cluster=WorkersCluster(**fields))


def reading_again(config: Config, read: ReadSettings | None) -> ReadSettings | None:
    """Wraps `read` of the first worker: the connection between workers stays unchanged."""
    if read is None or not isinstance(config.cluster, WorkersCluster):
        return read
    return lambda: msgspec.structs.replace(read(), cluster=config.cluster)


def settings_of(config: Config, worker: int, port: int) -> bytes:
    """The settings line for a further worker. `port`: where the first one listens."""
    values = {it.key: config.value(it) for it in settings.settings()}
    values |= {"broker.port": port, "mdns.name": "off", "homeassistant.url": ""}
    if config.metrics.port > 0:
        values["metrics.port"] = config.metrics.port + worker - 1
    cluster = config.cluster
    nats_port = cluster.nats_port if isinstance(cluster, WorkersCluster) else 0
    line = {"worker": worker, "nats_port": nats_port, "settings": values}
    line["spans_machines"] = bool(nats_port) and not cluster.shares_files
    return msgspec.json.encode(line) + b"\n"


def read_settings(line: bytes) -> Config:
    """The settings in such a line. Raises `OperatorError`."""
    found = msgspec.json.decode(line)
    config, _ = settings.load(None, {}, found["settings"])
    fields: dict[str, Any] = {it: getattr(config.cluster, it) for it in _cluster_fields()}
    fields |= {it: found[it] for it in ("worker", "nats_port", "spans_machines")}
    return msgspec.structs.replace(config, cluster=WorkersCluster(**fields))


def check_of_worker(broker: Broker) -> Check:
    """`/readyz` of a further worker: whether it has the nodes of the first one."""

    async def check() -> str:
        state = broker.cluster_state()
        if state is None or not any(it.state == "online" for it in state.peers):
            return (state.problem if state else "") or "no other worker is known yet"
        return ""

    return check


def _cluster_fields() -> Iterable[str]:
    return settings.ClusterSection.__struct_fields__


def _free_port() -> int:
    """A free TCP port of loopback for nats-server. It stays the same when nats-server is
    restarted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Workers:
    """The further workers. `run` starts them and keeps them running."""

    def __init__(self, config: Config, port: int, print_line: Callable[[str], None]) -> None:
        """`config` of the first worker, which listens at `port`."""
        self._config = config
        self._port = port
        self._print_line = print_line
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._listening: set[int] = set()
        self.restarts = 0

    async def run(self) -> None:
        """Keep the workers running until cancelled; then end them."""
        async with asyncio.TaskGroup() as tasks:
            for number in self._numbers():
                tasks.create_task(self._keep_running(number), name=f"worker {number}")

    def reload(self, config: Config) -> None:
        """Send new settings to the workers, which also read their files again."""
        for number, process in self._running.items():
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            process.stdin.write(settings_of(config, number, self._port))

    async def check(self) -> str:
        """`/readyz`: the workers that do not serve clients."""
        missing = [str(it) for it in self._numbers() if it not in self._listening]
        return f"not running: {', '.join(missing)}" if missing else ""

    def collect(self) -> Iterable[Sample]:
        yield WORKERS.of(1 + len(self._listening))
        yield RESTARTS.of(self.restarts)

    def _numbers(self) -> range:
        return range(2, self._config.broker.workers + 1)

    async def _keep_running(self, number: int) -> None:
        backoff = Backoff(first_s=PAUSE_FIRST_S, limit_s=PAUSE_MAX_S)
        now = asyncio.get_running_loop().time
        while True:
            backoff.connected(now=now())
            reason = await self._run_once(number)
            self.restarts += 1
            pause_s = backoff.failed(now=now())
            log.error("worker %d %s; starting it again in %.1f s", number, reason, pause_s)
            await asyncio.sleep(pause_s)

    async def _run_once(self, number: int) -> str:
        """Run a worker once. Returns the reason why it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pyaiot.app.worker_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_MAX,
                # In its own session, it receives neither signals of systemd nor Ctrl+C.
                env={name: it for name, it in os.environ.items() if name not in _OF_SERVICE},
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be started: {reason_of(error)}"
        self._running[number] = process
        try:
            assert process.stdin is not None  # noqa: S101 - they are pipes
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(settings_of(self._config, number, self._port))
            try:
                async with asyncio.timeout(START_LIMIT_S):
                    await self._read_until_it_listens(number, process.stdout)
            except TimeoutError:
                return f"did not listen within {START_LIMIT_S:.0f} s"
            while await process.stdout.readline():
                pass
            return f"ended with code {await process.wait()}"
        finally:
            self._listening.discard(number)
            del self._running[number]
            await end_process(process, END_LIMIT_S)

    async def _read_until_it_listens(self, number: int, lines: asyncio.StreamReader) -> None:
        while line := (await lines.readline()).decode(errors="replace").rstrip("\n"):
            if line.startswith(_LISTENS):
                self._listening.add(number)
                log.info("worker %d serves clients", number)
                return
            self._print_line(line)


_OF_SERVICE: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
