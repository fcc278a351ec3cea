# SPDX-License-Identifier: BSD-3-Clause
"""The npm package `coap`: its client posts as a node does, its server is a node."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from scripts import javascript
from tests.coap_device import coap_device, own_address
from tests.interop.conftest import output
from tests.running import scene

pytestmark = pytest.mark.sockets

FOLDER: Final = Path(__file__).parent / "js"


def words(script: str) -> list[str]:
    """What starts a script, up to its own arguments."""
    node, packages = javascript.command("node"), javascript.packages(FOLDER)
    if node is None or packages is None:
        pytest.skip(
            "the npm package coap is not installed (scripts/node --packages tests/interop/js)"
        )
    return [*node, str(FOLDER / script), str(packages)]


@contextlib.asynccontextmanager
async def node_at(host: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A node; each byte on its standard input makes its light change."""
    process = await asyncio.create_subprocess_exec(
        *words("coap_node.cjs"),
        host,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"listening\n"
        yield process
    finally:
        process.kill()
        await process.communicate()


async def test_client_posts_as_a_node_does() -> None:
    client = words("coap_client.cjs")
    async with scene() as it:
        output_text = await output(
            *client,
            str(it.running.coap_port),
            *("POST", "/alive", "alive:NPM"),
            *("POST", "/server", "temperature:23.5°C"),
            *("POST", "/server", "ip:1"),
            *("POST", "/server", "text:" + "x" * 3000),  # in blocks
            *("GET", "/rd-lookup/ep", ""),
        )
        codes = [line[:4] for line in output_text.splitlines()]
        assert codes == ["2.04", "2.04", "4.03", "2.04", "2.05"]
        await it.client.shows("NPM", ip="127.0.0.1", temperature="23.5°C", text="x" * 3000)


async def test_client_finds_the_resource_directory() -> None:
    async with scene() as it:
        requested = ("GET", "/.well-known/core", "")
        found = await output(*words("coap_client.cjs"), str(it.running.coap_port), *requested)
        assert "</rd>;rt=" in found


async def test_server_is_observed_read_in_blocks_and_written() -> None:
    host = own_address()
    async with (
        scene() as it,
        node_at(host) as process,
        coap_device(it.running.coap_port, at_coap_port=False, host=host) as voice,
    ):
        await voice.post("alive", "alive:JS")
        await it.client.shows("JS", light="0 lx", led="0", long="0123456789" * 500)
        assert process.stdin is not None
        for number in (1, 2, 3):
            process.stdin.write(b"x")
            await process.stdin.drain()
            await it.client.shows("JS", light=f"{number} lx")
        assert (await it.client.write("JS", "led", "1"))["state"] == "confirmed"
        await it.client.shows("JS", led="1")
