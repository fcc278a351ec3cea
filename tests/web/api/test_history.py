# SPDX-License-Identifier: BSD-3-Clause
"""The history over HTTP: complete or a problem, in every format, cancelled with its client."""

import asyncio
import csv
import io
import json
import math
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from pyaiot.accounts.store import AccountsFile
from pyaiot.history.paging import Span
from pyaiot.history.sqlite import queries
from pyaiot.history.store import ROWS_MAX, Chunk, Page, ReadingRow, StoreError, TooSlow
from pyaiot.messages import VALUE_SIZE_MAX, Reading
from pyaiot.protocols.senml import parse_json
from pyaiot.web.api.history import EXPORTS_MAX, EXPORTS_TOTAL_MAX
from pyaiot.web.api.query_quota import WIDE_QUERIES_PER_CLIENT
from pyaiot.web.api.responses import DISCONNECT_CHECK_INTERVAL_S
from pyaiot.web.sign_in import SignIn
from tests.time_limits import time_limit
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

# As the history stores times: in whole microseconds, not in the future.
BASE = math.floor(time.time()) - 7200.0
ODD = '=1+1,"quoted"\r\n\u2028é\t<b>'
VALUES: list[tuple[str, str, object]] = [
    ("n", "temperature", "23.5°C"),
    ("n", "temperature", "-0.1°C"),
    ("n", "temperature", "hot"),
    ("n", "text", ODD),
    ("n", "text", "x" * (VALUE_SIZE_MAX - 2)),
    ("n", "json", {"lat": 48.7, "list": [1, None, "é"]}),
    ("n", "json", True),
    ("n", "json", [1.5]),
    ("../x", "a/b", "1e+300"),
    ("é", "é", "5"),
    ("é", "_e9", "6"),
]
HISTORY = "/api/nodes/n/resources/temperature/history"


def number_or_data(data: object, resource: str) -> dict[str, object]:
    reading = Reading.received("u", resource, data, 0.0)
    if reading.number is None:
        return {"data": data}
    return {"value": reading.number, **({"unit": reading.unit} if reading.unit else {})}


async def send_values(served: Served) -> list[dict[str, object]]:
    """Send `VALUES`, one second apart. Returns the rows that an export must have, in order."""
    for second, (uid, resource, data) in enumerate(VALUES):
        served.gateway.send(uid, resource, data, ts=BASE + second)
    await served.until(len(VALUES) + 3 + 1)
    rows: list[dict[str, object]] = [
        {"uid": uid, "resource": resource, "ts": BASE + second, **number_or_data(data, resource)}
        for second, (uid, resource, data) in enumerate(VALUES)
    ]
    return sorted(rows, key=lambda row: (row["uid"], row["resource"], row["ts"]))


async def text(served: Served, path: str, **headers: str) -> str:
    async with served.web.get(path, headers=headers) as answer:
        body = await answer.text()
        assert answer.status == 200, body
        return body


