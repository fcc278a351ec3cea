# SPDX-License-Identifier: BSD-3-Clause
"""`aiot broker` with a registry file that it cannot use, and one that it reads after a kill."""

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.programs import Program, Programs

pytestmark = pytest.mark.sockets


def start(programs: Programs, path: Path) -> tuple[Program, str]:
    broker = programs.aiot(
        *("broker", "--port", "0", "--history", "off", "--registry", path),
        *("--key-file", programs.key_file()),
    )
    found = re.search(r"http://\S+/", broker.startup_text())
    assert found is not None
    return broker, found[0]


async def test_damaged_file_is_reported_once_and_a_new_one_is_used_without_a_restart(
    programs: Programs,
) -> None:
    path = programs.home / "registry.db"
    path.write_bytes(b"no database" * 1000)
    broker, url = await asyncio.to_thread(start, programs, path)
    sentence = f"{path}: the file is damaged: move it away, and a new one is created"
    async with aiohttp.ClientSession(url) as web:
        async with web.get("/readyz") as answer:
            assert (answer.status, sentence in await answer.text()) == (503, True)
        registration: dict[str, Any] = {"nodes": [{"uid": "n", "label": "Lamp"}]}
        async with web.post("/api/nodes", json=registration) as answer:
            assert (answer.status, sentence in await answer.text()) == (503, True)
        path.rename(path.with_name("moved"))
        ready = 503
        while ready != 200:
            await asyncio.sleep(0.05)
            async with web.get("/readyz") as answer:
                ready = answer.status
        async with web.post("/api/nodes", json=registration) as answer:
            assert answer.status == 200
    assert broker.stderr.count(sentence) == 1
    broker.kill()
    _, url = await asyncio.to_thread(start, programs, path)
    async with aiohttp.ClientSession(url) as web, web.get("/api/nodes/n") as answer:
        node = await answer.json()
    assert (node["label"], node["state"]) == ("Lamp", "offline")
