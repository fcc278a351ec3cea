# SPDX-License-Identifier: BSD-3-Clause
"""The one list of device protocols. Everything else iterates over `plugins()`."""

from importlib import import_module
from typing import Final

from pyaiot import config, metrics
from pyaiot.gateways.plugin import FleetNodes, Plugin

# One line for each folder below gateways/. Flags, settings and the demo follow this order.
PROTOCOLS: Final = (
    "coap",
    "websocket",
    "mqtt",
    "mqttsn",
)

_plugins: list[Plugin] = []


def plugins() -> tuple[Plugin, ...]:
    """The registered protocols, in the order of `PROTOCOLS`."""
    return tuple(_plugins)


def fleet_protocols() -> dict[str, FleetNodes]:
    """The nodes of each protocol in `aiot fleet`, by the name of the protocol."""
    return {plugin.protocol: plugin.fleet for plugin in _plugins if plugin.fleet is not None}


def register(plugin: Plugin) -> None:
    """Add a protocol, with its settings, metric labels and commands."""
    _plugins.append(plugin)
    config.register(plugin.section)
    metrics.PROTOCOLS.insert(-1, plugin.protocol)


def unregister(plugin: Plugin) -> None:
    """Remove a protocol."""
    _plugins.remove(plugin)
    config.unregister(plugin.section)
    metrics.PROTOCOLS.remove(plugin.protocol)


for _name in PROTOCOLS:
    register(import_module(f"pyaiot.gateways.{_name}.plugin").PLUGIN)
