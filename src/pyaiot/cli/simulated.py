# SPDX-License-Identifier: BSD-3-Clause
"""Commands that are devices: `aiot node …`, one, and `aiot fleet`, many."""

import sys
from typing import Any

import typer

from pyaiot import config
from pyaiot.app.protocols import fleet_protocols, plugins
from pyaiot.app.runner import run_until_signal
from pyaiot.cli.options import flags_of, summary, values_of, with_options
from pyaiot.cli.terminal import say
from pyaiot.config import LogSection
from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.sensors import SENSORS
from pyaiot.fleet.config import FleetConfig, fleet_settings
from pyaiot.fleet.progress import Progress
from pyaiot.gateways.plugin import SimulatedNode


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    nodes = typer.Typer(no_args_is_help=True, help="A simulated node that speaks as a device does.")
    for plugin in plugins():
        if plugin.node is not None:
            _add_node(nodes, plugin.node)
    app.add_typer(nodes, name="node")
    _add_fleet(app)


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
    from pyaiot.app import services  # noqa: PLC0415 - loads every part of the system

    progress = Progress(sys.stderr)
    fleet_run = services.run_fleet(fleet, progress.before(say), progress)
    code = run_until_signal(fleet_run, log, quiet=True)
    if code:
        raise typer.Exit(code)


def _add_node(app: typer.Typer, node: SimulatedNode) -> None:
    """Register a simulated node whose flags are the fields of its settings."""
    struct = node.config()
    settings = {item.name: item for item in config.settings_of(struct, "node")}
    parts = {*SENSORS, *ACTUATORS, "updates"} & settings.keys()

    def command(**given: Any) -> None:
        from pyaiot.app import services  # noqa: PLC0415 - loads every part of the system

        log, values = values_of(given, settings)
        if not any(values.get(part) for part in parts):
            values |= {"temperature": True, "led": True}
        run_until_signal(services.run_node(node, struct(**values), say), log)

    app.command(node.name, short_help=summary(node.help))(
        with_options(command, flags_of(settings), node.help)
    )


def _add_fleet(app: typer.Typer) -> None:
    """Register `aiot fleet`, whose flags are the fields of its settings."""
    struct = fleet_settings(fleet_protocols())
    settings = {item.name: item for item in config.settings_of(struct, "fleet")}

    def command(**given: Any) -> None:
        log, values = values_of(given, settings)
        _fleet(struct(**values), log)

    app.command("fleet", short_help=summary(_fleet.__doc__))(
        with_options(command, flags_of(settings), _fleet.__doc__)
    )
