# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a service that are imported only if the settings use them."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyaiot.broker.broker import Broker
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.metrics import Collector
from pyaiot.registry.service import RegistryService
from pyaiot.web.api.streams import Streams

if TYPE_CHECKING:
    from pyaiot.history.service import HistoryService


def check_optional_parts(config: Config, *, embeds_broker: bool) -> None:
    """Raise `OperatorError` if the settings for Home Assistant or for a cluster are invalid.

    `embeds_broker`: whether this process starts an MQTT broker if none is named.
    """
    if config.homeassistant.url:
        from pyaiot.app.home_assistant import check  # noqa: PLC0415 - imported where it is used

        check(config, embeds_broker=embeds_broker)
    if config.cluster.is_on:
        from pyaiot.app import cluster  # noqa: PLC0415 - as above

        cluster.check(config)


def check_parts_of_demo(config: Config) -> None:
    """The same for the demo, whose devices have no credentials."""
    if config.cluster.is_on:
        raise OperatorError("The demo cannot be part of a cluster: use aiot run.")
    if config.broker.workers > 1:
        raise OperatorError("The demo is one process: for several workers, use aiot run.")
    check_optional_parts(config, embeds_broker=True)
    if config.homeassistant.url:
        from pyaiot.app.home_assistant import check_demo  # noqa: PLC0415 - as above

        check_demo(config)


def start_optional_parts(
    config: Config,
    broker: Broker,
    shared: Iterable[object],
    registry: RegistryService,
    tasks: asyncio.TaskGroup,
) -> list[Collector]:
    """Show the nodes in Home Assistant, and connect to the other brokers of a cluster, if the
    settings require it. Returns their metrics. `shared`: the services of the protocols in this
    process. Raises `OperatorError`."""
    collectors: list[Collector] = []
    if config.cluster.is_on:
        from pyaiot.app import cluster  # noqa: PLC0415 - see above

        cluster.share_registry(broker, registry)
        collectors += cluster.start(config, broker, tasks)
    if not config.homeassistant.url:
        return collectors
    from pyaiot.app.home_assistant import home_assistant  # noqa: PLC0415 - see above

    service = home_assistant(
        config, broker, shared, is_registry_loaded=lambda: not registry.problem
    )
    tasks.create_task(service.run(), name="Home Assistant")
    return [*collectors, service.collect]


def share_history(
    config: Config, broker: Broker, history: "HistoryService | None", streams: Streams
) -> None:
    """In a cluster: clients of `/api/events` resume at any broker."""
    if config.cluster.is_on:
        from pyaiot.app import cluster  # noqa: PLC0415 - see above

        cluster.share_history(broker, history, streams)


def make_broker(config: Config, **arguments: Any) -> Broker:
    """A single broker, or a broker of a cluster. `arguments`: see `Broker`."""
    if not config.cluster.is_on:
        return Broker(**arguments)
    from pyaiot.app import cluster  # noqa: PLC0415 - see above

    return cluster.make_broker(config, **arguments)
