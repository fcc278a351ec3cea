# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of the registry through the client: finding, editing, admission, many at once, labels."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.client import (
    AmbiguousLabel,
    ApiProblem,
    Client,
    LinkLost,
    LoginNeeded,
    NoBroker,
    NodeLeft,
    OperatorError,
    RegistryEntry,
    SyncClient,
)
from pyaiot.client import registry as client_registry
from pyaiot.client.api import HttpApi
from pyaiot.errors import ProtocolError
from pyaiot.messages import NodeAppeared
from pyaiot.registry.registry import Registry
from pyaiot.web.api import nodes as web_nodes
from pyaiot.web.sign_in import SignIn
from tests.client.test_history import client
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets


@contextlib.asynccontextmanager
async def lab(
    folder: Path | None = None, *, live: bool = False, **more: Any
) -> AsyncIterator[tuple[Served, Client]]:
    """A broker with the online node `board`, the offline node `lamp`, and a client."""
    async with serving(folder, **more) as served:
        for uid in ("board", "lamp"):
            served.gateway.send(uid, "led", "0")
            served.gateway.send(uid, "name", f"a {uid}")
            await served.known(uid)
        served.gateway.link.send(NodeLeft(uid="lamp", reason="silent"))
        await eventually(lambda: served.broker.router.nodes.get("lamp") is None)
        async with client(served, live=live) as it:
            yield served, it


def uids(nodes: list[RegistryEntry]) -> list[str]:
    return [node.uid for node in nodes]


async def refusal(call: Any) -> str:
    """The kind of the problem with which a call ends."""
    with pytest.raises(ApiProblem) as refused:
        await call
    return refused.value.kind


# -- finding ------------------------------------------------------------------------------------


async def test_offline_nodes_are_found_with_their_last_values() -> None:
    async with lab() as (_, it):
        board, lamp = await it.find_nodes()
        assert (board.uid, board.state, board.gateway, board.protocol) == (
            *("board", "online", "test"),
            "Test",
        )
        assert (lamp.state, lamp.reason, lamp.name) == ("offline", "silent", "a lamp")
        assert lamp.resources["led"].data == "0"
        assert lamp.resources["led"].number == 0.0
        assert lamp.seen_at >= lamp.first_seen > 0
        assert (await it.node("lamp")).label == ""


async def test_the_live_view_has_online_nodes_only() -> None:
    async with lab(live=True) as (_, it):
        assert list(it.nodes) == ["board"]
        assert len(await it.find_nodes()) == 2
        await it.edit("lamp", label="Lamp")
        await it.edit("board", label="Board")
        assert it.nodes["board"].name == "a board"
        assert list(it.nodes) == ["board"]


async def test_conditions_select_nodes_and_one_of_several_values_is_enough() -> None:
    async with lab() as (_, it):
        await it.edit("board", label="Desk lamp", room="Lab", tags=["class-3b", "spare"])
        await it.edit("lamp", room="Attic", tags="spare", notes="broken switch")
        for found, conditions in (
            (["board"], {"state": "online"}),
            (["lamp"], {"state": ["offline", "banned"]}),
            (["board", "lamp"], {"tag": "spare"}),
            (["board"], {"tag": ["class-3b", "nothing"]}),
            (["lamp"], {"room": "Attic"}),
            ([], {"room": "Attic", "tag": "class-3b"}),
            (["board", "lamp"], {"gateway": "test", "protocol": "test"}),
            (["lamp"], {"text": "SWITCH broken"}),
            (["lamp"], {"uid": "lamp"}),
            (["board", "lamp"], {"state": None, "tag": None}),
            ([], {"tag": []}),
        ):
            assert uids(await it.find_nodes(**conditions)) == found, conditions
        with pytest.raises(TypeError, match="colour"):
            await it.find_nodes(colour="red")  # type: ignore[call-arg]
        with pytest.raises(ApiProblem, match="broken"):
            await it.find_nodes(state="broken")


