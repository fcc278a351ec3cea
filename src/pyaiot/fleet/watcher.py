# SPDX-License-Identifier: BSD-3-Clause
"""The client of the broker that checks what arrived, and commands the nodes."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp

from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.fleet.lateness import Lateness
from pyaiot.fleet.ledger import Ledger
from pyaiot.fleet.node import RESOURCE
from pyaiot.messages import (
    FRAME_SIZE_MAX,
    SUBPROTOCOL,
    Command,
    Join,
    Joined,
    Reading,
    Receipt,
    decode_to_client,
    encode,
)

CONNECT_LIMIT_S: Final = 5.0
"""A broker that does not shake hands within this is tried again."""
RETRY_S: Final = 0.5
"""Between two attempts to connect to the broker."""
HEARTBEAT_S: Final = 10.0
"""A broker that does not answer a ping within half of this is connected to anew."""
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
        self, ledger: Ledger, uids: Sequence[str], *, url: str, clock: Callable[[], float]
    ) -> None:
        self.commands = Commands()
        self.connections = 0
        self.joined = asyncio.Event()
        """The first time: what the broker knows was told."""
        self.problem = ""
        """Why there is no connection."""
        self._ledger = ledger
        self._url = url
        self._clock = clock
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._is_told_state = False
        self._turns = itertools.cycle([(uid, "1") for uid in uids] + [(uid, "0") for uid in uids])

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Connect, again and again, until cancelled. Raises `OperatorError` if not let in."""
        while True:
            try:
                await self._one_connection(session)
            except aiohttp.WSServerHandshakeError as error:
                if error.status in (401, 403):
                    raise OperatorError(
                        "The broker lets nobody in without a login: give the fleet the link that"
                        " the broker printed at its start, with --login-link."
                    ) from error
                self.problem = f"it answers {error.status}"
            except (aiohttp.ClientError, OSError, TimeoutError, LinkLost) as error:
                self.problem = str(error) or type(error).__name__
            finally:
                self._socket = None
                commands = self.commands
                commands.ended["no receipt"] += len(commands.under_way)
                commands.under_way.clear()
            await asyncio.sleep(RETRY_S)

    async def command(self) -> None:
        """Command the next node, if the broker is there."""
        socket = self._socket
        if socket is None:
            return
        uid, payload = next(self._turns)
        self.commands.sent += 1
        command_id = str(self.commands.sent)
        command = Command(
            id=command_id, uid=uid, resource=ACTUATOR, payload=payload, timeout_s=COMMAND_TIMEOUT_S
        )
        self.commands.under_way[command_id] = self._clock()
        try:
            await socket.send_str(encode(command).decode())
        except (aiohttp.ClientError, OSError):
            return  # whoever receives hears of it too, and counts it

    async def _one_connection(self, session: aiohttp.ClientSession) -> None:
        async with (
            asyncio.timeout(CONNECT_LIMIT_S) as limit,
            session.ws_connect(
                self._url,
                protocols=(SUBPROTOCOL,),
                max_msg_size=2 * FRAME_SIZE_MAX,
                heartbeat=HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            ) as socket,
        ):
            limit.reschedule(None)
            if socket.protocol != SUBPROTOCOL:
                raise OperatorError(f"What answers at {self._url} is no broker of Pyaiot.")
            self._is_told_state = True
            await socket.send_str(encode(Join(data="client")).decode())
            self._socket = socket
            self.connections += 1
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    self._received(frame.data)
            raise LinkLost(f"it closed with code {socket.close_code}")

    def _received(self, text: str) -> None:
        now = self._clock()
        try:
            messages = decode_to_client(text)
        except ProtocolError as error:
            raise LinkLost(f"it says what cannot be read: {error}") from error
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
