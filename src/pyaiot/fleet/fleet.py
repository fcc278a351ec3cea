# SPDX-License-Identifier: BSD-3-Clause
"""Runs a fleet: connects the nodes, sends readings at the requested rate, drains, and reports."""

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
from pyaiot.fleet.watcher import FleetWatcher

TICK_S: Final = 0.01
"""Interval of the send loop."""
CONNECT_LIMIT_S: Final = 15.0
"""Time for the first node of each protocol, and for the broker. Then the run fails."""
NODES_PER_TICK: Final = 5
"""Nodes started per tick, to spread the handshakes."""
LATE_MAX_S: Final = 1.0
"""A fleet that is further behind skips readings and does not reach the requested rate."""
PROGRESS_S: Final = 1.0
"""Seconds between two progress lines."""
SETTLE_S: Final = 0.5
"""Extra wait for reordered readings after all nodes are settled."""
OTHER_FILES: Final = 64
"""Open files of the process, apart from one socket per node."""


class Fleet:
    """Run `run` once."""

    def __init__(
        self,
        config: FleetConfig,
        protocols: Mapping[str, NodeKind],
        show_progress: Callable[[str], None],
    ) -> None:
        """`show_progress` is called with a progress line every second."""
        self._config = config
        self._counts = {name: getattr(config, kind.count) for name, kind in protocols.items()}
        self._kinds = protocols
        self._factories: dict[str, NodeFactory] = {}
        self._show_progress = show_progress
        self._clock = time.monotonic
        self._rng = random.Random()  # noqa: S311 - names and offsets, not secrets
        self._name = f"fleet{self._rng.getrandbits(20):05x}"
        self._ledger = Ledger()
        self._nodes: list[VirtualNode] = []
        self._datagrams: Datagrams | None = None
        self._started_at = 0.0
        self._cpu_at = 0.0

    async def run(self) -> Report:
        """Raises `OperatorError`. A first cancellation only stops sending; it still reports."""
        config = self._config
        _allow_files(sum(self._counts.values()))
        broker = BrokerAddress(config.broker_host, config.broker_port, config.broker_ssl)
        async with (
            open_session(broker, login_link=config.login_link, ca_file=config.ca_file) as session,
            asyncio.TaskGroup() as tasks,
        ):
            self._datagrams = Datagrams(self._clock)
            try:
                running = await self._start(session, tasks)
                watcher = FleetWatcher(
                    self._ledger,
                    [node.uid for node in self._nodes],
                    connect=partial(connect, session, broker),
                    clock=self._clock,
                )
                running.append(tasks.create_task(watcher.run(), name="watcher"))
                running.append(tasks.create_task(self._serve_timers(), name="timers"))
                await self._wait_until_connected(watcher)
                report = await self._collect(watcher)
                for task in running:
                    task.cancel()
                return report
            finally:
                self._datagrams.close()

    # -- start ----------------------------------------------------------------------------------

    async def _start(
        self, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup
    ) -> list[asyncio.Task[None]]:
        """Create and connect the nodes, a few at a time."""
        assert self._datagrams is not None  # noqa: S101 - created by `run`
        if not any(self._counts.values()):
            flags = ", ".join(f"--{kind.count}" for kind in self._kinds.values())
            raise OperatorError(f"A fleet needs nodes. Set their number with one of {flags}.")
        running: list[asyncio.Task[None]] = []

        def start(work: Coroutine[Any, Any, None], name: str) -> None:
            running.append(tasks.create_task(work, name=name))

        run = FleetRun(
            self._config.gateway_host, session, self._datagrams, start, self._rng, self._clock
        )
        for count, protocol in enumerate(self._protocol_of_each_node(), 1):
            if protocol not in self._factories:
                kind = self._kinds[protocol]
                settings = settings_of_kind(self._config, kind)
                self._factories[protocol] = await kind.open(settings, run)
            uid = f"{self._name}-{protocol.lower().replace('-', '')[:6]}-{count}"
            series = self._ledger.add_node(uid, protocol)
            self._nodes.append(self._factories[protocol].add(uid, series))
            if count % NODES_PER_TICK == 0:
                await asyncio.sleep(TICK_S)
        return running

    def _protocol_of_each_node(self) -> Iterator[str]:
        for protocol, count in self._counts.items():
            yield from (protocol for _ in range(count))

    async def _wait_until_connected(self, watcher: FleetWatcher) -> None:
        """Wait until all nodes are connected and the broker has sent its state.

        Raises `OperatorError` after CONNECT_LIMIT_S if the broker is not connected, or not one node
        of a protocol is. The others may connect later.
        """
        deadline = self._clock() + CONNECT_LIMIT_S
        while self._clock() < deadline:
            if watcher.joined.is_set() and all(node.is_connected for node in self._nodes):
                return
            await asyncio.sleep(TICK_S)
        config = self._config
        if not watcher.joined.is_set():
            raise OperatorError(
                f"No broker accepts the fleet at {config.broker_host} port {config.broker_port}:"
                f" {watcher.problem or 'no answer'}."
            )
        for protocol, factory in self._factories.items():
            server, host, port, flag = factory.target
            nodes = [node for node in self._nodes if node.series.tally.protocol == protocol]
            if nodes and not any(node.is_connected for node in nodes):
                raise OperatorError(
                    f"No {protocol} {server} accepts nodes at {host} port {port}. Set its port with"
                    f" --{flag}-port, or omit these nodes with --{flag} 0."
                )

    # -- work -----------------------------------------------------------------------------------

    async def _serve_timers(self) -> None:
        """Serve the timers of the nodes: retransmissions and periodic messages."""
        assert self._datagrams is not None  # noqa: S101 - created by `run`
        while True:
            await asyncio.sleep(10 * TICK_S)
            self._datagrams.handle_timers(self._clock())
            for node in self._nodes:
                node.flush()

    async def _collect(self, watcher: FleetWatcher) -> Report:
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
            notes.append("Stopped early.")
        seconds = max(self._clock() - self._started_at, TICK_S)
        cpu_s = time.process_time() - self._cpu_at
        if self._ledger.is_full:
            notes.append(f"Stopped early: {OPEN_MAX:,} readings were not seen.")
        await self._drain(watcher, 1.0 if cancelled else self._config.grace_s)
        self._ledger.close()
        commands = watcher.commands
        ended = commands.ended.copy()
        if commands.pending:
            ended["no receipt"] += len(commands.pending)
        return Report(
            tallies=list(self._ledger.tallies.values()),
            total=self._ledger.total(),
            seconds=seconds,
            requested_per_s=self._config.rate * len(self._nodes),
            commands_sent=commands.sent,
            commands_ended=+ended,
            commands_lateness=commands.lateness,
            broker_connections=watcher.connections,
            cpu_s=cpu_s,
            notes=tuple(notes),
        )

    async def _send(self, watcher: FleetWatcher) -> None:
        """Send readings and commands at their rates for the configured time."""
        assert self._datagrams is not None  # noqa: S101 - created by `run`
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
                self._datagrams.flush_node(node)
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

    async def _drain(self, watcher: FleetWatcher, grace_s: float) -> None:
        """Wait up to `grace_s` for outstanding readings and receipts."""
        deadline = self._clock() + grace_s
        while self._clock() < deadline:
            if not self._ledger.unsettled and not watcher.commands.pending:
                if not self._ledger.unseen:
                    return
                await asyncio.sleep(SETTLE_S)
                return
            await asyncio.sleep(TICK_S)


def _allow_files(nodes: int) -> None:
    """Raise the limit of open files to one socket per node. Raises `OperatorError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = nodes + OTHER_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise OperatorError(
            f"{nodes} nodes need {needed} open files; the hard limit is {hard}. Raise it"
            " (ulimit -Hn), or use fewer nodes."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
