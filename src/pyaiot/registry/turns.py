# SPDX-License-Identifier: BSD-3-Clause
"""Work on many nodes, during which readings pass, and edits that are tried again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

from pyaiot.registry.refusals import StaleRevision

TURN_NODES_MAX: Final = 500
"""Nodes that are processed before the event loop continues."""
EDIT_ATTEMPTS: Final = 4
"""How often an edit is tried while other brokers of a cluster edit the same node. Then it is
refused."""
OTHER_EDIT_S: Final = 0.1
"""Interval between attempts: until then, the edit of the other broker has arrived."""

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


async def repeat_if_stale(edit: Callable[[], Awaitable[T]]) -> T:
    """An edit whose author does not mind what others edited. Raises `StaleRevision` if all
    attempts fail."""
    for _ in range(EDIT_ATTEMPTS - 1):
        try:
            return await edit()
        except StaleRevision:
            await asyncio.sleep(OTHER_EDIT_S)
    return await edit()
