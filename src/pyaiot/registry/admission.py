# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes that are not in the registry are admitted, and how many wait for approval. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from pyaiot.errors import Refused

WAITING_MAX: Final = 1000
"""Largest number of new nodes that wait for approval. Further ones are refused."""
WAITING_OF_GATEWAY_MAX: Final = 500
"""The same, for the new nodes of one gateway."""

AdmissionRule: TypeAlias = Literal["open", "approve", "known"]
"""`open`: unregistered nodes are accepted; `approve`: they wait for approval; `known`: refused."""


class NodeAdmission:
    """The rules for new nodes, and the numbers of those that wait, by gateway."""

    def __init__(self, rule: AdmissionRule, of: Mapping[str, AdmissionRule]) -> None:
        self._waiting_of: Counter[str] = Counter()
        self.set_rules(rule, of)

    def set_rules(self, rule: AdmissionRule, of: Mapping[str, AdmissionRule]) -> None:
        """`of`: rules for the nodes of some protocols, by the name of the protocol in any case.
        `rule`: the rule for all others.
        """
        self._rule = rule
        self._rule_of = {name.lower(): its_rule for name, its_rule in of.items()}

    @property
    def waiting(self) -> int:
        """Number of new nodes that wait for approval."""
        return self._waiting_of.total()

    def must_wait(self, uid: str, gateway: str, protocol: str) -> bool:
        """Whether a new node waits for approval; otherwise it is accepted. Raises `Refused`."""
        rule = self._rule_of.get(protocol.lower(), self._rule)
        if rule == "known":
            raise Refused(f"the node {uid} is not registered, and others are not admitted")
        if rule == "approve":
            self._check_room(gateway)
        return rule == "approve"

    def began_waiting(self, gateway: str) -> None:
        """A node of this gateway waits from now on."""
        self._waiting_of[gateway] += 1

    def ended_waiting(self, gateway: str) -> None:
        """A node of this gateway was accepted, banned or removed, or has another gateway."""
        self._waiting_of[gateway] -= 1

    def _check_room(self, gateway: str) -> None:
        for count, limit, where in (
            (self._waiting_of[gateway], WAITING_OF_GATEWAY_MAX, f"at the gateway {gateway}"),
            (self.waiting, WAITING_MAX, "here"),
        ):
            if count >= limit:
                raise Refused(f"{limit} new nodes wait for approval {where} already")
