# SPDX-License-Identifier: BSD-3-Clause
"""A round trip: does Pyaiot work on this machine?

Everything is started as `aiot demo` does, on free ports and in a folder that goes with it. A node
of each protocol must appear, say a value, and do what it is told. What runs already is not touched.
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
"""For all of it: on a small machine it takes two seconds."""


def lamps() -> dict[str, str]:
    """For each protocol, the first node of the demo that has a sensor and can be commanded."""
    return {
        plugin.protocol: node.name
        for plugin, node in reversed(demo_kinds())
        if {"led"} < set(node.resources)
    }


def nodes_needed() -> int:
    """How many nodes of the demo must be started, so that all of `lamps` are among them."""
    names = set(lamps().values())
    return 1 + max(n for n, (_, node) in enumerate(demo_kinds()) if node.name in names)


class RunDemo(Protocol):
    """What `aiot demo` does, until it is cancelled. `opened` is told the URL of its page."""

    def __call__(
        self,
        config: Config,
        node_count: int,
        print_line: Callable[[str], None],
        *,
        opened: Callable[[str], None],
    ) -> Coroutine[Any, Any, None]: ...


async def look(run_demo: RunDemo) -> list[Finding]:
    """A finding for each protocol, or one on why nothing could be started."""
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
        # The services end with it, whatever became of them.
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
        assert lamp is not None  # noqa: S101 - it was seen
        receipt = await client.set(lamp.uid, "led", "1", timeout_s=TRIP_LIMIT_S / 2)
        if receipt.state == "confirmed":
            says = f"a reading seen, a command confirmed in {receipt.elapsed_ms:.1f} ms"
            found[protocol] = Finding("round trip", protocol, "ok", says)
        else:
            says = f"a reading was seen, but a command ended in {receipt.state}"
            found[protocol] = Finding("round trip", protocol, "wrong", says, _DO)


def _lamp(client: Client, name: str) -> Node | None:
    """The node of this name, when it has said a number and how its LED is."""
    for node in client.nodes.values():
        resources = node.resources
        if not {"name", "led"} <= resources.keys() or resources["name"].data != name:
            continue
        if any(reading.number is not None for reading in resources.values()):
            return node
    return None


_DO: Final = "`aiot demo --debug` does the same, and says each step"


def _missing(protocol: str, seen: dict[str, float]) -> Finding:
    what = "no receipt of a command" if protocol in seen else "no node appeared"
    do = "is loopback filtered (firewall, container)? " + _DO
    return Finding("round trip", protocol, "wrong", f"{what} in {TRIP_LIMIT_S:.0f} s", do)


def _failed(error: BaseException) -> Finding:
    says = str(error).rstrip(".") or type(error).__name__
    return Finding("round trip", "start", "wrong", says, f"mend that; {_DO}")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _config() -> Config:
    """Any free ports, nothing kept, nothing of the settings."""
    return Config(
        broker=BrokerSection(port=0),
        history=HistorySection(store="off"),
        protocols=tuple(structs.replace(plugin.section(), port=0) for plugin in plugins()),
    )
