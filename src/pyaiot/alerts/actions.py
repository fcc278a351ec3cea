# SPDX-License-Identifier: BSD-3-Clause
"""Sends the commands of alert rules, and stops rules that trigger each other in a loop."""

import logging
from collections.abc import Callable, Container
from functools import partial
from typing import Final

import msgspec

from pyaiot.alerts.alert import Alert
from pyaiot.alerts.rule import RuleCommand
from pyaiot.audit.entry import Principal
from pyaiot.broker.broker import Broker
from pyaiot.messages import Command, Receipt, ToClient
from pyaiot.transport.rate_limit import RateLimit

COMMANDS_BURST: Final = 10.0
"""Burst size of the rate limit of one rule. Commands beyond it are not sent, because two rules may
trigger each other.
"""
COMMANDS_PER_S: Final = 1 / 60
"""Sustained rate of one rule, in commands per second."""
COMMAND_TIMEOUT_S: Final = 30.0
"""Timeout of these commands."""

log = logging.getLogger(__name__)


class _Issuer(msgspec.Struct):
    """Issues commands on behalf of a rule."""

    id: str
    rate: RateLimit
    is_limited: bool = False


class RuleActions:
    """Sends the commands of rules. Each command ends with a receipt, which is stored in the
    history.
    """

    def __init__(self, broker: Broker, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self.sent = 0
        self.refused = 0
        """Number of commands that the rate limit refused, since the start."""
        self._broker = broker
        self._clock = clock
        self._issuers: dict[str, _Issuer] = {}

    def keep_rules(self, rules: Container[str]) -> None:
        """Close the issuers of all rules that are not in this list."""
        for rule in [it for it in self._issuers if it not in rules]:
            self._broker.issuer_left(self._issuers.pop(rule).id)

    def send(self, command: RuleCommand, alert: Alert) -> None:
        """Send the command that the rule defines for this alert."""
        now, rule = self._clock(), alert.rule
        issuer = self._issuers.get(rule)
        if issuer is None:
            rate = RateLimit(per_s=COMMANDS_PER_S, burst=COMMANDS_BURST, now=now)
            issuer = _Issuer(self._broker.issuer_connected(partial(_received, rule)), rate)
            self._issuers[rule] = issuer
        if issuer.rate.take(now):
            self.refused += 1
            if not issuer.is_limited:
                issuer.is_limited = True
                log.warning("rule %s: its commands are refused: it sends too many", rule)
            return
        issuer.is_limited = False
        self.sent += 1
        self._broker.from_issuer(
            issuer.id,
            Command(
                id=str(self.sent),
                uid=command.uid or alert.uid,
                resource=command.resource,
                payload=command.payload,
                timeout_s=COMMAND_TIMEOUT_S,
            ),
            Principal(f"rule:{rule}", ""),
        )


def _received(rule: str, message: ToClient) -> None:
    if isinstance(message, Receipt) and message.state not in ("confirmed", "sent"):
        log.warning("rule %s: its command ended as %s: %s", rule, message.state, message.detail)
