# SPDX-License-Identifier: BSD-3-Clause
"""The examples that use the client of programs, run as in their READMEs."""

import asyncio
import re
import sys

import pytest

from tests.documents import ROOT
from tests.programs import Programs
from tests.web.serving import serving

pytestmark = pytest.mark.sockets


def words(url: str) -> tuple[str, str]:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    return host, port


async def test_notebook_runs_from_its_first_cell_to_its_last(
    programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with serving(tmp_path_factory.mktemp("history")) as served:
        served.gateway.otherwise = "confirmed"
        for count in range(3):
            served.gateway.send("n", "temperature", f"2{count}.0°C")
        served.gateway.send("n", "led", "0")
        await served.known("n")
        path = ROOT / "examples" / "python-notebook" / "temperatures.py"
        program = programs.start(sys.executable, path, *words(served.url))

        async def stored_readings() -> None:
            while True:
                served.gateway.send("n", "temperature", "25.0°C")
                await asyncio.sleep(0.05)

        speaking = asyncio.create_task(stored_readings())
        try:
            code = await asyncio.to_thread(program.exit_code, 20)
        finally:
            speaking.cancel()
        output = program.rest()
        assert (code, program.stderr) == (0, "")
        assert "Looking at n\n" + "25.0 Cel\n" * 5 in output
        assert re.search(r"\d+ readings, from 20\.0 to 25\.0\n", output)
        assert re.search(r"(?m)^\d{4}-.*\+00:00 [\d.]+ [\d.]+ [\d.]+$", output)
        assert re.search(r"led 1 confirmed \d+ ms\nled 0 confirmed \d+ ms\n$", output)
        assert [command.payload for command in served.gateway.commands] == ["1", "0"]


async def test_alert_reports_once_when_it_is_hot_and_when_it_is_normal_again(
    programs: Programs,
) -> None:
    async with serving() as served:
        served.gateway.send("n", "temperature", "31.0°C")
        await served.known("n")
        path = ROOT / "examples" / "python-alert" / "alert.py"
        program = programs.start(sys.executable, path, "30", *words(served.url))

        async def line() -> str:
            return await asyncio.to_thread(program.line)

        assert await line() == "Watching temperature above 30"
        assert await line() == "n is too hot: 31.0°C"
        for value in ("32.0°C", "29.8°C", "31.0°C", "broken", "29.4°C"):
            served.gateway.send("n", "temperature", value)
        assert await line() == "n is normal again: 29.4°C"
        assert program.stderr == ""
