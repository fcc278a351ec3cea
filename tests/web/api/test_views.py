# SPDX-License-Identifier: BSD-3-Clause
"""Saved views over HTTP, on a real socket, and the message that announces a change."""

from pathlib import Path
from typing import Any

import pytest

from pyaiot.messages import SUBPROTOCOL, Join, encode
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

PATH = "/api/views/greenhouse"
GREENHOUSE = {"title": "Greenhouse", "screen": "fleet", "query": "tag:plants", "group": "room"}
OFFLINE = {"title": "Offline", "when": "offline", "for": "1m", "view": "greenhouse"}


async def put(
    served: Served, body: object, status: int = 200, path: str = PATH, **headers: str
) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.web.put(path, json=body, headers=sent) as answer:
        assert answer.status == status, await answer.text()
        return {**await answer.json(content_type=None), "etag": answer.headers.get("ETag")}


async def test_a_view_is_saved_listed_and_removed() -> None:
    async with serving() as served:
        saved = await put(served, GREENHOUSE, If_Match='"0"')
        assert (saved["id"], saved["etag"], saved["view"]) == ("greenhouse", '"1"', GREENHOUSE)
        assert (await served.json("/api/views"))["views"] == [
            {"id": "greenhouse", "revision": 1, "view": GREENHOUSE}
        ]
        async with served.web.delete(PATH, headers={"If-Match": '"1"'}) as answer:
            assert answer.status == 204
        assert (await served.json("/api/views"))["views"] == []
        async with served.web.delete(PATH) as answer:
            assert answer.status == 404


async def test_an_edit_of_an_older_revision_is_refused() -> None:
    async with serving() as served:
        await put(served, GREENHOUSE)
        await put(served, GREENHOUSE, If_Match='"1"')
        problem = await put(served, GREENHOUSE, 412, If_Match='"1"')
        assert problem["type"].endswith("edited-meanwhile")
        await put(served, GREENHOUSE, 412, If_Match='"0"')
        await put(served, GREENHOUSE, 400, If_Match="one")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": ""},
        {"title": "A", "screen": "updates"},
        {"title": "A", "order": ["n"] * 501},
        {"title": "A", "pins": ["n"] * 101},
        {"title": "A", "query": "x" * 1001},
        {"title": "A", "range": "0h"},
        {"title": "A", "unknown": 1},
    ],
)
async def test_a_view_that_is_not_valid_is_refused(body: object) -> None:
    async with serving() as served:
        await put(served, body, 400)


async def test_an_id_is_plain() -> None:
    async with serving() as served:
        await put(served, GREENHOUSE, 400, path="/api/views/Caf%C3%A9")


async def test_views_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with serving(registry_file=path) as served:
        await put(served, {**GREENHOUSE, "start": True})
    async with serving(registry_file=path) as served:
        (saved,) = (await served.json_with("/api/views"))["views"]
        assert saved["view"]["start"] is True


async def test_clients_with_the_registry_get_a_message_about_a_change() -> None:
    async with (
        serving() as served,
        served.web.ws_connect("/ws", protocols=[SUBPROTOCOL]) as ws,
    ):
        await ws.send_str(encode(Join(data="client", registry=True)).decode())
        types: list[str] = []
        while "joined" not in types:
            types += [it["type"] for it in await ws.receive_json(timeout=5)]
        await put(served, GREENHOUSE)
        assert await ws.receive_json(timeout=5) == [{"type": "views", "version": 1}]


async def test_a_rule_watches_the_nodes_of_a_view() -> None:
    async with serving() as served:
        rule = "/api/alert-rules/plants"
        problem = await put(served, OFFLINE, 400, rule)
        assert "there is no view" in problem["detail"]
        await put(served, GREENHOUSE)
        await put(served, {**OFFLINE, "for": 0}, path=rule)
        served.gateway.send("fern", "temperature", 20)
        served.gateway.send("lamp", "temperature", 20)
        await served.known("lamp")
        async with served.web.patch("/api/nodes/fern", json={"tags": ["plants"]}) as answer:
            assert answer.status == 200
        for uid in ("fern", "lamp"):
            served.gateway.lose(uid)
        await eventually(lambda: served.alerts.engine.watches.active)
        assert [it.uid for it in served.alerts.alerts()] == ["fern"]

        # With another filter, the view has the other node.
        await put(served, {**GREENHOUSE, "query": "uid:lamp"})
        await eventually(
            lambda: [it.uid for it in served.alerts.alerts() if not it.cleared] == ["lamp"]
        )


async def test_a_view_that_a_rule_uses_stays_fit_for_it() -> None:
    async with serving() as served:
        await put(served, GREENHOUSE)
        await put(served, OFFLINE, path="/api/alert-rules/plants")
        problem = await put(served, {**GREENHOUSE, "query": "temp>25"}, 409)
        assert "the alert rule plants uses this view" in problem["detail"]
        async with served.web.delete(PATH) as answer:
            assert answer.status == 409
        async with served.web.delete("/api/alert-rules/plants") as answer:
            assert answer.status == 204
        async with served.web.delete(PATH) as answer:
            assert answer.status == 204


async def test_a_rule_cannot_use_a_view_of_values() -> None:
    async with serving() as served:
        await put(served, {**GREENHOUSE, "query": "temp>25"})
        problem = await put(served, OFFLINE, 400, "/api/alert-rules/plants")
        assert "a rule cannot use this view" in problem["detail"]
