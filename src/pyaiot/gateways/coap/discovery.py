# SPDX-License-Identifier: BSD-3-Clause
"""What a node offers: its links, then the value of each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.endpoint import Peer
from pyaiot.gateways.coap.requests import Requests
from pyaiot.messages import NAME_LENGTH_MAX
from pyaiot.protocols.coap_message import CoapMessage
from pyaiot.protocols.coap_numbers import Code
from pyaiot.protocols.link_format import Link, parse_links

LINKS_MAX: Final = 256
"""Links of a node that are followed; further ones are left alone."""
FIRST_ANSWER_S: Final = 4.0
"""How long a node may take to answer at one address before another is tried."""
VALUE_LIMIT_S: Final = 5.0
"""How long a node may take for one value."""
DISCOVERY_LIMIT_S: Final = 120.0
"""How long one discovery may take in all. What is known by then counts."""
DISCOVERIES_MAX: Final = 64
"""Nodes that are asked for values at the same time; others wait for their turn."""
UNANSWERED_MAX: Final = 2
"""Values in a row that a node may leave unanswered; then it is left alone."""
WELL_KNOWN_CORE: Final = "/.well-known/core"

log = logging.getLogger(__name__)

Read: TypeAlias = Callable[[Peer, Link, float], Awaitable[bool]]
"""Reads the resource of a link at a peer until a time of the loop. Whether there was an answer."""


class Discovery:
    """Asks nodes for their resources."""

    def __init__(self, requests: Requests, loop: asyncio.AbstractEventLoop) -> None:
        self._requests = requests
        self._loop = loop
        self._turns = asyncio.Semaphore(DISCOVERIES_MAX)

    async def discover(
        self,
        candidates: list[Peer],
        answers_at: Callable[[Peer], None],
        read: Read,
    ) -> list[Link] | None:
        """Ask the first candidate that answers. Returns its links, or None: none answered.

        `answers_at` is told of that candidate at once; `read` reads each resource there.
        """
        for peer in candidates:
            core = await self._get(peer, WELL_KNOWN_CORE, self._loop.time() + FIRST_ANSWER_S)
            if core is not None:
                answers_at(peer)
                break
        else:
            return None
        links = _links(peer, core)
        await self.follow(peer, links, read)
        return links

    async def answers(self, peer: Peer) -> bool:
        """Whether a node is there: any answer counts, an error too."""
        limit = self._loop.time() + FIRST_ANSWER_S
        return await self._get(peer, WELL_KNOWN_CORE, limit) is not None

    async def first_that_answers(self, candidates: list[Peer]) -> Peer | None:
        """The first of these peers of one node that answers at all."""
        for peer in candidates:
            if await self.answers(peer):
                return peer
        return None

    async def follow(self, peer: Peer, links: Iterable[Link], read: Read) -> None:
        """Read each of these resources of a node."""
        async with self._turns:
            deadline = self._loop.time() + DISCOVERY_LIMIT_S
            unanswered = 0
            for link in links:
                path = link.path
                if path is None or path.startswith("/.well-known/"):
                    continue
                name = path[1:]
                if not 0 < len(name) <= NAME_LENGTH_MAX or self._loop.time() >= deadline:
                    continue
                limit = min(deadline, self._loop.time() + VALUE_LIMIT_S)
                answered = await read(peer, link, limit)
                unanswered = 0 if answered else unanswered + 1
                if unanswered == UNANSWERED_MAX:
                    return

    async def _get(self, peer: Peer, path: str, deadline: float) -> CoapMessage | None:
        try:
            return await self._requests.get(peer, path, deadline)
        except (OSError, ProtocolError) as error:
            log.debug("%s: GET %s: %r", peer.hostinfo, path, error)
            return None


def _links(peer: Peer, core: CoapMessage) -> list[Link]:
    if core.code != Code.CONTENT:
        return []
    try:
        return parse_links(core.payload, links_max=LINKS_MAX).links
    except ProtocolError as error:
        log.info("%s: its list of resources is wrong: %s", peer.hostinfo, error)
        return []
