# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the API, asked by clients with a scope and by clients without a sign-in."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import pytest

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.messages import Command, NodeAppeared, Reading, encode
from pyaiot.web.api.operation import Operation
from pyaiot.web.api.operations import OPERATIONS
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

SECRET: Final = "4711.25"
"""The value of the hidden node, in each of its resources."""
LARGE_READINGS: Final = 400
LARGE_BYTES: Final = 60_000
"""All large readings are more than the buffers of a connection hold."""
HIDDEN: Final = "hidden-node"
OPEN: Final = "open-node"
ADDRESS: Final = "192.0.2.99"
SCOPES: Final = {
    "tag": Scope(tags=("lab",)),
    "gateway": Scope(gateways=("other",)),
    "both": Scope(tags=("lab",), gateways=("test",)),
}
BODIES: Final[dict[str, Any]] = {
    "edit_alerts": {"ids": [f"offline {HIDDEN}"], "acknowledge": True},
    "register": {"nodes": [{"uid": HIDDEN, "label": "taken"}]},
    "edit": {"label": "taken"},
    "try_mapping": {"mapping": {"topic": "a/{node}"}, "topic": "a/x", "payload": "1"},
    "edit_nodes": {"label": "taken"},
    "write_nodes": {"resource": "led", "payload": "1"},
    "place_nodes": {"places": {HIDDEN: {"x": 0.5, "y": 0.5}}},
    "put_view": {"title": "taken", "pins": [HIDDEN]},
}


class Guarded:
    """A broker with an open node and a hidden one, and clients of all kinds."""

    def __init__(self, served: Served, accounts: AccountsFile) -> None:
        self.served = served
        self._accounts = accounts

    def token(self, role: Role, scope: Scope) -> dict[str, str]:
        name = f"{role} {scope.text}".strip()
        token, secret = new_token(name, role, now=0.0, life_s=None, scope=scope)
        self._accounts.add_token(token)
        return {"Authorization": f"Bearer {secret}"}

    async def request(
        self, operation: Operation, headers: dict[str, str], uid: str = HIDDEN
    ) -> str:
        """The status and the body of an operation that concerns the node."""
        path = operation.path.replace("{uid}", quote(uid)).replace("{name}", "temperature")
        path = re.sub(r"\{\w+\}", "x", path)
        fields = operation.query.__struct_fields__
        query = {name: uid for name in ("uid",) if name in fields}
        if "format" in fields:
            query["format"] = "csv"
        body = BODIES.get(operation.name)
        sent: dict[str, Any] = {"data": "1"} if operation.name == "write" else {}
        if body is not None:
            sent = {"json": body}
        async with self.served.web.request(
            operation.method, path, headers=headers, params=query, **sent
        ) as answer:
            if operation.name == "stream":
                return f"{answer.status} {(await answer.content.readuntil(b'joined')).decode()}"
            return f"{answer.status} {await answer.text()}"


@asynccontextmanager
async def guarded(folder: Path, *, viewers: bool = False) -> AsyncIterator[Guarded]:
    accounts = AccountsFile(None)
    login = SignIn(accounts, behind_tls=False, viewers=viewers, clock=time.monotonic)
    async with serving(folder, login=login) as served:
        for uid, value in ((HIDDEN, SECRET), (OPEN, "1.5")):
            served.gateway.link.send(NodeAppeared(uid=uid))
            for resource, data in (("temperature", value), ("ip", ADDRESS)):
                reading = Reading.received(uid, resource, data, time.time())
                served.gateway.link.send(reading)
            await served.known(uid)
        await served.until(6)
        it = Guarded(served, accounts)
        admin = it.token("admin", Scope())
        edit = {"notes": "a private note"}
        for uid in (HIDDEN, OPEN):
            async with served.web.patch(f"/api/nodes/{uid}", json=edit, headers=admin) as answer:
                assert answer.status == 200
        edit_open = {"tags": ["lab"]}
        async with served.web.patch(f"/api/nodes/{OPEN}", json=edit_open, headers=admin) as answer:
            assert answer.status == 200
        yield it


