# SPDX-License-Identifier: BSD-3-Clause
"""Waits until a stream is flushed: buffered bytes could be sent after the deadline of a command."""

import asyncio
from collections.abc import Callable
from typing import Final

FLUSH_POLL_S: Final = 0.01
"""The interval of checks while bytes are buffered."""


async def wait_until_flushed(buffered: Callable[[], int]) -> None:
    """Return when `buffered` is 0. The caller limits the wait."""
    # The event loop passes bytes to the system at the end of its turn.
    delay_s = 0.0
    while buffered():
        await asyncio.sleep(delay_s)
        delay_s = FLUSH_POLL_S
