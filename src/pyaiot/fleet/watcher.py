# SPDX-License-Identifier: BSD-3-Clause
"""The fleet's client of the broker: records the readings that arrive, and sends commands."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.client.connection import ClientConnection, OpenConnection
from pyaiot.errors import LinkLost
from pyaiot.fleet.lateness import Lateness
from pyaiot.fleet.ledger import Ledger
from pyaiot.fleet.node import RESOURCE
from pyaiot.messages import Command, Join, Joined, Reading, Receipt, ToClient
from pyaiot.transport.backoff import Backoff

RETRY_S: Final = 0.5
"""Seconds between two attempts to connect to the broker."""
COMMAND_TIMEOUT_S: Final = 5.0
"""Timeout of each command."""
ACTUATOR: Final = "led"


class CommandStatistics:
    """Commands and their outcomes."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended: Counter[str] = Counter()
        """By state of the receipt; `no receipt` if the connection was lost before it."""
        self.lateness = Lateness()
        """Time from a command to its receipt `confirmed`."""
        self.pending: dict[str, float] = {}
        """Time sent by id, of commands without a receipt."""


class FleetWatcher:
    """Run `run` as a task, then wait for `joined`."""

    def __init__(
        self,
        ledger: Ledger,
        uids: Sequence[str],
        *,
        connect: OpenConnection,
        clock: Callable[[], float],
    ) -> None:
        self.commands = CommandStatistics()
        self.connections = 0
        self.joined = asyncio.Event()
        """Set when the state was received for the first time."""
        self.problem = ""
        """Why the last connection ended or failed."""
        self._ledger = ledger
        self._connect = connect
        self._clock = clock
        self._connection: ClientConnection | None = None
        self._is_receiving_state = False
        self._turns = itertools.cycle([(uid, "1") for uid in uids] + [(uid, "0") for uid in uids])

    async def run(self) -> None:
        """Stay connected until cancelled. Raises `OperatorError` if the broker refuses."""
        backoff = Backoff(first_s=RETRY_S, limit_s=RETRY_S, jitter=0.0)
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with self._connect() as connection:
                    await self._serve(connection)
            except LinkLost as lost:
                self.problem = str(lost)
            finally:
                self._connection = None
                commands = self.commands
                commands.ended["no receipt"] += len(commands.pending)
                commands.pending.clear()
            await asyncio.sleep(backoff.failed(now=loop.time()))

    async def command(self) -> None:
        """Send a command to the next node, unless the broker is disconnected."""
        connection = self._connection
        if connection is None:
            return
        uid, payload = next(self._turns)
        self.commands.sent += 1
        command_id = str(self.commands.sent)
        command = Command(
            id=command_id, uid=uid, resource=ACTUATOR, payload=payload, timeout_s=COMMAND_TIMEOUT_S
        )
        self.commands.pending[command_id] = self._clock()
        try:
            await connection.send(command)
        except LinkLost:
            return  # `run` notices the lost connection, and counts the command

    async def _serve(self, connection: ClientConnection) -> None:
        self._is_receiving_state = True
        await connection.send(Join(data="client"))
        self._connection = connection
        self.connections += 1
        while True:
            self._handle_messages(await connection.receive())

    def _handle_messages(self, messages: Sequence[ToClient]) -> None:
        now = self._clock()
        for message in messages:
            match message:
                case Reading(uid=uid, resource=resource, data=data):
                    if resource == RESOURCE:
                        self._ledger.see(uid, data, now=now, is_state=self._is_receiving_state)
                case Receipt(id=command_id, state=state):
                    sent_at = self.commands.pending.pop(command_id, None)
                    if sent_at is not None:
                        self.commands.ended[state] += 1
                        if state == "confirmed":
                            self.commands.lateness.add(now - sent_at)
                case Joined():
                    self._is_receiving_state = False
                    self.joined.set()
