# SPDX-License-Identifier: BSD-3-Clause
"""`aiot run --workers 2`: two processes at one port, of which one keeps the other running."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.coap_device import Reply, coap_device
from tests.history.postgres_server import running_server
from tests.programs import ANY_PORTS, Program, Programs
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 30.0


class Workers:
    """The processes. Clients sign in, with a token."""

    def __init__(self, programs: Programs, database: str) -> None:
        self.programs = programs
        self.environment = {"AIOT_HISTORY_STORE": database, "AIOT_BROKER_WORKERS": "2"}
        self.first: Program = programs.aiot("run", "--behind-proxy", *ANY_PORTS, **self.environment)
        self.text = self.first.startup_text()
        self.url = re.findall(r"Pyaiot: (http://\S+?)/? *$", self.text, re.MULTILINE)[0]
        self.coap_port = int(re.findall(r"UDP port (\d+)", self.text)[0])
        made = programs.run("token", "add", "test", "--role", "admin", **self.environment)
        assert made.returncode == 0, made.stderr
        self.token = made.stdout.strip()

    @asynccontextmanager
    async def each(self, **headers: str) -> AsyncIterator[dict[str, aiohttp.ClientSession]]:
        """A session with one connection at each worker, by the names of the workers. `headers`:
        instead of the token."""
        found: dict[str, aiohttp.ClientSession] = {}
        async with AsyncExitStack() as stack, time_limit(LIMIT_S):
            while len(found) < 2:
                session = await stack.enter_async_context(self._session(headers))
                async with session.get("/api/cluster") as answer:
                    state = await answer.json()
                    assert answer.status == 200, state
                if any(it["state"] == "online" for it in state["peers"]):
                    found.setdefault(state["name"][-8:], session)
                else:
                    await asyncio.sleep(0.02)
            yield found

    def _session(self, headers: dict[str, str]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            self.url,
            headers=headers or {"Authorization": f"Bearer {self.token}"},
            connector=aiohttp.TCPConnector(limit=1),
        )


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with running_server() as server:
        programs = Programs(tmp_path_factory.mktemp("workers"))
        try:
            yield Workers(programs, server.url)
        finally:
            programs.close()


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        return await answer.json() if answer.status == 200 else answer.status


async def until(session: aiohttp.ClientSession, path: str, wanted: Any) -> None:
    async with time_limit(LIMIT_S):
        while True:
            if wanted(await get(session, path)):
                return
            await asyncio.sleep(0.02)


async def test_each_worker_shows_and_commands_every_node(workers: Workers) -> None:
    async with workers.each() as each, coap_device(workers.coap_port) as device:
        assert sorted(each) == ["worker 1", "worker 2"]
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = Reply(Code.CHANGED)
        await device.post("alive", "alive:A")
        await device.post("server", "count:7")
        for session in each.values():
            await until(
                session,
                "/api/nodes/A/resources/count",
                lambda it: isinstance(it, dict) and it["data"] == "7",
            )
            path = "/api/nodes/A/resources/led?timeout=5"
            async with session.put(path, data="1", headers={"Idempotency-Key": "same"}) as answer:
                assert (await answer.json())["state"] == "confirmed"
        assert [it for it in device.requests if it.code == Code.PUT] != []


async def test_a_person_signs_in_at_all_workers_with_one_link(workers: Workers) -> None:
    (link,) = re.findall(r"Open this link once to sign in: (\S+)", workers.text)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(workers.url, cookie_jar=jar) as web:
        path = f"/login?{urlsplit(link).query}"
        async with web.post(path, allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        async with workers.each(Cookie=cookie) as each:
            assert len(each) == 2


async def test_a_view_and_a_rule_are_those_of_all_workers(workers: Workers) -> None:
    async with workers.each() as each:
        first, second = each["worker 1"], each["worker 2"]
        async with second.put("/api/views/hall", json={"title": "Hall"}) as answer:
            assert answer.status == 200, await answer.text()
        rule = {"title": "Warm", "when": "above", "resource": "t", "limit": 30}
        async with second.put("/api/alert-rules/warm", json=rule) as answer:
            assert answer.status == 200, await answer.text()
        await until(first, "/api/views", lambda it: "hall" in str(it))
        await until(first, "/api/alert-rules", lambda it: "Warm" in str(it))


async def test_a_killed_worker_is_started_again(workers: Workers) -> None:
    async with workers.each():
        pass
    (killed,) = later_workers(workers.first)
    os.kill(killed, signal.SIGKILL)
    async with time_limit(LIMIT_S):
        while True:
            found = later_workers(workers.first)
            if found and killed not in found:
                break
            await asyncio.sleep(0.02)
    assert "worker 2 ended with code -9; starting it again in" in workers.first.stderr
    async with workers.each() as each:
        assert await get(each["worker 1"], "/readyz") != {}
        await until(
            each["worker 1"], "/readyz", lambda it: it != 503 and it["parts"]["workers"] == "ok"
        )
        await until(
            each["worker 2"], "/readyz", lambda it: it != 503 and it["parts"]["cluster"] == "ok"
        )


def test_the_workers_end_together(workers: Workers) -> None:
    workers.first.send(signal.SIGINT)
    assert workers.first.exit_code(LIMIT_S) == 0
    assert workers.first.orphans() == []


def later_workers(first: Program) -> list[int]:
    found = []
    for pid in first.children():
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            if b"worker_process" in file.read():
                found.append(pid)
    return found
