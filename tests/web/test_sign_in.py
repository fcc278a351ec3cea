# SPDX-License-Identifier: BSD-3-Clause
"""Sign-in: without a session, clients beyond loopback are refused. A sign-in link works once."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import argon2
import pytest
from aiohttp import web
from yarl import URL

from pyaiot.accounts.passwords import NO_USER, hash_password, is_password
from pyaiot.accounts.roles import ROLES, Role
from pyaiot.accounts.store import SESSIONS_MAX, AccountsFile, User, UserSession
from pyaiot.broker.broker import Broker
from pyaiot.messages import SUBPROTOCOL
from pyaiot.web.app import WebApp
from pyaiot.web.sign_in import SESSION_LIFE_S, SignIn
from tests.time_limits import time_limit

if TYPE_CHECKING:
    from tests.web.conftest import Browser

T = TypeVar("T")

pytestmark = pytest.mark.sockets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class ProtectedBroker:
    """A broker whose clients must sign in, and its URL."""

    def __init__(
        self,
        *,
        viewers: bool = False,
        behind_tls: bool = False,
        accounts: AccountsFile | None = None,
    ) -> None:
        self.clock = Clock()
        self.accounts = AccountsFile(None) if accounts is None else accounts
        self.sign_in = SignIn(
            self.accounts,
            behind_tls=behind_tls,
            viewers=viewers,
            clock=self.clock,
            unix_time=self.clock,
        )
        loop = asyncio.get_running_loop()
        inner = Broker(flush_interval_s=0.02, timer=loop, unix_time=lambda: 0.0)
        self.app = WebApp(inner, tokens=None, title="Test", sign_in=self.sign_in).app
        self.url = ""


@asynccontextmanager
async def serving(broker: ProtectedBroker) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(broker.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    broker.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    jar = aiohttp.CookieJar(unsafe=True)
    try:
        async with aiohttp.ClientSession(broker.url, cookie_jar=jar) as session:
            yield session
    finally:
        await runner.cleanup()


async def status(session: aiohttp.ClientSession, path: str, method: str = "GET") -> int:
    async with session.request(method, path, allow_redirects=False) as response:
        return response.status


async def sign_in(session: aiohttp.ClientSession, link: str) -> int:
    return await status(session, link, "POST")


@pytest.mark.parametrize(
    "path", ["/", "/ws", "/readyz", "/dashboard.json", "/favicon.svg", "/none"]
)
async def test_request_without_a_session_is_refused(path: str) -> None:
    async with serving(ProtectedBroker()) as session:
        assert await status(session, path) == 401


async def test_health_is_open_and_gateways_need_their_token() -> None:
    async with serving(ProtectedBroker()) as session:
        assert await status(session, "/healthz") == 200
        async with session.get("/gw") as response:
            assert response.status == 401
            assert "token" in await response.text()


async def test_link_opens_a_session_once() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        link = await broker.sign_in.new_link()
        async with session.post(link, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert await status(session, "/") == 200
        session.cookie_jar.clear()
        assert await sign_in(session, link) == 403
        assert await status(session, "/") == 401


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_preview_of_the_link_does_not_use_it(method: str) -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        link = await broker.sign_in.new_link()
        for _ in range(10):
            async with session.request(method, link, allow_redirects=False) as response:
                assert (response.status, response.content_type) == (200, "text/html")
                assert "Set-Cookie" not in response.headers
                assert link.partition("=")[2] not in await response.text()
        assert await status(session, "/") == 401
        assert await sign_in(session, link) == 303


async def test_page_of_another_origin_cannot_post_the_link() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        link = await broker.sign_in.new_link()
        async with session.post(link, headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403
        assert await sign_in(session, link) == 303


async def test_person_signs_in_with_one_click(browser: "Browser") -> None:
    broker = ProtectedBroker()
    async with serving(broker), browser.page() as page:
        await page.goto(broker.url + await broker.sign_in.new_link())
        async with page.expect_navigation(url=broker.url + "/"):
            await page.get_by_role("button", name="Sign in").click()
        assert (await page.context.cookies())[0]["httpOnly"]


async def test_cookie_behind_tls_is_bound_to_the_host_and_to_tls() -> None:
    broker = ProtectedBroker(behind_tls=True)
    async with (
        serving(broker) as session,
        session.post(await broker.sign_in.new_link(), allow_redirects=False) as response,
    ):
        cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert "Path=/" in cookie


async def test_new_link_replaces_the_old_one_and_empty_ones_never_work() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        assert await sign_in(session, "/login?token=") == 403
        old = await broker.sign_in.new_link()
        await broker.sign_in.new_link()
        assert await sign_in(session, old) == 403


async def test_attempts_with_invalid_links_are_limited_to_five_a_minute() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        link = await broker.sign_in.new_link()
        answers = [await sign_in(session, f"/login?token={number}") for number in range(7)]
        assert answers == [403] * 5 + [429] * 2
        broker.clock.now += 60.0
        assert await sign_in(session, "/login?token=x") == 403
        assert await sign_in(session, link) == 303


async def test_session_ends_after_a_week() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        await sign_in(session, await broker.sign_in.new_link())
        broker.clock.now += SESSION_LIFE_S - 1
        assert await status(session, "/") == 200
        broker.clock.now += 1
        assert await status(session, "/") == 401


async def test_sessions_are_bounded() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        await sign_in(session, await broker.sign_in.new_link())
        for number in range(SESSIONS_MAX):
            assert await status(session, "/") == 200
            broker.clock.now += 1.0
            other = UserSession(bytes([number % 256, number // 256]), "", "viewer", 1e9)
            broker.accounts.add_session(other, broker.clock.now)
        assert await status(session, "/") == 401


async def test_anonymous_viewer_sees_and_commands_nothing() -> None:
    broker = ProtectedBroker(viewers=True)
    async with serving(broker) as session:
        assert await status(session, "/") == 200
        async with session.ws_connect("/ws", protocols=(SUBPROTOCOL,)) as socket:
            await socket.receive()
            await socket.send_str(
                '[{"type":"command","id":"1","uid":"A","endpoint":"led","payload":"1"}]'
            )
            assert '"state":"forbidden"' in (await socket.receive()).data
        await sign_in(session, await broker.sign_in.new_link())
        async with session.ws_connect("/ws", protocols=(SUBPROTOCOL,)) as socket:
            await socket.receive()
            await socket.send_str(
                '[{"type":"command","id":"1","uid":"A","endpoint":"led","payload":"1"}]'
            )
            assert '"state":"unknown"' in (await socket.receive()).data


# -- names and passwords ------------------------------------------------------------------------


@functools.cache
def password_hash() -> str:
    return hash_password("correct horse")


def with_user() -> ProtectedBroker:
    broker = ProtectedBroker()
    broker.accounts.add_user(User("ada", "operator", password_hash(), 0.0))
    return broker


def test_check_without_a_user_takes_as_long_as_with_one(
    real_hasher: argon2.PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyaiot.accounts.passwords._hasher", real_hasher)
    with_user, without = map(argon2.extract_parameters, (hash_password("correct horse"), NO_USER))
    assert without == with_user


async def submit(session: aiohttp.ClientSession, name: str, password: str) -> int:
    form = {"name": name, "password": password}
    async with session.post("/login", data=form, allow_redirects=False) as response:
        return response.status


async def test_user_signs_in_with_a_password_and_has_its_role() -> None:
    broker = with_user()
    async with serving(broker) as session:
        assert await submit(session, "ada", "correct horse") == 303
        async with session.get("/api/info") as response:
            assert (await response.json())["may_command"] is True
        assert await status(session, "/logout", "POST") == 303
        assert await status(session, "/") == 401


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong horse"), ("ada", ""), ("eve", "correct horse"), ("", ""), ("ada", "x" * 5000)],
)
async def test_wrong_name_or_password_opens_nothing(name: str, password: str) -> None:
    async with serving(with_user()) as session:
        assert await submit(session, name, password) == 403
        assert await status(session, "/") == 401


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n" * 1000),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 1000),
        ("multipart/form-data", b"x"),
        ("application/x-www-form-urlencoded; charset=nope", b"name=a"),
        ("application/x-www-form-urlencoded; charset=zlib", b"name=a"),
        ("application/x-www-form-urlencoded", b"name=\xff%ff&password=\0"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 1000)),
        ("text/plain", b"name=ada&password=correct horse"),
    ],
)
async def test_malformed_form_is_refused_without_a_traceback(
    content_type: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": content_type}
    async with (
        serving(with_user()) as session,
        session.post("/login", data=body, headers=headers, allow_redirects=False) as answer,
    ):
        assert answer.status == 403
    assert [record for record in caplog.records if record.exc_info] == []


async def test_form_is_utf_8_whatever_its_charset() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"}
    body = b"name=ada&password=correct+horse"
    async with (
        serving(with_user()) as session,
        session.post("/login", data=body, headers=headers, allow_redirects=False) as answer,
    ):
        assert answer.status == 303


async def test_name_remains_in_the_form_after_a_wrong_password() -> None:
    broker = ProtectedBroker()
    form = {"name": 'ada"><script>x' + "y" * 100, "password": "hunter2-hunter2"}
    async with serving(broker) as session:
        async with session.post("/login", data=form) as answer:
            text = await answer.text()
        assert answer.status == 403
        assert 'value="ada&quot;&gt;&lt;script&gt;xyyy' in text
        assert "y" * 60 not in text
        assert "hunter2" not in text
        assert text.index("autofocus") > text.index('type="password"')


async def test_attempts_are_limited_by_address_and_by_name() -> None:
    broker = with_user()
    async with serving(broker) as session:
        answers = [await submit(session, "ada", "wrong") for _ in range(6)]
        assert answers == [403] * 5 + [429]
        assert await sign_in(session, await broker.sign_in.new_link()) == 303, "links still work"
        session.cookie_jar.clear()
        assert await submit(session, "ada", "correct horse") == 429
        broker.clock.now += 12.0
        assert await submit(session, "ada", "correct horse") == 303


async def test_class_of_thirty_signs_in_at_the_same_moment_from_one_address() -> None:
    broker = ProtectedBroker()
    for n in range(30):
        broker.accounts.add_user(User(f"pupil-{n}", "viewer", password_hash(), 0.0))
    async with serving(broker) as session:
        answers = await asyncio.gather(
            *(submit(session, f"pupil-{n}", "correct horse") for n in range(30))
        )
        assert answers == [303] * 30
        links = [await broker.sign_in.invite("viewer", life_s=60.0) for _ in range(30)]
        assert await asyncio.gather(*(sign_in(session, it) for it in links)) == [303] * 30


async def test_many_wrong_passwords_at_the_same_moment_are_five_attempts() -> None:
    broker = with_user()
    async with serving(broker) as session:
        answers = await asyncio.gather(*(submit(session, "ada", f"guess-{n}") for n in range(40)))
        assert sorted(answers) == [403] * 5 + [429] * 35


async def test_name_with_a_space_and_password_in_the_other_form_of_unicode_are_the_same() -> None:
    broker = ProtectedBroker()
    broker.accounts.add_user(User("zoé", "viewer", hash_password("p\u00e9tanque"), 0.0))
    async with serving(broker) as session:
        assert await submit(session, "zoé ", "pe\u0301tanque") == 303


async def test_old_password_opens_nothing_once_it_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if the change comes while the old one is being checked."""
    broker = with_user()
    new = hash_password("another horse")

    def checked(password: str, expected: str) -> bool:
        found = is_password(password, expected)
        broker.accounts.set_password("ada", new)
        return found

    async with serving(broker) as session:
        monkeypatch.setattr("pyaiot.accounts.passwords.is_password", checked)
        monkeypatch.setattr("asyncio.to_thread", _at_once)
        assert await submit(session, "ada", "correct horse") == 403
        assert broker.accounts.sessions(0.0) == []


