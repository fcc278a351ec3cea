# SPDX-License-Identifier: BSD-3-Clause
"""An MQTT broker of our own: nats-server as a child that is started, watched and ended by us.

What it acknowledges is on the disk's cache, not yet on the disk: that survives a process that is
killed, and with `sync_always` a power cut too.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError
from pyaiot.mqtt.client import PACKET_SIZE_MAX, MqttServer
from pyaiot.mqtt.embedded import die_with_parent
from pyaiot.mqtt.embedded.client_ids import ClientIds, client_ids
from pyaiot.mqtt.embedded.health import HealthProbe
from pyaiot.mqtt.embedded.log import explain, is_about_memory, reason_of_crash
from pyaiot.mqtt.embedded.nats_program import find_program
from pyaiot.mqtt.embedded.store_keeper import Access, StoreKeeper
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.rate_limit import RateLimitedLog

READY_LIMIT_S: Final = 10.0
"""It is ready within a fraction of a second; with much in its store it takes longer."""
END_LIMIT_S: Final = 1.0
STORE_MAX: Final = 1024 * 1024 * 1024
"""Bytes that it keeps on disk for sessions with QoS 1. More is refused to its clients."""
MEMORY_MAX: Final = 64 * 1024 * 1024
GO_MEMORY_MAX: Final = 1024 * 1024 * 1024
"""Bytes of memory above which the embedded MQTT broker collects garbage without pause, or half of
the machine's memory. Ten thousand connections hold half of it."""
SUBSCRIPTIONS_MAX: Final = 256
"""Subscriptions of one connection to the embedded MQTT broker. With one more it is closed."""
KEEP_IDLE_S: Final = 86_400
"""The embedded MQTT broker forgets a subscription with QoS 1 whose client was away for so long."""
HEALTH_INTERVAL_S: Final = 3.0
"""Between two round trips with QoS 1 through the embedded MQTT broker."""
HEALTH_LIMIT_S: Final = 3.0
"""How long such a round trip may take."""
HEALTH_FAILURES_MAX: Final = 3
"""Round trips in a row that may fail. Then the embedded MQTT broker is started again; after each
start that did not help, twice as many may fail, up to 64 times."""
DISK_FREE_MIN: Final = 1024 * 1024
"""Bytes that are free on the disk. With less, a start of the embedded MQTT broker does not help,
and waits."""
_LINE_MAX: Final = 8192
_MQTT_3_1_1: Final = 4
_PUBLISH_VIOLATION: Final = re.compile(r'Publish Violation - (?:User "[^"]*", )?Subject "(.*)"')

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """Where it listens and what it keeps."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 1886
    """0: any free one."""
    sync_always: bool = False
    """Write to the disk before each acknowledgement: slower, and proof against power cuts."""


class EmbeddedBroker:
    """The child, under a name and password of this start that only its gateway knows."""

    def __init__(self, config: EmbeddedConfig, program: Path, port: int, ids: ClientIds) -> None:
        self.port = port
        self._ids = ids
        self._config = config
        self._program = program
        self._password = secrets.token_urlsafe(24)
        self._ready = asyncio.Event()
        self._backoff = Backoff(first_s=0.2, limit_s=5.0)
        self._log = RateLimitedLog(log)
        self._last_word = ""
        self._crash = ""
        self._system_password = secrets.token_urlsafe(24)
        self._keeper_password = secrets.token_urlsafe(24)
        self._nats_port = 0
        self._serving = asyncio.Event()
        """The child says that it is ready."""
        self._restarts_in_vain = 0
        self.problem = ""
        """What is wrong with it, for people; empty if it carries QoS 1."""
        self.report_ignored: Callable[[str], None] | None = None
        """Called with each topic on which a device published, and which is none of a node's."""
        self.starts = 0
        """Of the child, ever."""
        self.pid = 0
        """Of the child; 0 while there is none."""

    @property
    def server(self) -> MqttServer:
        """How our own gateway reaches it."""
        # `::` is both families to nats-server, and loopback of IPv6 may be switched off.
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(  # noqa: S104 - compared, not bound
            self._config.host, self._config.host
        )
        return MqttServer(
            host,
            self.port,
            user="gateway",
            password=lambda: self._password,
            client_id=self._ids.gateway,
            version=_MQTT_3_1_1,
            # Devices may hear `gateway/…`, where the id of a client does not belong.
            echo_topic="pyaiot/echo",
        )

    @property
    def mqttsn_prefix(self) -> str:
        """Stands before the client ids of MQTT-SN clients, so that no MQTT client takes one."""
        return self._ids.mqttsn_prefix

    @classmethod
    @asynccontextmanager
    async def running(cls, config: EmbeddedConfig) -> AsyncIterator["EmbeddedBroker"]:
        """Start it, wait until it is ready, and end it with the block.

        Raises `OperatorError`: no nats-server, the port is taken, the folder is another's.
        """
        program = await find_program()
        with _locked(config.folder):
            ids = client_ids(config.folder / "client-ids")
            broker = cls(config, program, _free_port(config.host, config.port), ids)
            broker._write_settings()
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
                ready.cancel()
                watching.cancel()
                await asyncio.gather(watching, ready, return_exceptions=True)

    def _write_settings(self) -> None:
        """Only its owner reads them. Raises `OperatorError`."""
        path = self._settings
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                file.write(self._settings_text())
        except OSError as error:
            raise OperatorError(f"The file {path} cannot be written: {error}.") from error

    @property
    def _settings(self) -> Path:
        return self._config.folder / "nats-server.conf"

    def _settings_text(self) -> str:
        # JSON's quotes are those of nats-server's settings.
        store = json.dumps(str(self._config.folder / "jetstream"))
        password = json.dumps(self._password)
        host = json.dumps(self._config.host)
        sync = "sync_interval: always" if self._config.sync_always else ""
        # Devices without a name publish as nodes and hear gateways; only gateways see all. The
        # filter `gateway/#` also means `gateway` (MQTT 3.1.1 section 4.7.1.2).
        return f"""\
server_name: "pyaiot"
host: "127.0.0.1"
port: -1
max_payload: {PACKET_SIZE_MAX}
max_subscriptions: {SUBSCRIPTIONS_MAX}
logtime: false
jetstream {{
  store_dir: {store}
  max_memory_store: {MEMORY_MAX}
  max_file_store: {STORE_MAX}
  {sync}
}}
mqtt {{
  host: {host}
  port: {self.port}
  no_auth_user: "device"
  consumer_inactive_threshold: "{KEEP_IDLE_S}s"
}}
accounts {{
  SYS {{ users = [ {{ user: "system", password: {json.dumps(self._system_password)} }} ] }}
}}
system_account: SYS
authorization {{
  users = [
    {{ user: "gateway", password: {password} }}
    {{ user: "keeper", password: {json.dumps(self._keeper_password)} }}
    {{ user: "device", password: {json.dumps(secrets.token_urlsafe(24))}, permissions {{
      publish: ["node.>"], subscribe: ["gateway", "gateway.>"] }} }}
  ]
}}
"""

    # -- the child --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep it running until cancelled. Raises `OperatorError` if it never was ready."""
        loop = asyncio.get_running_loop()
        while True:
            self._backoff.connected(now=loop.time())
            self.starts += 1
            self._serving.clear()
            self._crash = ""
            code = await self._run_once()
            if not self._ready.is_set():
                raise OperatorError(self._why_it_does_not_start(code))
            self.problem = "it is being started again"
            pause_s = self._backoff.failed(now=loop.time())
            log.error(
                "nats-server ended with code %s%s; started again in %.1f s",
                code,
                f" ({self._crash})" if self._crash else "",
                pause_s,
            )
            await asyncio.sleep(pause_s)

    def _why_it_does_not_start(self, code: int) -> str:
        if is_about_memory(self._crash):
            return (
                f"nats-server gets no memory ({self._crash}): raise the limit of virtual memory"
                " (ulimit -v unlimited, or LimitAS= of the unit), or name another MQTT broker with"
                " --mqtt-host."
            )
        reason = self._crash or self._last_word or f"exit code {code}"
        return f"nats-server does not start: {reason}."

    async def _run_once(self) -> int:
        command = [str(self._program), "-c", str(self._settings)]
        if sys.platform == "linux":
            command = [
                sys.executable,
                "-I",
                "-S",
                die_with_parent.__file__,
                str(os.getpid()),
                *command,
            ]
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_MAX,
                env={**os.environ, "GOMEMLIMIT": str(_go_memory())},
                # Ctrl+C is said to us alone, and we end it after our goodbyes.
                start_new_session=True,
            )
        except OSError as error:
            self._last_word = str(error)
            return -1
        self.pid = child.pid
        looking = asyncio.get_running_loop().create_task(
            self._look_after(child), name="health of nats-server"
        )
        # Without it nobody would notice when the child is stuck.
        looking.add_done_callback(lambda task: None if task.cancelled() else _kill(child))
        try:
            assert child.stderr is not None  # noqa: S101 - it was asked for
            await self._fold_log(child.stderr)
            return await child.wait()
        finally:
            self.pid = 0
            looking.cancel()
            (ended,) = await asyncio.gather(looking, return_exceptions=True)
            if isinstance(ended, Exception):
                log.error("the health of nats-server could not be watched", exc_info=ended)
            await _end(child)

    async def _look_after(self, child: asyncio.subprocess.Process) -> None:
        """Set its quotas, and end it when it lives and does not work."""
        await self._serving.wait()
        access = Access(self._nats_port, self._keeper_password, self._system_password)
        keeper = StoreKeeper(access, self._ids)
        probe = HealthProbe(self.server, self._ids.health, "pyaiot/health")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keeper.run(), name="quotas of the MQTT broker")
            # What an earlier life left over a quota goes before a client comes.
            await _within(HEALTH_LIMIT_S, keeper.looked)
            tasks.create_task(probe.run(), name="MQTT health probe")
            tasks.create_task(self._check_health(child, probe, keeper), name="MQTT health")

    async def _check_health(
        self, child: asyncio.subprocess.Process, probe: HealthProbe, keeper: StoreKeeper
    ) -> None:
        failures = 0
        while True:
            wrong = await probe.problem(HEALTH_LIMIT_S)
            disk_is_full = self._disk_is_full()
            if not wrong:
                failures = self._restarts_in_vain = 0
                self.problem = keeper.full
            else:
                failures += 1
                self.problem = "the disk is full" if disk_is_full else wrong
                if failures == 1:
                    log.warning("the MQTT broker does not work: %s", self.problem)
            if not self._ready.is_set():
                # Now it is known whether it works, and no device is there yet.
                if not wrong:
                    await _within(HEALTH_LIMIT_S, keeper.limited)
                self._ready.set()
            if failures >= HEALTH_FAILURES_MAX << self._restarts_in_vain and not disk_is_full:
                self._restarts_in_vain = min(self._restarts_in_vain + 1, 6)
                log.error(
                    "the MQTT broker did not work %d times in a row (%s); it is started again",
                    failures,
                    self.problem,
                )
                # SIGTERM does not end a stopped process.
                _kill(child)
                return
            await asyncio.sleep(HEALTH_INTERVAL_S)

    def _disk_is_full(self) -> bool:
        try:
            return shutil.disk_usage(self._config.folder).free < DISK_FREE_MIN
        except OSError:
            return False

    async def _fold_log(self, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await lines.readline()
            except ValueError:
                continue  # longer than any that it writes of itself
            if not line:
                return
            self._said(line.decode(errors="replace").rstrip())

    def _said(self, line: str) -> None:
        level, _, text = line.partition("] ")[2].partition("] ")
        match level.removeprefix("["):
            case "WRN" if "Plaintext passwords" not in text:
                self._log.warning("nats-server: %s", text, now=self._now())
            case "ERR":
                found = _PUBLISH_VIOLATION.search(text)
                if found is not None and self.report_ignored is not None:
                    self.report_ignored(topic_of_subject(found[1]))
                # Mostly of what clients did.
                explained = explain(text)
                if explained is not None:
                    self._log.warning("%s", explained, now=self._now())
            case "FTL":
                self._last_word = text
                log.error("nats-server: %s", text)
            case "INF" | "WRN" | "DBG" | "TRC":
                log.debug("nats-server: %s", text)
                if text.startswith("Listening for client connections on "):
                    self._nats_port = int(text.rpartition(":")[2])
                elif text == "Server is ready":
                    self._serving.set()
            case _:
                # It speaks without a level before it has read its settings, and when it crashes:
                # then the first line says why, and a stack follows.
                self._crash = self._crash or reason_of_crash(line)
                self._last_word = line
                log.debug("nats-server: %s", line)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _go_memory() -> int:
    """Bytes of memory that Go tries to stay below."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return GO_MEMORY_MAX
    return min(GO_MEMORY_MAX, machine // 2)


async def _within(limit_s: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()


def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


def topic_of_subject(subject: str) -> str:
    """nats-server writes `/` as `.`, and `.` as `//`."""
    return subject.replace("//", "\0").replace(".", "/").replace("\0", ".")


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(END_LIMIT_S):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _free_port(host: str, port: int) -> int:
    """The port, which can be had a moment before. Raises `OperatorError`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            had: int = probe.getsockname()[1]
            return had
    except OSError as error:
        raise OperatorError(
            f"TCP port {port} of {host} cannot be had for MQTT ({error.strerror}): choose another"
            " with --mqtt-port, or use the MQTT broker that is there with --mqtt-host."
        ) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two nats-servers would spoil one store. Raises `OperatorError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("a", encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"The folder {folder} cannot be used: {error}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperatorError(
                f"Another Pyaiot runs the MQTT broker of {folder}: end it, or use that one with"
                " --mqtt-host."
            ) from error
        yield
