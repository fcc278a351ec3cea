# SPDX-License-Identifier: BSD-3-Clause
"""Commands that are devices: `aiot node …`, one, and `aiot fleet`, many."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
import typer

from pyaiot import config
from pyaiot.app import services
from pyaiot.app.runner import run_until_signal
from pyaiot.cli.options import flags_of, summary, values_of, with_options
from pyaiot.cli.terminal import say
from pyaiot.config import LogSection
from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.coap_node import CoapNodeConfig
from pyaiot.devices.mqtt_node_config import MqttNodeConfig
from pyaiot.devices.sensors import SENSORS
from pyaiot.devices.simulated_mqttsn_node import MqttSnNodeConfig
from pyaiot.devices.websocket_node import WebSocketNodeConfig
from pyaiot.fleet.config import FleetConfig
from pyaiot.fleet.progress import Progress

_NodeConfig = TypeVar("_NodeConfig", bound=msgspec.Struct)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    nodes = typer.Typer(no_args_is_help=True, help="A simulated node that speaks as a device does.")
    _add_node(nodes, "coap", CoapNodeConfig, _node_coap)
    _add_node(nodes, "ws", WebSocketNodeConfig, _node_ws)
    _add_node(nodes, "mqtt", MqttNodeConfig, _node_mqtt)
    _add_node(nodes, "mqttsn", MqttSnNodeConfig, _node_mqttsn)
    app.add_typer(nodes, name="node")
    _add_fleet(app)


def _node_coap(node: CoapNodeConfig) -> Coroutine[Any, Any, None]:
    """Run a simulated CoAP node that behaves like a RIOT board.

    It posts to the gateway of this machine.
    Without a flag for a sensor or actuator it has a temperature and an LED.
    """
    return services.run_coap_node(node, say)


def _node_ws(node: WebSocketNodeConfig) -> Coroutine[Any, Any, None]:
    """Run a simulated WebSocket node.

    It connects to the gateway of this machine, again and again if need be.
    Without a flag for a sensor or actuator it has a temperature and an LED.
    """
    return services.run_websocket_node(node, say)


def _node_mqtt(node: MqttNodeConfig) -> Coroutine[Any, Any, None]:
    """Run a simulated MQTT node.

    It publishes to the MQTT broker of this machine, and connects again whenever it is not.
    Without a flag for a sensor or actuator it has a temperature and an LED.
    """
    return services.run_mqtt_node(node, say)


def _node_mqttsn(node: MqttSnNodeConfig) -> Coroutine[Any, Any, None]:
    """Run a simulated MQTT-SN node that behaves like a RIOT board with emcute.

    It registers each topic before it publishes to the gateway of this machine, with QoS 1.
    Without a flag for a sensor or actuator it has a temperature and an LED.
    """
    return services.run_mqttsn_node(node, say)


def _fleet(fleet: FleetConfig, log: LogSection) -> None:
    """Run many virtual nodes against a running system, and check what arrives.

    Every reading is a number that its node says once. A ledger keeps what became of it:

    acked: accepted by the protocol's own word (CoAP 2.04, PUBACK of MQTT and MQTT-SN). WebSocket
    has none: there, the gateway answered a ping that was sent after it.
    seen: a client of the broker got exactly that number; twice: and got it again.
    superseded: not seen, but a later reading of the same node was. That is allowed while a link is
    down or a client behind, and 0 in an undisturbed run.
    lost: acknowledged, and neither seen nor superseded.

    The exit code is 1 if a reading was lost, or a number came that nobody sent; 2 if somebody has
    to do something first; else 0. Ctrl+C ends it early, with what it has until then.
    """
    progress = Progress(sys.stderr)
    fleet_run = services.run_fleet(fleet, progress.before(say), progress)
    code = run_until_signal(fleet_run, log, quiet=True)
    if code:
        raise typer.Exit(code)


def _add_node(
    app: typer.Typer,
    name: str,
    struct: type[_NodeConfig],
    run: Callable[[_NodeConfig], Coroutine[Any, Any, None]],
) -> None:
    """Register a simulated node whose flags are the fields of its config."""
    settings = {item.name: item for item in config.settings_of(struct, "node")}
    parts = {*SENSORS, *ACTUATORS, "updates"} & settings.keys()

    def command(**given: Any) -> None:
        log, values = values_of(given, settings)
        if not any(values.get(part) for part in parts):
            values |= {"temperature": True, "led": True}
        run_until_signal(run(struct(**values)), log)

    app.command(name, short_help=summary(run.__doc__))(
        with_options(command, flags_of(settings), run.__doc__)
    )


def _add_fleet(app: typer.Typer) -> None:
    """Register `aiot fleet`, whose flags are the fields of its config."""
    settings = {item.name: item for item in config.settings_of(FleetConfig, "fleet")}

    def command(**given: Any) -> None:
        log, values = values_of(given, settings)
        _fleet(FleetConfig(**values), log)

    app.command("fleet", short_help=summary(_fleet.__doc__))(
        with_options(command, flags_of(settings), _fleet.__doc__)
    )
