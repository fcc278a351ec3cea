# SPDX-License-Identifier: BSD-3-Clause
"""A round trip through the whole system on this machine.

It starts all services as `aiot demo` does, on free ports and in a temporary folder. A node of each
protocol must appear, send a reading and confirm a command. Running services are not affected.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from msgspec import structs

from pyaiot.app.demo import demo_kinds
from pyaiot.app.protocols import plugins
from pyaiot.client import Client, Node
from pyaiot.config import BrokerSection, Config, HistorySection
from pyaiot.doctor.findings import Finding
from pyaiot.errors import LinkLost, OperatorError

TRIP_LIMIT_S: Final = 10.0
"""How long the round trip may take. It takes 2 s on a small machine; a longer one is a problem."""


def lamps() -> dict[str, str]:
    """For each protocol, the name of the first demo node with an LED and a sensor."""
    return {
        plugin.protocol: node.name
        for plugin, node in reversed(demo_kinds())
        if {"led"} < set(node.resources)
    }


def nodes_needed() -> int:
    """Number of demo nodes to start, so that they include all of `lamps`."""
    names = set(lamps().values())
    return 1 + max(n for n, (_, node) in enumerate(demo_kinds()) if node.name in names)


class RunDemo(Protocol):
    """Runs the demo until cancelled. `opened` is called with the URL of the dashboard."""

    def __call__(
        self,
        config: Config,
        node_count: int,
        print_line: Callable[[str], None],
        *,
        opened: Callable[[str], None],
    ) -> Coroutine[Any, Any, None]: ...


async def check(run_demo: RunDemo) -> list[Finding]:
    """One finding for each protocol, or one finding with the reason why the demo could not
    start."""
    seen: dict[str, float] = {}
    found: dict[str, Finding] = {}
    try:
        async with asyncio.timeout(TRIP_LIMIT_S):
            await _trip(run_demo, seen, found)
    except TimeoutError:
        return [found.get(protocol) or _missing(protocol, seen) for protocol in lamps()]
    except ExceptionGroup as group:
        return [_failed(_first(group))]
    except (OperatorError, LinkLost, OSError) as error:
        return [_failed(error)]
    return [found[protocol] for protocol in lamps()]


async def _trip(run_demo: RunDemo, seen: dict[str, float], found: dict[str, Finding]) -> None:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    demo = run_demo(_config(), nodes_needed(), lambda _: None, opened=url.set_result)
    running = asyncio.create_task(demo, name="round trip")
    try:
        both: set[asyncio.Future[Any]] = {running, url}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        host, _, port = (await url).removeprefix("http://").rstrip("/").rpartition(":")
        async with Client(host.strip("[]"), int(port), tell=lambda _: None) as client:
            await _visit(client, seen, found)
    finally:
        # This ends the services, also after an error.
        running.cancel()
        await asyncio.wait({running})
        with contextlib.suppress(asyncio.CancelledError, Exception):
            running.result()


async def _visit(client: Client, seen: dict[str, float], found: dict[str, Finding]) -> None:
    started = time.monotonic()
    events = client.events()
    while True:
        for protocol, name in lamps().items():
            lamp = _lamp(client, name)
            if lamp is not None:
                seen.setdefault(protocol, time.monotonic() - started)
        if len(seen) == len(lamps()):
            break
        await anext(events)
    for protocol, name in lamps().items():
        lamp = _lamp(client, name)
        assert lamp is not None  # noqa: S101 - `seen` has it
        receipt = await client.set(lamp.uid, "led", "1", timeout_s=TRIP_LIMIT_S / 2)
        if receipt.state == "confirmed":
            text = f"a reading received, a command confirmed in {receipt.elapsed_ms:.1f} ms"
            found[protocol] = Finding("round trip", protocol, "ok", text)
        else:
            text = f"a reading received, but a command ended with the receipt {receipt.state}"
            found[protocol] = Finding("round trip", protocol, "wrong", text, _ACTION)


def _lamp(client: Client, name: str) -> Node | None:
    """The node with this name, if it has sent a number and the state of its LED."""
    for node in client.nodes.values():
        resources = node.resources
        if not {"name", "led"} <= resources.keys() or resources["name"].data != name:
            continue
        if any(reading.number is not None for reading in resources.values()):
            return node
    return None


_ACTION: Final = "`aiot demo --debug` does the same and logs each step"


def _missing(protocol: str, seen: dict[str, float]) -> Finding:
    missing = "no receipt for a command" if protocol in seen else "no node appeared"
    action = f"check whether a firewall or container filters loopback; {_ACTION}"
    return Finding("round trip", protocol, "wrong", f"{missing} in {TRIP_LIMIT_S:.0f} s", action)


def _failed(error: BaseException) -> Finding:
    text = str(error).rstrip(".") or type(error).__name__
    return Finding("round trip", "start", "wrong", text, f"fix this; {_ACTION}")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _config() -> Config:
    """Free ports, no history, and defaults otherwise."""
    return Config(
        broker=BrokerSection(port=0),
        history=HistorySection(store="off"),
        protocols=tuple(structs.replace(plugin.section(), port=0) for plugin in plugins()),
    )
