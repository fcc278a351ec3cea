# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of CoAP."""

import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.plugin import (
    DemoNode,
    FleetNodes,
    ListenerPort,
    OpenGateway,
    Plugin,
    SimulatedNode,
)

if TYPE_CHECKING:
    from pyaiot.gateways.coap.trace import Trace

log = logging.getLogger(__name__)


async def open_gateway(config: Config, _shared: object) -> OpenGateway:
    from pyaiot.gateways.base import new_gateway, state_store, warn_if_open  # noqa: PLC0415 - see plugin.py
    from pyaiot.gateways.coap.gateway import CoapGateway  # noqa: PLC0415

    section = config.of(CoapSection)
    gateway = new_gateway(
        section.name,
        "CoAP",
        section.silence_limit_s,
        section.nodes_max,
        nodes_per_host_max=section.nodes_per_host_max,
        new_nodes_per_s=section.new_nodes_per_s,
    )
    trace = _open_trace(section)
    try:
        coap = await CoapGateway.open(
            gateway,
            section.host,
            section.port,
            interface=section.interface,
            poll_s=section.poll_s,
            sleepy=section.sleepy,
            trace=trace,
            kept=state_store(section.state_file, section.name, section.port),
        )
    except BaseException:
        if trace is not None:
            trace.close()
        raise
    warn_if_open(log, section.host, f"UDP port {coap.port}", "can announce nodes and post readings")

    async def check() -> str:
        return "" if await coap.answers() else "does not answer on its UDP port"

    return OpenGateway(
        command="coap-gateway",
        protocol="CoAP",
        listener=f"UDP port {coap.port}",
        port=coap.port,
        check=check,
        collect=coap.collect,
        gateway=gateway,
        run=coap.run,
    )


def _open_trace(section: CoapSection) -> "Trace | None":
    from pyaiot.gateways.coap.trace import Trace  # noqa: PLC0415

    if not section.trace:
        return None
    return Trace(
        Path(section.trace).expanduser(),
        size_max=round(section.trace_size_mb * 1e6),
        nodes=section.trace_nodes,
        unix_time=time.time,
    )


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(CoapSection)
    yield ListenerPort("CoAP", "UDP", section.host, section.port, "--coap-port")


def _node_config() -> type[Any]:
    from pyaiot.devices.coap_node_config import CoapNodeConfig  # noqa: PLC0415

    return CoapNodeConfig


def _run_node(config: Any, opened: Callable[[], None]) -> Coroutine[Any, Any, None]:
    from pyaiot.devices.coap_node_runner import run_coap_node  # noqa: PLC0415

    return run_coap_node(config, opened=opened)


def _fleet_settings() -> type[Any]:
    from pyaiot.fleet.coap import CoapFleetSettings  # noqa: PLC0415

    return CoapFleetSettings


async def _open_fleet(settings: Any, run: Any) -> Any:
    from pyaiot.fleet.coap import CoapNodeFactory  # noqa: PLC0415

    return await CoapNodeFactory.open(settings, run)


_FLAGS: Final = (
    SettingFlag(("--coap-port",), "coap.port"),
    SettingFlag(("--interface",), "coap.interface"),
    SettingFlag(("--trace",), "coap.trace"),
    SettingFlag(("--trace-node",), "coap.trace_nodes"),
)

PLUGIN: Final = Plugin(
    protocol="CoAP",
    command="coap-gateway",
    help="""Run the CoAP gateway: nodes post to its UDP port, and the broker gets their readings.

    While there is no link to the broker, it keeps the nodes and announces them afterwards.
    It authenticates to the broker with the key file that aiot generate-keys writes.
    """,
    section=CoapSection,
    flags=(
        SettingFlag(("--host",), "coap.host"),
        *_FLAGS,
        SettingFlag(("--max-time",), "coap.silence_limit_s"),
        SettingFlag(("--name",), "coap.name"),
    ),
    run_flags=(SettingFlag(("--coap-host",), "coap.host"), *_FLAGS),
    open=open_gateway,
    offline_timeout="coap.silence_limit_s",
    ports=ports,
    metrics="pyaiot.gateways.coap.metrics",
    node=SimulatedNode(
        name="coap",
        help="""Run a simulated CoAP node that behaves like a RIOT board.

        It posts to the gateway on this machine.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=_node_config,
        run=_run_node,
        port_setting="gateway_port",
        peer=lambda config: f"CoAP to {config.gateway_host} port {config.gateway_port}",
        demo_settings=lambda: {"host": "127.0.0.1"},
    ),
    demo=(
        DemoNode(0, "Weather station", ("temperature", "pressure", "humidity")),
        DemoNode(1, "Desk lamp", ("led", "illuminance")),
        DemoNode(2, "Robot", ("robot", "led", "imu", "position")),
        DemoNode(3, "Script box", ("js", "led", "temperature")),
        DemoNode(7, "Tracker", ("position", "temperature", "updates")),
    ),
    fleet=FleetNodes("coap", _fleet_settings, _open_fleet),
    how_to="open-the-coap-port.md",
)