async def test_pages_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lab() as (_, it):
        await it.register({"uid": f"n{number}"} for number in range(25))
        monkeypatch.setattr(web_nodes, "PAGE_BYTES_MAX", 1)
        assert uids(await it.find_nodes()) == ["board", "lamp", *(f"n{n}" for n in range(25))]
        assert uids(await it.find_nodes(limit=3)) == ["board", "lamp", "n0"]


async def test_many_uids_are_found_in_requests_that_proxies_accept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths: list[int] = []
    read = HttpApi.read

    async def measured(self: HttpApi, method: str, path: str, query: Any = (), **more: Any) -> Any:
        lengths.append(len(urlencode(list(query))))
        return await read(self, method, path, query, **more)

    monkeypatch.setattr(HttpApi, "read", measured)
    async with lab() as (_, it):
        names = [f"{'ä' * 50} {number}" for number in range(150)]
        await it.register({"uid": name} for name in names)
        assert list(await it.find_uids([*names, "nobody"])) == names
    assert max(lengths) < 8000
    assert len(lengths) < 20


# -- labels -------------------------------------------------------------------------------------


async def test_unique_label_works_in_place_of_a_uid(tmp_path: Path) -> None:
    async with lab(tmp_path, live=True) as (served, it):
        served.gateway.otherwise = "confirmed"
        await it.edit("board", label="Desk lamp")
        assert await it.uid_of("desk LAMP") == "board"
        assert (await it.set("Desk lamp", "led", 1)).state == "confirmed"
        assert served.gateway.commands[-1].uid == "board"
        assert (await it.history("Desk lamp", "led")).uid == "board"
        text = b"".join([piece async for piece in it.export("csv", uid="Desk lamp")])
        assert b"\nboard,led," in text
        assert (await it.edit("Desk lamp", room="Lab")).uid == "board"
        reading = await anext(it.watch("Desk lamp", "led"))
        assert (reading.uid, reading.data) == ("board", "0")
        events = it.events("Desk lamp")
        waiting = asyncio.ensure_future(anext(events))
        while not waiting.done():  # until the label is resolved, it gets none
            served.gateway.send("other", "led", "0")
            served.gateway.send("board", "led", "7")
            await asyncio.sleep(0.001)
        event: Any = await waiting
        assert (event.uid, event.data) == ("board", "7")


async def test_client_receives_only_the_node_with_a_label() -> None:
    async with lab() as (served, it):
        served.gateway.send("other", "led", "0")
        await served.known("other")
        await it.edit("other", label="Desk lamp")
        async with client(served, uids=["Desk lamp"]) as one:
            assert list(one.nodes) == ["other"]
        async with client(served, uids=["board", "nobody"]) as one:
            assert list(one.nodes) == ["board"]


async def test_a_uid_counts_before_a_label() -> None:
    async with lab() as (_, it):
        await it.edit("lamp", label="board")
        assert await it.uid_of("board") == "board"
        assert await it.uid_of("Board") == "lamp"


async def test_label_of_several_nodes_is_an_error_with_their_uids() -> None:
    async with lab(live=True) as (served, it):
        for uid in ("board", "lamp"):
            await it.edit(uid, label="Desk")
        for call in (
            *(it.uid_of("desk"), it.set("desk", "led", 1), it.edit("desk", room="x")),
            *(it.history("desk", "led"), anext(it.watch("desk"))),
            client(served, uids=["desk"]).__aenter__(),
        ):
            with pytest.raises(AmbiguousLabel, match=r"^2 nodes .* \(board, lamp\)\.$") as error:
                await call
            assert error.value.uids == ("board", "lamp")


async def test_unknown_name_is_an_error_or_the_uid_of_a_node_that_may_appear() -> None:
    async with lab(live=True) as (served, it):
        for call in (it.uid_of("nobody"), it.edit("nobody", room="x"), it.accept("nobody")):
            assert await refusal(call) == "unknown-node"
        assert (await it.set("nobody", "led", 1)).state == "unknown"
        with pytest.raises(ProtocolError):
            await it.node("x" * 65)
        waiting = asyncio.ensure_future(anext(it.watch("nobody")))
        served.gateway.send("nobody", "led", "1")
        assert (await waiting).uid == "nobody"


