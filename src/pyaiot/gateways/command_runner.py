# SPDX-License-Identifier: BSD-3-Clause
"""Commands of a broker at a gateway: each ends in one receipt, at its deadline at the latest."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.pending_reports import PendingReports
from pyaiot.messages import Command, Receipt, ReceiptState

COMMANDS_MAX: Final = 1000
"""Largest number of waiting commands of all nodes. A further one ends as `unreachable`."""
COMMANDS_PER_NODE_MAX: Final = 20
"""Largest number of waiting commands of one node. A further one ends as `unreachable`."""
DETAIL_LENGTH_MAX: Final = 256


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of a write, as the device side reports it."""

    state: ReceiptState
    detail: str = ""


class DeviceSide(Protocol):
    """Writes to the devices of one protocol."""

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """Write to a known node; `deadline` is the loop's time.

        It may be cancelled at the deadline, and must then send nothing more. If the protocol has no
        acknowledgement, return `sent` after sending: the gateway waits for a reading.
        """
        ...


class CommandRunner:
    """Executes commands. Their number is limited, in total and per node."""

    def __init__(
        self,
        nodes: LiveNodes,
        pending_reports: PendingReports,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[Receipt], None],
    ) -> None:
        """`send` gets the receipt of each command."""
        self._nodes = nodes
        self._pending_reports = pending_reports
        self._loop = loop
        self._send = send
        self._commands: set[asyncio.Task[None]] = set()
        self._commands_of: Counter[str] = Counter()

    def __len__(self) -> int:
        """Commands without an outcome so far."""
        return len(self._commands)

    def start(self, command: Command, device_side: DeviceSide) -> None:
        """Write to the node of a command as a task."""
        uid = command.uid
        detail = ""
        if len(self._commands) >= COMMANDS_MAX:
            detail = f"{COMMANDS_MAX} commands are waiting in this gateway already"
        elif self._commands_of[uid] >= COMMANDS_PER_NODE_MAX:
            detail = f"{COMMANDS_PER_NODE_MAX} commands are waiting for this node already"
        if detail:
            self._answer(command, Outcome("unreachable", detail), self._now())
            return
        self._commands_of[uid] += 1
        task = self._loop.create_task(
            self._execute(command, device_side), name=f"command {command.id}"
        )
        self._commands.add(task)
        task.add_done_callback(lambda done: self._ended(done, uid))

    def _ended(self, task: asyncio.Task[None], uid: str) -> None:
        self._commands.discard(task)
        self._commands_of[uid] -= 1
        if not self._commands_of[uid]:
            del self._commands_of[uid]

    async def _execute(self, command: Command, device_side: DeviceSide) -> None:
        started_at = self._now()
        deadline = started_at + command.timeout_s
        if command.not_after is not None:
            deadline = min(deadline, command.not_after)
        if deadline <= started_at:
            outcome = Outcome("timeout", "it arrived after its deadline and was not sent")
        elif command.uid not in self._nodes:
            outcome = Outcome("unknown", "the gateway does not know this node")
        else:
            outcome = await self._write(command, device_side, deadline)
        self._answer(command, outcome, started_at)

    async def _write(self, command: Command, device_side: DeviceSide, deadline: float) -> Outcome:
        started_at = self._now()
        outcome = None
        reported: asyncio.Future[bool | str] = self._loop.create_future()

        def ended(how: bool | str) -> None:
            if not reported.done():
                reported.set_result(how)

        pending = self._pending_reports.expect(
            command.uid, command.resource, command.payload, ended
        )
        try:
            async with asyncio.timeout_at(deadline):
                outcome = await device_side.write(
                    command.uid, command.resource, command.payload, deadline
                )
                if outcome.state == "sent":
                    how = await reported
                    if isinstance(how, str):
                        return Outcome("refused", how)
                    if how:
                        return Outcome("confirmed", "the node reports the value")
                    return Outcome("unreachable", "the node left before it reported the value")
        except TimeoutError:
            pass
        finally:
            self._pending_reports.forget(pending)
        return outcome or Outcome("timeout", f"no answer in {self._now() - started_at:.3g} s")

    def _answer(self, command: Command, outcome: Outcome, started_at: float) -> None:
        self._send(
            Receipt(
                id=command.id,
                state=outcome.state,
                detail=outcome.detail[:DETAIL_LENGTH_MAX],
                elapsed_ms=round((self._now() - started_at) * 1000, 3),
            )
        )

    async def cancel(self) -> None:
        """Cancel the commands that wait."""
        tasks = list(self._commands)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _now(self) -> float:
        return self._loop.time()
