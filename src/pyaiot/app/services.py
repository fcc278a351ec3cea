# SPDX-License-Identifier: BSD-3-Clause
"""Builds the real objects from a config and runs them: one function for each command."""

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from pyaiot.app.broker_web import PrintLine, check_web, serve_metrics, serve_web
from pyaiot.app.demo import demo_nodes, first_node_visible
from pyaiot.app.protocols import (
    GATEWAYS,
    MQTT_GATEWAYS,
    MqttBroker,
    OpenGateway,
    mqtt_broker,
    named_mqtt_broker,
    open_coap_gateway,
    open_mqtt_gateway,
    open_mqttsn_gateway,
    open_websocket_gateway,
)
from pyaiot.broker.broker import Broker
from pyaiot.broker.keys import Keys, TokenCheck, generate_keys, load_keys, mint_token
from pyaiot.broker.used_tokens import UsedTokensFile
from pyaiot.config import (
    KEY_FILE,
    BrokerSection,
    Config,
    GatewaySection,
    HistorySection,
    data_folder,
)
from pyaiot.devices import coap_node, mqttsn_node, websocket_node
from pyaiot.devices.coap_node import CoapNodeConfig
from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.simulated_mqttsn_node import MqttSnNodeConfig
from pyaiot.devices.websocket_node import WebSocketNodeConfig
from pyaiot.errors import LinkLost, OperatorError, reason_of
from pyaiot.fleet.config import FleetConfig
from pyaiot.gateways.gateway import Connect, GatewayLink
from pyaiot.links import MemoryLink, connect_gateway
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.resolver import open_http_session
from pyaiot.web.metrics_endpoint import Metrics
from pyaiot.web.readiness import Check

if TYPE_CHECKING:
    from pyaiot.history.service import HistoryService

log = logging.getLogger(__name__)


async def run_broker(config: Config, say: PrintLine) -> None:
    """`aiot broker`: the broker alone. Gateways come over WebSocket."""
    check_web(config.broker)
    tokens = _tokens(load_keys(_path(config.broker.key_file)))
    keeping = _keeping(config.history, data_folder(os.environ))
    broker = _broker(config.broker, keeping)
    async with (
        serve_web(config, broker, tokens, _checks((), keeping), say, keeping, ()) as url,
        _running(keeping),
    ):
        say(f"Broker: {url}  (Ctrl+C ends it)")
        await asyncio.Future()


async def run_coap_gateway(config: Config, say: PrintLine) -> None:
    """`aiot coap-gateway`: the CoAP gateway alone, linked to a broker over WebSocket."""
    await _run_gateway(open_coap_gateway, config, say)


async def run_ws_gateway(config: Config, say: PrintLine) -> None:
    """`aiot ws-gateway`: the WebSocket gateway alone, linked to a broker over WebSocket."""
    await _run_gateway(open_websocket_gateway, config, say)


async def run_mqtt_gateway(config: Config, say: PrintLine) -> None:
    """`aiot mqtt-gateway`: the MQTT gateway alone, linked to a broker over WebSocket."""

    async def open_gateway(config: Config) -> OpenGateway:
        return await open_mqtt_gateway(config, named_mqtt_broker(config.mqtt))

    await _run_gateway(open_gateway, config, say)


async def run_mqttsn_gateway(config: Config, say: PrintLine) -> None:
    """`aiot mqttsn-gateway`: the MQTT-SN gateway alone, between its clients and an MQTT broker."""

    async def no_broker() -> GatewayLink:
        raise LinkLost("an MQTT-SN gateway has no link")

    mqtt = named_mqtt_broker(config.mqtt)
    gateway = await open_mqttsn_gateway(config, mqtt)
    async with serve_metrics(config, Metrics([gateway.measure]), say):
        say(
            f"MQTT-SN gateway: {gateway.door}, for the MQTT broker {mqtt.server.host} port"
            f" {mqtt.server.port}  (Ctrl+C ends it)"
        )
        await gateway.run(no_broker)


async def run_all(config: Config, say: PrintLine) -> None:
    """`aiot run`: broker and gateways in one process, over links in memory."""
    check_web(config.broker)
    tokens = _optional_tokens(config.broker)
    keeping = _keeping(config.history, data_folder(os.environ))
    broker = _broker(config.broker, keeping)
    async with mqtt_broker(config) as mqtt, asyncio.TaskGroup() as tasks:
        connect = _connect_in_memory(broker, tasks)
        gateways = await _start_gateways(config, mqtt, connect, tasks)
        async with (
            serve_web(
                config, broker, tokens, _checks(gateways, keeping), say, keeping, gateways
            ) as url,
            _running(keeping),
        ):
            doors = "".join(f"  {gateway.protocol}: {gateway.door}\n" for gateway in gateways)
            say(f"Pyaiot: {url}\n{doors}(Ctrl+C ends it)")
            await asyncio.Future()


