# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a service that are imported only where the settings have them."""

import asyncio
from collections.abc import Iterable

from pyaiot.broker.broker import Broker
from pyaiot.config import Config
from pyaiot.metrics import Collector
from pyaiot.registry.service import RegistryService


def check_home_assistant(config: Config, *, embeds_broker: bool) -> None:
    """Raise `OperatorError` if the settings have a Home Assistant that cannot be served.

    `embeds_broker`: whether this process starts an MQTT broker if none is named.
    """
    if config.homeassistant.url:
        from pyaiot.app.home_assistant import check  # noqa: PLC0415 - imported where it is used

        check(config, embeds_broker=embeds_broker)


def check_home_assistant_of_demo(config: Config) -> None:
    """The same for the demo, in which no device has a credential."""
    check_home_assistant(config, embeds_broker=True)
    if config.homeassistant.url:
        from pyaiot.app.home_assistant import check_demo  # noqa: PLC0415 - as above

        check_demo(config)


def start_home_assistant(
    config: Config,
    broker: Broker,
    shared: Iterable[object],
    registry: RegistryService,
    tasks: asyncio.TaskGroup,
) -> list[Collector]:
    """Show the nodes in Home Assistant, if the settings have one. Returns its metrics.

    `shared`: the services of the protocols in this process. Raises `OperatorError`.
    """
    if not config.homeassistant.url:
        return []
    from pyaiot.app.home_assistant import home_assistant  # noqa: PLC0415 - see above

    service = home_assistant(
        config, broker, shared, is_registry_loaded=lambda: not registry.problem
    )
    tasks.create_task(service.run(), name="Home Assistant")
    return [service.collect]