async def test_watch_of_an_unknown_node_needs_no_answer_of_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unavailable(*_: object) -> RegistryEntry:
        raise NoBroker("connection refused")

    async with lab(live=True) as (served, it):
        monkeypatch.setattr(Client, "node", unavailable)
        waiting = asyncio.ensure_future(anext(it.watch("later")))
        served.gateway.send("later", "led", "1")
        assert (await waiting).uid == "later"


async def test_a_patient_client_resolves_labels_when_the_broker_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyaiot.client.client.RETRY_S", 0.01)
    async with lab() as (served, it):
        await it.edit("board", label="Desk lamp")
        late = client(served, uids=["Desk lamp"], patience_s=5)
        attempts = 0
        find = type(it).find_uids

        async def flaky(self: Client, names: Any) -> dict[str, RegistryEntry]:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                raise NoBroker("not yet")
            return await find(self, names)

        monkeypatch.setattr(Client, "find_uids", flaky)
        async with late:
            assert list(late.nodes) == ["board"]
        attempts = 0
        with pytest.raises(NoBroker):
            await client(served, uids=["Desk lamp"]).__aenter__()


# -- edits --------------------------------------------------------------------------------------


async def test_absent_fields_stay_and_none_clears() -> None:
    async with lab() as (_, it):
        whole = await it.edit(
            "lamp",
            label=" Desk lamp ",
            room="Lab",
            latitude=48.7,
            longitude=2.2,
            tags=("a", "b"),
            notes="two\nlines",
            interval_s=900,
            offline_after_s=2000.5,
        )
        assert (whole.label, whole.room, whole.tags) == ("Desk lamp", "Lab", ("a", "b"))
        assert (whole.latitude, whole.longitude, whole.notes) == (48.7, 2.2, "two\nlines")
        assert (whole.interval_s, whole.offline_after_s) == (900.0, 2000.5)
        changed = await it.edit("lamp", add_tags=["c"], remove_tags="a", room=None)
        assert (changed.label, changed.room, changed.tags) == ("Desk lamp", "", ("b", "c"))
        assert (await it.node("lamp")).revision == changed.revision == 2
        with pytest.raises(TypeError, match="labl"):
            await it.edit("lamp", labl="x")  # type: ignore[call-arg]
        assert await refusal(it.edit("lamp", latitude=91.0)) == "bad-request"


async def test_edit_with_an_old_revision_is_refused() -> None:
    async with lab() as (_, it):
        before = await it.edit("lamp", label="A")
        await it.edit("lamp", label="B", revision=before.revision)
        assert await refusal(it.edit("lamp", label="C", revision=before.revision)) == (
            "edited-meanwhile"
        )
        assert await refusal(it.forget("lamp", revision=before.revision)) == "edited-meanwhile"
        assert (await it.node("lamp")).label == "B"


async def test_forgotten_node_can_be_restored() -> None:
    async with lab() as (_, it):
        await it.edit("lamp", label="Desk lamp")
        assert (await it.forget("desk lamp")).uid == "lamp"
        assert uids(await it.find_nodes()) == ["board"]
        assert (await it.restore("lamp")).label == "Desk lamp"
        with pytest.raises(ApiProblem, match="online") as refused:
            await it.forget("board")
        assert refused.value.kind == "online"
        assert refused.value.detail.startswith("board is online")
        assert await refusal(it.restore("board")) == "unknown-node"


async def test_new_nodes_wait_until_they_are_accepted() -> None:
    async with serving(registry=Registry(admission="approve")) as served:
        served.gateway.send("new", "led", "0")
        await served.known("new")
        async with client(served) as it:
            assert it.nodes == {}
            assert await it.find_nodes() == []
            assert uids(await it.find_nodes(state="waiting")) == ["new"]
            assert (await it.set("new", "led", 1)).state == "forbidden"
            assert (await it.accept("new")).state == "online"
            while "new" not in it.nodes:
                await anext(it.events())
            assert (await it.ban("new")).state == "banned"
            served.gateway.link.send(NodeAppeared(uid="new"))
            assert uids(await it.find_nodes(state="banned")) == ["new"]
            assert (await it.accept("new")).state == "offline"


