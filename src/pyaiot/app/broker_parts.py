# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a broker, from the settings: registry, history, access of gateways, checks."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pyaiot.app.accounts import shared_accounts
from pyaiot.app.broker_web import open_accounts
from pyaiot.app.gateway_links import GatewayAccess, key_file_identity
from pyaiot.app.optional_parts import make_broker
from pyaiot.app.protocols import plugins
from pyaiot.app.service_reload import check_protocols
from pyaiot.audit.log import AuditLog
from pyaiot.backup.journal import check_not_restoring
from pyaiot.broker.broker import Broker
from pyaiot.broker.keys import TokenCheck
from pyaiot.config import BrokerSection, Config, data_folder
from pyaiot.gateways.plugin import Check, OpenGateway
from pyaiot.registry.registry import Registry
from pyaiot.registry.service import RegistryService
from pyaiot.registry.stores import store_at

if TYPE_CHECKING:
    from pyaiot.history.service import HistoryService


def checks_of(
    gateways: Iterable[OpenGateway],
    history: "HistoryService | None",
    registry: RegistryService,
    audit: AuditLog,
    access: GatewayAccess | None = None,
) -> dict[str, Check]:
    """The checks of `/readyz`: one per gateway, by its command, and one per store."""

    def of(gateway: OpenGateway) -> Check:
        async def check() -> str:
            if gateway.gateway is not None and not gateway.gateway.linked:
                return "not linked to the broker"
            return await gateway.check()

        return check

    checks = {gateway.command: of(gateway) for gateway in gateways}
    checks["registry"] = registry.check
    if audit.is_on:
        checks["audit"] = audit.check
    shared = None if access is None else shared_accounts(access.accounts)
    if shared is not None:
        checks["accounts"] = shared.check
    return checks if history is None else {**checks, "history": history.check}


def open_broker(
    config: Config, history: "HistoryService | None", folder: Path, audit: AuditLog
) -> tuple[Broker, RegistryService]:
    """A broker with its registry. The registry file is in `folder` unless a setting names another
    one. Raises `OperatorError`."""
    section = config.registry
    check_not_restoring(folder)
    check_protocols(section)
    registry = Registry(
        admission=section.admission,
        admission_of=section.admission_of,
        offline_max=section.offline_max,
    )
    location = section.store or str(folder / "registry.db")
    if not section.store and re.match(r"postgres(ql)?://", config.history.store):
        location = config.history.store
    broker = make_broker(
        config,
        flush_interval_s=config.broker.flush_interval_ms / 1000,
        registry=registry,
        timer=asyncio.get_running_loop(),
        unix_time=time.time,
        # The clock of uvloop has a resolution of 1 ms, too coarse for the duration in a receipt.
        clock=time.monotonic,
        observer=history.recorder if history else None,
        audit=audit,
    )
    store = None if location == "off" else store_at(location, is_shared=config.cluster.is_on)
    return broker, RegistryService(registry, broker, store, unix_time=time.time)


def key_store(section: BrokerSection) -> Path | None:
    """The file of `Idempotency-Key`s; None without a fixed port: programs cannot find the broker
    again."""
    if not section.port:
        return None
    return data_folder(os.environ) / f"idempotency-keys-{section.port}"


def open_history(config: Config, folder: Path) -> "HistoryService | None":
    """The history service; None if history is off. Its file is in `folder` unless a setting names
    another one. Raises `OperatorError`."""
    section = config.history
    if section.store == "off":
        return None
    # Imported only where history is recorded.
    from pyaiot.history.disk_space import DiskSpace  # noqa: PLC0415
    from pyaiot.history.service import HistoryService  # noqa: PLC0415
    from pyaiot.history.store import retention_policy  # noqa: PLC0415
    from pyaiot.history.stores import store_at  # noqa: PLC0415

    keep = retention_policy(
        section.readings_days, section.minutes_days, section.hours_days, section.events_days
    )
    location = section.store or str(folder / "history.db")
    disk = None
    if section.free_mb and "://" not in location:
        path = Path(location).expanduser().parent
        disk = DiskSpace(lambda: shutil.disk_usage(path).free, pause_below_mb=section.free_mb)
    return HistoryService(store_at(location, keep, is_shared=config.cluster.is_on), disk)


def recording(history: "HistoryService | None") -> AbstractAsyncContextManager[None]:
    return nullcontext() if history is None else history.running()


def gateway_access(config: Config, key_file: TokenCheck | None) -> GatewayAccess:
    """How gateways in other processes authenticate. Raises `OperatorError`."""
    identity = key_file_identity(config.broker, [plugin.protocol for plugin in plugins()])
    return GatewayAccess(key_file, identity, open_accounts(config))
