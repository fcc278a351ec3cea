# SPDX-License-Identifier: BSD-3-Clause
"""The registry over HTTP: filters, pages, edits, bulk, forgetting, and a store that fails."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pyaiot.messages import NodeAppeared, NodeLeft
from pyaiot.registry.record import Annotations, NodeRecord
from pyaiot.registry.registry import Registry
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

TS = 1_700_000_000.0


async def call(
    served: Served, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any, str]:
    """Status, document and `ETag` of the response."""
    async with served.web.request(
        method,
        path,
        json=body,
        headers={name.replace("_", "-"): it for name, it in headers.items()},
    ) as answer:
        document = await answer.json(content_type=None) if answer.status != 204 else None
        return answer.status, document, answer.headers.get("ETag", "")


def problem(document: Any) -> str:
    return str(document["type"].rpartition("#problem-")[2])


async def uids(served: Served, query: str) -> list[str]:
    return [node["uid"] for node in (await served.json(f"/api/nodes?{query}"))["nodes"]]


def fleet() -> Registry:
    """Five nodes, of which `on` comes online later."""
    registry = Registry()
    registry.load(
        [
            NodeRecord(uid="a", protocol="CoAP", gateway="east", revision=1, last_seen=TS),
            NodeRecord(
                uid="b",
                protocol="MQTT",
                gateway="west",
                revision=1,
                annotations=Annotations(
                    label="Desk lamp", room="Hall", tags=("light", "spare"), notes="Über Küche"
                ),
            ),
            NodeRecord(uid="c", revision=1, annotations=Annotations(label="Valve", tags=("lock",))),
            NodeRecord(uid="banned", revision=1, admission="banned"),
        ]
    )
    return registry


# -- filters and pages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b", "c", "on"]),
        ("state=online", ["on"]),
        ("state=offline", ["a", "b", "c"]),
        ("state=banned", ["banned"]),
        ("state=online&state=banned", ["banned", "on"]),
        ("tag=light", ["b"]),
        ("tag=lock&tag=spare", ["b", "c"]),
        ("tag=nothing", []),
        ("gateway=east", ["a"]),
        ("gateway=east&gateway=test", ["a", "on"]),
        ("protocol=coap&protocol=MQTT", ["a", "b"]),
        ("room=Hall", ["b"]),
        ("uid=c&uid=a&uid=unknown", ["a", "c"]),
        ("q=LAMP", ["b"]),
        (f"q={quote('küche über')}", ["b"]),
        ("q=desk+valve", []),
        ("q=banned&state=banned", ["banned"]),
        ("tag=light&room=Hall&protocol=mqtt&q=lamp&gateway=west", ["b"]),
        ("tag=light&room=Cellar", []),
    ],
)
async def test_filters_select_nodes(query: str, expected: list[str]) -> None:
    async with serving(registry=fleet()) as served:
        served.gateway.link.send(NodeAppeared(uid="on"))
        await served.known("on")
        assert await uids(served, query) == expected


@pytest.mark.parametrize("query", ["state=asleep", "q=", "limit=0", "cursor=x", "color=red"])
async def test_unknown_conditions_are_refused(query: str) -> None:
    async with serving(registry=fleet()) as served:
        assert problem(await served.json(f"/api/nodes?{query}", 400)) == "bad-request"


async def test_pages_of_a_thousand_have_every_offline_node_once() -> None:
    registry = Registry()
    registry.load(NodeRecord(uid=f"n{n}", revision=1) for n in range(4500))
    async with serving(registry=registry) as served:
        found: list[str] = []
        sizes = []
        cursor = ""
        while True:
            page = await served.json(f"/api/nodes?state=offline{cursor}")
            found += [node["uid"] for node in page["nodes"]]
            sizes.append(len(page["nodes"]))
            if page["next"] is None:
                break
            # Between two pages, nodes are forgotten, come and are edited.
            await call(served, "DELETE", f"/api/nodes/n{2500 + len(sizes)}")
            await call(served, "PATCH", "/api/nodes/n4000", {"room": f"R{len(sizes)}"})
            cursor = f"&cursor={page['next']}"
        assert sizes == [1000, 1000, 1000, 1000, 498]
        gone = {"n2501", "n2502"}
        assert found == [f"n{n}" for n in range(4500) if f"n{n}" not in gone]


async def test_offline_node_has_its_last_values_and_its_resources() -> None:
    async with serving() as served:
        served.gateway.send("n", "temperature", "21°C", ts=TS)
        await served.known("n")
        served.gateway.link.send(NodeLeft(uid="n", reason="silent"))
        await eventually(lambda: served.broker.router.registry.records["n"].state == "offline")
        node = await served.json("/api/nodes/n")
        assert (node["state"], node["reason"]) == ("offline", "silent")
        assert TS < node["first_seen"] <= node["last_seen"] <= time.time()
        (value,) = node["resources"]
        assert (value["data"], value["ts"]) == ("21°C", TS)
        assert await served.json("/api/nodes/n/resources/temperature") == value


async def test_list_has_an_etag_that_changes_with_an_edit() -> None:
    async with serving(registry=fleet()) as served:
        status, _, etag = await call(served, "GET", "/api/nodes")
        assert (status, bool(etag)) == (200, True)
        async with served.web.get("/api/nodes", headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
        await call(served, "PATCH", "/api/nodes/a", {"label": "A"})
        assert (await call(served, "GET", "/api/nodes", If_None_Match=etag))[0] == 200


# -- edits ----------------------------------------------------------------------------------------


async def test_edit_changes_the_fields_that_it_names() -> None:
    async with serving(registry=fleet()) as served:
        status, node, etag = await call(
            served,
            "PATCH",
            "/api/nodes/b",
            {
                "label": " Lamp ",
                "room": None,
                "latitude": 48.5,
                "longitude": 2,
                "add_tags": ["new"],
                "remove_tags": ["light"],
                "interval_s": 900,
                "offline_after_s": 3600,
            },
        )
        assert status == 200
        assert etag.startswith('"2-')
        expected = {
            "label": "Lamp",
            "latitude": 48.5,
            "longitude": 2,
            "tags": ["spare", "new"],
            "notes": "Über Küche",
            "interval_s": 900,
            "offline_after_s": 3600,
            "revision": 2,
        }
        assert expected.items() <= node.items()
        assert not node.get("room")
        assert await served.json("/api/nodes/b") == node


@pytest.mark.parametrize(
    "body",
    [
        {"label": "x" * 65},
        {"label": "a\u202eb"},
        {"label": 5},
        {"color": "red"},
        {"revision": 5},
        {"admission": "waiting"},
        {"latitude": 5},
        {"tags": "a"},
        [],
        None,
    ],
)
async def test_edit_that_is_not_valid_changes_nothing(body: Any) -> None:
    async with serving(registry=fleet()) as served:
        before = await served.json("/api/nodes/b")
        status, document, _ = await call(served, "PATCH", "/api/nodes/b", body)
        assert (status, problem(document)) in ((400, "bad-request"), (415, "unsupported-type"))
        assert await served.json("/api/nodes/b") == before


async def test_if_match_protects_against_the_edits_of_others() -> None:
    async with serving(registry=fleet()) as served:
        _, _, etag = await call(served, "GET", "/api/nodes/b")
        status, _, newer = await call(
            served, "PATCH", "/api/nodes/b", {"label": "Mine"}, If_Match=etag
        )
        assert (status, newer != etag) == (200, True)
        for method, body in (("PATCH", {"label": "Yours"}), ("DELETE", None)):
            status, document, _ = await call(served, method, "/api/nodes/b", body, If_Match=etag)
            assert (status, problem(document)) == (412, "edited-meanwhile")
        status, document, _ = await call(served, "PATCH", "/api/nodes/b", {}, If_Match="5")
        assert (status, problem(document)) == (400, "bad-request")
        assert (await call(served, "DELETE", "/api/nodes/b", If_Match=newer))[0] == 204


async def test_if_match_ignores_readings() -> None:
    """A revision is of what people added: a node that sends must not refuse every edit."""
    async with serving() as served:
        served.gateway.send("n", "t", "1")
        await served.known("n")
        _, _, etag = await call(served, "GET", "/api/nodes/n")
        served.gateway.send("n", "t", "2")
        await served.until(3)
        status, _, newer = await call(served, "PATCH", "/api/nodes/n", {}, If_Match=etag)
        assert (status, newer != etag) == (200, True)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_unknown_node_is_not_found(method: str) -> None:
    async with serving() as served:
        body: object = {} if method == "PATCH" else None
        status, document, _ = await call(served, method, "/api/nodes/n", body)
        assert (status, problem(document)) == (404, "unknown-node")


# -- registering ----------------------------------------------------------------------------------


async def test_registered_nodes_are_known_before_they_are_seen() -> None:
    async with serving(registry=Registry(admission="known")) as served:
        nodes = [{"uid": f"board {n}", "label": f"Board {n}", "tags": ["class"]} for n in range(30)]
        status, document, _ = await call(served, "POST", "/api/nodes", {"nodes": nodes})
        assert (status, len(document["uids"])) == (200, 30)
        assert len(await uids(served, "tag=class&state=offline")) == 30
        served.gateway.send("board 3", "t", "1")
        served.gateway.send("other", "t", "1")
        await served.known("board 3")
        assert await uids(served, "state=online") == ["board 3"]
        assert (await served.json("/api/nodes/board%203"))["label"] == "Board 3"


@pytest.mark.parametrize(
    "nodes",
    [
        [{"uid": "a"}, {"uid": "all"}],
        [{"uid": "a"}, {"uid": ""}],
        [{"uid": "a"}, {"uid": "b\n"}],
        [{"uid": "a"}, {"uid": "a"}],
        [{"uid": "a"}, {"uid": "b", "label": "\u0000"}],
        [{"label": "a"}],
        [{"uid": f"n{n}"} for n in range(10_001)],
    ],
)
async def test_registration_that_is_not_valid_registers_nothing(nodes: list[Any]) -> None:
    async with serving() as served:
        status, document, _ = await call(served, "POST", "/api/nodes", {"nodes": nodes})
        assert status in (400, 413), document
        assert len(served.broker.router.registry) == 0


# -- several nodes --------------------------------------------------------------------------------


async def test_bulk_edits_the_nodes_that_a_filter_selects() -> None:
    async with serving(registry=fleet()) as served:
        status, document, _ = await call(
            served, "PATCH", "/api/nodes?tag=light&tag=lock", {"add_tags": ["seen"]}
        )
        assert (status, document) == (200, {"uids": ["b", "c"]})
        assert await uids(served, "tag=seen") == ["b", "c"]


@pytest.mark.parametrize("query", ["", "?q=%20%20"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/nodes", {"label": "x"}),
        ("DELETE", "/api/nodes", None),
        ("POST", "/api/commands", {"resource": "led", "payload": "1"}),
    ],
)
async def test_filter_without_a_condition_selects_nothing(
    method: str, path: str, body: Any, query: str
) -> None:
    async with serving(registry=fleet()) as served:
        status, document, _ = await call(served, method, path + query, body)
        assert status == 200
        assert list(document.values()) == [[]]
        assert len(served.broker.router.registry) == 4


async def test_bulk_forgets_offline_nodes_and_each_can_be_restored() -> None:
    async with serving(registry=fleet()) as served:
        served.gateway.link.send(NodeAppeared(uid="on"))
        await served.known("on")
        status, document, _ = await call(
            served, "DELETE", "/api/nodes?state=online&state=offline&q=valve"
        )
        assert (status, document) == (200, {"uids": ["c"]})  # its label is Valve
        status, node, _ = await call(served, "POST", "/api/nodes/c/restore")
        assert (status, node["label"]) == (200, "Valve")
        assert (await call(served, "POST", "/api/nodes/c/restore"))[0] == 404


async def test_command_to_many_has_a_receipt_for_each() -> None:
    async with serving(registry=fleet()) as served:
        for uid in ("x", "y"):
            served.gateway.send(uid, "led", "0")
            await served.known(uid)
        body = {"resource": "led", "payload": "confirmed", "timeout": 2}
        status, document, _ = await call(
            served, "POST", "/api/commands?uid=x&uid=y&uid=b&uid=unknown", body
        )
        assert status == 200
        receipts = {it["uid"]: it["state"] for it in document["commands"]}
        assert receipts == {"x": "confirmed", "y": "confirmed", "b": "unreachable"}
        assert sorted(command.uid for command in served.gateway.commands) == ["x", "y"]


async def test_each_request_to_many_has_a_quota_of_its_own() -> None:
    async with serving() as served:
        for uid in ("x", "y"):
            served.gateway.send(uid, "led", "0")
            await served.known(uid)
        requests = []
        for number, uid in enumerate(("x", "y", "x"), 1):
            body = {"resource": "led", "payload": "later"}
            path = f"/api/commands?uid={uid}"
            requests.append(asyncio.ensure_future(call(served, "POST", path, body)))
            await eventually(lambda number=number: len(served.gateway.commands) == number)  # type: ignore[misc]
            if number == 2:
                served.gateway.answer(served.gateway.commands[0], "confirmed")
                await requests[0]
        second, third = served.gateway.commands[1:]
        assert second.client != third.client
        for command in (second, third):
            served.gateway.answer(command, "confirmed")
        for _, document, _ in await asyncio.gather(*requests):
            assert [it["state"] for it in document["commands"]] == ["confirmed"]


# -- forgetting and bans --------------------------------------------------------------------------


async def test_online_node_is_not_forgotten_and_a_ban_keeps_it_out() -> None:
    async with serving() as served:
        served.gateway.send("n", "t", "1")
        await served.known("n")
        status, document, _ = await call(served, "DELETE", "/api/nodes/n")
        assert (status, problem(document)) == (409, "online")
        status, node, _ = await call(served, "PATCH", "/api/nodes/n", {"admission": "banned"})
        assert (status, node["state"]) == (200, "banned")
        refused = served.broker.router.refused
        served.gateway.send("n", "t", "2")
        await eventually(lambda: served.broker.router.refused > refused)
        assert await uids(served, "state=online") == []
        _, node, _ = await call(served, "PATCH", "/api/nodes/n", {"admission": "accepted"})
        assert node["state"] == "offline"
        served.gateway.send("n", "t", "3")
        await served.known("n")
        assert await uids(served, "state=online") == ["n"]


async def test_newcomer_is_listed_accepted_or_sent_away() -> None:
    async with serving(registry=Registry(admission="approve")) as served:
        for uid in ("x", "y"):
            served.gateway.send(uid, "t", "1")
            await served.known(uid)
        assert await uids(served, "") == []
        waiting = (await served.json("/api/nodes?state=waiting"))["nodes"]
        assert [(it["uid"], it["resources"][0]["data"]) for it in waiting] == [
            ("x", "1"),
            ("y", "1"),
        ]
        info = await served.json("/api/info")
        assert (info["nodes"], info["registered"], info["waiting"]) == (0, 2, 2)
        assert (await call(served, "PATCH", "/api/nodes/x", {"admission": "accepted"}))[0] == 200
        assert (await call(served, "DELETE", "/api/nodes/y"))[0] == 204
        assert await uids(served, "state=online") == ["x"]
        assert await uids(served, "state=waiting") == []


# -- a store that fails ---------------------------------------------------------------------------


async def test_edits_are_refused_and_the_rest_works_while_the_registry_is_not_stored(
    tmp_path: Path,
) -> None:
    path = tmp_path / "registry.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    async with serving(registry_file=path) as served:
        served.gateway.send("n", "led", "0")
        await served.known("n")
        for method, where, body in (
            ("PATCH", "/api/nodes/n", {"label": "x"}),
            ("PATCH", "/api/nodes?uid=n", {"label": "x"}),
            ("POST", "/api/nodes", {"nodes": [{"uid": "m"}]}),
            ("DELETE", "/api/nodes?uid=n&state=offline&state=online", None),
        ):
            status, document, _ = await call(served, method, where, body)
            if method == "DELETE":
                assert (status, document) == (200, {"uids": []})  # it is online
                continue
            assert (status, problem(document)) == (503, "registry-unavailable")
            assert document["detail"].endswith("the file is a database of another program")
        ready = await served.json("/readyz", 503)
        assert "the file is a database of another program" in str(ready)
        assert (await served.json("/api/nodes/n/resources/led"))["data"] == "0"
        async with served.web.put("/api/nodes/n/resources/led", data="confirmed") as answer:
            assert answer.status == 200
        node = await served.json("/api/nodes/n")
        assert "label" not in node or not node["label"]


async def test_simultaneous_edits_over_http_all_count(tmp_path: Path) -> None:
    async with serving(registry_file=tmp_path / "registry.db", registry=fleet()) as served:
        results = await asyncio.gather(
            *(call(served, "PATCH", "/api/nodes/a", {"label": f"l{n}"}) for n in range(50))
        )
        assert {status for status, _, _ in results} == {200}
        assert (await served.json("/api/nodes/a"))["revision"] == 51
