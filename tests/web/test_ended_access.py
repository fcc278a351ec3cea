# SPDX-License-Identifier: BSD-3-Clause
"""Access that ends closes WebSockets, streams and exports that it opened, within a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from pyaiot.accounts.passwords import hash_password
from pyaiot.accounts.store import AccountsFile, User
from pyaiot.accounts.tokens import new_token
from pyaiot.web.access_watch import AccessWatch
from pyaiot.web.sign_in import SignIn
from tests.time_limits import Stopwatch
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

LIMIT_S = 1.0
READINGS = 400
READING_BYTES = 60_000
"""All readings are more than the buffers of a connection hold."""


class Guarded:
    """A broker where clients sign in, and the command line that writes its file."""

    def __init__(self, served: Served, path: Path, watch: AccessWatch) -> None:
        self.served = served
        self.watch = watch
        self.late_s = 0.0
        """By how much the clock of the broker is ahead."""
        self._path = path

    @property
    def accounts(self) -> AccountsFile:
        return AccountsFile(self._path)

    def token(self, name: str, *, life_s: float | None = None) -> dict[str, str]:
        """The header of a new token."""
        token, secret = new_token(name, "viewer", now=time.time(), life_s=life_s)
        self.accounts.add_token(token)
        return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def guarded(folder: Path, *, with_history: bool = False) -> AsyncIterator[Guarded]:
    path = folder / "accounts.db"
    accounts = AccountsFile(path)
    found: list[Guarded] = []

    def unix_time() -> float:
        return time.time() + (found[0].late_s if found else 0.0)

    watch = AccessWatch(accounts, unix_time=unix_time)
    login = SignIn(
        accounts,
        behind_tls=False,
        viewers=False,
        clock=time.monotonic,
        unix_time=unix_time,
        watch=watch,
    )
    async with serving(folder if with_history else None, login=login) as served:
        found.append(Guarded(served, path, watch))
        watching = asyncio.ensure_future(watch.run())
        try:
            yield found[0]
        finally:
            watching.cancel()


async def ends_when(
    it: Guarded, headers: dict[str, str], remove: Callable[[], object]
) -> tuple[int, bytes]:
    """Open both kinds of connection, remove the access, and see both end in time.

    Returns the close code of the WebSocket and the end of the stream.
    """
    web = it.served.web
    async with (
        web.ws_connect("/ws", protocols=["pyaiot.v2"], headers=headers) as socket,
        web.get("/api/events", headers=headers) as stream,
    ):
        assert "hello" in await socket.receive_str()
        assert await stream.content.readuntil(b"joined")
        watch = Stopwatch()
        remove()
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        rest = await stream.content.read()
        assert watch.elapsed_s < LIMIT_S
    await eventually(lambda: not it.served.broker.fanout.clients)
    return int(message.data), rest


async def test_removed_token_ends_its_connections_and_no_others(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        other = it.token("other")
        async with it.served.web.ws_connect("/ws", protocols=["pyaiot.v2"], headers=other) as kept:
            await kept.receive_str()
            headers = it.token("a")
            web = it.served.web
            async with web.ws_connect("/ws", protocols=["pyaiot.v2"], headers=headers) as socket:
                await socket.receive_str()
                it.accounts.remove_token("a")
                assert (await socket.receive()).data == 1008
            await kept.send_str('{"type":"new","data":"client"}')
            while "joined" not in await kept.receive_str():
                continue


async def test_removed_token_ends_websocket_and_stream_within_a_second(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        headers = it.token("a")
        code, _ = await ends_when(it, headers, lambda: it.accounts.remove_token("a"))
        assert code == 1008


async def test_expired_token_ends_websocket_and_stream(tmp_path: Path) -> None:
    async with guarded(tmp_path) as it:
        headers = it.token("a", life_s=60.0)

        def expire() -> None:
            it.late_s = 61.0

        code, _ = await ends_when(it, headers, expire)
        assert code == 1008


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
@pytest.mark.parametrize("what", ["token", "session"])
async def test_export_of_access_that_ends_is_cut_off(
    tmp_path: Path, format_: str, what: str
) -> None:
    """It is aborted, not ended: the client does not take a part for the whole."""
    async with guarded(tmp_path, with_history=True) as it:
        for number in range(READINGS):
            it.served.gateway.send("n", "text", f"{number} " + "x" * READING_BYTES)
        await it.served.until(READINGS)
        path = f"/api/export?format={format_}"
        if what == "token":
            headers = it.token("a")
        else:
            it.accounts.add_user(User("ada", "viewer", hash_password("correct horse"), 0.0))
            form = {"name": "ada", "password": "correct horse"}
            async with it.served.web.post("/login", data=form, allow_redirects=False) as answer:
                headers = {"Cookie": f"aiot={answer.cookies['aiot'].value}"}
            it.served.web.cookie_jar.clear()
        other = it.token("other")
        web = it.served.web
        async with web.get(path, headers=headers) as cut, web.get(path, headers=other) as kept:
            await cut.content.readexactly(1000)
            await kept.content.readexactly(1000)
            watch = Stopwatch()
            if what == "token":
                it.accounts.remove_token("a")
            else:
                async with web.post("/logout", headers=headers, allow_redirects=False) as answer:
                    assert answer.status == 303
            while it.watch.ended == 0:
                assert watch.elapsed_s < LIMIT_S
                await asyncio.sleep(0.01)
            with pytest.raises(aiohttp.ClientPayloadError):
                await cut.content.read()
            rest = await kept.content.read()
            assert len(rest) > READINGS * READING_BYTES


@pytest.mark.parametrize("what", ["remove", "new password", "everywhere"])
async def test_user_who_loses_access_is_disconnected_everywhere(tmp_path: Path, what: str) -> None:
    async with guarded(tmp_path) as it:
        it.accounts.add_user(User("ada", "operator", hash_password("correct horse"), 0.0))
        new_hash = hash_password("a new password")
        form = {"name": "ada", "password": "correct horse"}
        cookies = []
        for _ in range(2):
            async with it.served.web.post("/login", data=form, allow_redirects=False) as answer:
                assert answer.status == 303
                cookies.append({"Cookie": f"aiot={answer.cookies['aiot'].value}"})
            it.served.web.cookie_jar.clear()
        signing_out: list[asyncio.Task[aiohttp.ClientResponse]] = []

        def remove() -> None:
            match what:
                case "remove":
                    it.accounts.remove_user("ada")
                case "new password":
                    it.accounts.set_password("ada", new_hash)
                case _:
                    request = it.served.web.post(
                        "/logout?everywhere=1", headers=cookies[0], allow_redirects=False
                    )
                    signing_out.append(asyncio.ensure_future(_answer(request)))

        code, _ = await ends_when(it, cookies[1], remove)
        assert code == 1008
        for task in signing_out:
            (await task).close()


async def _answer(
    request: "aiohttp.client._RequestContextManager",
) -> aiohttp.ClientResponse:
    return await request
