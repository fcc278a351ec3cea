# SPDX-License-Identifier: BSD-3-Clause
"""The history end to end: it survives a restart, it can be off, and its problems are reported."""

import json
import re
import signal
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.clients import Broker
from tests.coap_device import Reply, coap_device
from tests.programs import ANY_PORTS, Program, Programs

pytestmark = pytest.mark.sockets


def start(programs: Programs, *flags: str | Path) -> tuple[Program, str, int]:
    """`aiot run`, its URL and its CoAP port."""
    program = programs.aiot("run", *ANY_PORTS, *flags)
    sentence = program.startup_text()
    url, port = re.search(r"http://\S+/", sentence), re.search(r"UDP port (\d+)", sentence)
    assert url is not None
    assert port is not None
    return program, url[0], int(port[1])


async def readyz(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as web, web.get(url + "readyz") as answer:
        parts: dict[str, Any] = json.loads(await answer.text())["parts"]
        return answer.status, parts


def rows(path: Path, query: str) -> list[Any]:
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def ended(program: Program) -> None:
    program.send(signal.SIGTERM)
    assert program.exit_code(5.0) == 0
    assert "Traceback" not in program.stderr


async def test_readings_and_commands_are_in_the_history_after_a_restart(programs: Programs) -> None:
    path = programs.home / ".local" / "share" / "pyaiot" / "history.db"
    for turn in range(2):
        program, url, port = start(programs)
        async with (
            Broker(url) as broker,
            broker.client() as client,
            coap_device(port) as device,
        ):
            device.has({"led": "0"})
            device.replies[Code.PUT, "led"] = Reply(Code.CHANGED)
            await device.post("alive", "alive:board")
            await device.post("server", f"temperature:2{turn}.5°C")
            await client.shows("board", temperature=f"2{turn}.5°C", led="0")
            receipt = await client.write("board", "led", "1")
            assert receipt["state"] == "confirmed"
            assert (await readyz(url))[1]["history"] == "ok"
        ended(program)
    temperature = rows(
        path,
        "SELECT value, name FROM reading r JOIN series s ON s.id = series"
        " JOIN unit u ON u.id = unit WHERE resource = 'temperature' ORDER BY at",
    )
    assert temperature == [(20.5, "Cel"), (21.5, "Cel")]
    commands = rows(path, "SELECT uid, resource, payload, state FROM command")
    assert commands == [("board", "led", "1", "confirmed")] * 2
    kinds = [kind for (kind,) in rows(path, "SELECT kind FROM event WHERE uid = '' ORDER BY id")]
    assert kinds.count("started") == kinds.count("stopped") == 2
    assert path.stat().st_mode & 0o077 == 0


async def test_history_can_be_off(programs: Programs) -> None:
    program, url, _ = start(programs, "--history", "off")
    status, parts = await readyz(url)
    assert (status, "history" in parts) == (200, False)
    ended(program)
    assert not list(programs.home.rglob("history.db*"))


async def test_a_damaged_history_is_reported_and_everything_else_continues(
    programs: Programs,
) -> None:
    path = programs.home / "mine.db"
    path.write_bytes(b"no database at all, but as long as one. " * 100)
    program, url, port = start(programs, "--history", path)
    async with Broker(url) as broker, broker.client() as client, coap_device(port) as device:
        await device.post("alive", "alive:board")
        await device.post("server", "temperature:20.5°C")
        await client.shows("board", temperature="20.5°C")
        status, parts = await readyz(url)
        assert status == 503
        assert "move it away" in parts["history"]
    ended(program)


async def test_two_cannot_write_one_history(programs: Programs) -> None:
    path = programs.home / "mine.db"
    first, _, _ = start(programs, "--history", path)
    second = programs.run(
        "broker", "--port", "0", "--key-file", programs.key_file(), "--history", path
    )
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith(f"aiot: The history {path} is being written")
    assert "Traceback" not in second.stderr
    ended(first)


async def test_an_invalid_location_is_reported_at_start(programs: Programs) -> None:
    for place, words in (
        ("mysql://x/y", "cannot be stored in mysql"),
        ("/proc/x/y.db", "cannot be written"),
    ):
        result = programs.run("run", *ANY_PORTS, "--history", place)
        assert result.returncode == 2, result.stderr
        assert words in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.stderr


async def test_the_demo_leaves_no_history_behind(programs: Programs) -> None:
    temporary = programs.home / "tmp"
    temporary.mkdir()
    program = programs.aiot("demo", *ANY_PORTS, TMPDIR=str(temporary))
    program.line()
    assert list(temporary.rglob("history.db"))
    ended(program)
    assert not list(programs.home.rglob("history.db*"))
