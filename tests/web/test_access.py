# SPDX-License-Identifier: BSD-3-Clause
"""Every route, requested with every role."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import pytest

from pyaiot.accounts.roles import ROLES, Role, includes
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import Token, new_token
from pyaiot.broker.broker import Broker
from pyaiot.messages import Command, FromClient, FromGateway, encode
from pyaiot.web.access import MESSAGE_NEEDS, Need, may_send, need_for, satisfies
from pyaiot.web.app import WebApp
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

DOCUMENTED: dict[tuple[str, str], Need] = {
    ("GET", "/"): "viewer",
    ("GET", "/ws"): "viewer",
    ("GET", "/gw"): "gateway",
    ("GET", "/login"): "public",
    ("POST", "/login"): "public",
    ("POST", "/logout"): "public",
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "viewer",
    ("GET", "/metrics"): "viewer",
    ("GET", "/dashboard.json"): "viewer",
    ("PUT", "/api/nodes/{uid}/resources/{name}"): "operator",
    ("PATCH", "/api/nodes/{uid}"): "operator",
    ("DELETE", "/api/nodes"): "operator",
    ("POST", "/api/commands"): "operator",
    ("GET", "/api/audit"): "admin",
    ("PUT", "/api/alert-rules/{rule}"): "admin",
    ("DELETE", "/api/alert-rules/{rule}"): "admin",
    ("POST", "/api/maintenance"): "admin",
    ("DELETE", "/api/maintenance/{window}"): "admin",
    ("GET", "/api/alert-channels"): "admin",
    ("GET", "/api/alert-rules"): "admin",
    ("GET", "/api/nodes/{uid}/limits"): "viewer",
    ("GET", "/api/maintenance"): "admin",
    ("POST", "/api/alert-channels/{channel}/test"): "admin",
    ("GET", "/api/mappings"): "admin",
    ("PUT", "/api/mappings/{mapping}"): "admin",
    ("DELETE", "/api/mappings/{mapping}"): "admin",
    ("POST", "/api/mapping-trials"): "operator",
    ("GET", "/api/devices"): "admin",
    ("POST", "/api/devices"): "admin",
    ("DELETE", "/api/devices/{uid}"): "admin",
    ("PUT", "/api/plans/{room}/image"): "admin",
    ("DELETE", "/api/plans/{room}"): "admin",
    ("GET", "/api/access"): "admin",
    ("POST", "/api/access/invitations"): "admin",
    ("POST", "/api/access/qr"): "admin",
    ("DELETE", "/api/access/{kind}/{id}"): "admin",
}


async def routes() -> set[tuple[str, str]]:
    """Every method and path of the application."""
    broker = Broker(flush_interval_s=0.0, timer=asyncio.get_running_loop(), unix_time=time.time)
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=False, clock=time.monotonic)
    app = WebApp(broker, tokens=None, title="Test", sign_in=login).app
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


async def test_needs_are_as_documented() -> None:
    found = await routes()
    assert set(DOCUMENTED) <= found
    for method, path in found:
        expected = DOCUMENTED.get((method, path), "viewer" if method == "GET" else "operator")
        if method == "HEAD":
            expected = DOCUMENTED.get(("GET", path), "viewer")
        assert need_for(method, path) == expected, (method, path)


def test_route_that_is_not_in_the_table_requires_admin() -> None:
    assert need_for("GET", "/api/new") == "admin"
    assert need_for("POST", "/") == "admin"
    assert need_for("DELETE", "/assets/index.js") == "admin"


def test_every_message_of_a_websocket_is_in_the_table() -> None:
    assert set(MESSAGE_NEEDS) == {*get_args(FromClient), *get_args(FromGateway)}
    assert {MESSAGE_NEEDS[kind] for kind in get_args(FromGateway)} == {"gateway"}


@pytest.mark.parametrize("role", ROLES)
def test_role_may_send_what_the_table_allows_and_nothing_of_a_gateway(role: Role) -> None:
    for kind, need in MESSAGE_NEEDS.items():
        assert may_send(role, kind) is (need != "gateway" and satisfies(role, need))
    unknown: Any = object
    assert may_send(role, unknown) is (role == "admin")


TOKENS: list[Token] = []
SECRETS: dict[Role, str] = {}
for _role in ROLES:
    _token, SECRETS[_role] = new_token(_role, _role, now=0.0, life_s=None)
    TOKENS.append(_token)
SCOPED: dict[Role, str] = {}
_scoped: tuple[Role, ...] = ("viewer", "operator")
for _role in _scoped:
    _token, SCOPED[_role] = new_token(
        f"scoped {_role}", _role, now=0.0, life_s=None, scope=Scope(tags=("lab",))
    )
    TOKENS.append(_token)
_token, EXPIRED = new_token("old", "admin", now=0.0, life_s=60.0)
TOKENS.append(_token)


def with_tokens() -> AccountsFile:
    accounts = AccountsFile(None)
    for token in TOKENS:
        accounts.add_token(token)
    return accounts


@asynccontextmanager
async def guarded(*, viewers: bool) -> AsyncIterator[Served]:
    login = SignIn(with_tokens(), behind_tls=False, viewers=viewers, clock=time.monotonic)
    async with serving(login=login) as served:
        yield served


async def statuses(served: Served, **headers: str) -> AsyncIterator[tuple[Need, str, int, str]]:
    # Signing out has separate tests: it would end the session of the requests after it.
    for method, path in sorted(await routes() - {("POST", "/logout")}):
        async with served.web.request(
            method, filled(path), headers=headers, allow_redirects=False
        ) as answer:
            yield (
                need_for(method, path),
                f"{method} {path}",
                answer.status,
                answer.content_type,
            )


async def test_client_without_a_session_gets_open_routes_only() -> None:
    async with guarded(viewers=False) as served:
        async for role, route, status, content_type in statuses(served):
            if role in {"viewer", "operator", "admin"}:
                assert (route, status, content_type) == (route, 401, "application/problem+json")
            else:
                assert status in {200, 401, 403, 429}, route


async def test_viewer_may_read_and_nothing_else() -> None:
    async with guarded(viewers=True) as served:
        async for role, route, status, _ in statuses(served):
            if role in {"operator", "admin"}:
                assert (route, status) == (route, 403)
            elif role == "viewer":
                assert status not in {401, 403}, route
        async with served.web.get("/api/info") as answer:
            assert (await answer.json())["may_command"] is False


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_scope_opens_no_route_that_the_role_does_not(role: Role) -> None:
    async with guarded(viewers=False) as served:
        headers = {"Authorization": f"Bearer {SCOPED[role]}"}
        async for need, route, status, _ in statuses(served, **headers):
            if need in ("public", "gateway"):
                continue
            if not satisfies(role, need):
                assert (route, status) == (route, 403)
            else:
                # A command or a registration may be out of the scope.
                allowed = {"PUT /api/nodes/{uid}/resources/{name}", "POST /api/nodes"}
                assert status not in ({401} if route in allowed else {401, 403}), route


@pytest.mark.parametrize("role", ROLES)
async def test_token_opens_what_its_role_may_do_and_nothing_else(role: Role) -> None:
    async with guarded(viewers=False) as served:
        headers = {"Authorization": f"Bearer {SECRETS[role]}"}
        async for need, route, status, content_type in statuses(served, **headers):
            if need in ("public", "gateway"):
                continue
            if satisfies(role, need):
                assert status not in {401, 403}, route
            else:
                assert (route, status, content_type) == (route, 403, "application/problem+json")
        async with served.web.get("/api/info", headers=headers) as answer:
            assert (await answer.json())["may_command"] is includes(role, "operator")


WRONG = {
    "empty": "",
    "scheme alone": "Bearer",
    "no token of ours": "Bearer x",
    "other scheme": f"Basic {SECRETS['admin']}",
    "too long": f"Bearer {SECRETS['admin']}x",
    "too short": f"Bearer {SECRETS['admin'][:-1]}",
    "expired": f"Bearer {EXPIRED}",
    "unknown": "Bearer aiot_" + "A" * 43,
    "very long": "Bearer " + "x" * 5000,
}


@pytest.mark.parametrize("viewers", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_or_expired_token_opens_nothing(wrong: str, viewers: bool) -> None:
    async with guarded(viewers=viewers) as served:
        async for need, route, status, _ in statuses(served, Authorization=WRONG[wrong]):
            if need not in ("public", "gateway"):
                assert (route, status) == (route, 401)


async def test_commands_over_a_websocket_follow_the_role_of_the_token() -> None:
    async with guarded(viewers=False) as served:
        outcomes: tuple[tuple[Role, str], ...] = (("viewer", "forbidden"), ("operator", "unknown"))
        for role, state in outcomes:
            headers = {"Authorization": f"Bearer {SECRETS[role]}"}
            async with served.web.ws_connect("/ws", protocols=["pyaiot.v2"], headers=headers) as ws:
                await ws.send_bytes(encode(Command(id="1", uid="A", resource="led", payload="1")))
                while "receipt" not in (frame := await ws.receive_str()):
                    continue
                assert f'"state":"{state}"' in frame


async def test_signed_in_client_may_use_every_route() -> None:
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(login=login) as served:
        async with served.web.post(await login.new_link()) as answer:
            assert answer.status == 200
        async for _, route, status, _ in statuses(served):
            if route not in {"GET /gw", "HEAD /gw", "POST /login"}:
                assert status not in {401, 403}, route


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}]
)
async def test_other_origins_and_host_names_are_refused_everywhere(
    headers: dict[str, str],
) -> None:
    async with serving() as served:
        async for _, route, status, content_type in statuses(served, **headers):
            # A gateway may call the broker by any name, and needs its token.
            is_for_gateways = route.endswith(" /gw") and "Host" in headers
            expected = 401 if is_for_gateways else 403
            assert (route, status, content_type) == (route, expected, "application/problem+json")


def wrong_requests() -> Iterator[tuple[str, str, int]]:
    yield from (("GET", "/api/none", 404), ("GET", "/none", 404), ("PUT", "/api/nodes", 405))
    yield from (("DELETE", "/", 405), ("PUT", "/api/events", 405))


@pytest.mark.parametrize(("method", "path", "status"), list(wrong_requests()))
async def test_errors_of_the_framework_are_problem_documents(
    method: str, path: str, status: int
) -> None:
    async with serving() as served, served.web.request(method, path) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        document = await answer.json(content_type=None)
        assert document["status"] == status
        assert document["title"]
        assert ("Allow" in answer.headers) == (status == 405)


async def test_internal_error_is_a_problem_document_and_a_logged_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as served:
        monkeypatch.setattr(served.broker.router.gateways, "states", None)
        async with served.web.get("/api/info") as answer:
            assert (answer.status, answer.content_type) == (500, "application/problem+json")
            assert "NoneType" not in await answer.text()
    assert "TypeError" in caplog.text


async def test_browser_gets_errors_as_plain_text() -> None:
    async with serving() as served:
        accept = {"Accept": "text/html,*/*;q=0.8", "Origin": "https://evil.example"}
        async with served.web.get("/", headers=accept) as answer:
            assert (answer.status, answer.content_type) == (403, "text/plain")
            assert "allowed_origins" in await answer.text()