async def test_export_as_ndjson_has_every_row(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        rows = await send_values(served)
        body = await text(served, "/api/export?format=ndjson")
        assert [json.loads(line) for line in body.split("\n") if line] == rows


async def test_export_as_csv_has_every_row(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        rows = await send_values(served)
        found = list(csv.DictReader(io.StringIO(await text(served, "/api/export"), newline="")))
        assert len(found) == len(rows)
        for line, row in zip(found, rows, strict=True):
            assert (line["uid"], line["resource"]) == (row["uid"], row["resource"])
            assert float(line["ts"]) == row["ts"]
            assert (float(line["value"]) if line["value"] else None) == row.get("value")
            assert line["unit"] == row.get("unit", "")
            data = row.get("data", "")
            written = line["data"] if isinstance(data, str) else json.loads(line["data"])
            assert written == data


async def test_export_as_senml_has_every_row_under_names_of_their_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        rows = await send_values(served)
        records = parse_json((await text(served, "/api/export?format=senml")).encode())
        assert len(records) == len(rows)
        for record, row in zip(records, rows, strict=True):
            assert record.time == row["ts"]
            data = row.get("value", row.get("data"))
            if isinstance(data, list | dict):
                assert isinstance(record.value, str)
                assert json.loads(record.value) == data
            else:
                assert record.value == data
            assert record.unit == row.get("unit", "")
        names = {record.name for record in records}
        assert len(names) == len({(row["uid"], row["resource"]) for row in rows})
        assert "pyaiot:_2e_2e_2fx/a_2fb" not in names  # dots are allowed
        assert "pyaiot:.._2fx/a_2fb" in names


async def test_export_is_filtered_by_node_resource_and_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        rows = await send_values(served)

        async def lines(query: str) -> list[Any]:
            body = await text(served, f"/api/export?format=ndjson&{query}")
            return [json.loads(line) for line in body.split("\n") if line]

        assert await lines("uid=n") == [row for row in rows if row["uid"] == "n"]
        assert await lines("resource=json") == [row for row in rows if row["resource"] == "json"]
        assert await lines(f"from={BASE + 2}&to={BASE + 4}") == [
            row for row in rows if row["ts"] in (BASE + 2, BASE + 3)
        ]
        assert await lines("uid=none") == []
        assert await lines("uid=null") == []


async def test_readings_have_pages_of_any_size(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        rows = [row for row in await send_values(served) if row["resource"] == "temperature"]
        mine = [{k: v for k, v in row.items() if k not in ("uid", "resource")} for row in rows]
        whole = await served.json(HISTORY)
        assert whole == {"uid": "n", "resource": "temperature", "readings": mine, "next": None}
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await served.json(
                f"{HISTORY}?limit=1&cursor={cursor}" if cursor else HISTORY + "?limit=1"
            )
            found += page["readings"]
            cursor = page["next"]
        assert found == mine
        newest = await served.json(f"{HISTORY}?order=newest&limit=1")
        assert newest["readings"] == mine[-1:]


async def test_readings_are_available_in_every_format(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await send_values(served)
        for accept, start in {
            "text/csv": "uid,resource,ts,value,unit,data\r\nn,temperature,",
            "application/x-ndjson": '{"uid":"n","resource":"temperature",',
            "application/senml+json": '[{"t":',
            "text/csv;q=0.5, application/x-ndjson": '{"uid"',
            "application/json, text/csv;q=0.9": '{"uid":"n","resource":"temperature","readings"',
            "*/*": '{"uid":"n","resource":"temperature","readings"',
        }.items():
            assert (await text(served, HISTORY, Accept=accept)).startswith(start)


async def test_steps_aggregate_numbers(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await send_values(served)
        whole = f"{HISTORY}?from={BASE}&every=3600"
        (step,) = (await served.json(whole))["readings"]
        assert step == {"ts": BASE // 3600 * 3600, "value": 11.7, "unit": "Cel"}
        (step,) = (await served.json(whole + "&agg=max,min,last,count"))["readings"]
        assert step == {
            "ts": BASE // 3600 * 3600,
            "value": 23.5,
            "unit": "Cel",
            "max": 23.5,
            "min": -0.1,
            "last": -0.1,
            "count": 2,
        }
        (step,) = (await served.json(whole + "&agg=count"))["readings"]
        assert step == {"ts": BASE // 3600 * 3600, "value": 2}
        body = await text(served, whole + "&agg=mean,count&format=csv")
        assert body.splitlines()[0] == "uid,resource,ts,value,unit,mean,count"
        assert body.splitlines()[1].endswith(",11.7,Cel,11.7,2")


async def test_an_incomplete_result_is_a_problem(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await send_values(served)
        problem = await served.json(f"{HISTORY}?from={BASE}&every=1&limit=1", 413)
        assert problem["type"] == "/api/docs#problem-too-many-rows"


async def test_more_rows_than_an_answer_holds_are_a_problem() -> None:
    class Full(Fake):
        async def readings(self, *_: object, **__: object) -> Any:
            return Page([ReadingRow(0.0, 1.0)] * ROWS_MAX, "[1]")

    async with serving(history=Full()) as served:  # type: ignore[arg-type]
        problem = await served.json(HISTORY, 413)
        assert "narrow the range, or use pages" in problem["detail"]


async def test_events_and_commands_are_returned(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await send_values(served)
        async with served.web.put("/api/nodes/n/resources/led", data="refused") as answer:
            assert answer.status == 502
        await served.until(0)
        (command,) = (await served.json("/api/history/commands"))["commands"]
        assert (command["uid"], command["resource"], command["payload"]) == ("n", "led", "refused")
        assert (command["state"], command["detail"]) == ("refused", "4.00 Bad Request")
        assert command["who"] == "local"
        events = (await served.json("/api/history/events?kind=appeared&uid=n"))["events"]
        assert [(event["uid"], event["gateway"]) for event in events] == [("n", "test")]
        page = await served.json("/api/history/events?limit=1&order=newest")
        assert page["events"][0]["kind"] == "appeared"
        assert page["next"] is not None


async def test_an_anonymous_viewer_does_not_see_payloads(tmp_path: Path) -> None:
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=True, clock=time.monotonic)
    async with serving(tmp_path, login=login) as served:
        await send_values(served)
        async with served.web.post(await login.new_link()) as answer:
            assert answer.status == 200
        async with served.web.put(
            "/api/nodes/n/resources/led", data="s3cret", params={"timeout": "0.01"}
        ) as answer:
            assert answer.status == 504
        await served.until(0)
        page = await served.json("/api/history/commands")
        assert page["commands"][0]["payload"] == "s3cret"
        assert page["commands"][0]["who"].startswith("invitation:")
        served.web.cookie_jar.clear()
        for path in ("/api/history/commands", "/api/history/commands?uid=n&order=newest"):
            (command,) = (await served.json(path))["commands"]
            assert (command["resource"], command["state"]) == ("led", "timeout")
            assert command["payload"] is None
            assert command["who"] is None
            assert "s3cret" not in str(command)


async def test_the_state_at_a_past_time_is_returned(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await send_values(served)
        state = await served.json(f"/api/history/state?at={BASE + 1.5}")
        assert (state["ts"], state["next"]) == (BASE + 1.5, None)
        (node,) = state["nodes"]
        assert node["resources"] == [
            {"name": "temperature", "data": -0.1, "value": -0.1, "unit": "Cel", "ts": BASE + 1}
        ]
        now = await served.json("/api/history/state?at=-0s")
        assert now["was_recorded"] is True
        nodes = {node["uid"]: node for node in now["nodes"]}
        assert (nodes["n"]["state"], nodes["n"]["reason"]) == ("online", "")
        values = {its["name"]: its["data"] for its in nodes["n"]["resources"]}
        assert values["temperature"] == "hot"
        assert values["json"] == [1.5]
        found = []
        page = await served.json("/api/history/state?at=-0s&limit=2")
        while True:
            found += [
                (node["uid"], its["name"]) for node in page["nodes"] for its in node["resources"]
            ]
            if page["next"] is None:
                break
            page = await served.json(
                f"/api/history/state?at=-0s&limit=2&cursor={quote(page['next'])}"
            )
        assert found == [(uid, its["name"]) for uid in nodes for its in nodes[uid]["resources"]]
        problem = await served.json("/api/history/state?at=yesterday", 400)
        assert "is not a time" in problem["detail"]


async def test_without_history_requests_are_a_problem() -> None:
    async with serving() as served:
        for path in (
            HISTORY,
            "/api/export",
            "/api/history/events",
            "/api/history/commands",
            "/api/history/state?at=-1h",
        ):
            problem = await served.json(path, 404)
            assert problem["type"] == "/api/docs#problem-no-history"


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-11-25T10:00:00",
        "from=2026-02-30T10:00:00Z",
        "from=1960-01-01T00:00:00Z",
        "from=\N{ARABIC-INDIC DIGIT ONE}",
        "from=nan",
        "from=1e9",
        "from=-1w",
        "every=0",
        "every=60",
        "every=1.5&from=-1h",
        "agg=mean",
        "every=60&from=-1h&agg=median",
        "every=60&from=-1h&cursor=x",
        "cursor=x",
        "cursor=[1,2]",
        "limit=0",
        "limit=null",
        "every=null&from=-1h",
        "format=null",
        "from=null",
        f"limit={ROWS_MAX + 1}",
        "format=xml",
        "format=csv&limit=5",
        "format=csv&order=newest",
    ],
)
async def test_invalid_query_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as served:
        problem = await served.json(f"{HISTORY}?{query}", 400)
        assert problem["type"] == "/api/docs#problem-bad-request"
        assert problem["detail"]


@pytest.mark.parametrize("moment", ["1h", "yesterday", "2026-11-25T10:00:00", "2026-11-25"])
async def test_problem_of_an_invalid_time_lists_the_valid_forms(
    tmp_path: Path, moment: str
) -> None:
    async with serving(tmp_path) as served:
        for name in ("from", "to"):
            problem = await served.json(f"{HISTORY}?{name}={moment}", 400)
            assert problem["detail"].startswith(f"{name}: {moment!r} is not a time")
            assert "-1h" in problem["detail"]
            assert "regex" not in problem["detail"]


@pytest.mark.parametrize(
    "moment",
    ["-3h", "-180m", "-9999s", "-1d", "0", "2020-01-01T00:00:00Z", "2020-01-01T00:00%2B01:00"],
)
async def test_times_have_several_forms(tmp_path: Path, moment: str) -> None:
    async with serving(tmp_path) as served:
        await send_values(served)
        url = URL(f"{served.url}{HISTORY[1:]}?from={moment}", encoded=True)
        async with served.web.get(url) as answer:
            assert len((await answer.json())["readings"]) == 3


class Fake:
    """A history that a test needs for one result."""

    async def close(self) -> None: ...


class Endless(Fake):
    """An export that never ends, and records that it was closed."""

    def __init__(self) -> None:
        self.given_up = 0

    async def export(self, **_: object) -> AsyncIterator[Chunk]:
        try:
            while True:
                yield Chunk("n", "r", [ReadingRow(float(at), 1.0) for at in range(1000)])
                await asyncio.sleep(0)
        finally:
            self.given_up += 1


class Slow(Fake):
    """Queries that never end."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.given_up = asyncio.Event()

    async def readings(self, *_: object, **__: object) -> Any:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()


async def test_query_of_a_disconnected_client_is_cancelled() -> None:
    history = Slow()
    async with serving(history=history) as served:  # type: ignore[arg-type]
        requesting = asyncio.ensure_future(served.json(HISTORY))
        await history.started.wait()
        requesting.cancel()
        await history.given_up.wait()


def endless_where_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries for many readings of a history file never end."""

    def readings(
        db: sqlite3.Connection, _uid: str, _resource: str, span: Span, _cursor: str | None
    ) -> Page[ReadingRow]:
        if span.limit > 1000:
            counting = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
            db.execute(f"{counting} SELECT count(*) FROM c").fetchall()
        return Page([], None)

    monkeypatch.setattr(queries, "readings", readings)


async def test_wide_queries_of_one_client_do_not_delay_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless_where_wide(monkeypatch)
    async with serving(tmp_path) as served:

        async def status_of(query: str) -> int:
            async with served.web.get(f"{HISTORY}?{query}") as answer:
                await answer.read()
                return answer.status

        wide = [asyncio.ensure_future(status_of("from=0")) for _ in range(80)]
        # It gets its quota, is refused more, and blocks no reader that others need.
        await eventually(lambda: sum(task.done() for task in wide) >= 80 - WIDE_QUERIES_PER_CLIENT)
        assert {task.result() for task in wide if task.done()} == {503}
        assert sum(not task.done() for task in wide) == WIDE_QUERIES_PER_CLIENT
        async with time_limit(5.0):
            for _ in range(20):
                assert await status_of("limit=10") == 200
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=elsewhere) as other:
            answer = asyncio.ensure_future(other.get(f"{served.url}{HISTORY[1:]}?from=0"))
            await asyncio.sleep(0.5)
            assert not answer.done()
            monkeypatch.setattr(queries, "readings", lambda *_: Page([], None))
            again = asyncio.ensure_future(other.get(f"{served.url}{HISTORY[1:]}?from=0"))
            async with time_limit(5.0):
                assert (await again).status == 200
            answer.cancel()
        for task in wide:
            task.cancel()


async def test_a_disconnected_client_returns_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless_where_wide(monkeypatch)
    async with serving(tmp_path) as served:
        for _ in range(3):
            tasks = [
                asyncio.ensure_future(served.web.get(f"{HISTORY}?from=0"))
                for _ in range(WIDE_QUERIES_PER_CLIENT)
            ]
            done, _ = await asyncio.wait(tasks, timeout=0.3)
            assert not done
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(3 * DISCONNECT_CHECK_INTERVAL_S)


async def test_exports_at_once_are_limited_and_end_with_their_clients() -> None:
    history = Endless()
    async with serving(history=history) as served:  # type: ignore[arg-type]
        running = [await served.web.get("/api/export") for _ in range(EXPORTS_MAX)]
        problem = await served.json("/api/export", 503)
        assert problem["type"] == "/api/docs#problem-busy"
        for answer in running:
            answer.close()
        await eventually(lambda: history.given_up >= EXPORTS_MAX)
        async with served.web.get("/api/export") as answer:
            assert answer.status == 200
            answer.close()


async def test_exports_of_one_client_do_not_block_others() -> None:
    history = Endless()
    async with serving(history=history) as served:  # type: ignore[arg-type]
        running = [await served.web.get("/api/export") for _ in range(EXPORTS_MAX)]
        await served.json("/api/export", 503)
        others = []
        for host in range(2, 2 + EXPORTS_TOTAL_MAX // EXPORTS_MAX):
            connector = aiohttp.TCPConnector(local_addr=(f"127.0.0.{host}", 0))
            others.append(aiohttp.ClientSession(connector=connector))
        statuses = []
        for other in others:
            for _ in range(EXPORTS_MAX):
                answer = await other.get(f"{served.url}api/export")
                statuses.append(answer.status)
                running.append(answer)
        room = EXPORTS_TOTAL_MAX - EXPORTS_MAX
        assert statuses == [200] * room + [503] * (len(statuses) - room)
        for answer in running:
            answer.close()
        for other in others:
            await other.close()


@pytest.mark.parametrize("error", [StoreError("the disk is gone"), TooSlow("too slow")])
async def test_export_that_fails_midway_is_aborted(error: Exception) -> None:
    class Failing(Fake):
        async def export(self, **_: object) -> AsyncIterator[Chunk]:
            yield Chunk("n", "r", [ReadingRow(0.0, 1.0)])
            raise error

    async with (
        serving(history=Failing()) as served,  # type: ignore[arg-type]
        served.web.get("/api/export") as answer,
    ):
        assert answer.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await answer.text()


async def test_export_that_fails_at_once_is_a_problem() -> None:
    class Failing(Fake):
        async def export(self, **_: object) -> AsyncIterator[Chunk]:
            raise StoreError("the disk is gone")
            yield

    async with serving(history=Failing()) as served:  # type: ignore[arg-type]
        problem = await served.json("/api/export", 503)
        assert problem["detail"] == "the disk is gone"