async def run_demo(
    config: Config, node_count: int, say: PrintLine, *, opened: PrintLine = lambda _url: None
) -> None:
    """`aiot demo`: everything and some simulated nodes, each over its real sockets.

    `opened` is told the URL of the page before any node is there.
    """
    if not is_loopback(config.broker.host) or config.broker.behind_proxy:
        raise OperatorError(
            "The demo is for this machine alone: to be seen from others, use aiot run and"
            " aiot node coap."
        )
    async with _temporary_folder() as folder:
        await _run_demo(config, node_count, folder, say, opened)


async def _run_demo(
    config: Config, node_count: int, folder: Path, say: PrintLine, opened: PrintLine
) -> None:
    keys = generate_keys()
    config = msgspec.structs.replace(
        config,
        coap=msgspec.structs.replace(config.coap, state_file="off"),
        mqttsn=msgspec.structs.replace(config.mqttsn, state_file="off"),
    )
    keeping = _keeping(config.history, folder)
    broker = _broker(config.broker, keeping)
    checks: dict[str, Check] = {}
    gateways: list[OpenGateway] = []
    async with (
        serve_web(
            config, broker, TokenCheck(keys, time.time), checks, say, keeping, gateways
        ) as url,
        _running(keeping),
        mqtt_broker(config, folder=folder) as mqtt,
        open_http_session() as session,
        asyncio.TaskGroup() as tasks,
    ):
        opened(url)
        host, port = _host_and_port(url)
        section = GatewaySection(broker_host=host, broker_port=port)
        connect = _connect_by_websocket(session, section, lambda: keys)
        gateways += await _start_gateways(config, mqtt, connect, tasks)
        checks |= _checks(gateways, keeping)
        ports = {gateway.protocol: gateway.port for gateway in gateways}
        for name, node in demo_nodes(node_count, ports):
            tasks.create_task(node, name=f"node {name}")
        await first_node_visible(session, url)
        say(f"Pyaiot shows {node_count} simulated nodes at {url}  (Ctrl+C ends it)")


async def run_coap_node(config: CoapNodeConfig, say: PrintLine) -> None:
    """`aiot node coap`: one simulated node."""
    sentence = (
        f"Node {config.name or config.uid} speaks CoAP to"
        f" {config.gateway_host} port {config.gateway_port}  (Ctrl+C ends it)"
    )
    await coap_node.run_coap_node(config, opened=lambda: say(sentence))


async def run_websocket_node(config: WebSocketNodeConfig, say: PrintLine) -> None:
    """`aiot node ws`: one simulated node."""
    sentence = (
        f"Node {config.name or config.uid} speaks WebSocket to"
        f" {config.gateway_host} port {config.gateway_port}  (Ctrl+C ends it)"
    )
    await websocket_node.run_websocket_node(config, opened=lambda: say(sentence))


async def run_mqtt_node(config: MqttNodeConfig, say: PrintLine) -> None:
    """`aiot node mqtt`: one simulated node."""
    # Who runs without MQTT pays nothing for it.
    from pyaiot.devices import mqtt_node  # noqa: PLC0415

    sentence = (
        f"Node {config.name or config.uid} speaks MQTT to the MQTT broker at"
        f" {config.mqtt_host} port {config.mqtt_port}  (Ctrl+C ends it)"
    )
    await mqtt_node.run_mqtt_node(config, opened=lambda: say(sentence))


async def run_mqttsn_node(config: MqttSnNodeConfig, say: PrintLine) -> None:
    """`aiot node mqttsn`: one simulated node."""
    sentence = (
        f"Node {config.name or config.uid} speaks MQTT-SN to"
        f" {config.gateway_host} port {config.gateway_port}  (Ctrl+C ends it)"
    )
    await mqttsn_node.run_mqttsn_node(config, opened=lambda: say(sentence))


async def run_fleet(config: FleetConfig, say: PrintLine, tell: PrintLine) -> int:
    """`aiot fleet`: many virtual nodes and a ledger. Returns the exit code.

    `tell` gets a line on how it goes, every second.
    """
    from pyaiot.fleet.fleet import Fleet  # noqa: PLC0415 - services do without it
    from pyaiot.fleet.report import as_json, table  # noqa: PLC0415

    report = await Fleet(config, tell).run()
    if config.json:
        say(msgspec.json.format(msgspec.json.encode(as_json(report))).decode())
    else:
        say(table(report))
    return report.exit_code


# -- gateways -----------------------------------------------------------------------------------


async def _run_gateway(
    open_gateway: Callable[[Config], Awaitable[OpenGateway]], config: Config, say: PrintLine
) -> None:
    """One gateway in this process, and the broker in another."""
    key_file = _path(config.gateway.key_file)
    # What is wrong with it now, the operator is told; what is later, the log.
    load_keys(key_file)
    gateway = await open_gateway(config)
    async with (
        serve_metrics(config, Metrics([gateway.measure]), say),
        open_http_session() as session,
    ):
        say(f"{gateway.protocol} gateway: {gateway.door}  (Ctrl+C ends it)")
        await gateway.run(
            _connect_by_websocket(session, config.gateway, lambda: load_keys(key_file))
        )


