# SPDX-License-Identifier: BSD-3-Clause
"""Builds the objects of a service from its settings and runs them: a function for each command."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pyaiot.app.accounts import is_proxied
from pyaiot.app.alerts import open_alerts
from pyaiot.app.announced import announce_listeners
from pyaiot.app.audit import open_audit_log
from pyaiot.app.broker_parts import (
    checks_of,
    gateway_access,
    key_store,
    open_broker,
    open_history,
    recording,
)
from pyaiot.app.broker_web import (
    PrintLine,
    check_web,
    is_later_worker,
    serve_metrics,
    serve_web,
)
from pyaiot.app.device_access import LocalDevices
from pyaiot.app.gateway_links import (
    Credential,
    GatewayAccess,
    connect_by_websocket,
    connect_in_memory,
    key_file_check,
)
from pyaiot.app.optional_parts import (
    check_optional_parts,
    check_parts_of_demo,
    start_optional_parts,
)
from pyaiot.app.protocols import fleet_protocols, plugins
from pyaiot.app.reload import ReadSettings
from pyaiot.app.service_reload import reload_of_broker, reload_of_gateways
from pyaiot.app.shared_services import shared_services
from pyaiot.app.start_checks import check_start
from pyaiot.app.tls import ProcessTls
from pyaiot.app.topic_mappings import open_mappings
from pyaiot.app.workers import Workers, check_of_worker, reading_again
from pyaiot.broker.keys import TokenCheck, generate_keys
from pyaiot.config import (
    Config,
    DevicesSection,
    GatewaySection,
    TlsSection,
    data_folder,
)
from pyaiot.errors import OperatorError
from pyaiot.gateways.gateway import ConnectToBroker
from pyaiot.gateways.plugin import Check, OpenGateway, Plugin, SharedService, SimulatedNode
from pyaiot.systemd.notify import notify_ready
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.resolver import open_http_session
from pyaiot.web.metrics_endpoint import Metrics

if TYPE_CHECKING:
    from pyaiot.devices.node_config import NodeConfig
    from pyaiot.fleet.config import FleetConfig
    from pyaiot.metrics import Collector

log = logging.getLogger(__name__)


async def run_broker(
    config: Config, print_line: PrintLine, read_again: ReadSettings | None = None
) -> None:
    """`aiot broker`: the broker alone. Gateways connect over WebSocket."""
    check_web(config)
    check_optional_parts(config, embeds_broker=False)
    tls = ProcessTls(config.tls)
    is_worker = is_later_worker(config)
    access = gateway_access(config, key_file_check(config.broker, needs_file=not is_worker))
    history = open_history(config, data_folder(os.environ))
    audit = open_audit_log(config, data_folder(os.environ))
    broker, registry = open_broker(config, history, data_folder(os.environ), audit)
    alerts = open_alerts(config.alerts, broker, registry)
    mappings = open_mappings(config, broker, registry)
    checks = checks_of((), history, registry, audit, access)
    if is_worker:
        checks["cluster"] = check_of_worker(broker)
    async with (
        access.running(),
        audit.running(),
        registry.running(),
        asyncio.TaskGroup() as tasks,
        alerts.running(),
        mappings.running(),
        serve_web(
            *(config, broker, registry, access, checks, print_line, history, ()),
            tls=tls,
            keys=None if is_worker else key_store(config.broker),
            audit=audit,
            devices=LocalDevices(config) if is_worker else None,
            collectors=start_optional_parts(config, broker, (), registry, tasks),
            alerts=alerts,
            mappings=mappings,
        ) as url,
        recording(history),
    ):
        reload = reload_of_gateways(config, read_again, tls, ())
        reload_of_broker(reload, config, alerts, registry, access)
        with reload.on_hangup():
            announce_listeners(config, tasks, web_url=url)
            print_line(f"Broker: {url}  (Ctrl+C ends it)")
            notify_ready(f"Broker: {url}")
            await asyncio.Future()


async def run_gateway(
    plugin: Plugin, config: Config, print_line: PrintLine, read_again: ReadSettings | None = None
) -> None:
    """`aiot coap-gateway` and the like: one gateway, linked to a broker over WebSocket."""
    tls = ProcessTls(config.tls)
    credential = Credential.of(config.gateway, os.environ)
    if plugin.has_link:
        # Current errors are reported to the operator; later ones are logged.
        credential.check()
    shared = plugin.shared and plugin.shared.for_one_gateway(config)
    gateway = await plugin.open(config, shared)
    async with (
        serve_metrics(config, tls, Metrics([gateway.collect]), print_line),
        open_http_session(config.gateway.ca_file or os.environ.get("AIOT_CA_FILE", "")) as session,
        asyncio.TaskGroup() as tasks,
    ):
        with reload_of_gateways(config, read_again, tls, [gateway]).on_hangup():
            announce_listeners(config, tasks, gateways=[gateway])
            print_line(f"{gateway.protocol} gateway: {gateway.listener}  (Ctrl+C ends it)")
            notify_ready(f"{gateway.protocol} gateway: {gateway.listener}")
            connect = connect_by_websocket(session, config.gateway, credential)
            tasks.create_task(gateway.run(connect), name=gateway.command)
            try:
                await asyncio.Future()
            finally:
                if gateway.leave is not None:
                    await gateway.leave()


async def run_all(
    config: Config, print_line: PrintLine, read_again: ReadSettings | None = None
) -> None:
    """`aiot run`: broker and gateways in one process, over links in memory, and further workers."""
    config = check_start(config)
    read_again = reading_again(config, read_again)
    tls = ProcessTls(config.tls)
    access = gateway_access(config, key_file_check(config.broker, needs_file=False))
    history = open_history(config, data_folder(os.environ))
    audit = open_audit_log(config, data_folder(os.environ))
    broker, registry = open_broker(config, history, data_folder(os.environ), audit)
    alerts = open_alerts(config.alerts, broker, registry)
    mappings = open_mappings(config, broker, registry)
    async with (
        access.running(),
        audit.running(),
        registry.running(),
        alerts.running(),
        mappings.running(),
        shared_services(config) as shared,
        asyncio.TaskGroup() as tasks,
    ):
        # First: a gateway that takes over nodes from another machine reports them to all brokers.
        collectors = start_optional_parts(config, broker, shared.values(), registry, tasks)
        connect = connect_in_memory(broker, tasks)
        gateways = await _start_gateways(config, shared, connect, tasks)
        if any(it.machines for it in gateways):
            from pyaiot.app.cluster import show_machines  # noqa: PLC0415 - only in a cluster

            show_machines(broker, gateways)
        checks = checks_of(gateways, history, registry, audit, access)
        async with (
            serve_web(
                *(config, broker, registry, access, checks, print_line, history, gateways),
                tls=tls,
                keys=key_store(config.broker),
                audit=audit,
                alerts=alerts,
                mappings=mappings,
                devices=LocalDevices(config),
                collectors=collectors,
            ) as url,
            recording(history),
        ):
            listeners = "".join(
                f"  {gateway.protocol}: {gateway.listener}\n" for gateway in gateways
            )
            reload = reload_of_gateways(config, read_again, tls, gateways)
            reload_of_broker(reload, config, alerts, registry, access)
            if config.broker.workers > 1:
                workers = Workers(config, _host_and_port(url)[1], print_line)
                tasks.create_task(workers.run(), name="workers")
                checks["workers"] = workers.check
                collectors.append(workers.collect)
                reload.file(lambda: workers.reload(reload.config))
            with reload.on_hangup():
                announce_listeners(config, tasks, web_url=url, gateways=gateways)
                print_line(f"Pyaiot: {url}\n{listeners}(Ctrl+C ends it)")
                notify_ready(f"Pyaiot: {url} {listeners}")
                try:
                    await asyncio.Future()
                finally:
                    await asyncio.gather(*(it.leave() for it in gateways if it.leave))


async def run_demo(
    config: Config, node_count: int, print_line: PrintLine, *, opened: PrintLine = lambda _url: None
) -> None:
    """`aiot demo`: all services and some simulated nodes, over real sockets. `opened` is called
    with the URL of the dashboard before any node appears."""
    if not is_loopback(config.broker.host) or is_proxied(config.broker):
        raise OperatorError(
            "The demo listens on this machine only: to serve other machines, use aiot run and"
            " aiot node."
        )
    from pyaiot.app.demo import temporary_folder  # noqa: PLC0415 - not needed by services

    check_parts_of_demo(config)
    async with temporary_folder() as folder:
        await _run_demo(config, node_count, folder, print_line, opened)


async def _run_demo(
    config: Config, node_count: int, folder: Path, print_line: PrintLine, opened: PrintLine
) -> None:
    from pyaiot.app.demo import demo_nodes, first_node_visible  # noqa: PLC0415 - as above

    keys = generate_keys()
    if config.tls.cert_file:
        log.warning("the demo does not use TLS: only this machine can connect to it")
    config = msgspec.structs.replace(_without_state_files(config), tls=TlsSection())
    history = open_history(config, folder)
    audit = open_audit_log(config, folder)
    broker, registry = open_broker(config, history, folder, audit)
    alerts = open_alerts(config.alerts, broker, registry)
    mappings = open_mappings(config, broker, registry)
    checks: dict[str, Check] = {}
    gateways: list[OpenGateway] = []
    collectors: list[Collector] = []
    async with (
        audit.running(),
        registry.running(),
        alerts.running(),
        mappings.running(),
        serve_web(
            config,
            broker,
            registry,
            GatewayAccess(TokenCheck(keys, time.time)),
            checks,
            print_line,
            history,
            gateways,
            tls=ProcessTls(config.tls),
            audit=audit,
            collectors=collectors,
            alerts=alerts,
            mappings=mappings,
        ) as url,
        recording(history),
        shared_services(config, folder) as shared,
        open_http_session() as session,
        asyncio.TaskGroup() as tasks,
    ):
        opened(url)
        collectors += start_optional_parts(config, broker, shared.values(), registry, tasks)
        host, port = _host_and_port(url)
        section = GatewaySection(broker_host=host, broker_port=port)
        connect = connect_by_websocket(session, section, Credential.of_keys(keys))
        gateways += await _start_gateways(config, shared, connect, tasks)
        checks |= checks_of(gateways, history, registry, audit)
        ports = {gateway.protocol: gateway.port for gateway in gateways}
        for name, node in demo_nodes(node_count, ports):
            tasks.create_task(node, name=f"node {name}")
        await first_node_visible(session, url)
        print_line(f"Pyaiot shows {node_count} simulated nodes at {url}  (Ctrl+C ends it)")


async def run_node(node: SimulatedNode, settings: "NodeConfig", print_line: PrintLine) -> None:
    """`aiot node …`: one simulated node."""
    sentence = f"Node {settings.name or settings.uid} sends {node.peer(settings)}  (Ctrl+C ends it)"
    await node.run(settings, opened=lambda: print_line(sentence))


async def run_fleet(config: "FleetConfig", print_line: PrintLine, progress: PrintLine) -> int:
    """`aiot fleet`: many virtual nodes and a ledger. Returns the exit code. `progress` is called
    with a line about the run every second."""
    from pyaiot.fleet.fleet import Fleet  # noqa: PLC0415 - not needed by services
    from pyaiot.fleet.report import as_json, table  # noqa: PLC0415

    report = await Fleet(config, fleet_protocols(), progress).run()
    if config.json:
        print_line(msgspec.json.format(msgspec.json.encode(as_json(report))).decode())
    else:
        print_line(table(report))
    return report.exit_code


# -- gateways -----------------------------------------------------------------------------------


async def _start_gateways(
    config: Config,
    shared: Mapping[SharedService, Any],
    connect: ConnectToBroker,
    tasks: asyncio.TaskGroup,
) -> list[OpenGateway]:
    """Open all gateways and run each as a task. Raises `OperatorError`."""
    gateways = []
    for plugin in plugins():
        if plugin.shared is not None and shared[plugin.shared] is None:
            continue  # reported by `shared_services`
        gateway = await plugin.open(config, plugin.shared and shared[plugin.shared])
        tasks.create_task(gateway.run(connect), name=gateway.command)
        gateways.append(gateway)
        if gateway.ready is not None:
            await gateway.ready()
    return gateways


# -- parts --------------------------------------------------------------------------------------


def _without_state_files(config: Config) -> Config:
    """The settings without state files: the gateways of a demo store nothing."""
    config = msgspec.structs.replace(config, devices=DevicesSection(file="off"))
    sections = (config.of(plugin.section) for plugin in plugins())
    return config.with_sections(
        *(
            msgspec.structs.replace(section, state_file="off")
            for section in sections
            if "state_file" in section.__struct_fields__
        )
    )


def _host_and_port(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("//")[2].rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)
