# SPDX-License-Identifier: BSD-3-Clause
"""The types of requests and responses about alerts."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from pyaiot.alerts.alert import Alert, AlertState
from pyaiot.alerts.maintenance import Maintenance
from pyaiot.alerts.rule import Rule, Severity
from pyaiot.web.api.parameters import Query

ALERTS_AT_ONCE_MAX: Final = 10_000
"""Largest number of alerts that one request acknowledges or snoozes."""
SNOOZE_MAX_S: Final = 30 * 86_400.0
"""Longest time for which an alert can be snoozed, in seconds."""


class AlertsQuery(Query, frozen=True, kw_only=True):
    """The alerts to return."""

    state: Annotated[
        tuple[AlertState, ...] | None,
        Meta(description="Only alerts in these states (may be repeated). Absent: all."),
    ] = None


class AlertInfo(Alert, kw_only=True):
    """An alert, as it is now."""

    state: AlertState
    name: Annotated[str, Meta(description="Label of the node; empty if it has none.")] = ""

    @classmethod
    def of(cls, alert: Alert, name: str, ts: float) -> "AlertInfo":
        fields = {it: getattr(alert, it) for it in alert.__struct_fields__}
        return cls(**fields, state=alert.state_at(ts), name=name)


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts: the active ones, the latest first, then the cleared ones."""

    alerts: list[AlertInfo]


class AlertEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to some active alerts."""

    ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=ALERTS_AT_ONCE_MAX)]
    acknowledge: bool = False
    """Acknowledge them: the client takes care of them."""
    snooze_s: Annotated[float, Meta(ge=0, le=SNOOZE_MAX_S)] | None = msgspec.field(
        name="snooze", default=None
    )
    """Send no notifications about them for this many seconds; 0 ends the snooze."""


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with its id."""

    id: str
    editable: Annotated[bool, Meta(description="False: it is in the file of alerts.")]
    rule: Rule


class AlertRules(msgspec.Struct, frozen=True, kw_only=True):
    """All rules."""

    rules: list[AlertRule]


class NodeLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of a rule."""

    resource: str
    when: Literal["above", "below"]
    limit: float
    severity: Severity
    title: Annotated[str, Meta(description="The title of the rule.")]


class NodeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the rules that apply to a node."""

    limits: list[NodeLimit]


class MaintenanceWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Maintenance with its id."""

    id: str
    maintenance: Maintenance


class MaintenanceWindows(msgspec.Struct, frozen=True, kw_only=True):
    """All maintenance that is not over."""

    windows: list[MaintenanceWindow]


class AlertChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel of notifications. Its URL is secret and never shown."""

    name: str
    sent: Annotated[int, Meta(description="Notices since the start.")]
    problem: Annotated[str, Meta(description="Why the last attempt failed; empty if it succeeded.")]


class AlertChannels(msgspec.Struct, frozen=True, kw_only=True):
    """The channels of the file of alerts."""

    channels: list[AlertChannel]
