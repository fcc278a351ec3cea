# SPDX-License-Identifier: BSD-3-Clause
"""All that is looked at, side by side, each with its own deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Final

from pyaiot.app.protocols import plugins
from pyaiot.client.address import BrokerAddress
from pyaiot.config import Config
from pyaiot.doctor import machine, ports, running, storage, trip
from pyaiot.doctor.findings import Finding, redacted
from pyaiot.errors import OperatorError
from pyaiot.gateways.plugin import ProbeResult

LOOK_LIMIT_S: Final = 12.0
"""For each part. A part that did not end is a finding of its own."""


async def examine(
    config: Config,
    place: BrokerAddress,
    *,
    settings: str,
    run_demo: trip.RunDemo | None,
    told: Callable[[str], None],
) -> list[Finding]:
    """Findings, in the order of their areas. Changes nothing.

    `place`: where the running broker would be. `settings`: where they came from, for people.
    `run_demo`: what the round trip is made with; None: none is made. `told` hears which part
    has ended.
    """
    looks: list[tuple[str, Coroutine[None, None, list[Finding]]]] = [
        ("machine", _machine()),
        ("settings", _settings(config, settings)),
        ("ports", asyncio.to_thread(lambda: list(ports.look(config)))),
        *(("probe", _probe(plugin.probe, config)) for plugin in plugins() if plugin.probe),
        ("broker", _running(place)),
    ]
    if run_demo is not None:
        looks.append(("round trip", trip.look(run_demo)))
    results = await asyncio.gather(*(_limited(area, look, told) for area, look in looks))
    return [redacted(finding) for result in results for finding in result]


async def _limited(
    area: str, look: Coroutine[None, None, list[Finding]], told: Callable[[str], None]
) -> list[Finding]:
    try:
        async with asyncio.timeout(LOOK_LIMIT_S):
            found = await look
    except TimeoutError:
        says = f"not known: it took longer than {LOOK_LIMIT_S:.0f} s"
        found = [Finding(area, "all", "wrong", says, "try again when the machine is less busy")]
    except OperatorError as error:
        found = [Finding(area, "all", "wrong", str(error).rstrip("."), "mend that first")]
    told(area)
    return found


async def _machine() -> list[Finding]:
    return list(machine.look())


async def _settings(config: Config, settings: str) -> list[Finding]:
    found = [Finding("settings", "file", "ok", settings), storage.look_at_keys(config)]
    found += storage.look_at_disk()
    found.append(await storage.look_at_history(config))
    return found


async def _running(place: BrokerAddress) -> list[Finding]:
    return [finding async for finding in running.look(place)]


async def _probe(
    probe: Callable[[Config], AsyncIterator[ProbeResult]], config: Config
) -> list[Finding]:
    return [
        Finding(
            result.area, result.name, "ok" if result.ok else "wrong", result.text, result.action
        )
        async for result in probe(config)
    ]
