# SPDX-License-Identifier: BSD-3-Clause
"""Alerts of a running broker: from a reading to a notice, a command, and a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from pyaiot.alerts.channels import NotSent
from pyaiot.alerts.notices import Notice
from pyaiot.alerts.rule import rule_of
from pyaiot.alerts.rule_book import UnknownRule
from pyaiot.alerts.rules_file import AlertsFile
from pyaiot.alerts.service import AlertService
from pyaiot.broker.broker import Broker
from pyaiot.broker.encoders import ARRAYS_WITH_REGISTRY
from pyaiot.broker.observers import Observers
from pyaiot.errors import ProtocolError, Refused
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    FromGateway,
    Hello,
    Join,
    NodeAppeared,
    NodeLeft,
    Reading,
    Receipt,
    ToGateway,
)
from pyaiot.registry.documents import Documents
from pyaiot.registry.record import Edit
from pyaiot.registry.registry import Registry
from pyaiot.registry.service import RegistryService
from tests.broker.test_fanout import FakeSocket

WARM = {"title": "Too warm", "when": "above", "resource": "temperature", "limit": 30}
OFFLINE = {"title": "Offline", "when": "offline", "for": 60}
URL = "ntfy://secret"


class FakeService:
    """A `Sender` that keeps what it gets, or fails."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []
        self.problem = ""

    async def send(self, url: str, notice: Notice) -> None:
        if self.problem:
            raise NotSent(self.problem)
        self.notices.append((url, notice.title))


class House:
    """A broker with one gateway, and its alerts."""

    def __init__(self, alerts: AlertService, broker: Broker, sender: FakeService) -> None:
        self.alerts = alerts
        self.broker = broker
        self.sender = sender
        self.commands: list[Command] = []
        self.gateway: MemoryLink[ToGateway, FromGateway] | None = None
        self.outcome: Any = "confirmed"
        self.leads = True

    async def send(self, *messages: FromGateway) -> None:
        assert self.gateway is not None
        for message in messages:
            self.gateway.send(message)
        await asyncio.sleep(0.01)

    async def read(self, value: object, uid: str = "a") -> None:
        await self.send(Reading.received(uid, "temperature", value, 1.0))

    def receive(self, messages: Sequence[ToGateway]) -> None:
        for message in messages:
            if isinstance(message, Command):
                self.commands.append(message)
                assert self.gateway is not None
                self.gateway.send(Receipt(id=message.id, state=self.outcome))

    @property
    def active(self) -> list[str]:
        return [
            f"{it.rule} {it.uid or it.gateway}" for it in self.alerts.alerts() if not it.cleared
        ]


@contextlib.asynccontextmanager
async def running(
    rules: dict[str, dict[str, Any]] | None = None,
    *,
    documents: Documents | None = None,
    registry: Registry | None = None,
    is_clustered: bool = False,
) -> AsyncIterator[House]:
    """`documents` and `registry`: what a store had before. `is_clustered`: this broker is one of a
    cluster, and leads it while `House.leads`."""
    loop = asyncio.get_running_loop()
    registry = Registry() if registry is None else registry
    broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=loop.time, registry=registry)
    storing = RegistryService(registry, broker, None, unix_time=loop.time)
    if documents is not None:
        storing.documents = documents
    sender = FakeService()
    file = AlertsFile({"phone": URL}, {k: rule_of(it) for k, it in (rules or {}).items()})
    if is_clustered:
        broker.observers.elsewhere = Observers()
        broker.observers.leads = lambda: house.leads
    alerts = AlertService(broker, storing, file, sender, unix_time=loop.time)
    house = House(alerts, broker, sender)
    async with alerts.running():
        await asyncio.sleep(0)
        house.gateway, broker_end = MemoryLink.pair()
        serving = loop.create_task(broker.serve_gateway(broker_end, acknowledges=True))
        receiving = loop.create_task(house.gateway.run(house.receive))
        await house.send(Hello(name="roof", protocol="CoAP"))
        try:
            yield house
        finally:
            house.gateway.close("the test ends")
            await asyncio.gather(serving, receiving, return_exceptions=True)


