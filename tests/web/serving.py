# SPDX-License-Identifier: BSD-3-Clause
"""The web application of a broker on a real socket, with a gateway that the test controls."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp

from pyaiot.alerts.channels import AppriseSender, Sender
from pyaiot.alerts.rule import Rule
from pyaiot.alerts.rules_file import AlertsFile
from pyaiot.alerts.service import AlertService
from pyaiot.app.topic_mappings import open_mappings
from pyaiot.audit.files import AuditFiles
from pyaiot.audit.log import AuditLog
from pyaiot.broker.broker import Broker
from pyaiot.broker.mappings import MappingBook
from pyaiot.config import Config
from pyaiot.history.reader import HistoryReader
from pyaiot.history.service import HistoryService
from pyaiot.history.store import RetentionPolicy
from pyaiot.history.stores import store_at
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    FromGateway,
    Hello,
    NodeLeft,
    Reading,
    Receipt,
    ToGateway,
    TopicMappings,
)
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.registry.registry import Registry
from pyaiot.registry.service import RegistryService
from pyaiot.registry.sqlite import SqliteStore
from pyaiot.transport.http_server import HttpServer
from pyaiot.web.api.devices import DeviceAdministration
from pyaiot.web.app import WebApp
from pyaiot.web.dashboard import Dashboard
from pyaiot.web.readiness import Check
from pyaiot.web.sign_in import SignIn

OUTCOMES: Final[dict[str, Receipt]] = {
    "confirmed": Receipt(id="", state="confirmed"),
    "refused": Receipt(id="", state="refused", detail="4.00 Bad Request"),
    "timeout": Receipt(id="", state="timeout", detail="no answer"),
    "unreachable": Receipt(id="", state="unreachable", detail="no route"),
    "unknown": Receipt(id="", state="unknown", detail="no such node"),
    "sent": Receipt(id="", state="sent"),
}


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for a condition that other threads or sockets cause."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.001)


@dataclass
class Gateway:
    """A gateway whose commands end in the receipt that their payload names; others stay open."""

    link: MemoryLink[ToGateway, FromGateway]
    commands: list[Command] = field(default_factory=list)
    mappings: list[tuple[TopicMapping, ...]] = field(default_factory=list)
    """The received mappings, the latest last."""
    otherwise: str = ""
    """The outcome of commands with other payloads."""

    def receive(self, messages: Sequence[ToGateway]) -> None:
        for message in messages:
            if isinstance(message, Command):
                self.commands.append(message)
                if outcome := message.payload if message.payload in OUTCOMES else self.otherwise:
                    self.answer(message, outcome)
            if isinstance(message, TopicMappings):
                self.mappings.append(message.mappings)

    def answer(self, command: Command, outcome: str) -> None:
        receipt = OUTCOMES[outcome]
        self.link.send(Receipt(id=command.id, state=receipt.state, detail=receipt.detail))

    def send(self, uid: str, resource: str, data: object, ts: float | None = None) -> None:
        """Send a reading. The node appears with the first one."""
        self.link.send(Reading.received(uid, resource, data, time.time() if ts is None else ts))

    def lose(self, uid: str) -> None:
        """Report that the node is offline."""
        self.link.send(NodeLeft(uid=uid, ts=time.time(), reason="silent"))


@dataclass
class Served:
    """A running broker, for a test."""

    url: str
    web: aiohttp.ClientSession
    """Keeps cookies; its requests are relative to `url`."""
    gateway: Gateway
    broker: Broker
    app: WebApp
    keeping: HistoryService | None
    alerts: AlertService
    mappings: MappingBook

    async def json(self, path: str, status: int = 200) -> Any:
        async with self.web.get(path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(content_type=None)

    async def json_with(self, path: str, **parts: object) -> Any:
        """Repeat a request until the response has these members, and return it."""
        while True:
            document = await self.json(path)
            if parts.items() <= document.items():
                return document

    async def until(self, messages: int) -> None:
        """Wait until the broker has sent `messages` messages in all, and recorded them."""
        await eventually(lambda: self.broker.fanout.messages >= messages)
        if self.keeping is not None:
            while not await self.keeping.caught_up(self.broker.fanout.messages):
                pass  # a busy disk

    async def known(self, uid: str) -> None:
        """Wait until the broker knows the node, and has recorded its messages."""
        await eventually(lambda: self.broker.router.nodes.get(uid) is not None)
        await self.until(0)


@contextlib.asynccontextmanager
async def serving(
    folder: Path | None = None,
    *,
    login: SignIn | None = None,
    history: HistoryReader | None = None,
    keep: RetentionPolicy | None = None,
    allowed_origins: frozenset[str] = frozenset(),
    registry: Registry | None = None,
    registry_file: Path | None = None,
    dashboard: Dashboard | None = None,
    audit: AuditFiles | None = None,
    devices: DeviceAdministration | None = None,
    alert_channels: Mapping[str, str] = MappingProxyType({}),
    alert_rules: Mapping[str, Rule] = MappingProxyType({}),
    sender: Sender | None = None,
    checks: Mapping[str, Check] = MappingProxyType({}),
) -> AsyncIterator[Served]:
    """`folder` None: nothing is recorded, and queries go to `history`. `keep`: the retention.

    `registry` None: an empty one that admits every node. `registry_file` None: the registry ends
    with the broker.
    """
    keeping = None
    if folder is not None:
        keeping = HistoryService(store_at(str(folder / "history.db"), keep or RetentionPolicy()))
    loop = asyncio.get_running_loop()
    audit_log = AuditLog(audit, unix_time=time.time, clock=time.monotonic)
    broker = Broker(
        flush_interval_s=0.0,
        timer=loop,
        unix_time=time.time,
        clock=time.monotonic,
        observer=None if keeping is None else keeping.recorder,
        registry=registry,
        audit=audit_log,
    )
    store = None if registry_file is None else SqliteStore(registry_file)
    storing = RegistryService(broker.router.registry, broker, store, unix_time=time.time)
    file = AlertsFile(alert_channels, alert_rules)
    alerts = AlertService(broker, storing, file, sender or AppriseSender(), unix_time=time.time)
    mappings = open_mappings(Config(), broker, storing)
    app = WebApp(
        broker,
        mappings=mappings,
        alerts=alerts,
        registry=storing,
        checks={"registry": storing.check, **checks},
        tokens=None,
        title="Test",
        dashboard=dashboard,
        sign_in=login,
        allowed_origins=allowed_origins,
        history=history if keeping is None else keeping.history,
        caught_up=None if keeping is None else keeping.caught_up,
        audit=audit_log,
        devices=devices,
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(audit_log.running())
        await stack.enter_async_context(storing.running())
        await stack.enter_async_context(alerts.running())
        await stack.enter_async_context(mappings.running())
        if keeping is not None:
            await stack.enter_async_context(keeping.running())
        server = await HttpServer.open(
            app.app, "127.0.0.1", 0, service="The test", flag="--port", server_log=app.server_log
        )
        stack.push_async_callback(server.close)
        stack.callback(app.api.streams.close_all)
        gateway_end, broker_end = MemoryLink.pair()
        gateway = Gateway(gateway_end)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        served = tasks.create_task(broker.serve_gateway(broker_end, acknowledges=True))
        receiving = tasks.create_task(_receive(gateway))
        stack.callback(served.cancel)
        stack.callback(receiving.cancel)
        gateway_end.send(Hello(name="test", protocol="Test", accepts_mappings=True))
        jar = aiohttp.CookieJar(unsafe=True)
        web = await stack.enter_async_context(aiohttp.ClientSession(server.url, cookie_jar=jar))
        await eventually(lambda: broker.router.gateways.states(0.0))
        yield Served(server.url, web, gateway, broker, app, keeping, alerts, mappings)


async def _receive(gateway: Gateway) -> None:
    await gateway.link.run(gateway.receive)
