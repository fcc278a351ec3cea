# SPDX-License-Identifier: BSD-3-Clause
"""The end of a child process."""

import asyncio
import contextlib


async def end_process(child: asyncio.subprocess.Process, limit_s: float) -> None:
    """Terminate a child process, kill it after `limit_s`, and wait until it has ended."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(limit_s):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