async def _at_once(function: Callable[..., T], *arguments: object) -> T:
    """Instead of a thread: the accounts of tests are in memory, and belong to one."""
    return function(*arguments)


async def test_session_survives_a_restart_and_ends_with_its_user(tmp_path: Path) -> None:
    accounts = AccountsFile(tmp_path / "accounts.db")
    first = ProtectedBroker(accounts=accounts)
    accounts.add_user(User("ada", "viewer", password_hash(), 0.0))
    async with serving(first) as session:
        assert await submit(session, "ada", "correct horse") == 303
        cookie = {cookie.key: cookie.value for cookie in session.cookie_jar}
    second = ProtectedBroker(accounts=AccountsFile(tmp_path / "accounts.db"))
    async with serving(second) as session:
        session.cookie_jar.update_cookies(cookie, URL(second.url))
        assert await status(session, "/") == 200
        assert accounts.remove_user("ada")
        # The broker looks for changes by other processes every 20 ms.
        async with time_limit(5.0):
            while await status(session, "/") != 401:
                continue


async def test_sign_out_everywhere_ends_all_sessions_of_the_user() -> None:
    broker = with_user()
    async with serving(broker) as here, aiohttp.ClientSession(broker.url) as there:
        for session in (here, there):
            session.cookie_jar._unsafe = True  # type: ignore[attr-defined]
            assert await submit(session, "ada", "correct horse") == 303
        assert await status(here, "/logout?everywhere=1", "POST") == 303
        assert await status(there, "/") == 401


