# SPDX-License-Identifier: BSD-3-Clause
"""Commands that simulate devices: `aiot node …` one, `aiot fleet` many."""

import sys
from typing import Any

import typer

from pyaiot import config
from pyaiot.app.protocols import fleet_protocols, plugins
from pyaiot.app.runner import run_until_signal
from pyaiot.cli.node_group import node_group
from pyaiot.cli.options import flags_of, summary, values_of, with_options
from pyaiot.cli.terminal import print_line
from pyaiot.config import LogSection
from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.sensors import SENSORS
from pyaiot.fleet.config import FleetConfig, fleet_settings
from pyaiot.fleet.progress import Progress
from pyaiot.gateways.plugin import SimulatedNode


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    nodes = node_group(app)
    for plugin in plugins():
        if plugin.node is not None:
            _add_node(nodes, plugin.node)
    _add_fleet(app)


def _fleet(fleet: FleetConfig, log: LogSection) -> None:
    """Run many virtual nodes against a running system, and check what arrives.

    Every reading is a number that its node sends once. A ledger records its outcome:

    acked: acknowledged by the protocol (CoAP 2.04, PUBACK of MQTT and MQTT-SN). WebSocket has no
    acknowledgements: there, the gateway answered a ping that was sent after it.
    seen: a client of the broker received exactly that number; twice: received it again.
    superseded: not seen, but a later reading of the same node was. This is allowed while a link is
    down or a client is behind, and is 0 in an undisturbed run.
    lost: acknowledged, and neither seen nor superseded.

    The exit code is 1 if a reading was lost, or a number was received that no node sent; 2 if the
    fleet cannot run; else 0. Ctrl+C ends it early and prints the results so far.
    """
    from pyaiot.app import services  # noqa: PLC0415 - imports every part of the system

    progress = Progress(sys.stderr)
    fleet_run = services.run_fleet(fleet, progress.before(print_line), progress)
    code = run_until_signal(fleet_run, log, quiet=True)
    if code:
        raise typer.Exit(code)


def _add_node(app: typer.Typer, node: SimulatedNode) -> None:
    """Register the command of a simulated node. Its flags are the fields of its settings."""
    struct = node.config()
    settings = {item.name: item for item in config.settings_of(struct, "node")}
    parts = {*SENSORS, *ACTUATORS, "updates"} & settings.keys()

    def command(**given: Any) -> None:
        from pyaiot.app import services  # noqa: PLC0415 - imports every part of the system

        log, values = values_of(given, settings)
        if not any(values.get(part) for part in parts):
            values |= {"temperature": True, "led": True}
        run_until_signal(services.run_node(node, struct(**values), print_line), log)

    app.command(node.name, short_help=summary(node.help))(
        with_options(command, flags_of(settings), node.help)
    )


def _add_fleet(app: typer.Typer) -> None:
    """Register `aiot fleet`. Its flags are the fields of its settings."""
    struct = fleet_settings(fleet_protocols())
    settings = {item.name: item for item in config.settings_of(struct, "fleet")}

    def command(**given: Any) -> None:
        log, values = values_of(given, settings)
        _fleet(struct(**values), log)

    app.command("fleet", short_help=summary(_fleet.__doc__))(
        with_options(command, flags_of(settings), _fleet.__doc__)
    )
