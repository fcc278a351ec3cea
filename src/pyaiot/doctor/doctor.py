# SPDX-License-Identifier: BSD-3-Clause
"""Runs all checks concurrently, each with its own deadline."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Final

from pyaiot.app.protocols import plugins
from pyaiot.client.address import BrokerAddress
from pyaiot.config import Config
from pyaiot.doctor import (
    certificate,
    home_assistant,
    machine,
    ports,
    running,
    start,
    storage,
    trip,
)
from pyaiot.doctor.findings import Finding, redacted
from pyaiot.errors import OperatorError
from pyaiot.gateways.plugin import ProbeResult
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.tls import PinnedTrust, client_context

AREA_LIMIT_S: Final = 12.0
"""How long the checks of one area may take. After that the area is reported as a problem."""


async def examine(
    config: Config,
    address: BrokerAddress,
    *,
    settings: str,
    run_demo: trip.RunDemo | None,
    finished: Callable[[str], None],
) -> list[Finding]:
    """Findings, in the order of their areas. Changes nothing.

    `address`: the expected address of a running broker. `settings`: the origin of the settings, for
    people. `run_demo`: runs the demo for the round trip; None skips it. `finished` is called with
    each area when it is done.
    """
    checks: list[tuple[str, Coroutine[None, None, list[Finding]]]] = [
        ("machine", _machine()),
        ("settings", _settings(config, settings)),
        ("ports", asyncio.to_thread(lambda: list(ports.check(config)))),
        *(("probe", _probe(plugin.probe, config)) for plugin in plugins() if plugin.probe),
        *([("Home Assistant", home_assistant.check(config))] if config.homeassistant.url else ()),
        ("broker", _running(address, config)),
    ]
    if run_demo is not None:
        checks.append(("round trip", trip.check(run_demo)))
    results = await asyncio.gather(*(_limited(area, check, finished) for area, check in checks))
    return [redacted(finding) for result in results for finding in result]


async def _limited(
    area: str, check: Coroutine[None, None, list[Finding]], finished: Callable[[str], None]
) -> list[Finding]:
    """The findings of a check, or one finding on its timeout or error."""
    try:
        async with asyncio.timeout(AREA_LIMIT_S):
            found = await check
    except TimeoutError:
        text = f"unknown: the checks took longer than {AREA_LIMIT_S:.0f} s"
        found = [Finding(area, "all", "wrong", text, "try again when the machine is less busy")]
    except OperatorError as error:
        found = [Finding(area, "all", "wrong", str(error).rstrip("."), "fix this first")]
    finished(area)
    return found


async def _machine() -> list[Finding]:
    return list(machine.check())


async def _settings(config: Config, settings: str) -> list[Finding]:
    found = [Finding("settings", "file", "ok", settings), storage.check_keys(config)]
    found += start.check(config)
    found += certificate.check(config.tls)
    found += storage.check_disk()
    found.append(await storage.check_history(config))
    found += await storage.check_databases(config)
    return found


async def _running(address: BrokerAddress, config: Config) -> list[Finding]:
    ca_file = config.client.ca_file or os.environ.get("AIOT_CA_FILE", "")
    trust = None
    if ca_file:
        trust = client_context(ca_file)
    elif config.tls.covers("web") and is_loopback(address.host):
        # The certificate need not be valid for the name of loopback.
        trust = PinnedTrust(config.tls.cert_file).context
    return [finding async for finding in running.check(address, trust)]


async def _probe(
    probe: Callable[[Config], AsyncIterator[ProbeResult]], config: Config
) -> list[Finding]:
    return [
        Finding(
            result.area, result.name, "ok" if result.ok else "wrong", result.text, result.action
        )
        async for result in probe(config)
    ]