async def test_a_reading_above_the_limit_is_an_alert_and_a_notice() -> None:
    async with running({"warm": WARM}) as house:
        await house.read(31)

        assert house.active == ["warm a"]
        assert house.sender.notices == [(URL, "Too warm")]


async def test_an_alert_that_clears_is_notified_within_a_minute() -> None:
    async with running({"warm": WARM}) as house:
        await house.read(31)
        await house.read(20)
        await asyncio.sleep(60)

        assert house.active == []
        assert house.sender.notices == [(URL, "Too warm"), (URL, "Cleared: Too warm")]


async def test_a_rule_sends_its_commands_and_their_receipts_end_them() -> None:
    rule = {
        **WARM,
        "on_raise": {"resource": "fan", "payload": "1"},
        "on_clear": {"resource": "fan", "payload": "0"},
    }
    async with running({"warm": rule}) as house:
        await house.read(31)
        await house.read(20)

        assert [(it.uid, it.resource, it.payload) for it in house.commands] == [
            ("a", "fan", "1"),
            ("a", "fan", "0"),
        ]
        assert house.alerts.actions.sent == 2


async def test_a_rule_that_alternates_is_stopped() -> None:
    rule = {**WARM, "on_raise": {"resource": "fan", "payload": "1"}}
    async with running({"warm": rule}) as house:
        for _ in range(50):
            await house.read(31)
            await house.read(20)

        assert len(house.commands) == 10
        assert house.alerts.actions.refused == 40


async def test_a_failed_command_of_a_rule_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    rule = {**WARM, "on_raise": {"resource": "fan", "payload": "1"}}
    async with running({"warm": rule}) as house:
        house.outcome = "refused"
        await house.read(31)

        assert "rule warm: its command ended as refused" in caplog.text


async def test_a_lost_gateway_is_one_notice_whatever_its_nodes() -> None:
    lost = {"title": "Gateway lost", "when": "gateway lost"}
    async with running({"off": OFFLINE, "lost": lost}) as house:
        await house.send(*(NodeAppeared(uid=f"n{number}") for number in range(100)))
        assert house.gateway is not None
        house.gateway.close("gone")
        await asyncio.sleep(600)

        assert house.active == ["lost roof"]
        assert house.sender.notices == [(URL, "Gateway lost")]


async def test_nobody_is_notified_during_maintenance_but_after_it() -> None:
    async with running({"warm": WARM}) as house:
        now = asyncio.get_running_loop().time()
        await house.alerts.book.add_maintenance(
            {"title": "Move", "start": now, "end": now + 600}, now
        )
        await house.read(31)
        await asyncio.sleep(500)
        assert (house.active, house.sender.notices) == (["warm a"], [])

        await asyncio.sleep(200)

        assert house.sender.notices == [(URL, "Too warm")]


async def test_a_snoozed_alert_is_notified_again_afterwards_unless_acknowledged() -> None:
    async with running({"warm": WARM}) as house:
        await house.read(31)
        await house.read(31, "b")
        await asyncio.sleep(70)
        house.sender.notices.clear()
        ids = [it.id for it in house.alerts.alerts()]
        house.alerts.snooze(ids, 3600)
        house.alerts.acknowledge(ids[:1], "user:ada")
        await asyncio.sleep(3500)
        assert house.sender.notices == []

        await asyncio.sleep(200)

        assert house.sender.notices == [(URL, "Too warm")]
        assert {it.acknowledged_by for it in house.alerts.alerts()} == {"user:ada", ""}


async def test_an_unknown_alert_cannot_be_acknowledged() -> None:
    async with running() as house:
        with pytest.raises(UnknownRule):
            house.alerts.acknowledge(["x"], "user:ada")


