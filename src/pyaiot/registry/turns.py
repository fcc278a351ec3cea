# SPDX-License-Identifier: BSD-3-Clause
"""Lets readings pass while many nodes are processed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, TypeVar

TURN_NODES_MAX: Final = 500
"""Nodes that are processed before the event loop continues."""

T = TypeVar("T")


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Iterate over these items, and let the event loop continue after every `TURN_NODES_MAX`."""
    for number, item in enumerate(items, 1):
        yield item
        if number % TURN_NODES_MAX == 0:
            await asyncio.sleep(0)


async def in_turns_until_done(work: Callable[[], bool]) -> None:
    """Call `work` until it returns False; readings pass after each call."""
    more = True
    while more:
        more = work()
        await asyncio.sleep(0)
