# SPDX-License-Identifier: BSD-3-Clause
"""Alert rules: which nodes they watch, the condition, and the action. Pure."""

import math
import re
from collections.abc import Container, Iterable
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError, requirement
from pyaiot.messages import NAME_LENGTH_MAX, check_name

RULES_MAX: Final = 500
"""Largest number of rules of one system. Further ones are refused."""
TARGETS_MAX: Final = 256
"""Largest number of nodes, tags, rooms or gateways that one rule lists. More are refused."""
DURATION_MAX_S: Final = 366 * 86_400.0
"""Longest duration in a rule, in seconds."""
PAYLOAD_LENGTH_MAX: Final = 1024
"""Longest payload of a command that a rule sends, in characters."""

Condition: TypeAlias = Literal[
    "above",
    "below",
    "change",
    "no data",
    "offline",
    "gateway lost",
    "update failed",
    "command failed",
]
Severity: TypeAlias = Literal["info", "warning", "critical"]
OF_NUMBERS: Final = frozenset({"above", "below", "change"})
"""Conditions that compare the number of a resource."""
LIMITS: Final = frozenset({"above", "below"})
"""Those of them that compare it with a limit."""
OF_NODES: Final = frozenset({"no data", "offline", "update failed", "command failed"})
FIRMWARE_STATE: Final = "suit_state"
"""The resource in which a node reports the state of its firmware update."""
UPDATE_FAILED: Final = frozenset({"3", "5", "8", "10"})
"""Values of that resource that mean a failure (legacy protocol, section 7)."""

RuleId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="Lower-case letters, digits and hyphens, at most 64 characters.",
    ),
]
Names = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)], ...],
    Meta(max_length=TARGETS_MAX),
]
Seconds = Annotated[float, Meta(ge=0, le=DURATION_MAX_S)]


class RuleCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command that a rule sends when its alert is raised or cleared."""

    uid: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Uid of the target node; empty: the node of the alert."""
    resource: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    payload: Annotated[str, Meta(max_length=PAYLOAD_LENGTH_MAX)]
    """The payload, as text."""


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An alert rule. `check_rule` checks what types cannot express."""

    title: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    """Title of the alert, for people."""
    when: Condition
    resource: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """The watched resource. For `no data` and `command failed`, empty means any resource."""
    limit: float | None = None
    """For `above` and `below`: the threshold. For `change`: the smallest change, up or down,
    within `within` seconds that raises the alert.
    """
    hysteresis: Annotated[float, Meta(ge=0)] = 0.0
    """For `above` and `below`: how far the value must return past the threshold to clear the
    alert.
    """
    within_s: Seconds = msgspec.field(name="within", default=60.0)
    """For `change`: length of the period in which the change is measured, in seconds."""
    for_s: Seconds = msgspec.field(name="for", default=0.0)
    """How long the condition must hold, in seconds. For `no data`: how long no data must be
    missing.
    """
    severity: Severity = "warning"
    uids: Names = ()
    tags: Names = ()
    rooms: Names = ()
    gateways: Names = ()
    """The node must match each of these lists that is not empty (for `gateway lost`: the gateway).
    """
    view: Annotated[str, Meta(max_length=64)] = ""
    """Id of a saved view whose filter the node must match. No node matches a view that does not
    exist.
    """
    channels: Names = ()
    """Names of the channels to notify. Empty: all."""
    on_raise: RuleCommand | None = None
    on_clear: RuleCommand | None = None
    enabled: bool = True

    def watches(
        self,
        *,
        uid: str,
        tags: Iterable[str],
        room: str,
        gateway: str,
        views: Container[str] = (),
    ) -> bool:
        """Whether the rule applies to a node. `views`: ids of the views that match the node."""
        return (
            (not self.view or self.view in views)
            and (not self.uids or uid in self.uids)
            and (not self.rooms or room in self.rooms)
            and (not self.gateways or gateway in self.gateways)
            and (not self.tags or any(tag in self.tags for tag in tags))
        )


def check_rule(rule: Rule) -> Rule:
    """Check what the types cannot express. Raises `ProtocolError` with a sentence for the author
    of the rule.
    """
    check_name(rule.title, "title")
    numbers = (rule.limit, rule.hysteresis, rule.for_s, rule.within_s)
    if not all(math.isfinite(it) for it in numbers if it is not None):
        raise ProtocolError("numbers must be finite")
    if rule.when in OF_NUMBERS:
        _check_numbers(rule)
    elif rule.limit is not None or rule.hysteresis:
        raise ProtocolError(f"the condition {rule.when!r} has no limit and no hysteresis")
    elif rule.resource and rule.when in ("offline", "gateway lost", "update failed"):
        raise ProtocolError(f"the condition {rule.when!r} has no resource")
    if rule.when == "no data" and rule.for_s <= 0:
        raise ProtocolError("a rule with the condition 'no data' needs a duration")
    if rule.when == "command failed" and rule.for_s:
        raise ProtocolError("the condition 'command failed' has no duration")
    if rule.when == "gateway lost" and (rule.uids or rule.tags or rule.rooms or rule.view):
        raise ProtocolError("the condition 'gateway lost' watches gateways, not nodes")
    for command in (rule.on_raise, rule.on_clear):
        if command is not None:
            _check_command(rule, command)
    return rule


def _check_numbers(rule: Rule) -> None:
    if not rule.resource:
        raise ProtocolError(f"a rule with the condition {rule.when!r} needs a resource")
    if rule.limit is None:
        raise ProtocolError(f"a rule with the condition {rule.when!r} needs a limit")
    if rule.when == "change":
        if rule.limit <= 0:
            raise ProtocolError("the limit of a change must be more than 0")
        if rule.within_s <= 0 or rule.for_s or rule.hysteresis:
            raise ProtocolError("a change has a time `within`, no duration and no hysteresis")


def _check_command(rule: Rule, command: RuleCommand) -> None:
    if rule.when == "gateway lost" and not command.uid:
        raise ProtocolError("the command of a rule about gateways needs a node")
    same_node = not command.uid or command.uid in rule.uids
    if rule.when in OF_NUMBERS and same_node and command.resource == rule.resource:
        raise ProtocolError("a rule must not write the resource that it watches")


_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)")
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def read_duration_s(value: object) -> float:
    """Parse a duration into seconds: a number, or text such as `90s`, `5m`, `2h` or `1d`. Raises
    `ProtocolError`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ProtocolError(f"{value!r:.40} is not a duration: use for example 90s, 5m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def rule_of(table: dict[str, Any]) -> Rule:
    """Parse a rule from a table of the file or of a request, in which durations may be text.
    Raises `ProtocolError`.
    """
    fields = dict(table)
    for name in ("for", "within"):
        if name in fields:
            fields[name] = read_duration_s(fields[name])
    try:
        return check_rule(msgspec.convert(fields, Rule))
    except msgspec.ValidationError as error:
        raise ProtocolError(requirement(str(error))) from error
