# SPDX-License-Identifier: BSD-3-Clause
"""Commands over a stream: what waits in a buffer of ours may be sent after its deadline."""

import asyncio
from collections.abc import Callable
from typing import Final

FLUSH_POLL_S: Final = 0.01
"""While bytes wait for the system to take them, it is looked after them so often."""


async def until_flushed(buffered: Callable[[], int]) -> None:
    """Return when nothing waits any more. The caller has a deadline."""
    # The event loop hands over at the end of its turn what was written in it.
    delay_s = 0.0
    while buffered():
        await asyncio.sleep(delay_s)
        delay_s = FLUSH_POLL_S
