# SPDX-License-Identifier: BSD-3-Clause
"""An alert: the condition of one rule holds for one node or gateway. Pure."""

import hashlib
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.alerts.rule import Severity
from pyaiot.messages import NAME_LENGTH_MAX, UnixTime

VALUE_LENGTH_MAX: Final = 200
"""Longest value of an alert, in characters. Longer ones are truncated."""
AlertState: TypeAlias = Literal["active", "acknowledged", "snoozed", "cleared"]


class Alert(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An alert as it is stored and sent to clients."""

    id: str
    """Derived from the rule and its subject (node, gateway or resource): at most one alert with
    this id is active.
    """
    rule: str
    """Id of the rule."""
    title: str
    """Severity of the rule when the alert was raised."""
    severity: Severity
    uid: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Uid of the node; empty if the alert is about a gateway."""
    resource: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Name of the node's gateway, or of the gateway that was lost."""
    value: Annotated[str, Meta(max_length=VALUE_LENGTH_MAX)] = ""
    """The value or reason that raised the alert, as text for people."""
    raised: UnixTime = 0.0
    """Unix time in seconds."""
    cleared: UnixTime = 0.0
    """Unix time in seconds; 0 while the alert is active."""
    acknowledged: UnixTime = 0.0
    acknowledged_by: str = ""
    snoozed_until: UnixTime = 0.0
    """No notice is sent before this Unix time."""
    muted: bool = False
    """The alert was raised during maintenance, so no notice was sent."""

    def state_at(self, ts: float) -> AlertState:
        """State of the alert at the Unix time `ts`."""
        if self.cleared:
            return "cleared"
        if self.acknowledged:
            return "acknowledged"
        return "snoozed" if self.snoozed_until > ts else "active"

    @property
    def key(self) -> str:
        """Key of the rule and its subject; see `watch_key`."""
        return watch_key(self.rule, self.uid or self.gateway, self.resource)


def watch_key(rule: str, name: str, resource: str) -> str:
    """Key of a rule and its subject: a node or gateway, and optionally one of its resources. Keys
    are unique: rule ids contain no space, and no name contains a NUL character.
    """
    return f"{rule} {name}\0{resource}" if resource else f"{rule} {name}"


def alert_id(key: str) -> str:
    """Short id of an alert, for URLs and the command line."""
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=6).hexdigest()
