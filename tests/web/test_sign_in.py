# SPDX-License-Identifier: BSD-3-Clause
"""Beyond loopback nobody comes in without the link, which works once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from pyaiot.broker.broker import Broker
from pyaiot.messages import SUBPROTOCOL
from pyaiot.web.app import WebApp
from pyaiot.web.sign_in import SESSION_LIFE_S, SESSIONS_MAX, SignIn

if TYPE_CHECKING:
    from tests.web.conftest import Browser

pytestmark = pytest.mark.sockets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Door:
    """A broker that wants a login, and where it is."""

    def __init__(self, *, viewers: bool = False, behind_tls: bool = False) -> None:
        self.clock = Clock()
        self.login = SignIn(behind_tls=behind_tls, viewers=viewers, clock=self.clock)
        loop = asyncio.get_running_loop()
        broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=lambda: 0.0)
        self.app = WebApp(broker, tokens=None, title="Test", login=self.login).app
        self.url = ""


@asynccontextmanager
async def serving(door: Door) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(door.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    jar = aiohttp.CookieJar(unsafe=True)
    try:
        async with aiohttp.ClientSession(door.url, cookie_jar=jar) as session:
            yield session
    finally:
        await runner.cleanup()


async def status(session: aiohttp.ClientSession, path: str, method: str = "GET") -> int:
    async with session.request(method, path, allow_redirects=False) as response:
        return response.status


async def log_in(session: aiohttp.ClientSession, link: str) -> int:
    return await status(session, link, "POST")


@pytest.mark.parametrize("path", ["/", "/ws", "/readyz", "/info.json", "/static/app.js", "/none"])
async def test_who_did_not_open_the_link_gets_nothing(path: str) -> None:
    async with serving(Door()) as session:
        assert await status(session, path) == 401


async def test_health_is_no_secret_and_gateways_bring_their_own_token() -> None:
    async with serving(Door()) as session:
        assert await status(session, "/healthz") == 200
        async with session.get("/gw") as response:
            assert response.status == 401
            assert "token" in await response.text()


async def test_link_opens_a_session_once() -> None:
    door = Door()
    async with serving(door) as session:
        link = door.login.new_link()
        async with session.post(link, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert await status(session, "/") == 200
        session.cookie_jar.clear()
        assert await log_in(session, link) == 403
        assert await status(session, "/") == 401


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_preview_of_the_link_does_not_use_it_up(method: str) -> None:
    door = Door()
    async with serving(door) as session:
        link = door.login.new_link()
        for _ in range(10):
            async with session.request(method, link, allow_redirects=False) as response:
                assert (response.status, response.content_type) == (200, "text/html")
                assert "Set-Cookie" not in response.headers
                assert link.partition("=")[2] not in await response.text()
        assert await status(session, "/") == 401
        assert await log_in(session, link) == 303


async def test_a_page_of_another_origin_cannot_post_the_link() -> None:
    door = Door()
    async with serving(door) as session:
        link = door.login.new_link()
        async with session.post(link, headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403
        assert await log_in(session, link) == 303


async def test_a_person_signs_in_with_one_click(browser: "Browser") -> None:
    door = Door()
    async with serving(door), browser.page() as page:
        await page.goto(door.url + door.login.new_link())
        async with page.expect_navigation(url=door.url + "/"):
            await page.get_by_role("button", name="Sign in").click()
        assert (await page.context.cookies())[0]["httpOnly"]


async def test_cookie_behind_tls_is_bound_to_the_host_and_to_tls() -> None:
    door = Door(behind_tls=True)
    async with (
        serving(door) as session,
        session.post(door.login.new_link(), allow_redirects=False) as response,
    ):
        cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert "Path=/" in cookie


async def test_new_link_ends_the_old_one_and_empty_ones_never_work() -> None:
    door = Door()
    async with serving(door) as session:
        assert await log_in(session, "/login?token=") == 403
        old = door.login.new_link()
        door.login.new_link()
        assert await log_in(session, old) == 403


async def test_wrong_links_are_answered_five_times_a_minute() -> None:
    door = Door()
    async with serving(door) as session:
        link = door.login.new_link()
        answers = [await log_in(session, f"/login?token={number}") for number in range(7)]
        assert answers == [403] * 5 + [429] * 2
        door.clock.now += 60.0
        assert await log_in(session, "/login?token=x") == 403
        assert await log_in(session, link) == 303


async def test_session_ends_after_a_week() -> None:
    door = Door()
    async with serving(door) as session:
        await log_in(session, door.login.new_link())
        door.clock.now += SESSION_LIFE_S - 1
        assert await status(session, "/") == 200
        door.clock.now += 1
        assert await status(session, "/") == 401


async def test_sessions_are_bounded() -> None:
    door = Door()
    async with serving(door) as session:
        for _ in range(SESSIONS_MAX + 1):
            await log_in(session, door.login.new_link())
        assert len(door.login._sessions) == SESSIONS_MAX
        assert await status(session, "/") == 200


async def test_anonymous_viewer_sees_and_commands_nothing() -> None:
    door = Door(viewers=True)
    async with serving(door) as session:
        assert await status(session, "/") == 200
        async with session.ws_connect("/ws", protocols=(SUBPROTOCOL,)) as socket:
            await socket.receive()
            await socket.send_str(
                '[{"type":"command","id":"1","uid":"A","endpoint":"led","payload":"1"}]'
            )
            assert '"state":"forbidden"' in (await socket.receive()).data
        await log_in(session, door.login.new_link())
        async with session.ws_connect("/ws", protocols=(SUBPROTOCOL,)) as socket:
            await socket.receive()
            await socket.send_str(
                '[{"type":"command","id":"1","uid":"A","endpoint":"led","payload":"1"}]'
            )
            assert '"state":"unknown"' in (await socket.receive()).data
