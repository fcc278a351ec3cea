# SPDX-License-Identifier: BSD-3-Clause
"""Discovery of the resources of a node: its links, then the value of each."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.requests import Requests
from pyaiot.messages import NAME_LENGTH_MAX
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import COAP_PORT, Code
from pyaiot.protocols.link_format import CoreLink, parse_links, read_links, resource_name
from pyaiot.transport.peers import Peer

LINKS_MAX: Final = 256
"""Largest number of links of a node that are read. Further ones are ignored."""
FIRST_RESPONSE_S: Final = 4.0
"""How long a node may take to answer at one address. After that the next one is tried."""
VALUE_LIMIT_S: Final = 5.0
"""How long a node may take to answer with one value. After that it counts as unanswered."""
DISCOVERY_LIMIT_S: Final = 120.0
"""How long one discovery may take. Resources that were not read by then are read later."""
DISCOVERIES_MAX: Final = 64
"""Largest number of nodes whose values are read at the same time. Others wait."""
DISCOVERIES_PER_HOST_MAX: Final = 16
"""The same for the nodes of one host. Others of this host wait, and do not delay other hosts."""
UNANSWERED_MAX: Final = 2
"""Largest number of consecutive values that a node may leave unanswered. The missing ones are read
at its next sign of life."""
REFUSED_AGAIN_S: Final = 1.5
"""Delay before a node whose port is closed (ICMP) is tried again: its server may be starting."""
REFUSED_AGAIN_MAX: Final = 2
"""Largest number of such attempts. After that the node is tried at its next sign of life."""
WELL_KNOWN_CORE: Final = "/.well-known/core"

log = logging.getLogger(__name__)

Read: TypeAlias = Callable[[Peer, CoreLink, float], Awaitable[bool]]
"""Reads the resource of a link from a peer, with a deadline. Returns whether it answered."""


class Candidate(NamedTuple):
    """An address at which a node may answer requests."""

    peer: Peer
    limit_s: float = FIRST_RESPONSE_S
    """How long it may take to answer."""
    offers: bool = False
    """Whether an error counts as its response only if no other candidate answers: posts and server
    may be different programs."""


class Found(NamedTuple):
    """The resources of a node."""

    links: list[CoreLink]
    unread: list[CoreLink]
    """The resources whose values could not be read."""


class Discovery:
    """Reads the resources of nodes."""

    def __init__(self, requests: Requests, loop: asyncio.AbstractEventLoop) -> None:
        self._requests = requests
        self._loop = loop
        self._turns = asyncio.Semaphore(DISCOVERIES_MAX)
        self._turns_on: dict[str, asyncio.Semaphore] = {}
        self._users_on: Counter[str] = Counter()

    async def discover(
        self,
        candidates: Sequence[Candidate],
        answers_at: Callable[[Peer], bool],
        read: Read,
    ) -> Found | None:
        """Discover the node at the first candidate that answers. None: none answered.

        `answers_at` is called at once for each candidate that answers, and returns whether it is
        the node; `read` reads each resource there. Candidates with a closed port are tried again a
        little later: the node may announce itself before its server is running.
        """
        erring: tuple[Peer, CoapMessage] | None = None
        for attempt in range(REFUSED_AGAIN_MAX + 1):
            again_at = self._loop.time() + REFUSED_AGAIN_S
            refused: list[Candidate] = []
            for candidate in candidates:
                peer = candidate.peer
                # A retransmission here would use up bytes of the anti-amplification limit that the
                # candidate with the closed port needs.
                once = bool(refused) or candidate.limit_s < FIRST_RESPONSE_S
                limit_s = min(candidate.limit_s, REFUSED_AGAIN_S) if refused else candidate.limit_s
                try:
                    limit = self._loop.time() + limit_s
                    core = await self._requests.get(peer, WELL_KNOWN_CORE, limit, once=once)
                except ConnectionRefusedError:
                    refused.append(candidate)
                except (OSError, ProtocolError) as error:
                    log.debug("%s: GET %s: %r", peer, WELL_KNOWN_CORE, error)
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
            # The port that a node posts from is more likely to stay closed.
            candidates = sorted(refused, key=lambda it: it.peer.address.port != COAP_PORT)
        return None

    async def _follow_all(self, peer: Peer, core: CoapMessage, read: Read) -> Found:
        links = _links(peer, core)
        return Found(links, await self.follow(peer, links, read))

    async def answers(self, peer: Peer) -> bool:
        """Whether a node answers at this peer. Any response counts, including an error."""
        try:
            limit = self._loop.time() + FIRST_RESPONSE_S
            await self._requests.get(peer, WELL_KNOWN_CORE, limit)
        except (OSError, ProtocolError) as error:
            log.debug("%s: GET %s: %r", peer, WELL_KNOWN_CORE, error)
            return False
        return True

    async def first_that_answers(self, candidates: Iterable[Candidate]) -> Peer | None:
        """The first of these candidates that answers."""
        for candidate in candidates:
            if await self.answers(candidate.peer):
                return candidate.peer
        return None

    @contextlib.asynccontextmanager
    async def _turn(self, host: str) -> AsyncIterator[None]:
        share = self._turns_on.setdefault(host, asyncio.Semaphore(DISCOVERIES_PER_HOST_MAX))
        self._users_on[host] += 1
        try:
            async with share, self._turns:
                yield
        finally:
            self._users_on[host] -= 1
            if not self._users_on[host]:
                del self._users_on[host], self._turns_on[host]

    async def follow(self, peer: Peer, links: Iterable[CoreLink], read: Read) -> list[CoreLink]:
        """Read these resources of a node. Returns the unanswered ones."""
        unread: list[CoreLink] = []
        async with self._turn(peer.address.host):
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
            "%s: malformed list of resources, %d links are used: %s",
            peer,
            len(links),
            error,
        )
        return links


def _name(link: CoreLink) -> str:
    """The name of a resource; empty if the link has no valid name."""
    try:
        return resource_name(link.uri or "")
    except ProtocolError:
        return ""
