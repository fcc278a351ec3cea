# SPDX-License-Identifier: BSD-3-Clause
"""`aiot node type` and `aiot set` against a running broker."""

import asyncio
from pathlib import Path

import pytest
from yarl import URL

from pyaiot.messages import NodeAppeared, NodeDescribed
from pyaiot.model import ResourceType
from tests.programs import Programs
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

SPEED = ResourceType(kind="number", unit="/100", minimum=0, maximum=100, writable=True)


async def aiot(programs: Programs, served: Served, *words: str) -> tuple[int, str, str]:
    port = str(URL(served.url).port)
    ended = await asyncio.to_thread(programs.run, *words, "--broker-port", port)
    return ended.returncode, ended.stdout, ended.stderr


async def test_a_type_is_shown_set_and_cleared(programs: Programs, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.gateway.link.send(NodeAppeared(uid="n"))
        served.gateway.send("n", "led", "0")
        served.gateway.link.send(NodeDescribed(uid="n", types={"speed": SPEED}))
        await served.known("n")
        registry = served.broker.router.registry
        await eventually(lambda: "speed" in registry.records["n"].described)

        async def node_type(*words: str) -> tuple[int, str]:
            code, output, error = await aiot(programs, served, "node", "type", "n", *words)
            return code, (output or error).strip()

        assert await node_type("speed") == (
            0,
            "speed: number from 0 to 100 /100, writable (from metadata of the device)",
        )
        assert await node_type("led", "--on", "an", "--off", "aus", "--label", "Lamp") == (
            0,
            "led (Lamp): boolean, an or aus, writable, light (set by people)",
        )
        assert await node_type("mode", "--choices", "auto, heat", "--read-only") == (
            0,
            "mode: enum, one of auto heat, read-only (set by people)",
        )
        assert await node_type("led", "--clear") == (
            0,
            "led: boolean, 1 or 0, writable, light (from its name and value)",
        )
        assert await node_type("nothing") == (1, "aiot: n has no resource nothing.")
        for words, sentence in (
            (("--min", "2", "--max", "1"), "The minimum is greater than the maximum."),
            (("--kind", "sound"), "--kind must be number, boolean, enum, text, command, colour,"),
            (("--precision", "10"), "--precision must be at most 9."),
            (("--writable", "--read-only"), "--writable cannot be combined with --read-only."),
            (("--clear", "--unit", "V"), "--clear cannot be combined with fields to set."),
        ):
            code, error = await node_type("led", *words)
            assert code == 2
            assert sentence in " ".join(error.split())
        code, _, error = await aiot(programs, served, "set", "n", "speed", "101")
        assert (code, error.strip()) == (
            1,
            "aiot: refused: it takes a number from 0 to 100 /100",
        )
