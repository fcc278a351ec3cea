# SPDX-License-Identifier: BSD-3-Clause
"""Alerts of a broker, over its HTTP API."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.client.address import path
from pyaiot.client.api import HttpApi

AlertRowState: TypeAlias = Literal["active", "acknowledged", "snoozed", "cleared"]


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of a rule about a node or a gateway. Times are Unix times in seconds."""

    id: str
    rule: str
    """Id of the rule."""
    title: str
    severity: Literal["info", "warning", "critical"]
    state: AlertRowState
    uid: str = ""
    """The node; empty for a gateway."""
    name: str = ""
    """Label of the node; empty if it has none."""
    resource: str = ""
    gateway: str = ""
    value: str = ""
    """The value or the reason that raised it."""
    raised: float = 0.0
    cleared: float = 0.0
    """0 while it is active."""
    acknowledged: float = 0.0
    acknowledged_by: str = ""
    snoozed_until: float = 0.0
    muted: bool = False
    """It was raised during maintenance."""


class _Alerts(msgspec.Struct, frozen=True):
    alerts: list[AlertRow]


_alerts: Final = msgspec.json.Decoder(_Alerts)


async def alert_rows(api: HttpApi, states: Iterable[str]) -> list[AlertRow]:
    """The alerts in these states, the latest first. Raises `ApiProblem` or `LinkLost`."""
    answer = await api.read("GET", path("alerts"), [("state", state) for state in states])
    return api.decode(_alerts, answer, "alerts").alerts


async def edit_alerts(
    api: HttpApi, ids: Sequence[str], *, acknowledge: bool = False, snooze_s: float | None = None
) -> list[AlertRow]:
    """Acknowledge or snooze active alerts: all or none. Raises `ApiProblem` or `LinkLost`."""
    change: dict[str, object] = {"ids": list(ids), "acknowledge": acknowledge}
    if snooze_s is not None:
        change["snooze"] = snooze_s
    answer = await api.read("PATCH", path("alerts"), body=change)
    return api.decode(_alerts, answer, "alerts").alerts
