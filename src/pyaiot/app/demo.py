# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot demo` shows: simulated nodes of each protocol, the same ones at each start."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final

import aiohttp

from pyaiot.devices.coap_node import CoapNodeConfig, run_coap_node
from pyaiot.devices.mqtt_node import run_mqtt_node
from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.mqttsn_node import run_mqttsn_node
from pyaiot.devices.simulated_mqttsn_node import MqttSnNodeConfig
from pyaiot.devices.websocket_node import WebSocketNodeConfig, run_websocket_node
from pyaiot.errors import LinkLost, OperatorError
from pyaiot.messages import SUBPROTOCOL, Join, NodeAppeared, decode_to_client, encode

DEMO_PATIENCE_S: Final = 15.0
"""How long the demo waits for its first node. Then it says so."""
_PERIOD_S: Final = 2.0
KINDS: Final[Sequence[tuple[str, str, tuple[str, ...]]]] = (
    ("CoAP", "Weather station", ("temperature", "pressure", "humidity")),
    ("CoAP", "Desk lamp", ("led", "illuminance")),
    ("CoAP", "Robot", ("robot", "led", "imu", "position")),
    ("CoAP", "Script box", ("js", "led", "temperature")),
    ("WebSocket", "Workbench", ("led", "temperature", "humidity")),
    ("MQTT", "Greenhouse", ("led", "temperature", "humidity", "illuminance")),
    ("MQTT-SN", "Lantern", ("led", "temperature")),
    ("CoAP", "Tracker", ("position", "temperature", "updates")),
)


DEMO_NODES: Final = len(KINDS)
"""Nodes of the demo, if nobody says how many. Others are of these kinds again."""
_RUN: Final[Mapping[str, Callable[[dict[str, Any]], Coroutine[Any, Any, None]]]] = {
    "CoAP": lambda its: run_coap_node(CoapNodeConfig(host="127.0.0.1", **its)),
    "MQTT": lambda its: run_mqtt_node(MqttNodeConfig(**its)),
    "MQTT-SN": lambda its: run_mqttsn_node(MqttSnNodeConfig(**its)),
    "WebSocket": lambda its: run_websocket_node(WebSocketNodeConfig(**its)),
}


def demo_nodes(
    count: int, ports: Mapping[str, int]
) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """Names of nodes, and what runs each. `ports` are those of the gateways, by protocol."""
    rng = random.Random(5683)  # noqa: S311 - uids of a demo are no secret
    for index in range(count):
        protocol, name, parts = KINDS[index % len(KINDS)]
        uid = f"{rng.getrandbits(60):015X}"
        its: dict[str, Any] = dict.fromkeys(parts, True)
        its |= {"uid": uid, "name": name, "period_s": _PERIOD_S}
        its["mqtt_port" if protocol == "MQTT" else "gateway_port"] = ports[protocol]
        yield name, _RUN[protocol](its)


async def first_node_visible(session: aiohttp.ClientSession, url: str) -> None:
    """Wait, as a page does, until the broker shows a node. Raises `OperatorError`."""
    try:
        async with (
            asyncio.timeout(DEMO_PATIENCE_S),
            session.ws_connect(url + "ws", protocols=(SUBPROTOCOL,)) as socket,
        ):
            await socket.send_str(encode(Join(data="client")).decode())
            async for frame in socket:
                if any(isinstance(item, NodeAppeared) for item in decode_to_client(frame.data)):
                    return
    except TimeoutError as error:
        raise OperatorError(
            f"No simulated node appeared in {DEMO_PATIENCE_S:.0f} s: is UDP on this machine's"
            " loopback filtered?"
        ) from error
    raise LinkLost("the broker ended")
