# SPDX-License-Identifier: BSD-3-Clause
"""What people and programs do to a broker is in its audit log, with who did it and the result."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.accounts.passwords import hash_password
from pyaiot.accounts.store import AccountsFile, User
from pyaiot.accounts.tokens import new_token
from pyaiot.audit.files import AuditFiles
from pyaiot.messages import Command, encode
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

PASSWORD = "correct horse battery"
_HASH = hash_password(PASSWORD)


class Audited:
    """A broker with an audit log, an admin's and an operator's token, and the user ada."""

    def __init__(self, served: Served, sign_in: SignIn, secrets: dict[str, str]) -> None:
        self.served = served
        self.sign_in = sign_in
        self.secrets = secrets

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    async def send(
        self, method: str, path: str, *, token: str = "operator", body: object = None
    ) -> int:
        async with self.served.web.request(
            method, path, json=body, headers=self.headers(token), allow_redirects=False
        ) as answer:
            await answer.read()
            return answer.status

    async def entries(self, **query: str) -> list[dict[str, Any]]:
        """What the admin is shown, oldest first, without times and addresses."""
        async with self.served.web.get(
            "/api/audit", params=query, headers=self.headers("admin")
        ) as answer:
            assert answer.status == 200, await answer.text()
            document = await answer.json()
        for entry in document["entries"]:
            assert abs(entry.pop("ts") - time.time()) < 30
            assert entry.pop("from") == "127.0.0.1"
        return list(reversed(document["entries"]))


@asynccontextmanager
async def audited(folder: Path) -> AsyncIterator[Audited]:
    accounts = AccountsFile(None)
    secrets = {}
    for name, role in (("admin", "admin"), ("operator", "operator"), ("viewer", "viewer")):
        token, secrets[name] = new_token(name, role, now=0.0, life_s=None)  # type: ignore[arg-type]
        accounts.add_token(token)
    accounts.add_user(User("ada", "operator", _HASH, 0.0))
    sign_in = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    files = AuditFiles(folder / "audit", bytes_max=3_000_000, days=1)
    async with serving(login=sign_in, audit=files) as served:
        served.gateway.send("n1", "led", "0")
        served.gateway.send("n2", "led", "0")
        await served.known("n2")
        yield Audited(served, sign_in, secrets)


async def test_a_command_that_its_type_refuses_is_recorded_without_its_payload(
    tmp_path: Path,
) -> None:
    types = {"led": {"kind": "boolean", "on": "1", "off": "0"}, "pin": {"kind": "number"}}
    async with audited(tmp_path) as it:
        assert await it.send("PATCH", "/api/nodes/n1", body={"types": types}) == 200
        for resource in ("led", "pin"):
            path = f"/api/nodes/n1/resources/{resource}"
            assert await it.send("PUT", path, body="geheim") == 502
        (edit, led, pin) = await it.entries()
    assert edit["detail"] == "types of led, pin"
    assert (led["result"], led["detail"]) == ("refused", "it takes 1 or 0")
    assert (pin["result"], pin["detail"]) == ("refused", "it takes a number")


async def test_command_is_recorded_with_its_receipt_and_without_its_payload(
    tmp_path: Path,
) -> None:
    async with audited(tmp_path) as it:
        status = await it.send("PUT", "/api/nodes/n1/resources/wifi?timeout=2", body="geheim")
        assert status in (200, 202, 504)
        assert await it.send("PUT", "/api/nodes/n9/resources/led") == 404
        (sent, unknown) = await it.entries(action="command")
    assert (sent["who"], sent["uids"], sent["resource"]) == ("token:operator", ["n1"], "wifi")
    assert sent["result"] in ("confirmed", "timeout", "sent")
    assert (unknown["uids"], unknown["result"]) == (["n9"], "unknown")
    assert "geheim" not in (tmp_path / "audit" / "commands-000001.jsonl").read_text()


async def test_command_over_a_websocket_is_recorded_also_if_it_is_forbidden(
    tmp_path: Path,
) -> None:
    async with audited(tmp_path) as it:
        for token in ("viewer", "operator"):
            async with it.served.web.ws_connect(
                "/ws", protocols=["pyaiot.v2"], headers=it.headers(token)
            ) as ws:
                command = Command(id="1", uid="n9", resource="led", payload="1")
                await ws.send_bytes(encode(command))
                while "receipt" not in await ws.receive_str():
                    continue
        entries = await it.entries(action="command")
    assert [(entry["who"], entry["result"]) for entry in entries] == [
        ("token:viewer", "forbidden"),
        ("token:operator", "unknown"),
    ]


async def test_edits_are_recorded_with_the_names_of_their_fields(tmp_path: Path) -> None:
    async with audited(tmp_path) as it:
        body = {"label": "Lamp of Ada", "notes": "her bedroom"}
        assert await it.send("PATCH", "/api/nodes/n1", body=body) == 200
        assert await it.send("PATCH", "/api/nodes/n1", body={"admission": "banned"}) == 200
        assert await it.send("PATCH", "/api/nodes?uid=n1&uid=n2", body={"tags": ["lab"]}) == 200
        assert await it.send("POST", "/api/nodes", body={"nodes": [{"uid": "n3"}]}) == 200
        assert await it.send("DELETE", "/api/nodes/n3") == 204
        assert await it.send("DELETE", "/api/nodes/n2") == 409
        assert await it.send("POST", "/api/nodes/n3/restore") == 200
        assert await it.send("DELETE", "/api/nodes?uid=n3") == 200
        entries = await it.entries(who="operator")
    text = "".join(path.read_text() for path in (tmp_path / "audit").glob("*.jsonl"))
    assert "Lamp" not in text
    assert "bedroom" not in text
    assert entries == [
        {"who": "token:operator", **rest}
        for rest in (
            {"action": "edit", "result": "ok", "uids": ["n1"], "detail": "label, notes"},
            {"action": "edit", "result": "ok", "uids": ["n1"], "detail": "admission=banned"},
            {"action": "edit-nodes", "result": "ok", "uids": ["n2"], "detail": "tags"},
            {"action": "register", "result": "ok", "uids": ["n3"]},
            {"action": "forget", "result": "ok", "uids": ["n3"]},
            {"action": "forget", "result": "failed", "uids": ["n2"], "detail": "HTTP status 409"},
            {"action": "restore", "result": "ok", "uids": ["n3"]},
            {"action": "forget-nodes", "result": "ok", "uids": ["n3"]},
        )
    ]


async def test_sign_ins_are_recorded_and_what_was_typed_is_not(tmp_path: Path) -> None:
    async with audited(tmp_path) as it:
        link = await it.sign_in.invite("viewer", life_s=60.0)
        forms = (
            {"name": "ada", "password": "wrong-Passw0rd"},
            {"name": "my-Passw0rd", "password": "typed in the wrong field"},
            {"name": "ada", "password": PASSWORD},
        )
        for form in forms:
            async with it.served.web.post("/login", data=form, allow_redirects=False):
                pass
        async with it.served.web.post("/logout?everywhere=1", allow_redirects=False):
            pass
        async with it.served.web.post(link, allow_redirects=False) as answer:
            assert answer.status == 303
        async with it.served.web.post(link, allow_redirects=False) as answer:
            assert answer.status == 403
        entries = await it.entries()
    invited = entries[4].pop("who")
    assert invited.startswith("invitation:")
    assert entries[5].pop("who") == invited
    assert entries == [
        {"action": "sign-in", "result": "refused", "who": "anonymous", "detail": "user:ada"},
        {"action": "sign-in", "result": "refused", "who": "anonymous", "detail": "an unknown name"},
        {"action": "sign-in", "result": "ok", "who": "user:ada", "detail": "operator"},
        {"action": "sign-out", "result": "ok", "who": "user:ada", "detail": "everywhere"},
        {"action": "sign-in", "result": "ok", "detail": "viewer"},
        {"action": "sign-in", "result": "refused", "detail": "HTTP status 403"},
    ]
    text = "".join(path.read_text() for path in (tmp_path / "audit").glob("*.jsonl"))
    for secret in ("Passw0rd", "wrong field", PASSWORD, link.partition("=")[2]):
        assert secret not in text


async def test_refused_requests_are_recorded_with_who_tried(tmp_path: Path) -> None:
    async with audited(tmp_path) as it:
        assert await it.send("PATCH", "/api/nodes/n1", token="viewer", body={"label": "x"}) == 403
        assert await it.send("PUT", "/api/nodes/n1/resources/led", token="viewer") == 403
        assert await it.send("GET", "/api/audit", token="operator") == 403
        it.secrets["wrong"] = "aiot_" + "A" * 43
        assert await it.send("GET", "/api/nodes", token="wrong") == 401
        async with it.served.web.delete("/api/nodes/n1") as answer:
            assert answer.status == 401
        async with it.served.web.get("/api/nodes") as answer:
            assert answer.status == 401, "reading without a session is not recorded"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await it.served.web.ws_connect("/gw", protocols=["token", "wrong"])
        entries = await it.entries()
    assert [(e["who"], e["action"], e["result"], e.get("uids")) for e in entries] == [
        ("token:viewer", "edit", "refused", ["n1"]),
        ("token:viewer", "write", "refused", ["n1"]),
        ("token:operator", "audit", "refused", None),
        ("anonymous", "nodes", "refused", None),
        ("anonymous", "forget", "refused", ["n1"]),
        ("anonymous", "gateway-connect", "refused", None),
    ]


async def test_pages_and_filters(tmp_path: Path) -> None:
    async with audited(tmp_path) as it:
        for n in range(5):
            body = {"label": str(n)}
            assert await it.send("PATCH", f"/api/nodes/n{1 + n % 2}", body=body) == 200
        assert len(await it.entries(uid="n1")) == 3
        assert await it.entries(who="ada") == []
        assert await it.entries(to="-1h") == []
        assert len(await it.entries(**{"from": "-1h"})) == 5
        assert await it.send("PATCH", "/api/nodes/n1", token="viewer", body={"label": "x"}) == 403
        assert [entry["who"] for entry in await it.entries(result="refused")] == ["token:viewer"]
        assert len(await it.entries(result="ok")) == 5
        assert await it.entries(result="failed") == []
        seen = 0
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            async with it.served.web.get(
                "/api/audit", params=params, headers=it.headers("admin")
            ) as answer:
                page = await answer.json()
            seen += len(page["entries"])
            cursor = page["next"]
        assert seen == 6
        for wrong in ("cursor=1", "cursor=1:2,3:4", "limit=0", "limit=1001", "who=", "from=x"):
            assert await it.send("GET", f"/api/audit?{wrong}", token="admin") == 400, wrong


async def test_broker_without_an_audit_log_answers_so() -> None:
    async with serving() as served:
        problem = await served.json("/api/audit", status=404)
        assert problem["type"].endswith("#problem-no-audit")


async def test_client_on_the_same_machine_is_local(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path / "audit", bytes_max=3_000_000, days=1)
    async with serving(audit=files) as served:
        served.gateway.send("n1", "led", "0")
        await served.known("n1")
        async with served.web.patch("/api/nodes/n1", json={"label": "x"}) as answer:
            assert answer.status == 200
        (entry,) = (await served.json("/api/audit"))["entries"]
    assert (entry["who"], entry["from"], entry["action"]) == ("local", "127.0.0.1", "edit")
