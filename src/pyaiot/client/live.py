# SPDX-License-Identifier: BSD-3-Clause
"""Keeps a client connected: its view of the nodes, its watches and its pending commands."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from pyaiot.client.connection import ClientConnection, MessageRefused, OpenConnection
from pyaiot.client.view import Event, View
from pyaiot.client.watch import Watch
from pyaiot.errors import LinkLost, OperatorError
from pyaiot.messages import Command, Join, Joined, Problem, Receipt, Subscription, ToClient
from pyaiot.transport.backoff import Backoff

COMMANDS_MAX: Final = 200
"""Pending commands of a client, the limit of the broker. More get the receipt `forbidden`."""
RECEIPT_GRACE_S: Final = 5.0
"""Wait for the receipt beyond the deadline of a command. Then the client returns `timeout`."""
JOIN_LIMIT_S: Final = 60.0
"""Time for the state after a join. Then the connection is lost."""

log = logging.getLogger(__name__)


class LiveConnection:
    """A connection that is restored when it is lost. Run `run` as a task, then wait for `first`."""

    def __init__(
        self,
        connect: OpenConnection,
        *,
        subscription: Subscription | None = None,
        patience_s: float = 0.0,
        backoff: Backoff | None = None,
        notify: Callable[[str], None] = log.warning,
    ) -> None:
        """`patience_s`: how long to retry before the first connection."""
        self.view = View(subscription)
        self.watches: WeakSet[Watch[Event]] = WeakSet()
        """Weak: a watch without a reader is dropped."""
        self.connected = False
        """Whether the broker is connected and has sent its state."""
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the broker has sent its state. Raises `LinkLost`, or what `run` raises."""
        self._connect = connect
        self._subscription = subscription
        self._patience_s = patience_s
        self._backoff = backoff or Backoff(steady_s=0.0)
        self._notify = notify
        self._connection: ClientConnection | None = None
        self._commands: dict[str, asyncio.Future[Receipt]] = {}
        self._count = 0
        self._ended = False
        self._error: OperatorError | None = None

    async def run(self) -> None:
        """Stay connected until cancelled. Raises `OperatorError` if the broker refuses."""
        patient_until = asyncio.get_running_loop().time() + self._patience_s
        try:
            while True:
                try:
                    async with self._connect() as connection:
                        await self._serve(connection)
                except LinkLost as lost:
                    self._lost(lost)
                    now = asyncio.get_running_loop().time()
                    if not self.first.done() and now >= patient_until:
                        self.first.set_exception(lost)
                        return
                now = asyncio.get_running_loop().time()
                await asyncio.sleep(self._backoff.failed(now=now))
        except OperatorError as refusal:
            self._error = refusal
            raise
        finally:
            self._ended = True
            self._lost(LinkLost("the client ended"), quiet=True)
            for watch in list(self.watches):
                watch.end(self._error)
            if not self.first.done():
                if self._error is None:
                    self.first.cancel()
                else:
                    self.first.set_exception(self._error)

    def add(self, watch: Watch[Event]) -> None:
        """Add a watch. It receives all further events and ends with this object."""
        self.watches.add(watch)
        if self._ended:
            watch.end(self._error)

    async def command(self, uid: str, resource: str, payload: str, *, timeout_s: float) -> Receipt:
        """Send a command and wait for its receipt. See `Client.set`."""
        if len(self._commands) >= COMMANDS_MAX:
            return Receipt(
                id="", state="forbidden", detail=f"{COMMANDS_MAX} commands have no receipt yet"
            )
        connection = self._connection
        if connection is None or not self.connected:
            return Receipt(id="", state="unreachable", detail="the broker is not connected")
        self._count += 1
        command = Command(
            id=str(self._count), uid=uid, resource=resource, payload=payload, timeout_s=timeout_s
        )
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._commands[command.id] = receipt
        try:
            async with asyncio.timeout(timeout_s + RECEIPT_GRACE_S):
                await connection.send(command)
                return await receipt
        except LinkLost as lost:
            return _unknown_outcome(command.id, f"the connection was lost: {lost}")
        except TimeoutError:
            return _unknown_outcome(command.id, "the broker gave no receipt")
        finally:
            self._commands.pop(command.id, None)

    async def _serve(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.view.begin()
        try:
            async with asyncio.timeout(JOIN_LIMIT_S) as limit:
                if self._subscription is not None:
                    await connection.send(self._subscription)
                await connection.send(Join(data="client"))
                while True:
                    for message in await connection.receive():
                        self._handle_message(message)
                    if self.connected:
                        limit.reschedule(None)
        except TimeoutError as error:
            raise LinkLost(f"it did not send its state within {JOIN_LIMIT_S:.0f} s") from error
        except MessageRefused as refused:
            if self.connected:  # it was a command, which does not concern the next connection
                raise
            raise OperatorError(f"The broker refuses what is requested: {refused}.") from refused

    def _handle_message(self, message: ToClient) -> None:
        match message:
            case Receipt():
                waiting = self._commands.get(message.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
                return
            case Problem():
                log.warning("the broker refused a message of this client: %s", message.detail)
                return
        for event in self.view.apply(message):
            for watch in list(self.watches):
                watch.add(event)
        if isinstance(message, Joined):
            self._joined()

    def _joined(self) -> None:
        self.connected = True
        self._backoff.connected(now=asyncio.get_running_loop().time())
        if self.first.done():
            self._notify("reconnected to the broker")
        else:
            self.first.set_result(None)

    def _lost(self, lost: LinkLost, *, quiet: bool = False) -> None:
        if self.connected and not quiet:
            self._notify(f"lost the connection to the broker, reconnecting: {lost}")
        self.connected = False
        self._connection = None
        for receipt in self._commands.values():
            if not receipt.done():
                receipt.set_exception(lost)


def _unknown_outcome(command_id: str, detail: str) -> Receipt:
    return Receipt(id=command_id, state="timeout", detail=detail[:256])
