# SPDX-License-Identifier: BSD-3-Clause
"""What a node offers: its links, then the value of each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.aiocoap_adapter import Peer
from pyaiot.gateways.coap.requests import Requests
from pyaiot.messages import NAME_LENGTH_MAX
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import COAP_PORT, Code
from pyaiot.protocols.link_format import CoreLink, parse_links, read_links, resource_name

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
"""Values in a row that a node may leave unanswered; then it is left alone until its next sign of
life, which it is asked for the missing ones at."""
REFUSED_AGAIN_S: Final = 1.5
"""A node where nobody listens (ICMP) is asked again after this: its server may start just now."""
REFUSED_AGAIN_MAX: Final = 2
"""How often that is done. Then it is asked at its next sign of life."""
WELL_KNOWN_CORE: Final = "/.well-known/core"

log = logging.getLogger(__name__)

Read: TypeAlias = Callable[[Peer, CoreLink, float], Awaitable[bool]]
"""Reads the resource of a link at a peer until a time of the loop. Whether there was an answer."""


class Candidate(NamedTuple):
    """Where a node may answer requests."""

    peer: Peer
    limit_s: float = FIRST_ANSWER_S
    """How long it may take."""
    offers: bool = False
    """An error counts as its answer only if no other candidate answers: the program that posted
    may be another one than the server."""


class Found(NamedTuple):
    """What a node offers."""

    links: list[CoreLink]
    unread: list[CoreLink]
    """Those of them whose values it did not tell."""


class Discovery:
    """Asks nodes for their resources."""

    def __init__(self, requests: Requests, loop: asyncio.AbstractEventLoop) -> None:
        self._requests = requests
        self._loop = loop
        self._turns = asyncio.Semaphore(DISCOVERIES_MAX)

    async def discover(
        self,
        candidates: Sequence[Candidate],
        answers_at: Callable[[Peer], bool],
        read: Read,
    ) -> Found | None:
        """Ask the first candidate that answers. None: none answered.

        `answers_at` is told of each that does, at once, and returns whether it is the node;
        `read` reads each resource there. Candidates whose system says that nobody listens are asked
        again a little later: the node may have said that it is alive before its server ran.
        """
        erring: tuple[Peer, CoapMessage] | None = None
        for attempt in range(REFUSED_AGAIN_MAX + 1):
            again_at = self._loop.time() + REFUSED_AGAIN_S
            refused: list[Candidate] = []
            for candidate in candidates:
                peer = candidate.peer
                # One more transmission would be one less for the candidate that refused: who has
                # not answered gets three times the bytes that came from there.
                once = bool(refused) or candidate.limit_s < FIRST_ANSWER_S
                limit_s = min(candidate.limit_s, REFUSED_AGAIN_S) if refused else candidate.limit_s
                try:
                    limit = self._loop.time() + limit_s
                    core = await self._requests.get(peer, WELL_KNOWN_CORE, limit, once=once)
                except ConnectionRefusedError:
                    refused.append(candidate)
                except (OSError, ProtocolError) as error:
                    log.debug("%s: GET %s: %r", peer.hostinfo, WELL_KNOWN_CORE, error)
                else:
                    if candidate.offers and core.code != Code.CONTENT:
                        erring = peer, core
                    elif answers_at(peer):
                        return await self._follow_all(peer, core, read)
            if erring is not None and answers_at(erring[0]):
                return await self._follow_all(*erring, read)
            if not refused or attempt == REFUSED_AGAIN_MAX:
                break
            await asyncio.sleep(max(0.0, again_at - self._loop.time()))
            # The port that a node posts from is closed for good more often than its CoAP port.
            candidates = sorted(refused, key=lambda it: it.peer.address.port != COAP_PORT)
        return None

    async def _follow_all(self, peer: Peer, core: CoapMessage, read: Read) -> Found:
        links = _links(peer, core)
        return Found(links, await self.follow(peer, links, read))

    async def answers(self, peer: Peer) -> bool:
        """Whether a node is there: any answer counts, an error too."""
        try:
            limit = self._loop.time() + FIRST_ANSWER_S
            await self._requests.get(peer, WELL_KNOWN_CORE, limit)
        except (OSError, ProtocolError) as error:
            log.debug("%s: GET %s: %r", peer.hostinfo, WELL_KNOWN_CORE, error)
            return False
        return True

    async def first_that_answers(self, candidates: Iterable[Candidate]) -> Peer | None:
        """The first of these peers of one node that answers at all."""
        for candidate in candidates:
            if await self.answers(candidate.peer):
                return candidate.peer
        return None

    async def follow(self, peer: Peer, links: Iterable[CoreLink], read: Read) -> list[CoreLink]:
        """Read each of these resources of a node. Returns those that it did not answer for."""
        unread: list[CoreLink] = []
        async with self._turns:
            deadline = self._loop.time() + DISCOVERY_LIMIT_S
            unanswered = 0
            for link in links:
                path = link.path
                if path is None or path.startswith("/.well-known/"):
                    continue
                if not 0 < len(_name(link)) <= NAME_LENGTH_MAX:
                    continue
                now = self._loop.time()
                if unanswered == UNANSWERED_MAX or now >= deadline:
                    unread.append(link)
                    continue
                if await read(peer, link, min(deadline, now + VALUE_LIMIT_S)):
                    unanswered = 0
                else:
                    unanswered += 1
                    unread.append(link)
        return unread


def _links(peer: Peer, core: CoapMessage) -> list[CoreLink]:
    if core.code != Code.CONTENT:
        return []
    try:
        return parse_links(core.payload, links_max=LINKS_MAX).links
    except ProtocolError as error:
        links = read_links(core.payload, links_max=LINKS_MAX).links
        log.debug(
            "%s: its list of resources is wrong, %d are read: %s", peer.hostinfo, len(links), error
        )
        return links


def _name(link: CoreLink) -> str:
    """The name of a resource; "" if the link is none."""
    try:
        return resource_name(link.uri or "")
    except ProtocolError:
        return ""
