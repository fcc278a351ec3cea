# SPDX-License-Identifier: BSD-3-Clause
"""The embedded MQTT broker: nats-server as a supervised child process.

Acknowledged messages are in the cache of the operating system, not yet on the disk: they survive a
killed process, and with `sync_always` a power cut too.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from pyaiot.errors import OperatorError
from pyaiot.mqtt.embedded.addresses import listening_addresses
from pyaiot.mqtt.embedded.client_ids import ClientIds, client_ids
from pyaiot.mqtt.embedded.device_logins import DeviceLogins, IsPassword, disconnect
from pyaiot.mqtt.embedded.folder import locked, write_private
from pyaiot.mqtt.embedded.health import HealthProbe, has_no_leader, resident_bytes
from pyaiot.mqtt.embedded.log import NatsLog, is_about_memory
from pyaiot.mqtt.embedded.nats_process import end_nats, go_memory, kill, start_nats
from pyaiot.mqtt.embedded.nats_program import find_program
from pyaiot.mqtt.embedded.nats_settings import (
    ENFORCER,
    GATEWAY,
    HOME_ASSISTANT,
    MQTTSN,
    SECURED_ENFORCER,
    SECURED_GATEWAY,
    EmbeddedConfig,
    Passwords,
    move_store_of_before,
    settings_text,
)
from pyaiot.mqtt.embedded.quota_enforcer import Access, QuotaEnforcer
from pyaiot.mqtt.server import MqttServer
from pyaiot.transport.addresses import ANY, LOOPBACK
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.tcp_relay import TcpRelay
from pyaiot.transport.timer import wait_for_check
from pyaiot.transport.tls import PinnedTrust

READY_LIMIT_S: Final = 10.0
"""How long the embedded MQTT broker may take to start. Then the start fails. It needs a fraction of
a second, more with a large store."""
MEMORY_SHARE_MAX: Final = 1.5
"""The embedded MQTT broker is restarted if it has this multiple of `GO_MEMORY_MAX` resident: its
indexes grow with each topic that was ever retained."""
HEALTH_INTERVAL_S: Final = 3.0
"""Interval between two round trips with QoS 1 through the embedded MQTT broker."""
HEALTH_LIMIT_S: Final = 3.0
"""How long such a round trip may take. Then it has failed."""
HEALTH_FAILURES_MAX: Final = 3
"""Round trips in a row that may fail. Then the embedded MQTT broker is restarted. After a restart
that did not help, twice as many may fail, up to 64 times as many."""
DISK_FREE_MIN: Final = 1024 * 1024
"""Free bytes on the disk without which the embedded MQTT broker is not restarted: a restart would
not help."""
_MQTT_3_1_1: Final = 4

__all__ = ["EmbeddedBroker", "EmbeddedConfig"]

log = logging.getLogger(__name__)


class EmbeddedBroker:
    """The child process. Its passwords are random for each start and known to this object only."""

    def __init__(
        self,
        config: EmbeddedConfig,
        program: Path,
        host: str,
        port: int,
        ids: ClientIds,
        is_password: IsPassword,
    ) -> None:
        """`host`, `port`: where the child listens."""
        self.port = port
        self._host = host
        self._ids = ids
        self._config = config
        self._program = program
        self._passwords = Passwords()
        self._ready = asyncio.Event()
        self._backoff = Backoff(first_s=0.2, limit_s=5.0)
        self._log = NatsLog()
        self._logins = DeviceLogins(is_password)
        self._disconnects: set[asyncio.Task[None]] = set()
        self._failed_restarts = 0
        certificate = config.certificate_file
        self._trust = PinnedTrust(certificate) if certificate else None
        self.problem = ""
        """Why it does not work, for people; "" if round trips with QoS 1 succeed."""
        self.starts = 0
        """Starts of the child, in total."""
        self.pid = 0
        """Process id of the child; 0 while there is none."""

    @property
    def server(self) -> MqttServer:
        """The address and credentials for the gateway of this process, among the clients without a
        credential."""
        return self._server(GATEWAY, self._passwords.gateway)

    @property
    def secured_server(self) -> MqttServer:
        """The same among the devices with a credential."""
        return self._server(SECURED_GATEWAY, self._passwords.gateway)

    @property
    def mqttsn_server(self) -> MqttServer:
        """The address and credentials for a connection on behalf of one MQTT-SN client."""
        server = self._server(MQTTSN, self._passwords.mqttsn)
        return msgspec.structs.replace(server, client_id="", echo_topic="")

    @property
    def home_assistant_server(self) -> MqttServer:
        """The same for the client that publishes for Home Assistant, which logs in as a device."""
        server = self._server(HOME_ASSISTANT, self._passwords.home_assistant)
        return msgspec.structs.replace(server, client_id="")

    def _server(self, user: str, password: str) -> MqttServer:
        return MqttServer(
            # nats-server listens on both families at `::`, and loopback of IPv6 may be disabled.
            LOOPBACK[0] if self._host in ANY else self._host,
            self.port,
            user=user,
            password=lambda: password,
            tls=self._trust.context if self._trust else None,
            client_id=self._ids.gateway,
            version=_MQTT_3_1_1,
            # Devices may subscribe to `gateway/…`, where the client id must not appear.
            echo_topic="pyaiot/echo",
        )

    def before_login(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Await `wait` before a device is let in. See `DeviceLogins.before_login`."""
        self._logins.before_login.append(wait)

    @property
    def refused_logins(self) -> int:
        """Clients that were refused or disconnected, since the start."""
        return self._logins.refused + self._log.refused

    def disconnect(self, users: Sequence[str]) -> None:
        """Close the connections of these devices, whose credentials were removed."""
        if not users or not self._log.port:
            return
        task = asyncio.get_running_loop().create_task(
            disconnect(self._log.port, self._passwords.system, users), name="removed MQTT devices"
        )
        self._disconnects.add(task)
        task.add_done_callback(self._disconnects.discard)

    @property
    def mqttsn_prefix(self) -> str:
        """Prefix of the client ids of MQTT-SN clients, so that no MQTT client can use one."""
        return self._ids.mqttsn_prefix

    def reload_tls(self) -> None:
        """Use the certificate and key that are in the files now, for new connections.

        Raises `OperatorError` if the certificate cannot be read. The caller has checked the pair.
        """
        if self._trust is not None:
            self._trust.reload()
            if self.pid and self._log.ready.is_set():
                # nats-server reads its settings and their files again. It keeps its connections.
                os.kill(self.pid, signal.SIGHUP)

    def on_ignored(self, report: Callable[[str], None]) -> None:
        """Call `report` with each topic that a device published to and that is not of a node."""
        self._log.report_ignored = report

    def on_refused(self, report: Callable[[str], None]) -> None:
        """Call `report` with each client that is refused or disconnected, and the reason."""
        self._log.report_refused = self._logins.report_refused = report

    @classmethod
    @asynccontextmanager
    async def running(
        cls, config: EmbeddedConfig, is_password: IsPassword = lambda _uid, _password: False
    ) -> AsyncIterator["EmbeddedBroker"]:
        """Start the broker, wait until it is ready, and end it with the block.

        `is_password`: whether a device with this uid has this password. Raises `OperatorError`: no
        nats-server, the port or the folder is in use.
        """
        program = await find_program()
        with locked(config.folder):
            cluster = config.cluster
            ids = client_ids(config.folder / "client-ids") if cluster is None else cluster.ids
            host, port, second = listening_addresses(config.host, config.port)
            move_store_of_before(config.folder)
            broker = cls(config, program, host, port, ids, is_password)
            relay = TcpRelay(host, port)
            if second is not None:
                await relay.listen(second)
            try:
                broker._write_settings()
            except BaseException:
                await relay.close()
                raise
            watching = asyncio.get_running_loop().create_task(broker._watch(), name="nats-server")
            ready = asyncio.ensure_future(broker._ready.wait())
            try:
                await asyncio.wait(
                    {watching, ready}, timeout=READY_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if watching.done():
                    await watching
                if not broker._ready.is_set():
                    raise OperatorError(f"nats-server is not ready after {READY_LIMIT_S:.0f} s.")
                yield broker
            finally:
                await relay.close()
                ready.cancel()
                watching.cancel()
                for task in broker._disconnects:
                    task.cancel()
                await asyncio.gather(watching, ready, *broker._disconnects, return_exceptions=True)

    def _write_settings(self) -> None:
        """Raises `OperatorError`."""
        text = settings_text(
            *(self._config, self._passwords),
            mqtt_host=self._host,
            mqtt_port=self.port,
            issuer=self._logins.issuer.public_key,
        )
        write_private(self._settings, text)

    @property
    def _settings(self) -> Path:
        return self._config.folder / "nats-server.conf"

    # -- the child process ------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep the child running until cancelled. Raises `OperatorError` if it was never ready."""
        loop = asyncio.get_running_loop()
        while True:
            self._backoff.connected(now=loop.time())
            self.starts += 1
            self._log.begin()
            code = await self._run_once()
            if not self._ready.is_set():
                raise OperatorError(self._start_failure(code))
            self.problem = "it is being restarted"
            pause_s = self._backoff.failed(now=loop.time())
            log.error(
                "nats-server ended with code %s%s; restarting it in %.1f s",
                code,
                f" ({reason})" if (reason := self._log.crash or self._log.last_line) else "",
                pause_s,
            )
            await asyncio.sleep(pause_s)

    def _start_failure(self, code: int) -> str:
        crash = self._log.crash
        if is_about_memory(crash):
            return (
                f"nats-server cannot allocate memory ({crash}): raise the limit of virtual"
                " memory (ulimit -v unlimited, or LimitAS= of the unit), or name another MQTT"
                " broker with --mqtt-host."
            )
        reason = crash or self._log.last_line or f"exit code {code}"
        return f"nats-server does not start: {reason}."

    async def _run_once(self) -> int:
        try:
            if not self._settings.exists():
                # The folder was deleted while the child ran.
                self._write_settings()
        except OperatorError as error:
            self._log.last_line = str(error)
            return -1
        folder, is_of_cluster = self._config.folder, self._config.cluster is not None
        try:
            child = await start_nats(self._program, self._settings, folder, is_of_cluster)
        except OSError as error:
            self._log.last_line = str(error)
            return -1
        self.pid = child.pid
        supervision = asyncio.get_running_loop().create_task(
            self._supervise(child), name="health of nats-server"
        )
        # Without supervision, a child that hangs would go unnoticed.
        supervision.add_done_callback(lambda task: None if task.cancelled() else kill(child))
        try:
            assert child.stderr is not None  # noqa: S101 - stderr is a pipe
            await self._log.forward(child.stderr)
            return await child.wait()
        finally:
            self.pid = 0
            supervision.cancel()
            (ended,) = await asyncio.gather(supervision, return_exceptions=True)
            if isinstance(ended, Exception):
                log.error("the supervision of nats-server failed", exc_info=ended)
            await end_nats(child, is_of_cluster)

    async def _supervise(self, child: asyncio.subprocess.Process) -> None:
        """Enforce the quotas, and kill the child if it runs but does not work."""
        await self._log.ready.wait()
        passwords = self._passwords
        access = Access(*(self._log.port, ENFORCER), True, passwords.enforcer, passwords.system)
        cluster = self._config.cluster
        enforcer = QuotaEnforcer(access, self._ids, cluster)
        secured = QuotaEnforcer(
            replace(access, user=SECURED_ENFORCER, limits_connections=False), self._ids, cluster
        )
        probe = HealthProbe(self.server, self._ids.health, "pyaiot/health")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                self._logins.run(access.port, passwords.logins), name="logins of MQTT devices"
            )
            tasks.create_task(enforcer.run(), name="quotas of the MQTT broker")
            tasks.create_task(secured.run(), name="quotas of MQTT devices with a credential")
            # Data over a quota, left by an earlier run, is removed before clients connect.
            await _within(HEALTH_LIMIT_S, enforcer.checked)
            tasks.create_task(probe.run(), name="MQTT health probe")
            tasks.create_task(self._check_health(child, probe, enforcer), name="MQTT health")

    async def _check_health(
        self, child: asyncio.subprocess.Process, probe: HealthProbe, enforcer: QuotaEnforcer
    ) -> None:
        failures = 0
        while True:
            problem = await probe.problem(HEALTH_LIMIT_S)
            disk_is_full = self._disk_is_full()
            if problem and await self._waits_for_machines():
                # A restart would keep them apart for longer.
                failures = 0
                self.problem = "more than half of its machines are not connected"
            elif not problem:
                failures = self._failed_restarts = 0
                self.problem = enforcer.full
            else:
                failures += 1
                self.problem = "the disk is full" if disk_is_full else problem
                if failures == 1:
                    log.warning("the MQTT broker does not work: %s", self.problem)
            if not self._ready.is_set():
                # The first round trip has ended, and no device is connected yet.
                if not problem:
                    await _within(HEALTH_LIMIT_S, enforcer.limited)
                self._ready.set()
            used = resident_bytes(child.pid)
            if used > MEMORY_SHARE_MAX * go_memory():
                log.error("the MQTT broker uses %d MB of memory; it is restarted", used >> 20)
                kill(child)
                return
            if failures >= HEALTH_FAILURES_MAX << self._failed_restarts and not disk_is_full:
                self._failed_restarts = min(self._failed_restarts + 1, 6)
                log.error(
                    "the MQTT broker failed %d checks in a row (%s); it is restarted",
                    failures,
                    self.problem,
                )
                # A stopped process ignores SIGTERM.
                kill(child)
                return
            await wait_for_check(HEALTH_INTERVAL_S)

    async def _waits_for_machines(self) -> bool:
        """Whether this machine alone works, and too few others are connected to store anything."""
        return self._config.cluster is not None and await has_no_leader(
            self._log.port, self._passwords.system
        )

    def _disk_is_full(self) -> bool:
        try:
            return shutil.disk_usage(self._config.folder).free < DISK_FREE_MIN
        except OSError:
            return False


async def _within(limit_s: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
