# SPDX-License-Identifier: BSD-3-Clause
"""Decides which broker owns a node. All brokers decide the same without communicating. Pure.

Each broker claims the nodes of its gateways and sends its claims to all others. If two brokers
claim the same uid, the greater claim wins: one with a credential, then the one with the later
term, then the one with the greater run id. A broker that takes over a node claims it with the next
term, so that a gateway that reconnects elsewhere wins over its previous broker. Two claims made at
the same time, or on two sides of a partition, have the same term; any order would do, as long as
all brokers use the same one. Only its owner sends a claim, so claims need no merging, and released
claims need not be remembered.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pyaiot.cluster.packets import NodeClaim

CLAIMS_MAX: Final = 1_000_000
"""Largest number of claims of one broker. Further ones are ignored."""


class Owner(NamedTuple):
    """A claim and the run of the broker that made it."""

    run: str
    claim: NodeClaim


class ClaimTable:
    """The claims of all brokers, by run id and uid."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, NodeClaim]] = {}

    def of(self, run: str) -> Mapping[str, NodeClaim]:
        """The claims of one broker."""
        return self._of.get(run, {})

    def set(self, run: str, claim: NodeClaim) -> bool:
        """Store a claim. Returns False if the broker has too many."""
        claims = self._of.setdefault(run, {})
        if len(claims) >= CLAIMS_MAX and claim.uid not in claims:
            return False
        claims[claim.uid] = claim
        return True

    def remove(self, run: str, uid: str) -> NodeClaim | None:
        claims = self._of.get(run)
        return None if claims is None else claims.pop(uid, None)

    def forget(self, run: str) -> None:
        """Remove the claims of a broker that is lost permanently."""
        self._of.pop(run, None)

    def owner(self, uid: str) -> Owner | None:
        """The broker that owns a node, or None."""
        found = [Owner(run, claims[uid]) for run, claims in self._of.items() if uid in claims]
        return greatest(found)

    def next_term(self, uid: str, *, besides: str) -> int:
        """The term with which a broker takes over a node from all others."""
        terms = [
            claims[uid].term for run, claims in self._of.items() if run != besides and uid in claims
        ]
        return max(terms, default=0) + 1


def greatest(owners: Iterable[Owner]) -> Owner | None:
    """The claim that wins, or None if there are none."""
    return max(owners, key=_rank, default=None)


def _rank(owner: Owner) -> tuple[bool, int, str]:
    return owner.claim.secured, owner.claim.term, owner.run
