# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP API of a broker: the routes and their handlers."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler

from pyaiot.alerts.service import AlertService
from pyaiot.audit.log import AuditLog
from pyaiot.broker.broker import Broker
from pyaiot.broker.mappings import MappingBook
from pyaiot.history.reader import HistoryReader
from pyaiot.registry.service import RegistryService
from pyaiot.web.api.alerts import AlertsApi
from pyaiot.web.api.audit import AuditApi
from pyaiot.web.api.cluster import ClusterApi
from pyaiot.web.api.commands import CommandsApi
from pyaiot.web.api.devices import DeviceAdministration, DevicesApi
from pyaiot.web.api.documents import FILES, DocumentsApi
from pyaiot.web.api.history import HistoryApi
from pyaiot.web.api.history_queries import HistoryQueries
from pyaiot.web.api.idempotency import HttpCommandTable
from pyaiot.web.api.idempotency_file import IdempotencyFile, SharedKeyStore
from pyaiot.web.api.mappings import MappingsApi
from pyaiot.web.api.nodes import NodesApi
from pyaiot.web.api.operation import Operation
from pyaiot.web.api.operations import OPERATIONS
from pyaiot.web.api.parameters import read_query
from pyaiot.web.api.past_state import PastStateApi
from pyaiot.web.api.plans import PlansApi
from pyaiot.web.api.registry import RegistryApi
from pyaiot.web.api.responses import Handler
from pyaiot.web.api.streams import CaughtUp, Streams
from pyaiot.web.api.things import ThingsApi
from pyaiot.web.api.views import ViewsApi
from pyaiot.web.problems import ProblemError
from pyaiot.web.readiness import Check


class Api:
    """Builds the handlers and adds their routes to an application."""

    def __init__(
        self,
        broker: Broker,
        *,
        registry: RegistryService,
        title: str,
        history: HistoryReader | None,
        caught_up: CaughtUp | None,
        audit: AuditLog,
        alerts: AlertService | None = None,
        mappings: MappingBook | None = None,
        devices: DeviceAdministration | None = None,
        keys: IdempotencyFile | None = None,
        shared_keys: SharedKeyStore | None = None,
        checks: Mapping[str, Check] = MappingProxyType({}),
        unix_time: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.streams = Streams(broker, history, caught_up)
        self._documents = DocumentsApi()
        nodes = NodesApi(broker, title=title, has_history=history is not None, checks=checks)
        commands = CommandsApi(
            broker, HttpCommandTable(broker, unix_time, clock, keys, shared_keys)
        )
        things = ThingsApi(broker)
        edits = RegistryApi(broker, registry)
        credentials = DevicesApi(devices)
        queries = HistoryQueries(history)
        recorded = HistoryApi(broker, queries, unix_time)
        alarms = AlertsApi(broker, alerts)
        topics = MappingsApi(mappings)
        views = ViewsApi(broker, registry.views)
        plans = PlansApi(broker, registry.plans)
        self._handlers: dict[str, Handler] = {
            "info": nodes.info,
            "gateways": nodes.gateways,
            "cluster": ClusterApi(broker).cluster,
            "nodes": nodes.nodes,
            "node": nodes.node,
            "resource": nodes.resource,
            "value": nodes.value,
            "things": things.things,
            "thing": things.thing,
            "register": edits.register,
            "edit_nodes": edits.edit_nodes,
            "forget_nodes": edits.forget_nodes,
            "edit": edits.edit,
            "forget": edits.forget,
            "restore": edits.restore,
            "write": commands.write,
            "write_nodes": commands.write_nodes,
            "command": commands.command,
            "history": recorded.history,
            "export": recorded.export,
            "history_events": recorded.events,
            "history_state": PastStateApi(broker, queries, unix_time).state,
            "history_commands": recorded.commands,
            "audit": AuditApi(audit, unix_time).audit,
            "alerts": alarms.alerts,
            "edit_alerts": alarms.edit_alerts,
            "alert_rules": alarms.rules,
            "node_limits": alarms.node_limits,
            "put_alert_rule": alarms.put_rule,
            "remove_alert_rule": alarms.remove_rule,
            "maintenance": alarms.maintenance,
            "add_maintenance": alarms.add_maintenance,
            "remove_maintenance": alarms.remove_maintenance,
            "alert_channels": alarms.channels,
            "test_alert_channel": alarms.try_channel,
            "mappings": topics.mappings,
            "try_mapping": topics.try_mapping,
            "put_mapping": topics.put_mapping,
            "remove_mapping": topics.remove_mapping,
            "views": views.views,
            "put_view": views.put,
            "remove_view": views.remove,
            "plans": plans.plans,
            "plan_image": plans.image,
            "put_plan_image": plans.put_image,
            "place_nodes": plans.place,
            "remove_plan": plans.remove,
            "devices": credentials.devices,
            "add_device": credentials.add_device,
            "remove_device": credentials.remove_device,
            "stream": self.streams.stream,
            "openapi": self._documents.openapi,
            "docs": self._documents.docs,
        }

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for operation in OPERATIONS:
            handler = checked(operation, self._handlers[operation.name])
            if operation.method == "GET":
                router.add_get(operation.path, handler)
            else:
                router.add_route(operation.method, operation.path, handler)
        for name in FILES:
            router.add_get(f"/api/{name}", self._documents.file)
        for path in ("/api", "/api/"):
            router.add_get(path, self._documents.root)


def checked(operation: Operation, handler: Handler) -> WebHandler:
    """A handler that receives its query parameters as a typed object."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            "".join(request.match_info.values()).encode()
        except UnicodeError as error:
            # aiohttp represents such bytes as lone surrogates, which cannot be encoded later.
            raise ProblemError(400, "bad-request", "the path is not valid UTF-8") from error
        return await handler(request, read_query(operation.query, request.query.items()))

    return handle
