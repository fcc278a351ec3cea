# SPDX-License-Identifier: BSD-3-Clause
"""`aiot broker` on a registry that an earlier or a later version wrote: a file, and PostgreSQL."""

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from tests.history.postgres_server import running_server
from tests.programs import Program, Programs

pytestmark = pytest.mark.sockets

# Schema 1, as its version created it. Not made from `MIGRATIONS`: a change there must fail here.
FILE_1: Final = (
    """CREATE TABLE node (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE,
        protocol TEXT NOT NULL DEFAULT '', gateway TEXT NOT NULL DEFAULT '',
        first_seen REAL NOT NULL DEFAULT 0, last_seen REAL NOT NULL DEFAULT 0,
        boots INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
        last_values TEXT NOT NULL DEFAULT '[]',
        admission TEXT NOT NULL DEFAULT 'accepted', revision INTEGER NOT NULL DEFAULT 0,
        label TEXT NOT NULL DEFAULT '', room TEXT NOT NULL DEFAULT '',
        latitude REAL, longitude REAL, tags TEXT NOT NULL DEFAULT '[]',
        notes TEXT NOT NULL DEFAULT '', interval_s REAL NOT NULL DEFAULT 0,
        offline_after_s REAL NOT NULL DEFAULT 0)""",
    "PRAGMA application_id = 1097420370",
    "PRAGMA user_version = 1",
)
POSTGRES_1: Final = (
    "CREATE SCHEMA pyaiot_registry",
    "SET search_path = pyaiot_registry",
    "CREATE TABLE version (version integer NOT NULL)",
    "INSERT INTO version VALUES (1)",
    """CREATE TABLE node (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        uid text COLLATE "C" NOT NULL UNIQUE,
        protocol text NOT NULL DEFAULT '', gateway text NOT NULL DEFAULT '',
        first_seen float8 NOT NULL DEFAULT 0, last_seen float8 NOT NULL DEFAULT 0,
        boots bigint NOT NULL DEFAULT 0, reason text NOT NULL DEFAULT '',
        last_values text NOT NULL DEFAULT '[]',
        admission text NOT NULL DEFAULT 'accepted', revision bigint NOT NULL DEFAULT 0,
        label text NOT NULL DEFAULT '', room text NOT NULL DEFAULT '',
        latitude float8, longitude float8, tags text NOT NULL DEFAULT '[]',
        notes text NOT NULL DEFAULT '', interval_s float8 NOT NULL DEFAULT 0,
        offline_after_s float8 NOT NULL DEFAULT 0)""",
)
CONTENT: Final = (
    """INSERT INTO node (uid, protocol, gateway, first_seen, last_seen, boots, reason, last_values,
            revision, label, room, latitude, longitude, tags, notes, interval_s, offline_after_s)
        VALUES ('kept', 'CoAP', 'lab', 1795973700.5, 1795973750.5, 3, 'silent for 120 s',
            '[{"endpoint":"temperature","data":"24.7°C","ts":1795973750.5,"value":24.7,"unit":"Cel"}]',
            4, 'Desk lamp', 'Lab', 48.5, 2.25,
            '["desk","lamp"]', 'on the left', 900, 3600)""",
    "INSERT INTO node (uid, admission, revision) VALUES ('kept out', 'banned', 1)",
)
NEWER: Final = "version 99, was written by a newer Pyaiot"


@pytest.fixture(params=["file", "postgres"])
def location(request: pytest.FixtureRequest, programs: Programs) -> Iterator[str]:
    """A registry of schema 1, with two nodes."""
    if request.param == "file":
        path = programs.home / "registry.db"
        execute(str(path), (*FILE_1, *CONTENT))
        yield str(path)
        return
    with running_server() as server:
        execute(server.url, (*POSTGRES_1, *CONTENT))
        yield server.url


def execute(location: str, statements: Sequence[str]) -> None:
    async def on_server() -> None:
        db = await asyncpg.connect(location)
        for statement in statements:
            await db.execute(statement)
        await db.close()

    if location.startswith("postgresql:"):
        asyncio.run(on_server())
    else:
        with contextlib.closing(sqlite3.connect(location, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)


def start(programs: Programs, location: str) -> tuple[Program, str]:
    broker = programs.aiot(
        *("broker", "--port", "0", "--history", "off", "--registry", location),
        *("--key-file", programs.key_file()),
    )
    found = re.search(r"http://\S+/", broker.startup_text())
    assert found is not None
    return broker, found[0]


async def node_at(url: str, uid: str) -> dict[str, Any]:
    async with aiohttp.ClientSession(url) as web, web.get(f"/api/nodes/{uid}") as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
    return found


async def test_registry_of_the_first_version_is_migrated_read_edited_and_read_again(
    location: str, programs: Programs
) -> None:
    broker, url = await asyncio.to_thread(start, programs, location)
    kept = await node_at(url, "kept")
    assert {name: kept[name] for name in ("state", "label", "room", "tags", "notes")} == {
        "state": "offline",
        "label": "Desk lamp",
        "room": "Lab",
        "tags": ["desk", "lamp"],
        "notes": "on the left",
    }
    (temperature,) = kept["resources"]
    assert (temperature["name"], temperature["data"]) == ("temperature", "24.7°C")
    assert (await node_at(url, "kept out"))["state"] == "banned"
    async with (
        aiohttp.ClientSession(url) as web,
        web.patch("/api/nodes/kept", json={"label": "Lamp"}, headers={"If-Match": "*"}) as answer,
    ):
        assert answer.status == 200
    broker.kill()
    broker, url = await asyncio.to_thread(start, programs, location)
    again = await node_at(url, "kept")
    assert again == {**kept, "label": "Lamp", "revision": kept["revision"] + 1}
    assert not re.search("Traceback|WARNING|ERROR", broker.stderr)


async def test_registry_of_a_newer_version_is_reported_and_left_alone_and_the_rest_works(
    location: str, programs: Programs
) -> None:
    newer = (
        "INSERT INTO pyaiot_registry.version VALUES (99)"
        if location.startswith("postgresql:")
        else "PRAGMA user_version = 99"
    )
    await asyncio.to_thread(execute, location, [newer])
    broker, url = await asyncio.to_thread(start, programs, location)
    async with aiohttp.ClientSession(url) as web:
        async with web.get("/readyz") as answer:
            assert (answer.status, NEWER in await answer.text()) == (503, True)
        async with web.post("/api/nodes", json={"nodes": [{"uid": "n"}]}) as answer:
            assert (answer.status, NEWER in await answer.text()) == (503, True)
        async with web.get("/api/nodes") as answer:
            assert (answer.status, (await answer.json())["nodes"]) == (200, [])
    broker.kill()
    assert broker.stderr.count(NEWER) == 1
    assert "Traceback" not in broker.stderr