async def test_nodes_are_registered_before_they_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lab() as (_, it):
        registered = await it.register(
            [{"uid": "b1", "label": "One", "tags": ["x"]}, {"uid": "lamp", "label": "Lamp"}]
        )
        assert registered == ["b1", "lamp"]
        record = await it.node("one")
        assert (record.state, record.first_seen, record.seen_at) == ("offline", 0.0, 0.0)
        assert (await it.node("lamp")).label == "Lamp"
        bad = [{"uid": "b2"}, {"uid": "b3", "label": "x" * 65}]
        assert await refusal(it.register(bad)) == "bad-request"
        assert await it.find_nodes(uid=["b2", "b3"]) == []
        monkeypatch.setattr(client_registry, "REGISTRATIONS_MAX", 10)
        assert len(await it.register({"uid": f"n{number}"} for number in range(25))) == 25


# -- many at once -------------------------------------------------------------------------------


async def test_command_to_many_gives_receipts_by_uid() -> None:
    async with lab() as (served, it):
        served.gateway.otherwise = "confirmed"
        await it.register({"uid": uid, "tags": ["all of them"]} for uid in ("board", "lamp"))
        receipts = await it.set_many("led", 1, tag="all of them")
        assert {uid: receipt.state for uid, receipt in receipts.items()} == {
            "board": "confirmed",
            "lamp": "unreachable",
        }
        assert served.gateway.commands[-1].payload == "1"
        assert receipts["board"].elapsed_ms >= 0
        assert list(await it.set_many("led", 1, state="online")) == ["board"]
        assert await it.set_many("led", 1, tag="no such tag") == {}
        with pytest.raises(OperatorError, match="condition"):
            await it.set_many("led", 1)
        assert await it.set_many("led", 1, tag=[]) == {}
        assert await refusal(it.set_many("led", 1, tag="x", timeout_s=99)) == "bad-request"


# -- errors and the synchronous client ----------------------------------------------------------


async def test_registry_needs_the_sign_in_of_the_broker() -> None:
    login = SignIn(
        AccountsFile(None), behind_tls=False, viewers=False, clock=asyncio.get_running_loop().time
    )
    async with serving(login=login) as served, client(served, live=False) as it:
        for call in (it.find_nodes(), it.edit("n", room="x"), it.restore("n")):
            with pytest.raises(LoginNeeded):
                await call
    with pytest.raises(LinkLost, match="closed"):
        await it.find_nodes()
    with pytest.raises(RuntimeError):
        await Client(live=False).find_nodes()


async def test_sync_client_has_the_same_methods() -> None:
    async with lab() as (served, it):
        served.gateway.otherwise = "confirmed"
        host, port = it.address.host, it.address.port

        def notebook() -> None:
            with SyncClient(host, port) as sync:
                assert uids(sync.find_nodes(state="offline")) == ["lamp"]
                assert sync.edit("board", label="Desk lamp", add_tags=["x"]).tags == ("x",)
                assert sync.uid_of("desk lamp") == "board"
                reading = sync.get("Desk lamp", "led")
                assert reading is not None
                assert reading.data == "0"
                assert sync.get("nobody", "led") is None
                assert [r.uid for r in sync.watch("Desk lamp", "led", seconds=0.1)] == ["board"]
                assert sync.set("Desk lamp", "led", 1).state == "confirmed"
                assert {u: r.state for u, r in sync.set_many("led", 1, tag="x").items()} == {
                    "board": "confirmed"
                }
                assert sync.register([{"uid": "b1"}]) == ["b1"]
                assert list(sync.find_uids(["b1", "b2"])) == ["b1"]
                assert sync.ban("b1").state == "banned"
                assert sync.accept("b1").state == "offline"
                assert sync.forget("b1").uid == "b1"
                assert sync.restore("b1").uid == sync.node("b1").uid

        await asyncio.to_thread(notebook)
