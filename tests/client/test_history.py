# SPDX-License-Identifier: BSD-3-Clause
"""History queries at the HTTP API on real sockets, and the synchronous client."""

import asyncio
import csv
import importlib.util
import io
import json
import math
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.client import (
    ApiProblem,
    Client,
    LinkLost,
    LoginNeeded,
    NoBroker,
    OperatorError,
    Row,
    Rows,
    SyncClient,
    TooManyRows,
    history,
)
from pyaiot.client.address import BrokerAddress
from pyaiot.history.store import Chunk, ReadingRow, StoreError
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

BASE = math.floor(time.time()) - 7200.0
COUNT = 25


def address_of(served: Served) -> BrokerAddress:
    host, _, port = served.url.removeprefix("http://").rstrip("/").rpartition(":")
    return BrokerAddress(host, int(port))


def client(served: Served, **more: Any) -> Client:
    it = address_of(served)
    return Client(it.host, it.port, **more)


async def send_readings(served: Served) -> None:
    for second in range(COUNT):
        served.gateway.send("a/b", "t", f"{second}.5°C", ts=BASE + second)
    served.gateway.send("a/b", "t", "hot", ts=BASE + COUNT)
    await served.known("a/b")
    await served.until(COUNT + 3)


async def test_rows_are_complete_over_pages_for_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE_ROWS", 10)
    async with serving(tmp_path) as served, client(served) as it:
        await send_readings(served)
        rows = await it.history("a/b", "t", None)
        assert [row.value for row in rows] == [*(n + 0.5 for n in range(COUNT)), None]
        assert [row.ts for row in rows] == [BASE + n for n in range(COUNT + 1)]
        assert rows[-1].data == "hot"
        assert rows[0].unit == "Cel"
        assert rows[0].time == datetime.fromtimestamp(BASE, UTC)
        newest = await it.history("a/b", "t", None, limit=12)
        assert list(newest) == list(rows[-12:])
        assert list(await it.history("a/b", "t", BASE + 3, BASE + 5)) == list(rows[3:5])
        at = datetime.fromtimestamp(BASE + 23, UTC)
        assert list(await it.history("a/b", "t", at)) == list(rows[23:])
        assert len(await it.history("nobody", "t")) == 0
        steps = await it.history("a/b", "t", BASE, every_s=86_400 * 30, agg="max,count")
        assert max(step.max for step in steps if step.max is not None) == COUNT - 0.5
        assert sum(step.count or 0 for step in steps) == COUNT


async def test_too_many_rows_are_an_error_not_a_partial_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE_ROWS", 10)
    monkeypatch.setattr(history, "ROWS_MAX", 20)
    async with serving(tmp_path) as served, client(served, live=False) as it:
        await send_readings(served)
        with pytest.raises(TooManyRows):
            await it.history("a/b", "t", None)
        assert len(await it.history("a/b", "t", BASE, BASE + 20)) == 20


