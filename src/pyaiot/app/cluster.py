# SPDX-License-Identifier: BSD-3-Clause
"""Builds the cluster side of a broker from the settings. Imported only if there is a cluster."""

import asyncio
import logging
import re
import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyaiot.app.accounts import needs_sign_in, shared_database
from pyaiot.broker.broker import Broker
from pyaiot.broker.cluster_state import EmbeddedBrokerState
from pyaiot.cluster.broker import ClusteredBroker
from pyaiot.cluster.credentials import KeyCredentials, parse_servers, read_credentials
from pyaiot.cluster.metrics import collect
from pyaiot.cluster.nats_link import NatsLink
from pyaiot.config import ClusterSection, Config, WorkersCluster
from pyaiot.errors import OperatorError, reason_of
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.metrics import Collector
from pyaiot.registry.service import RegistryService
from pyaiot.web.api.streams import Streams

if TYPE_CHECKING:
    from pyaiot.history.service import HistoryService

_DATABASE: Final = r"postgres(ql)?://"

log = logging.getLogger(__name__)


def check(config: Config) -> None:
    """Raise `OperatorError` for settings that a broker of a cluster cannot have."""
    section = config.cluster
    parse_servers(section.servers)
    if section.credentials_file:
        read_credentials(_path(section.credentials_file))
    _tls(section)
    if config.cluster.database and not re.match(_DATABASE, config.cluster.database):
        raise OperatorError(
            "The brokers of a cluster share accounts in a database: --cluster-database takes"
            " postgresql://USER@HOST/DATABASE."
        )
    on_one_machine = section.shares_files
    who = "The workers" if on_one_machine else "The brokers of a cluster"
    # The processes of one machine share the file of accounts.
    if needs_sign_in(config.broker) and not on_one_machine and not shared_database(config):
        raise OperatorError(
            "The brokers of a cluster cannot share accounts in files: set --cluster-database to a"
            " database, postgresql://USER@HOST/DATABASE."
        )
    for store, flag, what in (
        (config.history.store, "--history", "history"),
        (config.registry.store or config.history.store, "--registry", "registry"),
    ):
        if store != "off" and not re.match(_DATABASE, store):
            raise OperatorError(
                f"{who} cannot share a {what} in a file: set {flag} to a"
                " database, postgresql://USER@HOST/DATABASE, or to off."
            )


def make_broker(config: Config, **of_broker: Any) -> ClusteredBroker:
    section = config.cluster
    name = section.broker or f"{socket.gethostname()}:{config.broker.port}"
    if isinstance(section, WorkersCluster) and config.broker.workers > 1:
        name = f"{name[:54]} worker {section.worker}"
    broker = ClusteredBroker(name=name[:64], **of_broker)
    broker.member.url = _own_url(config)
    return broker


def share_registry(broker: Broker, registry: RegistryService) -> None:
    """Make the data that is not about single nodes the same at all brokers."""
    if isinstance(broker, ClusteredBroker):
        broker.share_documents(registry)


def share_history(broker: Broker, history: "HistoryService | None", streams: Streams) -> None:
    """Replay missed events to clients of `/api/events` that come from another broker."""
    if isinstance(broker, ClusteredBroker) and history is not None:
        broker.share_history(history.recorded_until, lambda: history.recorder.lateness.largest_s)
        streams.missed_since = broker.missed_since


def show_machines(broker: Broker, gateways: Sequence[OpenGateway]) -> None:
    """Make the machines of the MQTT brokers part of the state of the cluster."""
    found = [it.machines for it in gateways if it.machines is not None]
    if not isinstance(broker, ClusteredBroker) or not found:
        return

    def machines() -> tuple[EmbeddedBrokerState, ...]:
        return tuple(
            EmbeddedBrokerState(
                it.address,
                "this one" if it.is_own else "lost" if it.shares is None else "online",
                it.shares or 0,
            )
            for of_gateway in found
            for it in of_gateway()
        )

    broker.member.embedded_brokers = machines


def _own_url(config: Config) -> str:
    """The URL of the web listener of this broker, for people; empty if its port is not fixed."""
    host, port = config.broker.host, config.broker.port
    if not port:
        return ""
    if host in ("::", "0.0.0.0"):  # noqa: S104 - compared only
        host = socket.gethostname()
    scheme = "https" if config.tls.covers("web") else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"[:256]


def start(config: Config, broker: Broker, tasks: asyncio.TaskGroup) -> list[Collector]:
    """Connect to the other brokers, as tasks. Returns the metrics."""
    if not isinstance(broker, ClusteredBroker):
        return []
    section = config.cluster
    link = NatsLink(
        parse_servers(section.servers),
        f"pyaiot.{section.name}",
        broker.member.run,
        broker.receive_packet,
        key=_key(section) if section.credentials_file else None,
        tls=_tls(section),
    )
    broker.send_packet = link.send
    broker.link_state = lambda: (link.problem, link.unsent)
    tasks.create_task(_run(broker, link), name="cluster")
    return [lambda: collect(broker.member, link, time.monotonic())]


async def _run(broker: ClusteredBroker, link: NatsLink) -> None:
    """The connection ends after the member, whose last packet informs the others that it leaves."""
    async with asyncio.TaskGroup() as tasks:
        connection = tasks.create_task(link.run(), name="connection to the nats-servers")
        try:
            await broker.run_member()
        finally:
            await link.flushed()
            connection.cancel()


def _key(section: ClusterSection) -> Any:
    path = _path(section.credentials_file)

    def read() -> KeyCredentials:
        return read_credentials(path)

    return read


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _tls(section: ClusterSection) -> ssl.SSLContext | None:
    if not section.ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=str(_path(section.ca_file)))
    except (OSError, ssl.SSLError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise OperatorError(
            f"The CA certificates {section.ca_file} of the cluster cannot be read: {reason}."
        ) from error