async def _start_gateways(
    config: Config, mqtt: MqttBroker, connect: Connect, tasks: asyncio.TaskGroup
) -> list[OpenGateway]:
    """All of them, as tasks. Raises `OperatorError`."""
    openers: list[Callable[[Config], Awaitable[OpenGateway]]] = [
        *GATEWAYS,
        *(partial(open_gateway, broker=mqtt) for open_gateway in MQTT_GATEWAYS),
    ]
    gateways = []
    for open_gateway in openers:
        gateway = await open_gateway(config)
        tasks.create_task(gateway.run(connect), name=gateway.command)
        gateways.append(gateway)
        if mqtt.embedded and gateway.protocol == "MQTT":
            # What devices publish before it has subscribed would be acknowledged and seen by
            # nobody: it comes before its port is told, and before clients of MQTT-SN.
            await gateway.check()
    return gateways


def _checks(gateways: Iterable[OpenGateway], keeping: "HistoryService | None") -> dict[str, Check]:
    """For `/readyz`, by command, and `history`."""

    def of(gateway: OpenGateway) -> Check:
        async def check() -> str:
            if gateway.gateway is not None and not gateway.gateway.linked:
                return "not linked to the broker"
            return await gateway.check()

        return check

    checks = {gateway.command: of(gateway) for gateway in gateways}
    return checks if keeping is None else {**checks, "history": keeping.check}


# -- parts --------------------------------------------------------------------------------------


def _broker(section: BrokerSection, keeping: "HistoryService | None") -> Broker:
    return Broker(
        flush_interval_s=section.flush_interval_ms / 1000,
        timer=asyncio.get_running_loop(),
        unix_time=time.time,
        # uvloop's own time has a resolution of a millisecond, and a receipt tells its own.
        clock=time.monotonic,
        listener=keeping.recorder if keeping else None,
    )


def _keeping(section: HistorySection, folder: Path) -> "HistoryService | None":
    """What keeps history, in `folder` if no place is named; None if nothing does.

    Raises `OperatorError`.
    """
    if section.store == "off":
        return None
    # Who keeps none pays nothing for it.
    from pyaiot.history.service import HistoryService  # noqa: PLC0415
    from pyaiot.history.store import keep_days  # noqa: PLC0415
    from pyaiot.history.stores import store_at  # noqa: PLC0415

    keep = keep_days(
        section.readings_days, section.minutes_days, section.hours_days, section.events_days
    )
    return HistoryService(store_at(section.store or str(folder / "history.db"), keep))


def _running(keeping: "HistoryService | None") -> AbstractAsyncContextManager[None]:
    return nullcontext() if keeping is None else keeping.running()


@asynccontextmanager
async def _temporary_folder() -> AsyncIterator[Path]:
    """Gone with the block. Raises `OperatorError`."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="pyaiot-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OperatorError(f"No temporary folder can be made: {reason_of(error)}.") from error
    with folder as name:
        yield Path(name)


def _connect_in_memory(broker: Broker, tasks: asyncio.TaskGroup) -> Connect:
    async def connect() -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        served = broker.serve_gateway(broker_end, identity="in this process", acknowledges=True)
        try:
            tasks.create_task(served, name="link to a gateway in this process")
        except RuntimeError as error:
            # Another part could not start, so the group takes no more tasks.
            served.close()
            raise LinkLost("the service ends") from error
        return gateway_end

    return connect


def _connect_by_websocket(
    session: aiohttp.ClientSession, section: GatewaySection, keys: Callable[[], Keys]
) -> Connect:
    """`keys` are asked for at each attempt: a key file that was mended counts at once."""
    scheme = "wss" if section.broker_ssl else "ws"
    host = f"[{section.broker_host}]" if ":" in section.broker_host else section.broker_host
    url = f"{scheme}://{host}:{section.broker_port}/gw"

    async def connect() -> GatewayLink:
        try:
            token = mint_token(keys())
        except OperatorError as error:
            raise LinkLost(str(error)) from error
        return await connect_gateway(session, url, token)

    return connect


def _optional_tokens(section: BrokerSection) -> TokenCheck | None:
    """Without a key file nobody from outside may speak; a file that was named must be there."""
    path = _path(section.key_file)
    if section.key_file == KEY_FILE and not path.exists():
        log.info("no key file %s: gateways of other processes are not let in", path)
        return None
    return _tokens(load_keys(path))


def _tokens(keys: Keys) -> TokenCheck:
    """Which remembers used tokens also for the broker that starts next."""
    used = UsedTokensFile.open(data_folder(os.environ) / "used-gateway-tokens", time.time())
    return TokenCheck(keys, time.time, used)


def _host_and_port(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)


def _path(text: str) -> Path:
    return Path(text).expanduser()
