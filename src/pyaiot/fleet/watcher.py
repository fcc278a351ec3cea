# SPDX-License-Identifier: BSD-3-Clause
"""The client of the broker that checks what arrived, and commands the nodes."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from pyaiot.client.connection import Connect, Connection
from pyaiot.errors import LinkLost
from pyaiot.fleet.lateness import Lateness
from pyaiot.fleet.ledger import Ledger
from pyaiot.fleet.node import RESOURCE
from pyaiot.messages import Command, Join, Joined, Reading, Receipt, ToClient
from pyaiot.transport.backoff import Backoff

RETRY_S: Final = 0.5
"""Between two attempts to connect to the broker."""
COMMAND_TIMEOUT_S: Final = 5.0
"""Deadline of each command."""
ACTUATOR: Final = "led"


class Commands:
    """What was commanded, and how it ended."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended: Counter[str] = Counter()
        """By the state of the receipt; `no receipt` where the connection was lost before it."""
        self.lateness = Lateness()
        """From a command to its receipt `confirmed`."""
        self.under_way: dict[str, float] = {}


class Watcher:
    """Run `run` as a task; wait for `joined`."""

    def __init__(
        self, ledger: Ledger, uids: Sequence[str], *, connect: Connect, clock: Callable[[], float]
    ) -> None:
        self.commands = Commands()
        self.connections = 0
        self.joined = asyncio.Event()
        """The first time: what the broker knows was told."""
        self.problem = ""
        """Why there is no connection."""
        self._ledger = ledger
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None
        self._is_told_state = False
        self._turns = itertools.cycle([(uid, "1") for uid in uids] + [(uid, "0") for uid in uids])

    async def run(self) -> None:
        """Connect, again and again, until cancelled. Raises `OperatorError` if not let in."""
        backoff = Backoff(first_s=RETRY_S, limit_s=RETRY_S, jitter=0.0)
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with self._connect() as connection:
                    await self._listen(connection)
            except LinkLost as lost:
                self.problem = str(lost)
            finally:
                self._connection = None
                commands = self.commands
                commands.ended["no receipt"] += len(commands.under_way)
                commands.under_way.clear()
            await asyncio.sleep(backoff.failed(now=loop.time()))

    async def command(self) -> None:
        """Command the next node, if the broker is there."""
        connection = self._connection
        if connection is None:
            return
        uid, payload = next(self._turns)
        self.commands.sent += 1
        command_id = str(self.commands.sent)
        command = Command(
            id=command_id, uid=uid, resource=ACTUATOR, payload=payload, timeout_s=COMMAND_TIMEOUT_S
        )
        self.commands.under_way[command_id] = self._clock()
        try:
            await connection.send(command)
        except LinkLost:
            return  # whoever receives hears of it too, and counts it

    async def _listen(self, connection: Connection) -> None:
        self._is_told_state = True
        await connection.send(Join(data="client"))
        self._connection = connection
        self.connections += 1
        while True:
            self._received(await connection.receive())

    def _received(self, messages: Sequence[ToClient]) -> None:
        now = self._clock()
        for message in messages:
            match message:
                case Reading(uid=uid, resource=resource, data=data):
                    if resource == RESOURCE:
                        self._ledger.see(uid, data, now=now, is_state=self._is_told_state)
                case Receipt(id=command_id, state=state):
                    sent_at = self.commands.under_way.pop(command_id, None)
                    if sent_at is not None:
                        self.commands.ended[state] += 1
                        if state == "confirmed":
                            self.commands.lateness.add(now - sent_at)
                case Joined():
                    self._is_told_state = False
                    self.joined.set()
