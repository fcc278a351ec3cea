# SPDX-License-Identifier: BSD-3-Clause
"""Our services in the process of the test, on real sockets, built as the commands build them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pyaiot import services
from pyaiot.broker.keys import Keys, generate_keys, write_keys
from pyaiot.config import BrokerSection, CoapSection, Config


@dataclass(frozen=True)
class Running:
    """Where a service can be reached."""

    url: str
    """Of the page: `http://host:port/`."""
    coap_port: int


def new_key_file(folder: Path) -> tuple[Path, Keys]:
    keys = generate_keys()
    path = folder / "keys"
    write_keys(path, keys)
    return path, keys


@contextlib.asynccontextmanager
async def running_broker(key_file: Path) -> AsyncIterator[Running]:
    """What `aiot broker` runs."""
    config = Config(broker=BrokerSection(port=0, key_file=str(key_file)))
    async with _running(services.run_broker, config) as running:
        yield running


@contextlib.asynccontextmanager
async def running_everything(*, silence_limit_s: float = 120.0) -> AsyncIterator[Running]:
    """What `aiot run` runs."""
    config = Config(
        broker=BrokerSection(port=0),
        coap=CoapSection(port=0, silence_limit_s=silence_limit_s),
    )
    async with _running(services.run_all, config) as running:
        yield running


@contextlib.asynccontextmanager
async def _running(
    run: Callable[[Config, Callable[[str], None]], Awaitable[None]], config: Config
) -> AsyncIterator[Running]:
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:

        async def service() -> None:
            await run(config, said.set_result)

        task = tasks.create_task(service())
        try:
            sentence = await said
            url = re.search(r"http://\S+/", sentence)
            assert url is not None
            port = re.search(r"UDP port (\d+)", sentence)
            yield Running(url[0], int(port[1]) if port else 0)
        finally:
            task.cancel()
