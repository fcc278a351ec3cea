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
END_LIMIT_OF_CLUSTER_S: Final = 5.0
"""The same for one of a cluster, which passes its streams to the others first."""
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
            # One of a cluster passes its streams to the others before it ends.
            str(int(signal.SIGTERM if is_of_cluster else signal.SIGKILL)),
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
    """End it, if it still runs."""
    await end_process(child, END_LIMIT_OF_CLUSTER_S if is_of_cluster else END_LIMIT_S)


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
