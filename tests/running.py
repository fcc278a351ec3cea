# SPDX-License-Identifier: BSD-3-Clause
"""Services in the process of the test, on real sockets, built as the commands build them."""

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pyaiot.app import services
from pyaiot.broker.keys import Keys, generate_keys, write_keys
from pyaiot.config import (
    BrokerSection,
    Config,
    DevicesSection,
    GatewaySection,
    HistorySection,
    RegistrySection,
)
from pyaiot.gateways.coap.plugin import PLUGIN as COAP
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqttsn.settings import MqttsnSection
from pyaiot.gateways.websocket.settings import WebsocketSection
from tests.clients import Broker, Client
from tests.coap_device import CoapDevice, coap_device


@dataclass(frozen=True)
class Running:
    """Where a service can be reached."""

    url: str
    """Of the page: `http://host:port/`; of a gateway alone, nothing."""
    coap_port: int
    ws_port: int
    mqtt_port: int
    mqttsn_port: int
    coaps_port: int = 0
    """0: no device has a key."""


def new_key_file(folder: Path) -> tuple[Path, Keys]:
    keys = generate_keys()
    path = folder / "keys"
    write_keys(path, keys)
    return path, keys


@contextlib.asynccontextmanager
async def running_broker(key_file: Path) -> AsyncIterator[Running]:
    """The services of `aiot broker`."""
    config = Config(
        broker=BrokerSection(port=0, key_file=str(key_file)),
        history=HistorySection(store=str(key_file.parent / "history.db")),
    )
    async with _running(services.run_broker, config) as running:
        yield running


@contextlib.asynccontextmanager
async def running_coap(
    *,
    coap_host: str = "127.0.0.1",
    coap: CoapSection | None = None,
    devices: Path | None = None,
) -> AsyncIterator[Running]:
    """The services of `aiot broker` and `aiot coap-gateway`, which start faster than `aiot run`.

    `devices`: the file with the credentials of devices; None: there are none.
    """
    with tempfile.TemporaryDirectory() as folder:
        key_file = str(new_key_file(Path(folder))[0])
        web = Config(
            broker=BrokerSection(port=0, key_file=key_file),
            history=HistorySection(store="off"),
        )
        async with _running(services.run_broker, web) as broker:
            port = int(broker.url.rstrip("/").rpartition(":")[2])
            config = Config(
                protocols=(coap or CoapSection(port=0, coaps_port=0, host=coap_host),),
                gateway=GatewaySection(
                    broker_host="127.0.0.1", broker_port=port, key_file=key_file
                ),
                devices=DevicesSection(file="off" if devices is None else str(devices)),
            )
            async with _running(partial(services.run_gateway, COAP), config) as gateway:
                yield replace(gateway, url=broker.url)


@contextlib.asynccontextmanager
async def running_everything(
    devices: Path | None = None, *, registry: Path | None = None
) -> AsyncIterator[Running]:
    """What `aiot run` runs. `devices`: the file with the credentials of devices; None: none.
    `registry`: its file; None: it is that of the home folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            broker=BrokerSection(port=0),
            history=HistorySection(store=f"{folder}/history.db"),
            devices=DevicesSection(file="off" if devices is None else str(devices)),
            registry=RegistrySection(store="" if registry is None else str(registry)),
            protocols=(
                CoapSection(port=0, coaps_port=0),
                WebsocketSection(port=0),
                MqttSection(port=0, folder=folder),
                MqttsnSection(port=0),
            ),
        )
        async with _running(services.run_all, config) as running:
            yield running


@contextlib.asynccontextmanager
async def _running(
    run: Callable[[Config, Callable[[str], None]], Awaitable[None]], config: Config
) -> AsyncIterator[Running]:
    printed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    service = asyncio.ensure_future(run(config, printed.set_result))
    either: set[asyncio.Future[Any]] = {printed, service}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if service.done():
            await service
        sentence = printed.result()
        url = re.search(r"http://\S+/", sentence)
        coap, websocket, mqtt, mqttsn = (
            int(port[1]) if port else 0
            for port in (
                re.search(rf"{protocol}(?: gateway)?: \w+ port (\d+)", sentence)
                for protocol in ("CoAP", "WebSocket", "MQTT", "MQTT-SN")
            )
        )
        secured = re.search(r"secured on UDP port (\d+)", sentence)
        coaps = int(secured[1]) if secured else 0
        yield Running(url[0] if url else "", coap, websocket, mqtt, mqttsn, coaps)
    finally:
        service.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await service


@dataclass(frozen=True)
class Scene:
    """A device, a client that watches, and the services between them."""

    running: Running
    broker: Broker
    client: Client
    device: CoapDevice


@contextlib.asynccontextmanager
async def scene(
    *, at_coap_port: bool = True, coap: CoapSection | None = None, everything: bool = False
) -> AsyncIterator[Scene]:
    """One device at a CoAP gateway and one client at the broker.

    `everything`: start all gateways, as `aiot run` does, instead of the CoAP gateway only.
    """
    async with (
        running_everything() if everything else running_coap(coap=coap) as running,
        Broker(running.url) as broker,
        broker.client() as client,
        coap_device(running.coap_port, at_coap_port=at_coap_port) as device,
    ):
        yield Scene(running, broker, client, device)
