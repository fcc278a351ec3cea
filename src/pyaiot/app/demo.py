# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of `aiot demo`: simulated nodes of each protocol, the same ones at each start."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from pyaiot.app.protocols import plugins
from pyaiot.errors import LinkLost, OperatorError, reason_of
from pyaiot.gateways.plugin import DemoNode, Plugin
from pyaiot.messages import SUBPROTOCOL, Join, NodeAppeared, decode_to_client, encode

DEMO_START_LIMIT_S: Final = 15.0
"""How long the demo waits for its first node. After that it ends with an `OperatorError`."""
_PERIOD_S: Final = 2.0
_SEED: Final = 5683
"""Seed of the random uids: they are the same at each start."""


def demo_kinds() -> list[tuple[Plugin, DemoNode]]:
    """The nodes of the demo with their protocols, in the order in which they start."""
    kinds = [(plugin, node) for plugin in plugins() for node in plugin.demo]
    return sorted(kinds, key=lambda kind: kind[1].position)


def demo_nodes(
    count: int, ports: Mapping[str, int]
) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """`count` nodes: the name of each, and the coroutine that runs it. `ports`: the ports of the
    gateways, by protocol. If `count` is higher than the number of `demo_kinds`, they are
    repeated."""
    kinds = demo_kinds()
    rng = random.Random(_SEED)  # noqa: S311 - uids of a demo are not secret
    for index in range(count):
        plugin, kind = kinds[index % len(kinds)]
        node = plugin.node
        assert node is not None  # noqa: S101 - a protocol with demo nodes simulates them
        settings: dict[str, Any] = dict.fromkeys(kind.resources, True)
        settings |= {
            "uid": f"{rng.getrandbits(60):015X}",
            "name": kind.name,
            "period_s": _PERIOD_S,
            node.port_setting: ports[plugin.protocol],
            **node.demo_settings(),
            **kind.settings,
        }
        yield kind.name, node.run(node.config()(**settings), opened=lambda: None)


async def first_node_visible(session: aiohttp.ClientSession, url: str) -> None:
    """Wait, as a client of the broker, until a node appears. Raises `OperatorError`, `LinkLost`."""
    try:
        async with (
            asyncio.timeout(DEMO_START_LIMIT_S),
            session.ws_connect(url + "ws", protocols=(SUBPROTOCOL,)) as socket,
        ):
            await socket.send_str(encode(Join(data="client")).decode())
            async for frame in socket:
                if any(isinstance(item, NodeAppeared) for item in decode_to_client(frame.data)):
                    return
    except TimeoutError as error:
        raise OperatorError(
            f"No simulated node appeared within {DEMO_START_LIMIT_S:.0f} s: check whether a"
            " firewall filters UDP on the loopback interface."
        ) from error
    raise LinkLost("the broker stopped")


@asynccontextmanager
async def temporary_folder() -> AsyncIterator[Path]:
    """A folder that is deleted at the end of the block. Raises `OperatorError`."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="pyaiot-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OperatorError(f"Cannot create a temporary folder: {reason_of(error)}.") from error
    with folder as name:
        yield Path(name)