@pytest.mark.parametrize("scope", SCOPES)
async def test_no_operation_shows_or_changes_a_node_outside_the_scope(
    scope: str, tmp_path: Path
) -> None:
    async with guarded(tmp_path) as it:
        before = it.served.broker.router.registry.records[HIDDEN]
        annotations, revision = before.annotations, before.revision
        headers = it.token("operator", SCOPES[scope])
        for operation in OPERATIONS:
            if operation.role == "admin":
                continue
            answer = await it.request(operation, headers)
            assert answer[:3] in {"200", "403", "404", "204"}, (operation.name, answer)
            assert SECRET not in answer, operation.name
            assert "private note" not in answer or OPEN in answer, operation.name
            if operation.name not in {"openapi", "docs"}:
                assert HIDDEN not in answer[3:] or answer.startswith(("403", "404")), operation.name
        record = it.served.broker.router.registry.get(HIDDEN)
        assert record is not None
        assert (record.annotations, record.revision) == (annotations, revision)
        assert not it.served.gateway.commands


@pytest.mark.parametrize("scope", ["tag", "both"])
async def test_operations_show_the_nodes_of_the_scope(scope: str, tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        headers = it.token("viewer", SCOPES[scope])
        showing = {"nodes", "node", "resource", "history", "export", "history_events", "stream"}
        for operation in OPERATIONS:
            if operation.name in showing:
                answer = await it.request(operation, headers, OPEN)
                assert answer.startswith("200"), operation.name
                assert OPEN in answer or "1.5" in answer, operation.name
        # Without a uid: only those of the scope.
        for path in ("/api/nodes", "/api/export?format=csv", "/api/history/events"):
            async with it.served.web.get(path, headers=headers) as page:
                text = await page.text()
                assert OPEN in text, path
                assert HIDDEN not in text, path
        async with it.served.web.get("/api/info", headers=headers) as info:
            document = await info.json()
            assert (document["nodes"], document["registered"]) == (1, 1)


async def test_command_to_a_node_of_the_scope_is_sent_and_to_another_is_403(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as it:
        headers = {**it.token("operator", SCOPES["tag"]), "Prefer": "respond-async"}
        path = "/api/nodes/{}/resources/led"
        for uid, status in ((OPEN, 202), (HIDDEN, 403), ("nobody", 403)):
            async with it.served.web.put(path.format(uid), data="1", headers=headers) as answer:
                assert answer.status == status, uid
                if status == 403:
                    assert (await answer.json(content_type=None))["type"].endswith("not-in-scope")


async def test_nodes_may_be_registered_into_the_scope_only(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        headers = it.token("operator", SCOPES["tag"])
        for tags, status in ((["lab"], 200), ([], 403)):
            nodes = {"nodes": [{"uid": f"new{status}", "tags": tags}]}
            async with it.served.web.post("/api/nodes", json=nodes, headers=headers) as answer:
                assert answer.status == status


async def test_forgotten_node_outside_the_scope_is_not_restored(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        web, admin = it.served.web, it.token("operator", Scope())
        nodes = {"nodes": [{"uid": "gone", "label": "away"}]}
        async with web.post("/api/nodes", json=nodes, headers=admin) as answer:
            assert answer.status == 200
        async with web.delete("/api/nodes/gone", headers=admin) as answer:
            assert answer.status == 204
        scoped = it.token("operator", SCOPES["tag"])
        for headers, status in ((scoped, 404), (admin, 200)):
            async with web.post("/api/nodes/gone/restore", headers=headers) as answer:
                assert answer.status == status


async def test_etag_of_another_scope_is_not_accepted(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        web = it.served.web
        async with web.get("/api/nodes", headers=it.token("viewer", Scope())) as answer:
            etag = answer.headers["ETag"]
        scoped = it.token("viewer", SCOPES["tag"])
        headers = {**scoped, "If-None-Match": etag}
        async with web.get("/api/nodes", headers=headers) as answer:
            assert answer.status == 200


async def test_export_ends_when_a_node_leaves_the_scope(tmp_path: Path) -> None:
    """It is aborted: a part of the rows, without those of the node, would look complete."""
    async with guarded(tmp_path) as it:
        for number in range(LARGE_READINGS):
            it.served.gateway.send(OPEN, "text", f"{number} " + "x" * LARGE_BYTES)
        it.served.gateway.send(OPEN, "zz", SECRET)
        await it.served.until(LARGE_READINGS + 7)
        web, operator = it.served.web, it.token("operator", Scope())
        scoped = it.token("viewer", SCOPES["tag"])
        export = f"/api/export?format=csv&uid={OPEN}"
        async with (
            web.get("/api/export?format=csv", headers=scoped) as cut,
            web.get(export, headers=scoped) as of_node,
            web.get(export, headers=operator) as kept,
        ):
            for answer in (cut, of_node, kept):
                await answer.content.readexactly(1000)
            path = f"/api/nodes/{OPEN}"
            async with web.patch(path, json={"tags": []}, headers=operator) as edited:
                assert edited.status == 200
            for answer in (cut, of_node):
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.content.read()
            assert SECRET in (await kept.text())[-100:]


async def test_stream_of_a_scope_begins_with_a_gap_and_the_state(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        position = it.served.broker.fanout.position.id
        headers = {**it.token("viewer", SCOPES["tag"]), "Last-Event-ID": position}
        async with it.served.web.get("/api/events", headers=headers) as stream:
            text = (await stream.content.readuntil(b"joined")).decode()
        assert "event: gap" in text
        assert OPEN in text
        assert HIDDEN not in text


async def test_websocket_of_a_scope_shows_and_commands_its_nodes_only(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        headers = it.token("operator", SCOPES["tag"])
        protocols = ["pyaiot.v2"]
        async with it.served.web.ws_connect("/ws", protocols=protocols, headers=headers) as ws:
            await ws.send_str('{"type":"new","data":"client","registry":true}')
            text = ""
            while "joined" not in text:
                text += await ws.receive_str()
            assert OPEN in text
            assert HIDDEN not in text
            await ws.send_bytes(encode(Command(id="1", uid=HIDDEN, resource="led", payload="1")))
            receipt: dict[str, Any] = {}
            while receipt.get("type") != "receipt":
                (receipt,) = json.loads(await ws.receive_str())
            assert receipt["state"] == "forbidden"


async def test_no_operation_shows_personal_data_without_sign_in(tmp_path: Path) -> None:
    async with guarded(tmp_path, viewers=True) as it:
        web, operator = it.served.web, it.token("operator", Scope())
        headers = {**operator, "Prefer": "respond-async"}
        async with web.put(
            f"/api/nodes/{OPEN}/resources/led", data="pa55load", headers=headers
        ) as answer:
            assert answer.status == 202
        await it.served.until(0)
        for operation in OPERATIONS:
            if operation.role == "viewer":
                answer_text = await it.request(operation, {}, OPEN)
                for personal in (ADDRESS, "private note", "pa55load"):
                    assert personal not in answer_text, operation.name
        for path in (
            "/api/nodes",
            "/api/export?format=csv",
            "/api/export?format=ndjson&resource=ip",
            f"/api/nodes/{OPEN}/resources/ip",
            f"/api/nodes/{OPEN}/resources/ip/history",
            "/api/history/commands",
            "/metrics",
            "/dashboard.json",
        ):
            async with web.get(path) as answer:
                text = await answer.text()
                for personal in (ADDRESS, "private note", "pa55load"):
                    assert personal not in text, path
        # A search must not reveal by its result what is not shown.
        for words, found in (("private", 0), (OPEN, 1)):
            async with web.get("/api/nodes", params={"q": words}) as answer:
                assert len((await answer.json())["nodes"]) == found


async def test_websocket_and_stream_show_no_personal_data_without_sign_in(tmp_path: Path) -> None:
    async with guarded(tmp_path, viewers=True) as it:
        web = it.served.web
        async with web.ws_connect("/ws", protocols=["pyaiot.v2"]) as ws:
            await ws.send_str('{"type":"new","data":"client","registry":true}')
            text = ""
            while "joined" not in text:
                text += await ws.receive_str()
            for data in (ADDRESS, "done"):
                resource = "ip" if data == ADDRESS else "state"
                reading = Reading.received(OPEN, resource, data, time.time())
                it.served.gateway.link.send(reading)
            while "done" not in text:
                text += await ws.receive_str()
        last = it.served.broker.fanout.position.id.replace("-", "-", 1)
        run, number, ts = last.split("-")
        before = f"{run}-{max(0, int(number) - 2)}-{ts}"
        async with web.get("/api/events", headers={"Last-Event-ID": before}) as stream:
            text += (await stream.content.readuntil(b"done")).decode()
        assert OPEN in text
        for personal in (ADDRESS, "private note"):
            assert personal not in text


async def test_metrics_name_no_nodes(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        headers = it.token("viewer", SCOPES["tag"])
        async with it.served.web.get("/metrics", headers=headers) as answer:
            text = await answer.text()
            assert answer.status == 200
            assert HIDDEN not in text
            assert OPEN not in text
