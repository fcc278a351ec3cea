# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes are asked for what they offer, and which wait for that: they cost no task."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

ASKED_MAX: Final = 2000
"""Nodes that are asked at the same time: so many that silent ones do not take others' turns. Each
takes some 10 kB meanwhile, so that further ones wait, the oldest first."""

Start: TypeAlias = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a task with this name."""


class Discoveries:
    """One discovery at a time for a node."""

    def __init__(self, discover: Callable[[str], Coroutine[Any, Any, None]], start: Start) -> None:
        """`discover` asks the node with that uid."""
        self._discover = discover
        self._start = start
        self._asked: dict[str, bool] = {}
        """uids that are being asked, and whether they must be asked again after that."""
        self._waiting: OrderedDict[str, None] = OrderedDict()

    def add(self, uid: str) -> None:
        """Ask this node when there is room; once more, if it is being asked already."""
        if uid in self._asked:
            self._asked[uid] = True
        else:
            self._waiting[uid] = None
            self._begin()

    def forget(self, uid: str) -> None:
        """The node left: it need not wait any more."""
        self._waiting.pop(uid, None)

    def _begin(self) -> None:
        while self._waiting and len(self._asked) < ASKED_MAX:
            uid, _ = self._waiting.popitem(last=False)
            self._asked[uid] = True
            self._start(self._until_done(uid), f"discovery of {uid}")

    async def _until_done(self, uid: str) -> None:
        try:
            while self._asked[uid]:
                self._asked[uid] = False
                await self._discover(uid)
        finally:
            del self._asked[uid]
        # Not when this was cancelled: then all of it ends.
        self._begin()
