# SPDX-License-Identifier: BSD-3-Clause
"""Which broker owns a node, decided in the same way by all brokers without asking any. Pure.

Each broker claims the nodes of its gateways and tells all others. If two claim the same uid, the
greater claim wins: one with a credential, then the later term, then the greater run of the broker.
A broker that takes a node over from another one claims it with the next term, so that a gateway
which connects elsewhere wins over the broker that it left. Two brokers that claim a uid at the same
time, or on two sides of a partition, have the same term; any order would do, as long as all brokers
use the same one. A claim is stated by its owner only, so there is nothing to merge and nothing to
remember of a claim that was released.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pyaiot.cluster.packets import NodeClaim

CLAIMS_MAX: Final = 1_000_000
"""Claims of one broker. What it claims beyond that is ignored."""


class Owner(NamedTuple):
    """A claim and the run of the broker that made it."""

    run: str
    claim: NodeClaim


class ClaimTable:
    """The claims of all brokers, by run and uid."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, NodeClaim]] = {}

    def of(self, run: str) -> Mapping[str, NodeClaim]:
        """The claims of one broker."""
        return self._of.get(run, {})

    def set(self, run: str, claim: NodeClaim) -> bool:
        """Take over a claim. False: it is one too many."""
        claims = self._of.setdefault(run, {})
        if len(claims) >= CLAIMS_MAX and claim.uid not in claims:
            return False
        claims[claim.uid] = claim
        return True

    def remove(self, run: str, uid: str) -> NodeClaim | None:
        claims = self._of.get(run)
        return None if claims is None else claims.pop(uid, None)

    def forget(self, run: str) -> None:
        """The broker is lost permanently."""
        self._of.pop(run, None)

    def owner(self, uid: str) -> Owner | None:
        """The broker that owns a node; None: nobody claims it."""
        found = [Owner(run, claims[uid]) for run, claims in self._of.items() if uid in claims]
        return greatest(found)

    def next_term(self, uid: str, *, besides: str) -> int:
        """The term with which a broker takes a node over from all others."""
        terms = [
            claims[uid].term for run, claims in self._of.items() if run != besides and uid in claims
        ]
        return max(terms, default=0) + 1


def greatest(owners: Iterable[Owner]) -> Owner | None:
    """The claim that wins; None: there are none."""
    return max(owners, key=_rank, default=None)


def _rank(owner: Owner) -> tuple[bool, int, str]:
    return owner.claim.secured, owner.claim.term, owner.run
