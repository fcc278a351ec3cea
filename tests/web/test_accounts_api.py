# SPDX-License-Identifier: BSD-3-Clause
"""What administrators do about access from the dashboard, and nobody else."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pyaiot.accounts.records import GatewayToken
from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile, User
from pyaiot.accounts.tokens import new_token
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

Headers = dict[str, str]


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Served, AccountsFile, Headers]]:
    """A broker, its accounts, and the header of an administrator."""
    accounts = AccountsFile(None)
    login = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    headers = token(accounts, "admin")
    async with serving(login=login) as served:
        yield served, accounts, headers


def token(accounts: AccountsFile, role: Role) -> Headers:
    added, secret = new_token(role, role, now=0.0, life_s=None)
    accounts.add_token(added)
    return {"Authorization": f"Bearer {secret}"}


async def entries(served: Served, headers: Headers) -> dict[tuple[str, str], Any]:
    async with served.web.get("/api/access", headers=headers) as answer:
        assert answer.status == 200
        found = (await answer.json())["entries"]
        assert "password" not in await answer.text()
    return {(entry["kind"], entry.get("name", "")): entry for entry in found}


async def test_everything_that_opens_something_is_listed_and_can_be_removed() -> None:
    async with guarded() as (served, accounts, headers):
        accounts.add_user(User("ada", "operator", "a hash", 0.0, Scope(tags=("lab",))))
        accounts.add_gateway_token(GatewayToken("roof", 0.0, None, b"1"), is_new=True)
        invited = {"role": "viewer", "gateways": ["roof"]}
        async with served.web.post(
            "/api/access/invitations", json=invited, headers=headers
        ) as answer:
            assert answer.status == 200
            path = (await answer.json())["path"]
        async with served.web.post(path, allow_redirects=False) as answer:
            assert answer.status == 303
        found = await entries(served, headers)
        assert set(found) == {
            ("user", "ada"),
            ("token", "admin"),
            ("session", ""),
            ("gateway", "roof"),
        }
        assert found["user", "ada"]["scope"] == "tag lab"
        assert found["session", ""]["scope"] == "gateway roof"
        assert found["token", "admin"]["own"] is True
        for kind, name in (("user", "ada"), ("session", ""), ("gateway", "roof")):
            url = f"/api/access/{kind}/{found[kind, name]['id']}"
            for status in (204, 404):
                async with served.web.delete(url, headers=headers) as answer:
                    assert answer.status == status
        assert set(await entries(served, headers)) == {("token", "admin")}


async def test_open_invitation_is_listed_without_its_secret_and_can_be_removed() -> None:
    async with guarded() as (served, _, headers):
        paths = []
        for role in ("admin", "viewer"):
            async with served.web.post(
                "/api/access/invitations", json={"role": role}, headers=headers
            ) as answer:
                paths.append((await answer.json())["path"])
        async with served.web.get("/api/access", headers=headers) as answer:
            text = await answer.text()
            found = [it for it in (await answer.json())["entries"] if it["kind"] == "invitation"]
        assert {it["role"] for it in found} == {"admin", "viewer"}
        assert not [path for path in paths if path.partition("=")[2] in text]
        (id_,) = [it["id"] for it in found if it["role"] == "admin"]
        for status in (204, 404):
            async with served.web.delete(
                f"/api/access/invitation/{id_}", headers=headers
            ) as answer:
                assert answer.status == status
        statuses = []
        for path in paths:
            async with served.web.post(path, allow_redirects=False) as answer:
                statuses.append(answer.status)
        assert statuses == [403, 303]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role": "admin", "tags": ["lab"]}, 400),
        ({"role": "king"}, 400),
        ({"expires_s": 0}, 400),
        ({"expires_s": 1e12}, 400),
        ({"tags": ["\n"]}, 400),
        ({"tags": ["x"] * 33}, 400),
        ({"unknown": 1}, 400),
        ({}, 200),
    ],
)
async def test_invalid_invitation_is_refused(body: dict[str, Any], status: int) -> None:
    async with (
        guarded() as (served, _, headers),
        served.web.post("/api/access/invitations", json=body, headers=headers) as answer,
    ):
        assert answer.status == status


async def test_qr_code_is_a_square_with_a_quiet_zone() -> None:
    async with guarded() as (served, _, headers):
        body = {"text": "http://192.0.2.1:8000/login?token=" + "x" * 43}
        async with served.web.post("/api/access/qr", json=body, headers=headers) as answer:
            rows = (await answer.json())["rows"]
        assert {len(row) for row in rows} == {len(rows)}
        assert set("".join(rows[:4])) == {"0"}
        assert set("".join(rows)) == {"0", "1"}


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_others_may_not(role: Role) -> None:
    async with guarded() as (served, accounts, _):
        headers = token(accounts, role)
        for method, path in (
            ("GET", "/api/access"),
            ("POST", "/api/access/invitations"),
            ("POST", "/api/access/qr"),
            ("DELETE", "/api/access/token/admin"),
        ):
            async with served.web.request(method, path, json={}, headers=headers) as answer:
                assert answer.status == 403
        async with served.web.get("/api/info", headers=headers) as answer:
            info = await answer.json()
        assert (info["access"], info["role"], info["user"]) == ("token", role, role)


async def test_where_nobody_signs_in_there_is_no_access_to_manage() -> None:
    async with serving() as served:
        async with served.web.get("/api/access") as answer:
            assert answer.status == 404
        assert (await served.json("/api/info"))["access"] == "local"
