# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the HTTP API about alerts."""

from typing import Final

from pyaiot.alerts.maintenance import Maintenance
from pyaiot.alerts.rule import Rule
from pyaiot.web.api import alert_schemas as schemas
from pyaiot.web.api.operation import Operation, ResponseSpec

_NOT_WHOLE: Final = {403: ("not-in-scope",)}
_EDITS: Final = {
    **_NOT_WHOLE,
    409: ("rule-refused",),
    415: ("unsupported-type",),
    503: ("registry-unavailable",),
}

ALERT_OPERATIONS: Final = (
    Operation(
        "alerts",
        "GET",
        "/api/alerts",
        "Alerts",
        {200: ResponseSpec("Alerts about nodes in the scope of the client.", schemas.AlertList)},
        query=schemas.AlertsQuery,
    ),
    Operation(
        "edit_alerts",
        "PATCH",
        "/api/alerts",
        "Acknowledge or snooze alerts",
        {200: ResponseSpec("The alerts.", schemas.AlertList)},
        description="All or none.",
        json_body=schemas.AlertEdit,
        problems={404: ("unknown-alert",), 415: ("unsupported-type",)},
    ),
    Operation(
        "alert_rules",
        "GET",
        "/api/alert-rules",
        "The alert rules",
        {200: ResponseSpec("All rules.", schemas.AlertRules)},
        problems=_NOT_WHOLE,
        for_admins=True,
    ),
    Operation(
        "node_limits",
        "GET",
        "/api/nodes/{uid}/limits",
        "Limits of a node",
        {200: ResponseSpec("The limits of the rules that apply to the node.", schemas.NodeLimits)},
        description="Only what a chart shows: rules themselves are for administrators.",
        problems={404: ("unknown-node",)},
    ),
    Operation(
        "put_alert_rule",
        "PUT",
        "/api/alert-rules/{rule}",
        "Add or replace a rule",
        {200: ResponseSpec("The rule.", schemas.AlertRule)},
        description="Durations are seconds, or texts such as `5m`. The alerts of a replaced rule"
        " are cleared. The rule is on disk when the response is sent.",
        json_body=Rule,
        problems=_EDITS,
        for_admins=True,
    ),
    Operation(
        "remove_alert_rule",
        "DELETE",
        "/api/alert-rules/{rule}",
        "Remove a rule",
        {204: ResponseSpec("The rule was removed, and its alerts are cleared.")},
        problems={**_EDITS, 404: ("unknown-alert",)},
        for_admins=True,
    ),
    Operation(
        "maintenance",
        "GET",
        "/api/maintenance",
        "Maintenance windows",
        {200: ResponseSpec("All maintenance.", schemas.MaintenanceWindows)},
        problems=_NOT_WHOLE,
        for_admins=True,
    ),
    Operation(
        "add_maintenance",
        "POST",
        "/api/maintenance",
        "Add a maintenance window",
        {201: ResponseSpec("The maintenance.", schemas.MaintenanceWindow)},
        json_body=Maintenance,
        problems=_EDITS,
        for_admins=True,
    ),
    Operation(
        "remove_maintenance",
        "DELETE",
        "/api/maintenance/{window}",
        "End maintenance",
        {204: ResponseSpec("It is removed.")},
        problems={**_EDITS, 404: ("unknown-alert",)},
        for_admins=True,
    ),
    Operation(
        "alert_channels",
        "GET",
        "/api/alert-channels",
        "The notification channels",
        {200: ResponseSpec("Their names, without their URLs.", schemas.AlertChannels)},
        for_admins=True,
    ),
    Operation(
        "test_alert_channel",
        "POST",
        "/api/alert-channels/{channel}/test",
        "Send a test notice",
        {204: ResponseSpec("The service accepted the notice.")},
        problems={404: ("unknown-alert",), 502: ("not-sent",)},
        for_admins=True,
    ),
)
