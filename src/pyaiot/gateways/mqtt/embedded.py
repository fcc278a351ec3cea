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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt import tether
from pyaiot.limits import LimitedLog
from pyaiot.links import Backoff
from pyaiot.mqtt_client import PACKET_SIZE_MAX, MqttServer

VERSION_MIN: Final = (2, 12)
READY_LIMIT_S: Final = 10.0
"""It is ready within a fraction of a second; with much in its store it takes longer."""
END_LIMIT_S: Final = 1.0
STORE_MAX: Final = 1024 * 1024 * 1024
"""Bytes that it keeps on disk for sessions with QoS 1. More is refused to its clients."""
MEMORY_MAX: Final = 64 * 1024 * 1024
_LINE_MAX: Final = 8192
_STEADY_S: Final = 10.0
_MQTT_3_1_1: Final = 4

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

    def __init__(self, config: EmbeddedConfig, program: Path, port: int) -> None:
        self.port = port
        self._config = config
        self._program = program
        self._password = secrets.token_urlsafe(24)
        self._ready = asyncio.Event()
        self._backoff = Backoff(first_s=0.2, limit_s=5.0)
        self._log = LimitedLog(log)
        self._last_word = ""
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
            # It has one gateway, so the name is taken by nobody else.
            client_id="pyaiot",
            version=_MQTT_3_1_1,
        )

    @classmethod
    @asynccontextmanager
    async def running(cls, config: EmbeddedConfig) -> AsyncIterator["EmbeddedBroker"]:
        """Start it, wait until it is ready, and end it with the block.

        Raises `OperatorError`: no nats-server, the port is taken, the folder is another's.
        """
        program = await find_program()
        with _locked(config.folder):
            broker = cls(config, program, _free_port(config.host, config.port))
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
        # Devices without a name publish as nodes and hear gateways; only gateways see all.
        return f"""\
server_name: "pyaiot"
host: "127.0.0.1"
port: -1
max_payload: {PACKET_SIZE_MAX}
logtime: false
jetstream {{
  store_dir: {store}
  max_memory_store: {MEMORY_MAX}
  max_file_store: {STORE_MAX}
  {sync}
}}
mqtt {{ host: {host}, port: {self.port}, no_auth_user: "device" }}
authorization {{
  users = [
    {{ user: "gateway", password: {password} }}
    {{ user: "device", password: {json.dumps(secrets.token_urlsafe(24))}, permissions {{
      publish: ["node.>"], subscribe: ["gateway.>"] }} }}
  ]
}}
"""

    # -- the child --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep it running until cancelled. Raises `OperatorError` if it never was ready."""
        loop = asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            self.starts += 1
            code = await self._run_once()
            if not self._ready.is_set():
                raise OperatorError(
                    f"nats-server does not start: {self._last_word or f'exit code {code}'}."
                )
            if loop.time() - started_at >= _STEADY_S:
                self._backoff.reset()
            pause_s = self._backoff.next_s()
            log.error("nats-server ended with code %s; started again in %.1f s", code, pause_s)
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> int:
        command = [str(self._program), "-c", str(self._settings)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_MAX,
                # Ctrl+C is said to us alone, and we end it after our goodbyes.
                start_new_session=True,
            )
        except OSError as error:
            self._last_word = str(error)
            return -1
        self.pid = child.pid
        try:
            assert child.stderr is not None  # noqa: S101 - it was asked for
            await self._fold_log(child.stderr)
            return await child.wait()
        finally:
            self.pid = 0
            await _end(child)

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
                # Mostly of what clients did.
                self._log.warning("nats-server: %s", text, now=self._now())
            case "FTL":
                self._last_word = text
                log.error("nats-server: %s", text)
            case "INF" | "WRN" | "DBG" | "TRC":
                log.debug("nats-server: %s", text)
                if text == "Server is ready":
                    self._ready.set()
            case _:
                # It speaks without a level before it has read its settings.
                self._last_word = line
                log.debug("nats-server: %s", line)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


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


async def find_program() -> Path:
    """nats-server: the one that was installed with us, else that on PATH.

    Raises `OperatorError` if there is none that is new enough.
    """
    beside = Path(sys.executable).with_name("nats-server")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("nats-server")
    least = ".".join(map(str, VERSION_MIN))
    otherwise = (
        f"install nats-server {least} or newer, or name another MQTT broker with --mqtt-host"
    )
    if found is None:
        raise OperatorError(f"There is no nats-server here: {otherwise}.")
    version = await _version(found)
    if version < VERSION_MIN:
        raise OperatorError(f"{found} is too old: {otherwise}.")
    return Path(found)


async def _version(program: str) -> tuple[int, ...]:
    """Of `nats-server: v2.12.1`; () if it does not say."""
    try:
        child = await asyncio.create_subprocess_exec(
            program,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ()
    said, _ = await child.communicate()
    found = re.search(rb"v(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


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
