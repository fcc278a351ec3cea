# SPDX-License-Identifier: BSD-3-Clause
"""A client with a scope gets the nodes in it, in the state and live, and nothing of others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from pyaiot.accounts.scopes import EVERYTHING, PUBLIC, Scope
from pyaiot.broker.encoders import ARRAYS, EVENTS, LEGACY, Encoder
from pyaiot.broker.scoped_view import VIEWS_MAX
from pyaiot.errors import Refused
from pyaiot.messages import (
    Command,
    GatewayState,
    Ignored,
    Join,
    Joined,
    NodeAppeared,
    NodeDescribed,
    NodeForgotten,
    NodeLeft,
    Reading,
    Receipt,
    RegisteredNode,
    Subscription,
    ToClient,
)
from pyaiot.model import ResourceType
from pyaiot.registry.record import Edit
from tests.broker.test_fanout import FakeSocket
from tests.broker.test_registered_nodes import JOIN, System

LAB = Scope(tags=("lab",))


def of(uid: str, data: str, resource: str = "temperature") -> Reading:
    return Reading(uid=uid, resource=resource, data=data, ts=1.0)


@asynccontextmanager
async def prepared() -> AsyncIterator[System]:
    it = System()
    await it.send(*(of(uid, f"{uid}1") for uid in ("A", "B", "C")), of("A", "192.0.2.1", "ip"))
    for uid in ("A", "B"):
        await it.edit(uid, Edit(tags=("lab", uid), notes=f"notes of {uid}"))
    try:
        yield it
    finally:
        await it.end()


class Scoped:
    """A client with a scope, and what it got."""

    def __init__(
        self, system: System, scope: Scope, encoder: Encoder = ARRAYS, join: Join | None = JOIN
    ) -> None:
        self.socket = FakeSocket()
        self.written = b""
        """What `take` has returned, as bytes."""
        self.client = system.broker.client_connected(self.socket, encoder, scope=scope)
        if join is not None:
            system.broker.from_client(self.client, join)

    def take(self, *kinds: type) -> list[Any]:
        """What it got since the last call."""
        found = [msgspec.convert(it, ToClient) for it in self.socket.messages]
        self.written += b"".join(self.socket.writes)
        self.socket.writes.clear()
        return [it for it in found if not kinds or isinstance(it, kinds)]


def uids(messages: list[Any]) -> set[str]:
    return {it.uid for it in messages if getattr(it, "uid", "")}


async def test_state_has_the_nodes_of_the_scope() -> None:
    async with prepared() as system:
        messages = Scoped(system, LAB).take()
        assert uids(messages) == {"A", "B"}
        (joined,) = [it for it in messages if isinstance(it, Joined)]
        assert joined.nodes == 2


async def test_live_messages_are_of_the_nodes_of_the_scope() -> None:
    async with prepared() as system:
        scoped, everything = Scoped(system, LAB), Scoped(system, EVERYTHING)
        scoped.take()
        everything.take()
        await system.send(of("A", "2"), of("C", "2"), NodeLeft(uid="C"), NodeAppeared(uid="D"))
        assert scoped.take() == [of("A", "2")]
        assert uids(everything.take()) == {"A", "C", "D"}


async def test_node_that_gets_the_tag_appears_with_its_values() -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB)
        scoped.take()
        await system.edit("C", Edit(add_tags=("lab",)))
        assert [type(it) for it in scoped.take()] == [RegisteredNode, NodeAppeared, Reading]
        await system.edit("C", Edit(add_tags=("other",)))
        assert [type(it) for it in scoped.take()] == [RegisteredNode]
        await system.send(of("C", "2"))
        assert scoped.take() == [of("C", "2")]


async def test_node_that_loses_the_tag_is_offline_and_forgotten() -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB)
        scoped.take()
        await system.edit("A", Edit(remove_tags=("lab",)))
        assert scoped.take() == [NodeLeft(uid="A"), NodeForgotten(uid="A")]
        await system.send(of("A", "2"))
        await system.edit("A", Edit(label="secret"))
        assert scoped.take() == []


async def test_changes_of_tags_and_values_in_one_flush_keep_their_order() -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB)
        scoped.take()
        broker = system.broker
        for tags in ((), ("lab",), (), ("lab",)):
            broker.people_edited(system.registry.edited("A", Edit(tags=tags)))
        await asyncio.sleep(1.0)
        left = [type(it).__name__ for it in scoped.take(NodeLeft, NodeAppeared)]
        assert left == ["NodeLeft", "NodeAppeared"] * 2


async def test_new_node_of_a_gateway_in_the_scope_appears_once() -> None:
    async with prepared() as system:
        scoped = Scoped(system, Scope(gateways=("g",)))
        scoped.take()
        await system.send(NodeAppeared(uid="D"), of("D", "1"))
        assert [type(it) for it in scoped.take()] == [RegisteredNode, NodeAppeared, Reading]


async def test_gateway_and_tag_must_both_hold() -> None:
    async with prepared() as system:
        assert uids(Scoped(system, Scope(("lab",), ("g",))).take()) == {"A", "B"}
        elsewhere = Scoped(system, Scope(("lab",), ("other",))).take()
        assert uids(elsewhere) == set()
        assert not [it for it in elsewhere if isinstance(it, GatewayState)]


async def test_topics_that_were_ignored_are_not_shown() -> None:
    async with prepared() as system:
        scoped, everything = Scoped(system, LAB), Scoped(system, EVERYTHING)
        await system.send(Ignored(count=1, topic="node/secret"))
        assert everything.take(Ignored)
        assert not scoped.take(Ignored)
        assert not Scoped(system, PUBLIC).take(Ignored)


@pytest.mark.parametrize("encoder", [LEGACY, EVENTS])
async def test_other_forms_show_the_scope_only(encoder: Encoder) -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB, encoder, Join(data="client"))
        await system.send(of("A", "secretA"), of("C", "secretC"))
        written = b"".join(scoped.socket.writes)
        assert b"secretA" in written
        assert b"C" not in written.replace(b"CoAP", b"")


async def test_subscription_does_not_widen_the_scope() -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB, join=None)
        system.broker.from_client(scoped.client, Subscription(uids=("A", "C")))
        system.broker.from_client(scoped.client, JOIN)
        assert uids(scoped.take()) == {"A"}
        await system.send(of("A", "2"), of("B", "2"), of("C", "2"))
        assert scoped.take() == [of("A", "2")]


@pytest.mark.parametrize(("uid", "state"), [("A", None), ("C", "forbidden"), ("X", "forbidden")])
async def test_commands_reach_the_nodes_of_the_scope_only(uid: str, state: str | None) -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB)
        scoped.take()
        command = Command(id="1", uid=uid, resource="led", payload="1")
        system.broker.from_client(scoped.client, command)
        await asyncio.sleep(0.1)
        sent = [it for it in system.received if isinstance(it, Command)]
        assert len(sent) == (state is None)
        receipts = scoped.take(Receipt)
        assert [it.state for it in receipts] == ([] if state is None else [state])


async def test_public_view_has_all_nodes_without_notes_and_addresses() -> None:
    async with prepared() as system:
        public = Scoped(system, PUBLIC)
        messages = public.take()
        assert uids(messages) == {"A", "B", "C"}
        assert b"notes of" not in public.written
        await system.send(of("B", "192.0.2.7", "ip"), of("B", "2"))
        await system.edit("B", Edit(notes="more notes"))
        after = public.take()
        assert [it.resource for it in after if isinstance(it, Reading)] == ["temperature"]
        await system.send(NodeLeft(uid="A"), NodeLeft(uid="B"))
        again = Scoped(system, PUBLIC)
        for client in (public, again):
            client.take()
            assert b"192.0.2" not in client.written
            assert b"notes of" not in client.written
            assert b"more notes" not in client.written


async def test_view_is_shared_and_ends_with_its_last_client() -> None:
    async with prepared() as system:
        first, second = Scoped(system, LAB), Scoped(system, Scope(tags=("lab",)))
        assert len(system.broker.fanout.views) == 1
        system.broker.client_left(first.client)
        assert len(system.broker.fanout.views) == 1
        system.broker.client_left(second.client)
        assert not system.broker.fanout.views


async def test_one_scope_too_many_is_refused() -> None:
    async with prepared() as system:
        for number in range(VIEWS_MAX):
            Scoped(system, Scope(tags=(f"{number}",)))
        with pytest.raises(Refused, match="different scopes"):
            Scoped(system, LAB)
        Scoped(system, Scope(tags=("0",)))
        Scoped(system, EVERYTHING)


async def test_registry_that_is_read_later_counts_for_the_scope() -> None:
    async with prepared() as system:
        scoped = Scoped(system, LAB)
        scoped.take()
        record = system.registry.edited("C", Edit(tags=("lab",)))
        system.broker.registry_loaded([record])
        await asyncio.sleep(1.0)
        assert "C" in uids(scoped.take(NodeAppeared))


async def test_types_are_of_the_nodes_of_the_scope() -> None:
    async with prepared() as system:
        await system.send(of("A", "0", "led"), of("C", "0", "led"))
        scoped = Scoped(system, LAB)
        assert uids(scoped.take(NodeDescribed)) == {"A"}
        switch = {"relay": ResourceType(kind="boolean", writable=True)}
        await system.send(
            NodeDescribed(uid="C", types=switch), NodeDescribed(uid="B", types=switch)
        )
        assert uids(scoped.take()) == {"B"}
        # A node that comes into the scope comes with its types.
        await system.edit("C", Edit(tags=("lab",)))
        (described,) = scoped.take(NodeDescribed)
        assert described.types.keys() == {"led", "relay"}


# -- filters of the client ----------------------------------------------------------------------


def filtered(system: System, scope: Scope = EVERYTHING, **filters: Any) -> Scoped:
    it = Scoped(system, scope, join=None)
    system.broker.from_client(it.client, Subscription(**filters))
    system.broker.from_client(it.client, JOIN)
    return it


async def test_a_filter_by_tag_shows_what_a_scope_shows() -> None:
    async with prepared() as system:
        client = filtered(system, tags=("lab",))
        assert uids(client.take()) == {"A", "B"}
        await system.send(of("A", "2"), of("C", "2"))
        assert client.take() == [of("A", "2")]
        await system.edit("C", Edit(add_tags=("lab",)))
        await system.edit("A", Edit(remove_tags=("lab",)))
        changes = [(type(it).__name__, it.uid) for it in client.take(NodeAppeared, NodeLeft)]
        assert changes == [("NodeAppeared", "C"), ("NodeLeft", "A")]
        await system.send(of("A", "3"), of("C", "3"))
        assert client.take() == [of("C", "3")]


async def test_filters_by_tag_gateway_uid_and_resource_hold_together() -> None:
    async with prepared() as system:
        assert uids(filtered(system, tags=("lab",), gateways=("g",)).take()) == {"A", "B"}
        assert uids(filtered(system, gateways=("other",)).take()) == set()
        both = filtered(system, tags=("lab",), uids=("A", "C"), resources=("ip",))
        assert {(it.uid, it.resource) for it in both.take(Reading)} == {("A", "ip")}
        assert both.client.uids == {"A"}


async def test_a_filter_shows_nothing_beyond_the_scope() -> None:
    async with prepared() as system:
        client = filtered(system, LAB, tags=("A", "C"))
        assert uids(client.take()) == {"A"}
        await system.edit("C", Edit(add_tags=("C",)))
        assert client.take() == []
        other_gateway = Scope(gateways=("other",))
        assert uids(filtered(system, other_gateway, tags=("lab",)).take()) == set()
        public = filtered(system, PUBLIC, tags=("lab",))
        assert not [it for it in public.take(Reading) if it.resource == "ip"]


async def test_a_filter_does_not_limit_commands_and_a_scope_does() -> None:
    async with prepared() as system:
        client = filtered(system, LAB, tags=("A",))
        client.take()
        for uid, state in (("B", "unreachable"), ("C", "forbidden")):
            system.broker.from_client(
                client.client, Command(id=uid, uid=uid, resource="led", payload="1")
            )
            await asyncio.sleep(10.0)
            (receipt,) = client.take(Receipt)
            assert (receipt.id, receipt.state == "forbidden") == (uid, state == "forbidden")


async def test_a_filter_is_replaced_by_the_next_one() -> None:
    async with prepared() as system:
        client = filtered(system, tags=("A",))
        client.take()
        system.broker.from_client(client.client, Subscription())
        await system.send(of("A", "2"), of("C", "2"))
        assert uids(client.take()) == {"A", "C"}
        assert system.broker.fanout.views == {}


async def test_a_client_with_one_filter_too_many_is_closed() -> None:
    async with prepared() as system:
        for number in range(VIEWS_MAX):
            filtered(system, tags=(f"tag {number}",))
        assert len(system.broker.fanout.views) == VIEWS_MAX
        again = filtered(system, tags=("tag 1",))
        assert not again.client.closed
        assert filtered(system, tags=("one more",)).client.close_code == 1013
