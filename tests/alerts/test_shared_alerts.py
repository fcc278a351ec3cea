# SPDX-License-Identifier: BSD-3-Clause
"""Alerts of a cluster: one broker watches for them, all show them, and another one takes over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from pyaiot.alerts.alert import Alert
from pyaiot.messages import Reading
from pyaiot.registry.documents import Documents
from pyaiot.registry.registry import Registry
from tests.alerts.test_service import WARM, House, running


class Pair:
    """Two brokers, of which the first one leads. The gateway is linked to it."""

    def __init__(self, first: House, second: House, documents: tuple[Documents, Documents]) -> None:
        self.first, self.second = first, second
        self.documents = documents
        for one, other in (documents, documents[::-1]):
            one.changed_here.append(other.set_elsewhere)
        self.published = first.broker.observers.readings_published
        first.broker.observers.readings_published = self._publish  # type: ignore[method-assign]

    def _publish(self, readings: Sequence[Reading]) -> None:
        self.published(readings)
        elsewhere = self.second.broker.observers.elsewhere
        assert elsewhere is not None
        elsewhere.readings_published(readings)

    async def change_leader(self, *, is_first: bool) -> None:
        self.first.leads, self.second.leads = is_first, not is_first
        await asyncio.sleep(3)

    async def put_rule(self, house: House) -> None:
        await house.alerts.book.put_rule("warm", WARM)
        house.alerts.apply_rules()


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    documents = Documents(), Documents()
    registry = Registry()
    async with (
        running(is_clustered=True, documents=documents[0], registry=registry) as first,
        running(is_clustered=True, documents=documents[1], registry=registry) as second,
    ):
        both = Pair(first, second, documents)
        await both.change_leader(is_first=True)
        yield both


def titles(house: House) -> list[str]:
    return [title for _, title in house.sender.notices]


def only(house: House) -> Alert:
    (alert,) = house.alerts.alerts()
    return alert


async def test_one_broker_notifies_and_all_show_the_alert() -> None:
    async with pair() as both:
        await both.put_rule(both.second)
        await both.first.read(31)
        assert both.first.active == both.second.active == ["warm a"]
        assert (titles(both.first), titles(both.second)) == (["Too warm"], [])


async def test_an_alert_that_is_acknowledged_anywhere_is_acknowledged_everywhere() -> None:
    async with pair() as both:
        await both.put_rule(both.first)
        await both.first.read(31)
        both.second.alerts.acknowledge([only(both.second).id], "user:ada")
        assert only(both.first).acknowledged_by == "user:ada"
        await both.first.read(20)
        await asyncio.sleep(61)
        assert both.second.active == []
        assert only(both.second).acknowledged_by == "user:ada"


async def test_the_next_leader_continues_without_a_second_notice() -> None:
    async with pair() as both:
        await both.put_rule(both.first)
        await both.first.read(31)
        await both.change_leader(is_first=False)
        await both.first.read(32)
        assert both.first.active == both.second.active == ["warm a"]
        await both.first.read(20)
        await asyncio.sleep(61)
        assert both.first.active == both.second.active == []
        assert (titles(both.first), titles(both.second)) == (["Too warm"], ["Cleared: Too warm"])


async def test_the_next_leader_sees_values_that_were_sent_while_no_broker_watched() -> None:
    async with pair() as both:
        await both.put_rule(both.first)
        await both.second.read(31)
        assert both.second.active == []
        await both.change_leader(is_first=False)
        assert both.second.active == ["warm a"]
        await both.change_leader(is_first=True)
        await both.second.read(20)
        assert both.second.active == ["warm a"]
        await both.change_leader(is_first=False)
        await asyncio.sleep(61)
        assert both.second.active == []


async def test_a_broker_that_does_not_lead_needs_no_readings() -> None:
    async with pair() as both:
        await both.put_rule(both.first)
        others = [it.broker.observers.elsewhere for it in (both.first, both.second)]
        assert [it is not None and it.need_readings for it in others] == [True, False]
        await both.change_leader(is_first=False)
        assert [it is not None and it.need_readings for it in others] == [False, True]


def test_a_store_that_others_write_is_taken_over_except_for_what_is_not_written() -> None:
    documents = Documents()
    kinds: list[frozenset[str]] = []
    documents.changed_elsewhere.append(kinds.append)
    documents.set([("view", "a", "1"), ("view", "b", "1")])
    documents.set_later([("view", "c", "1")])
    documents.load_again([("view", "a", "2"), ("view", "d", "2")])
    assert documents.of("view") == {"a": "2", "c": "1", "d": "2"}
    documents.load_again([("view", "a", "2"), ("view", "d", "2")])
    assert kinds == [frozenset({"view"})]
