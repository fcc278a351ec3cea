# SPDX-License-Identifier: BSD-3-Clause
"""Our services in the process of the test, on real sockets, built as the commands build them."""

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyaiot import services
from pyaiot.broker.keys import Keys, generate_keys, write_keys
from pyaiot.config import (
    BrokerSection,
    CoapSection,
    Config,
    HistorySection,
    MqttSection,
    MqttsnSection,
    WebsocketSection,
)
from tests.clients import Broker, Client
from tests.coap_device import CoapDevice, coap_device


@dataclass(frozen=True)
class Running:
    """Where a service can be reached."""

    url: str
    """Of the page: `http://host:port/`."""
    coap_port: int
    ws_port: int
    mqtt_port: int
    mqttsn_port: int


def new_key_file(folder: Path) -> tuple[Path, Keys]:
    keys = generate_keys()
    path = folder / "keys"
    write_keys(path, keys)
    return path, keys


@contextlib.asynccontextmanager
async def running_broker(key_file: Path) -> AsyncIterator[Running]:
    """What `aiot broker` runs."""
    config = Config(
        broker=BrokerSection(port=0, key_file=str(key_file)),
        history=HistorySection(store=str(key_file.parent / "history.db")),
    )
    async with _running(services.run_broker, config) as running:
        yield running


@contextlib.asynccontextmanager
async def running_everything(
    *, coap_host: str = "127.0.0.1", coap: CoapSection | None = None
) -> AsyncIterator[Running]:
    """What `aiot run` runs. `coap`: other settings of the CoAP gateway."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            broker=BrokerSection(port=0),
            coap=coap or CoapSection(port=0, host=coap_host),
            websocket=WebsocketSection(port=0),
            mqtt=MqttSection(port=0, folder=folder),
            mqttsn=MqttsnSection(port=0),
            history=HistorySection(store=f"{folder}/history.db"),
        )
        async with _running(services.run_all, config) as running:
            yield running


@contextlib.asynccontextmanager
async def _running(
    run: Callable[[Config, Callable[[str], None]], Awaitable[None]], config: Config
) -> AsyncIterator[Running]:
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    service = asyncio.ensure_future(run(config, said.set_result))
    either: set[asyncio.Future[Any]] = {said, service}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if service.done():
            await service
        sentence = said.result()
        url = re.search(r"http://\S+/", sentence)
        assert url is not None
        ports = [
            re.search(rf"{protocol}: \w+ port (\d+)", sentence)
            for protocol in ("CoAP", "WebSocket", "MQTT", "MQTT-SN")
        ]
        yield Running(url[0], *(int(port[1]) if port else 0 for port in ports))
    finally:
        service.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await service


@dataclass(frozen=True)
class Scene:
    """A device, a client that watches, and our services between them."""

    running: Running
    broker: Broker
    client: Client
    device: CoapDevice


@contextlib.asynccontextmanager
async def scene(
    *, at_coap_port: bool = True, coap: CoapSection | None = None
) -> AsyncIterator[Scene]:
    """`aiot run` with one device at its CoAP side and one client at its web side."""
    async with (
        running_everything(coap=coap) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        coap_device(running.coap_port, at_coap_port=at_coap_port) as device,
    ):
        yield Scene(running, broker, client, device)
