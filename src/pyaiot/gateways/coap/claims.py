# SPDX-License-Identifier: BSD-3-Clause
"""Checks of claims: an address claims the uid of a node at another address."""

import logging
from collections.abc import Callable

from pyaiot.gateways.coap.address_table import OWNER_TIMEOUT_S, AddressTable
from pyaiot.gateways.coap.discovery import Candidate, Discovery
from pyaiot.gateways.coap.post_intake import PostIntake
from pyaiot.gateways.coap.sleeping_nodes import SleepingNodes
from pyaiot.gateways.gateway import Gateway
from pyaiot.transport.peers import Peer
from pyaiot.transport.rate_limit import RateLimitedLog

log = logging.getLogger(__name__)


class ClaimCheck:
    """Determines the address to which a uid belongs."""

    def __init__(
        self,
        gateway: Gateway,
        table: AddressTable[Peer],
        discovery: Discovery,
        posts: PostIntake,
        sleeping: SleepingNodes,
        time: Callable[[], float],
        *,
        candidates: Callable[[str, Peer], list[Candidate]],
    ) -> None:
        """`candidates`: the addresses at which a node that posts from a peer may answer."""
        self._gateway = gateway
        self._table = table
        self._discovery = discovery
        self._posts = posts
        self._sleeping = sleeping
        self._time = time
        self._candidates = candidates
        self._lines = RateLimitedLog(log)

    async def check(self, uid: str, claimant: Peer) -> None:
        """Another address claims this uid: the address that answers requests gets it.

        The old address is queried first. If it does not answer, the new one must, so that a forged
        source address cannot attract commands. A node that never answers, or sleeps, keeps its uid
        unless it has been silent for `OWNER_TIMEOUT_S`.
        """
        node = self._table.get(uid)
        if node is None:
            return
        now = self._time
        if await self._discovery.answers(node.answers_at or node.peer):
            self._posts.refuse(
                "%s claims the uid %s, but %s still answers: refused",
                claimant.address.host,
                uid,
                node.address.host,
            )
            if self._table.get(uid) is node:
                self._table.keep(uid, claimant.address, now=now())
            return
        may_be_silent = node.answers_at is None or uid in self._sleeping
        last_seen = self._gateway.nodes.last_seen(uid)
        if may_be_silent and last_seen is not None and now() - last_seen < OWNER_TIMEOUT_S:
            answers_at = None
        else:
            answers_at = await self._discovery.first_that_answers(self._candidates(uid, claimant))
        if self._table.get(uid) is not node:
            return  # the node left or moved in the meantime
        if answers_at is None:
            self._table.postpone(uid, now=now())
            return
        self._lines.info(
            "%s moved from %s to %s", uid, node.address.host, claimant.address.host, now=now()
        )
        self._table.move(uid, claimant.address, claimant)
        self._posts.appeared(uid, claimant.address, rebooted=True)