async def test_export_equals_the_stream_of_the_api(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, client(served, live=False) as it:
        await send_readings(served)
        text = b"".join([piece async for piece in it.export("csv")]).decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        ours = [row for row in rows if (row["uid"], row["resource"]) == ("a/b", "t")]
        assert [row["value"] for row in ours] == [*(f"{n}.5" for n in range(COUNT)), ""]
        lines = b"".join(
            [p async for p in it.export("ndjson", uid="a/b", resource="t", start=BASE + 24)]
        ).splitlines()
        assert [json.loads(line)["ts"] for line in lines] == [BASE + 24, BASE + 25]


async def test_interrupted_export_is_an_error() -> None:
    class Broken:
        def export(self, **_: Any) -> AsyncIterator[Chunk]:
            async def chunks() -> AsyncIterator[Chunk]:
                yield Chunk("n", "t", [ReadingRow(BASE, 1.0, "", None)])
                await asyncio.sleep(0.05)
                raise StoreError("the disk is gone")

            return chunks()

    async with (
        serving(history=Broken()) as served,  # type: ignore[arg-type]
        client(served, live=False) as it,
    ):
        with pytest.raises(LinkLost, match="incomplete"):
            _ = [piece async for piece in it.export()]


async def test_abandoned_export_is_no_error() -> None:
    class Endless:
        def export(self, **_: Any) -> AsyncIterator[Chunk]:
            async def chunks() -> AsyncIterator[Chunk]:
                yield Chunk("n", "t", [ReadingRow(BASE, 1.0, "", None)])
                await asyncio.Event().wait()

            return chunks()

    errors: list[object] = []

    async def program(served: Served) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with client(served, live=False) as it:
            pieces = it.export()
            await anext(pieces)
            raise BrokenPipeError  # `pieces` lives as long as this frame

    async with serving(history=Endless()) as served:  # type: ignore[arg-type]
        with pytest.raises(BrokenPipeError):
            await asyncio.to_thread(lambda: asyncio.run(program(served)))
    assert errors == []


async def test_refusal_of_the_broker_is_one_sentence() -> None:
    async with serving() as served, client(served, live=False) as it:
        with pytest.raises(ApiProblem, match="records no history") as refused:
            await it.history("n", "t")
        assert (refused.value.status, refused.value.kind) == (404, "no-history")
        with pytest.raises(ApiProblem, match=r"^The broker refuses \(400\): .*\.$") as refused:
            await it.history("n", "t", "yesterday")
        assert refused.value.kind == "bad-request"
        with pytest.raises(RuntimeError):
            _ = it.nodes
    with pytest.raises(NoBroker):
        async with client(served, live=False) as it:
            await it.history("n", "t")


async def test_sign_in_link_and_its_cookie_open_websocket_and_api(tmp_path: Path) -> None:
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(tmp_path, login=login) as served:
        link = f"http://elsewhere:1{await login.new_link()}"
        cookies = tmp_path / "kept" / "logins.json"
        with pytest.raises(LoginNeeded):
            await client(served).__aenter__()
        async with client(served, live=False) as it:
            with pytest.raises(LoginNeeded):
                await it.history("n", "t")
        for login_link in (link, ""):
            async with client(served, login_link=login_link, cookie_file=cookies) as it:
                assert it.connected
                assert len(await it.history("n", "t")) == 0
        with pytest.raises(LoginNeeded, match="is not valid, or was used"):
            await client(served, login_link=link).__aenter__()
        cookies.write_text("nonsense", "utf-8")
        with pytest.raises(LoginNeeded):
            await client(served, cookie_file=cookies).__aenter__()


async def test_token_opens_websocket_and_api_without_a_cookie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = AccountsFile(None)
    token, secret = new_token("script", "operator", now=0.0, life_s=None)
    accounts.add_token(token)
    login = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(tmp_path, login=login) as served:
        async with client(served, token=secret) as it:
            assert it.connected
            assert len(await it.history("n", "t")) == 0
            assert (await it.set("n", "led", "1")).state == "unknown"
        monkeypatch.setenv("AIOT_TOKEN", secret)
        async with client(served) as it:
            assert it.connected
        with pytest.raises(LoginNeeded):
            await client(served, token="").__aenter__()


@pytest.mark.parametrize("link", ["", "x", "http://", "http://[", "ftp://a/login?token=x"])
def test_invalid_sign_in_link_is_reported(link: str) -> None:
    with pytest.raises(OperatorError, match="Invalid sign-in link"):
        BrokerAddress.from_link(link)


def test_sign_in_link_has_the_address_of_the_broker() -> None:
    assert Client(login_link="https://a.example/login?token=x").address == BrokerAddress(
        "a.example", 443, ssl=True
    )
    assert (
        BrokerAddress.from_link("http://[::1]:8000/login?token=x").http_url == "http://[::1]:8000"
    )


async def test_server_that_is_no_broker_is_recognised() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoBroker):
            await Client("127.0.0.1", port).__aenter__()
        async with Client("127.0.0.1", port, live=False) as it:
            with pytest.raises(NoBroker):
                await it.history("n", "t")


async def test_sync_client_does_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await send_readings(served)
        it = address_of(served)
        served.gateway.otherwise = "confirmed"

        def notebook() -> None:
            with SyncClient(it.host, it.port) as client:
                assert client.connected
                assert list(client.nodes) == ["a/b"]
                assert list(client.gateways) == ["test"]
                reading = client.get("a/b", "t")
                assert reading is not None
                assert reading.data == "hot"
                assert [r.data for r in client.watch("a/b", seconds=0.05)] == ["hot"]
                assert list(client.events(seconds=0.0)) == []
                assert client.set("a/b", "t", 1).state == "confirmed"
                assert len(client.history("a/b", "t", None)) == COUNT + 1
                assert b"hot" in b"".join(client.export("csv", uid="a/b"))
            client.close()
            assert not client.connected
            for call in (
                lambda: client.set("a/b", "t", 1),
                lambda: client.get("a/b", "t"),
                lambda: client.nodes,
                lambda: client.gateways,
                lambda: client.history("a/b", "t", None),
                lambda: next(client.watch("a/b")),
                lambda: next(client.export("csv")),
            ):
                with pytest.raises(LinkLost, match="is closed"):
                    call()
            with pytest.raises(NoBroker):
                SyncClient("127.0.0.1", 1)

        before = threading.active_count()
        await asyncio.to_thread(notebook)
        assert "pyaiot client" not in {thread.name for thread in threading.enumerate()}, before


ROWS = Rows("n", "t", [Row(ts=1.5, value=2.0, unit="Cel"), Row(ts=2.5, data=[1])])


def test_rows_are_a_sequence_with_columns() -> None:
    assert len(ROWS) == 2
    assert repr(ROWS[:1]) == "<1 rows of 't' of 'n'>"
    assert ROWS.columns() == {
        "time": [datetime.fromtimestamp(1.5, UTC), datetime.fromtimestamp(2.5, UTC)],
        "value": [2.0, None],
        "unit": ["Cel", ""],
        "data": [None, [1]],
    }


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_table_of_rows(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        with pytest.raises(OperatorError, match=f"pip install {name}"):
            getattr(ROWS, f"to_{name}")()
        return
    frame = getattr(ROWS, f"to_{name}")()
    assert frame.shape == ((2, 3) if name == "pandas" else (2, 4))
    assert next(iter(frame["value"])) == 2.0
    assert len(getattr(Rows("n", "t", []), f"to_{name}")()) == 0
