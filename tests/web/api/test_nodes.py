# SPDX-License-Identifier: BSD-3-Clause
"""The current state of the broker, over HTTP."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from yarl import URL

from pyaiot import __version__
from pyaiot.messages import VALUE_SIZE_MAX, Ignored, NodeLeft
from pyaiot.web.api.api import checked
from pyaiot.web.api.nodes import PAGE_BYTES_MAX
from pyaiot.web.api.operations import OPERATIONS
from pyaiot.web.api.parameters import Query
from pyaiot.web.problems import ProblemError
from tests.web.serving import serving

pytestmark = pytest.mark.sockets

ODD_UIDS = ["../x", "a/b", "é", "%2F", "a b", "x?y#z", "+", "<b>", "…"]


async def test_info_lists_the_features() -> None:
    async with serving() as served:
        assert await served.json("/api/info") == {
            "title": "Test",
            "version": __version__,
            "history": False,
            "history_problem": "",
            "may_command": True,
            "may_add_devices": True,
            "access": "local",
            "role": "admin",
            "user": "",
            "scope": "",
            "scope_tags": [],
            "scope_gateways": [],
            "nodes": 0,
            "registered": 0,
            "waiting": 0,
            "gateways": 1,
            "clients": 0,
            "clients_behind": 0,
            "messages": served.broker.fanout.messages,
        }


async def test_gateway_is_listed_while_it_is_connected() -> None:
    async with serving() as served:
        assert await served.json("/api/gateways") == {
            "gateways": [
                {
                    "name": "test",
                    "protocol": "Test",
                    "version": "",
                    "broker": "",
                    "readings": 0,
                    "ignored": 0,
                    "ignored_topic": "",
                    "ignored_topics": [],
                    "refused": 0,
                    "refusal": "",
                    "messages_refused": 0,
                    "refusals": [],
                    "refusal_times": [],
                }
            ]
        }


async def test_gateways_have_counts_of_ignored_messages() -> None:
    async with serving() as served:
        served.gateway.link.send(
            Ignored(
                count=12,
                topic="home/x",
                topics=("home/a", "home/x"),
                ts=1_800_000_000.0,
                refused=2,
                refusal="device a b was refused",
                messages_refused=7,
                refusals=("post from ::1 refused: bad name",),
                refusal_times=(1.8e9,),
            )
        )
        await served.until(2)
        (gateway,) = (await served.json("/api/gateways"))["gateways"]
        assert (gateway["ignored"], gateway["ignored_topic"]) == (12, "home/x")
        assert gateway["ignored_topics"] == ["home/a", "home/x"]
        assert (gateway["refused"], gateway["refusal"]) == (2, "device a b was refused")
        assert gateway["messages_refused"] == 7
        assert gateway["refusals"] == ["post from ::1 refused: bad name"]
        assert gateway["refusal_times"] == [1.8e9]
        ignored = served.broker.router.gateways.ignored()
        assert [(it.gateway, it.count) for it in ignored] == [("test", 12)]


async def test_node_has_its_latest_values() -> None:
    async with serving() as served:
        served.gateway.send("n", "temperature", "23.5°C", ts=1_800_000_000.5)
        served.gateway.send("n", "position", {"lat": 48.7}, ts=1_800_000_001.0)
        await served.until(4)
        (node,) = (await served.json("/api/nodes"))["nodes"]
        temperature = {
            "name": "temperature",
            "data": "23.5°C",
            "value": 23.5,
            "unit": "Cel",
            "ts": 1_800_000_000.5,
        }
        position = {"name": "position", "data": {"lat": 48.7}, "ts": 1_800_000_001.0}
        assert node["resources"] == [temperature, position]
        assert (node["uid"], node["gateway"]) == ("n", "test")
        alone = await served.json("/api/nodes/n")
        assert alone.pop("resource_types").keys() == {it["name"] for it in node["resources"]}
        assert alone == node
        assert await served.json("/api/nodes/n/resources/temperature") == temperature


@pytest.mark.parametrize("uid", ODD_UIDS)
async def test_special_names_are_percent_encoded(uid: str) -> None:
    async with serving() as served:
        served.gateway.send(uid, uid, "1")
        await served.known(uid)
        path = f"/api/nodes/{quote(uid, safe='')}"
        for whole in (path, f"{path}/resources/{quote(uid, safe='')}"):
            async with served.web.get(URL(served.url.rstrip("/") + whole, encoded=True)) as answer:
                assert answer.status == 200, await answer.text()
                body = await answer.json()
                assert uid in (body.get("uid"), body.get("name"))


async def test_missing_objects_have_problems_of_their_own_kind() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", "1")
        await served.known("n")
        problem = await served.json("/api/nodes/m", 404)
        assert problem["type"].endswith("#problem-unknown-node")
        problem = await served.json("/api/nodes/n/resources/lamp", 404)
        assert problem["type"].endswith("#problem-unknown-resource")
        assert problem["status"] == 404


async def test_pages_contain_every_node_once_while_others_change() -> None:
    async with serving() as served:
        for count in range(25):
            served.gateway.send(f"n{count}", "led", "1")
        await served.known("n24")
        uids: list[str] = []
        cursor = ""
        while True:
            page = await served.json(f"/api/nodes?limit=10{cursor}")
            uids += [node["uid"] for node in page["nodes"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
            served.gateway.link.send(NodeLeft(uid=f"n{len(uids) - 1}"))
            await served.until(0)
        assert uids == [f"n{count}" for count in range(25)]


async def test_page_ends_where_it_is_large_enough() -> None:
    async with serving() as served:
        for count in range(PAGE_BYTES_MAX // VALUE_SIZE_MAX + 10):
            served.gateway.send(f"n{count}", "text", "x" * (VALUE_SIZE_MAX - 2))
        await served.known(f"n{count}")
        page = await served.json("/api/nodes")
        assert len(page["nodes"]) == PAGE_BYTES_MAX // VALUE_SIZE_MAX
        rest = await served.json(f"/api/nodes?cursor={page['next']}")
        assert len(page["nodes"]) + len(rest["nodes"]) == count + 1


async def test_nodes_are_filtered_by_uid() -> None:
    async with serving() as served:
        for uid in "abc":
            served.gateway.send(uid, "led", "1")
        await served.known("c")
        page = await served.json("/api/nodes?uid=c&uid=a&uid=none")
        assert [node["uid"] for node in page["nodes"]] == ["a", "c"]


async def test_etag_is_valid_until_the_next_message() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", "0")
        await served.known("n")
        for path in ("/api/nodes", "/api/nodes/n", "/api/nodes/n/resources/led"):
            async with served.web.get(path) as answer:
                etag = {"If-None-Match": answer.headers["ETag"]}
            async with served.web.get(path, headers=etag) as answer:
                assert answer.status == 304
                assert await answer.read() == b""
            served.gateway.send("n", "led", path)
            await served.json_with("/api/nodes/n/resources/led", data=path)
            async with served.web.get(path, headers=etag) as answer:
                assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/nodes?limit=0", "limit"),
        ("/api/nodes?limit=1001", "limit"),
        ("/api/nodes?limit=x", "limit"),
        ("/api/nodes?cursor=x", "cursor"),
        ("/api/nodes?limit=1&limit=2", "twice"),
        ("/api/nodes?limt=1", "unknown parameter 'limt'"),
        ("/api/info?x=1", "unknown parameter 'x'"),
        ("/api/nodes?uid=" + "x" * 65, "uid"),
    ],
)
async def test_wrong_parameter_is_named(path: str, words: str) -> None:
    async with serving() as served:
        problem = await served.json(path, 400)
        assert words in problem["detail"]


@pytest.mark.parametrize(
    "target",
    [
        *("/api/nodes/\xff", "/api/nodes?uid=\xff", "/api/nodes/%FF"),
        *("/api/nodes/%ED%A0%80/resources/%00/history", "/api/nodes?uid=%ED%A0%80%00"),
    ],
)
async def test_names_must_be_utf_8(target: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        url = URL(served.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            head = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n"
            writer.write(head.encode("latin-1"))
            status = (await reader.readline()).split()[1]
        finally:
            writer.close()
        assert status == (b"400" if "\xff" in target else b"404" if "%FF" in target else b"200")


async def test_path_of_other_bytes_is_refused_whatever_the_parser_lets_in() -> None:
    # aiohttp's parser in C does not; the one in Python does.
    async def handler(_request: web.Request, _query: Query) -> web.StreamResponse:
        raise AssertionError("the state was read")

    request = make_mocked_request("GET", "/", match_info={"uid": "\udcff"})
    with pytest.raises(ProblemError) as refused:
        await checked(OPERATIONS[0], handler)(request)
    assert refused.value.problem.status == 400
