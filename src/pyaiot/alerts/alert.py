# SPDX-License-Identifier: BSD-3-Clause
"""An alert: one rule that holds for one node or gateway. Pure."""

import hashlib
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.alerts.rule import Severity
from pyaiot.messages import NAME_LENGTH_MAX, UnixTime

VALUE_LENGTH_MAX: Final = 200
"""Characters of the value of an alert. A longer one is truncated."""
AlertState: TypeAlias = Literal["active", "acknowledged", "snoozed", "cleared"]


class Alert(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is stored of an alert, and sent to clients."""

    id: str
    """Of its rule and what it is about: there is at most one active alert of them."""
    rule: str
    """Id of the rule."""
    title: str
    """Of the rule, when the alert was raised."""
    severity: Severity
    uid: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """The node; empty for a gateway."""
    resource: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """The gateway of the node, or the lost one."""
    value: Annotated[str, Meta(max_length=VALUE_LENGTH_MAX)] = ""
    """The value or the reason that raised it, for people."""
    raised: UnixTime = 0.0
    """Unix time in seconds."""
    cleared: UnixTime = 0.0
    """Unix time in seconds; 0 while it is active."""
    acknowledged: UnixTime = 0.0
    acknowledged_by: str = ""
    snoozed_until: UnixTime = 0.0
    """Nobody is notified before this Unix time."""
    muted: bool = False
    """It was raised during maintenance: nobody was notified."""

    def state_at(self, ts: float) -> AlertState:
        """At the Unix time `ts`."""
        if self.cleared:
            return "cleared"
        if self.acknowledged:
            return "acknowledged"
        return "snoozed" if self.snoozed_until > ts else "active"

    @property
    def key(self) -> str:
        """Identifies what it is about, as `watch_key` does."""
        return watch_key(self.rule, self.uid or self.gateway, self.resource)


def watch_key(rule: str, name: str, resource: str) -> str:
    """Identifies a rule with a node or gateway of this name, and one of its resources.

    The parts cannot be confused: rules have no space, and a NUL is in no name.
    """
    return f"{rule} {name}\0{resource}" if resource else f"{rule} {name}"


def alert_id(key: str) -> str:
    """The id of the alert of a key: short, for URLs and the command line."""
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=6).hexdigest()
