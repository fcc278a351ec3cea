# SPDX-License-Identifier: BSD-3-Clause
"""Runs a fleet: lets its nodes in, has them read at their pace, waits, and reports."""

import asyncio
import heapq
import random
import resource
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, Final

import aiohttp

from pyaiot.client.address import BrokerAddress
from pyaiot.client.connection import connect
from pyaiot.client.session import open_session
from pyaiot.errors import OperatorError
from pyaiot.fleet.config import FleetConfig, settings_of_kind
from pyaiot.fleet.datagrams import Datagrams
from pyaiot.fleet.ledger import OPEN_MAX, Ledger
from pyaiot.fleet.node import FleetRun, NodeFactory, NodeKind, VirtualNode
from pyaiot.fleet.report import Report, progress
from pyaiot.fleet.watcher import Watcher

TICK_S: Final = 0.01
"""Readings and repetitions that are due are sent so often."""
PATIENCE_S: Final = 15.0
"""How long the nodes of a protocol, and the broker, may take to let the first of us in."""
NODES_PER_TICK: Final = 5
"""So many nodes come in at once, lest all of them shake hands in the same moment."""
LATE_MAX_S: Final = 1.0
"""A fleet that is further behind than this leaves readings out, and sends fewer than asked."""
PROGRESS_S: Final = 1.0
"""Between two lines that say how it goes."""
SETTLE_S: Final = 0.5
"""When all nodes have what they waited for, readings may still overtake each other so long."""
FILES_BESIDES: Final = 64
"""Files of a process besides a socket for each node."""