async def test_a_channel_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with running({"warm": WARM}) as house:
        house.sender.problem = "no route"
        await house.read(31)
        assert house.alerts.channels.queues["phone"].problem == "no route"
        house.sender.problem = ""
        await asyncio.sleep(20)

        assert house.sender.notices == [(URL, "Too warm")]
        assert "channel phone: a notice was not sent: no route" in caplog.text
        assert "secret" not in caplog.text


async def test_a_rule_is_added_replaced_and_removed_while_it_runs() -> None:
    async with running() as house:
        await house.alerts.book.put_rule("warm", WARM)
        house.alerts.apply_rules()
        await house.read(31)
        assert house.active == ["warm a"]

        await house.alerts.book.put_rule("warm", {**WARM, "limit": 40})
        house.alerts.apply_rules()
        assert house.active == []
        await house.read(41)
        assert house.active == ["warm a"]

        await house.alerts.book.remove_rule("warm")
        house.alerts.apply_rules()
        assert house.active == []


async def test_a_rule_of_the_file_cannot_be_edited() -> None:
    async with running({"warm": WARM}) as house:
        with pytest.raises(Refused, match="is in the file of alerts"):
            await house.alerts.book.put_rule("warm", WARM)
        with pytest.raises(Refused, match="is in the file of alerts"):
            await house.alerts.book.remove_rule("warm")
        with pytest.raises(ProtocolError):
            await house.alerts.book.put_rule("cold", {"title": "x"})


async def test_after_a_restart_alerts_last_and_nobody_is_notified_again() -> None:
    documents, registry = Documents(), Registry()
    async with running(documents=documents, registry=registry) as house:
        await house.alerts.book.put_rule("off", OFFLINE)
        house.alerts.apply_rules()
        await house.send(NodeAppeared(uid="a"), NodeAppeared(uid="b"))
        await house.send(NodeLeft(uid="a", reason="silent"))
        await asyncio.sleep(61)
        assert house.active == ["off a"]
        house.alerts.acknowledge([house.alerts.alerts()[0].id], "user:ada")
        await house.send(NodeLeft(uid="b", reason="silent"))

    async with running(documents=documents, registry=registry) as house:
        await house.send(NodeAppeared(uid="b"))
        await asyncio.sleep(3600)

        assert house.active == ["off a"]
        assert house.alerts.alerts()[0].acknowledged_by == "user:ada"
        assert house.sender.notices == []


async def test_stored_alerts_are_removed_with_the_oldest_cleared_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyaiot.alerts.watches.CLEARED_MAX", 5)
    documents = Documents()
    async with running({"warm": WARM}, documents=documents) as house:
        for _ in range(20):
            await house.read(31)
            await house.read(20)

        assert len(documents.of("alert")) == 5


async def test_a_banned_node_has_no_alerts() -> None:
    async with running({"warm": WARM}) as house:
        await house.read(31)
        registry = house.broker.router.registry
        house.broker.people_edited(registry.edited("a", Edit(admission="banned")))

        assert house.active == []


async def test_clients_with_the_registry_are_informed_once_a_second() -> None:
    async with running({"warm": WARM}) as house:
        socket = FakeSocket()
        client = house.broker.client_connected(socket, ARRAYS_WITH_REGISTRY)
        house.broker.from_client(client, Join(data="client", registry=True))
        for _ in range(5):
            await house.read(31)
            await house.read(20)
        await asyncio.sleep(1.1)

        assert sum(it["type"] == "alerts" for it in socket.messages) == 1


async def test_readings_that_no_rule_watches_do_not_reach_the_alerts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are most of the messages: with them, a reading cost a fifth more."""
    async with running() as house:
        seen: list[object] = []
        monkeypatch.setattr(house.alerts, "message_published", seen.append)
        await house.read(31)
        assert not [it for it in seen if isinstance(it, Reading)]

        await house.alerts.book.put_rule("warm", WARM)
        house.alerts.apply_rules()
        await house.read(32)

        assert [it for it in seen if isinstance(it, Reading)]
