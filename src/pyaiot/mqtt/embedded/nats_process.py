# SPDX-License-Identifier: BSD-3-Clause
"""The process of nats-server: how it is started and ended."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

from pyaiot.mqtt.embedded import die_with_parent
from pyaiot.mqtt.embedded.log import LINE_MAX
from pyaiot.transport.child_process import end_process

END_LIMIT_S: Final = 1.0
"""How long the embedded MQTT broker may take to end. Then it is killed."""
PASS_ON_LIMIT_S: Final = 3.0
"""How long one of a cluster may take to pass its streams to the others. Then it is killed. It needs
a second."""
PASS_ON: Final = signal.SIGUSR2
"""The signal for the lame duck mode of nats-server: it passes the leadership of its streams to
other machines, waits a second, and closes its store. At SIGTERM it passes them on, too, but may end
before the others have learned of it: they then elect leaders only 4 to 9 s later."""
_STORE_IS_CLOSED: Final = b"] JetStream Shutdown"
GO_MEMORY_MAX: Final = 1024 * 1024 * 1024
"""Bytes of memory above which the embedded MQTT broker collects garbage continuously; half of the
machine's memory if that is less. Ten thousand connections use half of it."""


async def start_nats(
    program: Path, settings: Path, folder: Path, is_of_cluster: bool
) -> asyncio.subprocess.Process:
    """Start it, with its log as `stderr`. On Linux it ends with this process. Raises `OSError`."""
    command = [str(program), "-c", str(settings)]
    if sys.platform == "linux":
        command = [
            sys.executable,
            "-I",
            "-S",
            die_with_parent.__file__,
            str(os.getpid()),
            str(int(PASS_ON if is_of_cluster else signal.SIGKILL)),
            str(folder / "nats-server.lock"),
            *command,
        ]
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_MAX,
        env={**os.environ, "GOMEMLIMIT": str(go_memory())},
        # Ctrl+C reaches only this process, which ends the child last.
        start_new_session=True,
    )


async def end_nats(child: asyncio.subprocess.Process, is_of_cluster: bool) -> None:
    """End it, if it still runs. Nothing else may read its log meanwhile. One of a cluster passes
    its streams to the others before."""
    if is_of_cluster and child.returncode is None:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            child.send_signal(PASS_ON)
            async with asyncio.timeout(PASS_ON_LIMIT_S):
                await _until_passed_on(child)
        # It would serve its clients for half a minute without its store, and ignores SIGTERM.
        kill(child)
    await end_process(child, END_LIMIT_S)


async def _until_passed_on(child: asyncio.subprocess.Process) -> None:
    """Return when it has closed its store, or ended."""
    assert child.stderr is not None  # noqa: S101 - stderr is a pipe
    line = b" "
    while line and _STORE_IS_CLOSED not in line:
        with contextlib.suppress(ValueError):  # a long line
            line = await child.stderr.readline()


def kill(child: asyncio.subprocess.Process) -> None:
    """Kill it, if it still runs."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


def go_memory() -> int:
    """The memory limit of the Go runtime, in bytes."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return GO_MEMORY_MAX
    return min(GO_MEMORY_MAX, machine // 2)