class Fleet:
    """Run `run` once."""

    def __init__(
        self,
        config: FleetConfig,
        protocols: Mapping[str, NodeKind],
        show_progress: Callable[[str], None],
    ) -> None:
        """`show_progress` gets a line about the run every second."""
        self._config = config
        self._counts = {name: getattr(config, kind.count) for name, kind in protocols.items()}
        self._kinds = protocols
        self._factories: dict[str, NodeFactory] = {}
        self._show_progress = show_progress
        self._clock = time.monotonic
        self._rng = random.Random()  # noqa: S311 - it names and spreads nodes
        self._run = f"fleet{self._rng.getrandbits(20):05x}"
        self._ledger = Ledger()
        self._nodes: list[VirtualNode] = []
        self._datagrams: Datagrams | None = None
        self._started_at = 0.0
        self._cpu_at = 0.0

    async def run(self) -> Report:
        """Raises `OperatorError`. Cancelled once, it sends no more and reports what was."""
        config = self._config
        _allow_files(sum(self._counts.values()))
        place = BrokerAddress(config.broker_host, config.broker_port, config.broker_ssl)
        async with (
            open_session(place, login_link=config.login_link) as session,
            asyncio.TaskGroup() as tasks,
        ):
            self._datagrams = Datagrams(self._clock)
            try:
                running = await self._start(session, tasks)
                watcher = Watcher(
                    self._ledger,
                    [node.uid for node in self._nodes],
                    connect=partial(connect, session, place),
                    clock=self._clock,
                )
                running.append(tasks.create_task(watcher.run(), name="watcher"))
                running.append(tasks.create_task(self._wake(), name="wake"))
                await self._let_in(watcher)
                report = await self._measured(watcher)
                for task in running:
                    task.cancel()
                return report
            finally:
                self._datagrams.close()

    # -- start ----------------------------------------------------------------------------------

    async def _start(
        self, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup
    ) -> list[asyncio.Task[None]]:
        """Make the nodes and connect them, a few at a time."""
        assert self._datagrams is not None  # noqa: S101 - made before
        if not any(self._counts.values()):
            flags = ", ".join(f"--{kind.count}" for kind in self._kinds.values())
            raise OperatorError(f"A fleet needs nodes: set their number with one of {flags}.")
        running: list[asyncio.Task[None]] = []

        def start(work: Coroutine[Any, Any, None], name: str) -> None:
            running.append(tasks.create_task(work, name=name))

        run = FleetRun(
            self._config.gateway_host, session, self._datagrams, start, self._rng, self._clock
        )
        for count, protocol in enumerate(self._protocols(), 1):
            if protocol not in self._factories:
                kind = self._kinds[protocol]
                settings = settings_of_kind(self._config, kind)
                self._factories[protocol] = await kind.open(settings, run)
            uid = f"{self._run}-{protocol.lower().replace('-', '')[:6]}-{count}"
            series = self._ledger.add_node(uid, protocol)
            self._nodes.append(self._factories[protocol].add(uid, series))
            if count % NODES_PER_TICK == 0:
                await asyncio.sleep(TICK_S)
        return running

    def _protocols(self) -> Iterator[str]:
        for protocol, count in self._counts.items():
            yield from (protocol for _ in range(count))

    async def _let_in(self, watcher: Watcher) -> None:
        """Wait until all nodes are in and the broker has told us what it knows.

        Raises `OperatorError` if nobody of a protocol is let in. Those who come later come later.
        """
        deadline = self._clock() + PATIENCE_S
        while self._clock() < deadline:
            if watcher.joined.is_set() and all(node.is_connected for node in self._nodes):
                return
            await asyncio.sleep(TICK_S)
        config = self._config
        if not watcher.joined.is_set():
            raise OperatorError(
                f"No broker lets the fleet in at {config.broker_host} port {config.broker_port}:"
                f" {watcher.problem or 'it says nothing'}."
            )
        for protocol, factory in self._factories.items():
            what, host, port, flag = factory.place
            nodes = [node for node in self._nodes if node.series.account.protocol == protocol]
            if nodes and not any(node.is_connected for node in nodes):
                raise OperatorError(
                    f"No {protocol} {what} lets a node in at {host} port {port}: say where it is"
                    f" with --{flag}-port, or --{flag} 0."
                )

    # -- work -----------------------------------------------------------------------------------

    async def _wake(self) -> None:
        """Have those nodes speak that repeat something, or say that they are alive."""
        assert self._datagrams is not None  # noqa: S101 - made before
        while True:
            await asyncio.sleep(10 * TICK_S)
            self._datagrams.wake(self._clock())
            for node in self._nodes:
                node.wake()

    async def _measured(self, watcher: Watcher) -> Report:
        self._started_at = self._clock()
        self._cpu_at = time.process_time()
        cancelled = False
        notes = []
        try:
            await self._send(watcher)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.uncancel():
                raise
            cancelled = True
            notes.append("It was ended early.")
        seconds = max(self._clock() - self._started_at, TICK_S)
        cpu_s = time.process_time() - self._cpu_at
        if self._ledger.is_full:
            notes.append(f"It ended early: {OPEN_MAX:,} readings were not seen.")
        await self._drain(watcher, 1.0 if cancelled else self._config.grace_s)
        self._ledger.close()
        commands = watcher.commands
        ended = commands.ended.copy()
        if commands.under_way:
            ended["no receipt"] += len(commands.under_way)
        return Report(
            accounts=list(self._ledger.accounts.values()),
            total=self._ledger.total(),
            seconds=seconds,
            asked_per_s=self._config.rate * len(self._nodes),
            commands_sent=commands.sent,
            commands_ended=+ended,
            commands_lateness=commands.lateness,
            broker_connections=watcher.connections,
            cpu_s=cpu_s,
            notes=tuple(notes),
        )

    async def _send(self, watcher: Watcher) -> None:
        """Have each node read at its pace, and command them, for the time that was asked for."""
        assert self._datagrams is not None  # noqa: S101 - made before
        config, clock = self._config, self._clock
        period_s = 1 / config.rate
        start = clock()
        end = start + config.seconds
        due = [
            (start + period_s * index / len(self._nodes), index)
            for index in range(len(self._nodes))
        ]
        command_due = start
        progress_due = start + PROGRESS_S
        sent_before = 0
        while (now := clock()) < end and not self._ledger.is_full:
            while due[0][0] <= now:
                at, index = due[0]
                node = self._nodes[index]
                node.read(now=now)
                self._datagrams.flush_node(node, now)
                at += period_s
                heapq.heapreplace(due, (at if at > now - LATE_MAX_S else now, index))
            if config.commands_per_s and now >= command_due:
                command_due = max(command_due + 1 / config.commands_per_s, now)
                await watcher.command()
            if now >= progress_due:
                progress_due += PROGRESS_S
                total = self._ledger.total()
                self._show_progress(
                    progress(total, now - start, (total.sent - sent_before) / PROGRESS_S)
                )
                sent_before = total.sent
            await asyncio.sleep(min(TICK_S, end - now))

    async def _drain(self, watcher: Watcher, grace_s: float) -> None:
        """Wait for what is under way, but not for ever."""
        deadline = self._clock() + grace_s
        while self._clock() < deadline:
            if not self._ledger.unsettled and not watcher.commands.under_way:
                if not self._ledger.unseen:
                    return
                await asyncio.sleep(SETTLE_S)
                return
            await asyncio.sleep(TICK_S)


def _allow_files(nodes: int) -> None:
    """A socket for each node. Raises `OperatorError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = nodes + FILES_BESIDES
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise OperatorError(
            f"{nodes} nodes need {wanted} open files and this user may have {hard}: raise the limit"
            " (ulimit -Hn), or take fewer nodes."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
