# SPDX-License-Identifier: BSD-3-Clause
"""Alerts over HTTP: active alerts, acknowledgements, rules, maintenance, channels."""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web

from pyaiot.accounts.scopes import PERSONAL_RESOURCES
from pyaiot.alerts.alert import Alert
from pyaiot.alerts.channels import NotSent
from pyaiot.alerts.rule import RuleId
from pyaiot.alerts.rule_book import UnknownRule
from pyaiot.alerts.service import AlertService
from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.web.api.alert_schemas import (
    AlertChannel,
    AlertChannels,
    AlertEdit,
    AlertInfo,
    AlertList,
    AlertRule,
    AlertRules,
    AlertsQuery,
    MaintenanceWindow,
    MaintenanceWindows,
    NodeLimit,
    NodeLimits,
)
from pyaiot.web.api.edits import EditProblems, check_all_nodes, errors_as_problems, read_json
from pyaiot.web.api.nodes import find, includes
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import json_response
from pyaiot.web.auditing import note, principal_of
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

_SUBJECT: Final = "using rules"
"""Rules can name any node."""
_PROBLEMS: Final[EditProblems] = {
    UnknownRule: (404, "unknown-alert"),
    Refused: (409, "rule-refused"),
}


class AlertsApi:
    """The handlers. They run on the broker's loop."""

    def __init__(self, broker: Broker, alerts: AlertService | None) -> None:
        """`alerts` None: there are no rules, and none can be added."""
        self._broker = broker
        self._alerts = alerts

    async def alerts(self, request: web.Request, query: AlertsQuery) -> web.StreamResponse:
        """`GET /api/alerts`."""
        found = [] if self._alerts is None else self._alerts.alerts()
        shown = [self._info(it, request) for it in found if self._sees(request, it)]
        if query.state is not None:
            shown = [it for it in shown if it.state in query.state]
        return json_response(AlertList(alerts=shown))

    async def edit_alerts(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PATCH /api/alerts`."""
        edit = await read_json(request, AlertEdit)
        service = self._service()
        with errors_as_problems(_PROBLEMS):
            found = service.active(edit.ids)
        if not all(self._sees(request, it) for it in found):
            raise ProblemError(404, "unknown-alert", "there is no such active alert")
        note(request, uids=dict.fromkeys(it.uid for it in found if it.uid))
        with errors_as_problems(_PROBLEMS):
            if edit.acknowledge:
                service.acknowledge(edit.ids, principal_of(request).who)
            if edit.snooze_s is not None:
                service.snooze(edit.ids, edit.snooze_s)
        return json_response(AlertList(alerts=[self._info(it, request) for it in found]))

    async def rules(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/alert-rules`."""
        check_all_nodes(request, _SUBJECT)
        if self._alerts is None:
            return json_response(AlertRules(rules=[]))
        book = self._alerts.book
        rules = [
            AlertRule(id=name, editable=name not in book.file_rules, rule=rule)
            for name, rule in sorted(book.rules().items())
        ]
        return json_response(AlertRules(rules=rules))

    async def node_limits(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/nodes/{uid}/limits`."""
        record = find(self._broker, request)
        rules = [] if self._alerts is None else self._alerts.rules_with_limits(record.uid)
        hides_personal = access_of(request).scope.hides_personal
        limits = [
            NodeLimit(
                resource=rule.resource,
                when="above" if rule.when == "above" else "below",
                limit=rule.limit,
                severity=rule.severity,
                title=rule.title,
            )
            for rule in rules
            if rule.limit is not None
            and not (hides_personal and rule.resource in PERSONAL_RESOURCES)
        ]
        return json_response(NodeLimits(limits=limits))

    async def put_rule(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PUT /api/alert-rules/{rule}`."""
        check_all_nodes(request, _SUBJECT)
        name = request.match_info["rule"]
        try:
            msgspec.convert(name, RuleId)
        except msgspec.ValidationError as error:
            raise ProblemError(
                400, "bad-request", "the id of a rule has lower-case letters, digits and hyphens"
            ) from error
        table = await read_json(request, dict[str, Any])
        note(request, detail=name)
        service = self._service()
        with errors_as_problems(_PROBLEMS):
            rule = await service.book.put_rule(name, table)
        service.apply_rules()
        return json_response(AlertRule(id=name, editable=True, rule=rule))

    async def remove_rule(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/alert-rules/{rule}`."""
        check_all_nodes(request, _SUBJECT)
        name = request.match_info["rule"]
        note(request, detail=name[:64])
        service = self._service()
        with errors_as_problems(_PROBLEMS):
            await service.book.remove_rule(name)
        service.apply_rules()
        return web.Response(status=204)

    async def maintenance(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/maintenance`."""
        check_all_nodes(request, _SUBJECT)
        found = {} if self._alerts is None else self._alerts.book.maintenance
        windows = [MaintenanceWindow(id=name, maintenance=it) for name, it in found.items()]
        windows.sort(key=lambda it: it.maintenance.start)
        return json_response(MaintenanceWindows(windows=windows))

    async def add_maintenance(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`POST /api/maintenance`."""
        check_all_nodes(request, _SUBJECT)
        table = await read_json(request, dict[str, Any])
        service = self._service()
        with errors_as_problems(_PROBLEMS):
            name = await service.add_maintenance(table)
        note(request, detail=name)
        window = MaintenanceWindow(id=name, maintenance=service.book.maintenance[name])
        return json_response(window, status=201)

    async def remove_maintenance(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/maintenance/{window}`."""
        check_all_nodes(request, _SUBJECT)
        service = self._service()
        note(request, detail=request.match_info["window"][:64])
        with errors_as_problems(_PROBLEMS):
            await service.book.remove_maintenance(request.match_info["window"])
        service.changed()
        return web.Response(status=204)

    async def channels(self, _request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/alert-channels`."""
        queues = {} if self._alerts is None else self._alerts.channels.queues
        channels = [
            AlertChannel(name=name, sent=queue.sent, problem=queue.problem)
            for name, queue in sorted(queues.items())
        ]
        return json_response(AlertChannels(channels=channels))

    async def try_channel(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`POST /api/alert-channels/{channel}/test`."""
        name = request.match_info["channel"]
        note(request, detail=name[:64])
        service = self._service()
        if name not in service.channels.queues:
            raise ProblemError(404, "unknown-alert", "there is no such channel")
        try:
            await asyncio.shield(service.channels.test(name))
        except NotSent as error:
            raise ProblemError(502, "not-sent", str(error)) from error
        return web.Response(status=204)

    def _service(self) -> AlertService:
        if self._alerts is None:
            raise ProblemError(409, "rule-refused", "this broker has no alerts")
        return self._alerts

    def _sees(self, request: web.Request, alert: Alert) -> bool:
        scope = access_of(request).scope
        if scope.has_all_nodes:
            return True
        record = self._broker.router.registry.get(alert.uid) if alert.uid else None
        if record is None:
            return not alert.uid and not scope.tags and alert.gateway in scope.gateways
        return includes(scope, record)

    def _info(self, alert: Alert, request: web.Request) -> AlertInfo:
        if access_of(request).scope.hides_personal:
            # The acknowledgement contains the name of a user.
            value = "" if alert.resource in PERSONAL_RESOURCES else alert.value
            alert = msgspec.structs.replace(alert, acknowledged_by="", value=value)
        record = self._broker.router.registry.get(alert.uid)
        name = "" if record is None else record.annotations.label
        now = 0.0 if self._alerts is None else self._alerts.unix_time()
        return AlertInfo.of(alert, name, now)
