# SPDX-License-Identifier: BSD-3-Clause
"""Finds the program nats-server."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from pyaiot.errors import NotInstalled, OperatorError

VERSION_MIN: Final = (2, 12)


async def find_program() -> Path:
    """The path of nats-server: the one installed beside Python, else the one on PATH.

    Raises `NotInstalled` if there is none, and `OperatorError` if it is too old.
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
        raise NotInstalled(f"nats-server is not installed: {otherwise}.")
    version = await _version(found)
    if version < VERSION_MIN:
        raise OperatorError(f"{found} is too old: {otherwise}.")
    return Path(found)


async def _version(program: str) -> tuple[int, ...]:
    """The version from `nats-server: v2.12.1`; () if there is none."""
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
    output, _ = await child.communicate()
    found = re.search(rb"v(\d+)\.(\d+)", output)
    return tuple(map(int, found.groups())) if found else ()
