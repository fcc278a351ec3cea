# SPDX-License-Identifier: BSD-3-Clause
"""Every route, requested with every role."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.web.access import Role, role_for
from pyaiot.web.api.operations import OPERATIONS
from pyaiot.web.app import WebApp
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

ROLES: dict[tuple[str, str], Role] = {
    ("GET", "/"): "viewer",
    ("GET", "/ws"): "viewer",
    ("GET", "/gw"): "gateway",
    ("GET", "/login"): "public",
    ("POST", "/login"): "public",
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "viewer",
    ("GET", "/dashboard.json"): "viewer",
    ("PUT", "/api/nodes/{uid}/resources/{name}"): "operator",
    **{
        (operation.method, operation.path): "viewer"
        for operation in OPERATIONS
        if operation.method == "GET"
    },
}
"""The documented roles. Every other route requires `viewer` to read, else `operator`."""


async def routes() -> set[tuple[str, str]]:
    """Every method and path of the application."""
    broker = Broker(flush_interval_s=0.0, timer=asyncio.get_running_loop(), unix_time=time.time)
    login = SignIn(behind_tls=False, viewers=False, clock=time.monotonic)
    app = WebApp(broker, tokens=None, title="Test", sign_in=login).app
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


async def test_roles_are_as_documented() -> None:
    found = await routes()
    assert set(ROLES) <= found
    for method, path in found:
        expected = ROLES.get((method, path), "viewer" if method in {"GET", "HEAD"} else "operator")
        if method == "HEAD":
            expected = ROLES.get(("GET", path), expected)
        assert role_for(method, filled(path)) == expected


@asynccontextmanager
async def guarded(*, viewers: bool) -> AsyncIterator[Served]:
    login = SignIn(behind_tls=False, viewers=viewers, clock=time.monotonic)
    async with serving(login=login) as served:
        yield served


async def statuses(served: Served, **headers: str) -> AsyncIterator[tuple[Role, str, int, str]]:
    for method, path in sorted(await routes()):
        async with served.web.request(
            method, filled(path), headers=headers, allow_redirects=False
        ) as answer:
            yield (
                role_for(method, filled(path)),
                f"{method} {path}",
                answer.status,
                answer.content_type,
            )


async def test_client_without_a_session_gets_open_routes_only() -> None:
    async with guarded(viewers=False) as served:
        async for role, route, status, content_type in statuses(served):
            if role in {"viewer", "operator"}:
                assert (route, status, content_type) == (route, 401, "application/problem+json")
            else:
                assert status in {200, 401, 403, 429}, route


async def test_viewer_may_read_and_nothing_else() -> None:
    async with guarded(viewers=True) as served:
        async for role, route, status, _ in statuses(served):
            if role == "operator":
                assert (route, status) == (route, 403)
            elif role == "viewer":
                assert status not in {401, 403}, route
        async with served.web.get("/api/info") as answer:
            assert (await answer.json())["may_command"] is False


async def test_signed_in_client_may_use_every_route() -> None:
    login = SignIn(behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(login=login) as served:
        async with served.web.post(login.new_link()) as answer:
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
        monkeypatch.setattr(served.broker.router, "gateways", None)
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