async def test_change_of_a_password_ends_the_sessions() -> None:
    broker = with_user()
    async with serving(broker) as session:
        assert await submit(session, "ada", "correct horse") == 303
        assert broker.accounts.set_password("ada", hash_password("a new password"))
        assert await status(session, "/") == 401
        assert await submit(session, "ada", "correct horse") == 403
        assert await submit(session, "ada", "a new password") == 303


@pytest.mark.parametrize("role", ROLES)
async def test_invitation_gives_its_role_once(role: Role) -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        link = await broker.sign_in.invite(role, life_s=60.0)
        assert await sign_in(session, link) == 303
        async with session.get("/api/info") as response:
            assert (await response.json())["may_command"] is (role != "viewer")
        assert await sign_in(session, link) == 403


async def test_invitation_expires() -> None:
    broker = ProtectedBroker()
    async with serving(broker) as session:
        link = await broker.sign_in.invite("viewer", life_s=60.0)
        broker.clock.now += 60.0
        assert await sign_in(session, link) == 403


@pytest.mark.parametrize(
    ("accepted", "heading"),
    [("de-AT,de;q=0.9,en;q=0.5", "Anmelden"), ("fr", "Connexion"), ("xx, *", "Sign in")],
)
async def test_page_is_in_the_language_of_the_browser(accepted: str, heading: str) -> None:
    async with serving(ProtectedBroker()) as session:
        headers = {"Accept": "text/html", "Accept-Language": accepted}
        async with session.get("/", headers=headers) as response:
            assert response.url.path == "/login"
            assert f"<h1>{heading}</h1>" in await response.text()


async def test_person_signs_in_with_name_and_password(browser: "Browser") -> None:
    broker = with_user()
    async with serving(broker), browser.page() as page:
        await page.goto(broker.url + "/")
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill("correct horse")
        async with page.expect_navigation(url=broker.url + "/"):
            await page.keyboard.press("Enter")
