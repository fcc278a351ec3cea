# SPDX-License-Identifier: BSD-3-Clause
"""Builds the web side of a broker from the settings: dashboard, access control, metrics."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyaiot.accounts.store import AccountsFile
from pyaiot.alerts import metrics as alerts_metrics
from pyaiot.alerts.service import AlertService
from pyaiot.app import accounts as app_accounts
from pyaiot.app.accounts import is_proxied, needs_sign_in
from pyaiot.app.dashboard import load_dashboard
from pyaiot.app.gateway_links import GatewayAccess
from pyaiot.app.optional_parts import share_history
from pyaiot.app.tls import ProcessTls
from pyaiot.audit.entry import THIS_PROCESS
from pyaiot.audit.log import AuditLog
from pyaiot.broker.broker import Broker
from pyaiot.broker.mappings import MappingBook
from pyaiot.config import BrokerSection, Config, WorkersCluster
from pyaiot.errors import OperatorError
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.metrics import Collector
from pyaiot.redaction import redact
from pyaiot.registry import metrics as registry_metrics
from pyaiot.registry.service import RegistryService
from pyaiot.systemd.notify import is_managed
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.forwarded import TrustedProxies
from pyaiot.transport.http_server import HttpServer
from pyaiot.web.access_watch import AccessWatch
from pyaiot.web.api.devices import DeviceAdministration
from pyaiot.web.api.idempotency_file import IdempotencyFile
from pyaiot.web.app import WebApp
from pyaiot.web.metrics_endpoint import Metrics, open_metrics_server
from pyaiot.web.readiness import Check
from pyaiot.web.sign_in import SignIn

if TYPE_CHECKING:
    from pyaiot.history.service import HistoryService
    from pyaiot.web.api.idempotency_database import IdempotencyDatabase

log = logging.getLogger(__name__)

NO_TRUSTED_PROXY: Final = (
    "no proxy is trusted, so that all clients share the limits of one address: set"
    " --trusted-proxy to the address of the proxy, such as 127.0.0.1"
)

PrintLine = Callable[[str], None]
"""Prints a line for the operator on standard output."""


@asynccontextmanager
async def serve_web(
    config: Config,
    broker: Broker,
    registry: RegistryService,
    access: GatewayAccess,
    checks: Mapping[str, Check],
    print_line: PrintLine,
    history: "HistoryService | None",
    gateways: Sequence[OpenGateway],
    *,
    tls: ProcessTls,
    keys: Path | None = None,
    audit: AuditLog | None = None,
    alerts: AlertService | None = None,
    mappings: MappingBook | None = None,
    devices: DeviceAdministration | None = None,
    collectors: Sequence[Collector] = (),
) -> AsyncIterator[str]:
    """Serve the web side and yield the URL of the dashboard. Raises `OperatorError`.

    `keys`: the file that stores `Idempotency-Key`s across restarts; None: a restart forgets them.
    `devices`: the credentials of devices; None: no gateway runs in this process. The metrics of
    `gateways` and of `collectors` are exported with those of the broker; entries may be added to
    both lists later.
    """
    section = config.broker
    check_web(config)
    accounts = access.accounts
    shared_keys = _shared_keys(config)
    watch = None if accounts is None else _watch(accounts, broker)
    sign_in = None
    if needs_sign_in(section):
        sign_in = _sign_in(config, accounts or open_accounts(config), watch)
    app = WebApp(
        broker,
        registry=registry,
        tokens=access.key_file,
        key_file_identity=access.identity,
        access=watch,
        title=section.title,
        allowed_hosts=frozenset(section.allowed_hosts),
        allowed_origins=_allowed_origins(config),
        checks=checks,
        sign_in=sign_in,
        dashboard=load_dashboard(config),
        history=history.history if history else None,
        caught_up=history.caught_up if history else None,
        collectors=[
            lambda: registry_metrics.collect(registry),
            *([history.collect] if history else ()),
            lambda: (sample for collect in collectors for sample in collect()),
            *([partial(alerts_metrics.collect, alerts)] if alerts else ()),
            lambda: (sample for gateway in gateways for sample in gateway.collect()),
        ],
        keys=IdempotencyFile(keys),
        shared_keys=shared_keys,
        audit=audit,
        alerts=alerts,
        mappings=mappings,
        devices=devices,
    )
    share_history(config, broker, history, app.api.streams)
    server = await HttpServer.open(
        app.app,
        section.host,
        section.port,
        service="The broker",
        flag="--web-port",
        server_log=app.server_log,
        tls=tls.of("web"),
        proxies=_proxies(section),
        is_shared=config.broker.workers > 1,
        is_first=not is_later_worker(config),
    )
    try:
        async with (
            nullcontext() if shared_keys is None else shared_keys.running(),
            serve_metrics(config, tls, app.metrics, print_line),
            _watching(watch),
        ):
            if is_later_worker(config):
                pass  # the first worker prints a link
            elif sign_in is not None and is_managed(os.environ):
                # The link would be in the journal, which other users can read.
                log.info("clients must sign in: aiot service exec invite prints a link")
            elif sign_in is not None:
                await _print_link(sign_in, _external_root(section, server), audit, print_line)
            yield server.url
    finally:
        server.stop_listening()
        app.api.streams.close_all()
        await app.sockets.close_all()
        await server.close()


def _shared_keys(config: Config) -> "IdempotencyDatabase | None":
    """The `Idempotency-Key`s of all brokers of a cluster."""
    url = app_accounts.any_database(config)
    if not url:
        return None
    from pyaiot.web.api.idempotency_database import IdempotencyDatabase  # noqa: PLC0415

    return IdempotencyDatabase(url, redact(url))


async def _print_link(
    sign_in: SignIn, root: str, audit: AuditLog | None, print_line: PrintLine
) -> None:
    """Print a link for the first administrator. Raises `OperatorError`, unless the accounts are in
    a database: the broker of a cluster also runs while that cannot be reached."""
    try:
        link = f"{root}{await sign_in.new_link()}"
    except OperatorError as error:
        if not sign_in.accounts.is_shared:
            raise
        log.warning("there is no link to sign in: %s", error)
        return
    if audit is not None:
        audit.record(THIS_PROCESS, "invite", detail="admin, at the start")
    print_line(f"Open this link once to sign in: {link}")
    if sys.stdout.isatty():
        from pyaiot.accounts.qr_code import qr_code  # noqa: PLC0415

        print_line(qr_code(link))


@asynccontextmanager
async def serve_metrics(
    config: Config, tls: ProcessTls, metrics: Metrics, print_line: PrintLine
) -> AsyncIterator[None]:
    """Serve metrics on a separate listener, if the settings have one. Raises `OperatorError`."""
    section = config.metrics
    if section.port < 0:
        yield
        return
    server = await open_metrics_server(
        metrics,
        section.host,
        section.port,
        allowed_hosts=section.allowed_hosts,
        tls=tls.of("metrics"),
    )
    try:
        if not is_loopback(section.host):
            log.warning("TCP port %d: metrics are readable without sign-in", server.port)
        print_line(f"Metrics: {server.url_for_others}metrics")
        yield
    finally:
        await server.close()


def _allowed_origins(config: Config) -> frozenset[str]:
    """The origins of the settings; on loopback also that of `aiot dashboard` on this machine."""
    section, port = config.broker, config.dashboard.port
    origins = set(section.allowed_origins)
    if is_loopback(section.host) and not is_proxied(section) and port:
        scheme = "https" if config.tls.covers("web") else "http"
        origins |= {f"{scheme}://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]")}
    return frozenset(origins)


def _external_root(section: BrokerSection, server: HttpServer) -> str:
    """The URL at which browsers reach the server. Behind a proxy: its first allowed host, TLS."""
    if is_proxied(section) and section.allowed_hosts:
        return f"https://{section.allowed_hosts[0]}"
    return server.url_for_others.rstrip("/")


def _proxies(section: BrokerSection) -> TrustedProxies:
    """The proxies whose headers are trusted. Raises `OperatorError`."""
    if section.behind_proxy and not section.trusted_proxies:
        log.warning(NO_TRUSTED_PROXY)
    return TrustedProxies(section.trusted_proxies, setting="broker.trusted_proxies")


def check_web(config: Config) -> None:
    """Raise `OperatorError` before anything starts, if the settings do not permit the web
    listener."""
    section = config.broker
    is_open = not is_loopback(section.host)
    has_tls = config.tls.covers("web") or is_proxied(section)
    TrustedProxies(section.trusted_proxies, setting="broker.trusted_proxies")
    if is_open and not has_tls and not section.insecure:
        raise OperatorError(
            f"The broker would listen on {section.host}, beyond this machine, without TLS: set"
            " --tls-cert and --tls-key to files that aiot tls self-signed makes, --behind-proxy if"
            " a proxy in front of it provides TLS, or --insecure to allow plain HTTP."
        )


def is_later_worker(config: Config) -> bool:
    """Whether this process is a worker of `aiot run`, and not the first one."""
    return isinstance(config.cluster, WorkersCluster) and config.cluster.worker > 1


def open_accounts(config: Config) -> AccountsFile:
    """The accounts of this broker. If clients must sign in, the file is created. Otherwise it is
    read if it exists: gateways may have tokens. Raises `OperatorError`."""
    return app_accounts.open_accounts(config, creates=needs_sign_in(config.broker))


def _watch(accounts: AccountsFile, broker: Broker) -> AccessWatch:
    def gateways_changed(names: frozenset[str]) -> None:
        broker.router.names.with_tokens = names

    watch = AccessWatch(accounts, gateways_changed=gateways_changed)
    watch.check()  # reserve the names of gateways before the first one connects
    return watch


@asynccontextmanager
async def _watching(watch: AccessWatch | None) -> AsyncIterator[None]:
    """End connections without access, until the block ends."""
    async with asyncio.TaskGroup() as tasks:
        task = None if watch is None else tasks.create_task(watch.run(), name="access watch")
        yield
        if task is not None:
            task.cancel()


def _sign_in(config: Config, accounts: AccountsFile, watch: AccessWatch | None) -> SignIn:
    """Access control for clients on other machines."""
    section = config.broker
    if section.anonymous == "viewer":
        log.warning("TCP port %d: all nodes are visible without sign-in", section.port)
    return SignIn(
        accounts,
        behind_tls=is_proxied(section) or config.tls.covers("web"),
        viewers=section.anonymous == "viewer",
        clock=time.monotonic,
        title=section.title,
        watch=watch,
    )
