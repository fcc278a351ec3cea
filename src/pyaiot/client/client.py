# SPDX-License-Identifier: BSD-3-Clause
"""The client for programs: current state, events, history and commands."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec

from pyaiot.client.address import HOST, PORT, BrokerAddress
from pyaiot.client.connection import OpenConnection, connect
from pyaiot.client.history import ExportFormat, HistoryClient, Moment
from pyaiot.client.live import LiveConnection
from pyaiot.client.rows import Rows
from pyaiot.client.session import no_broker, open_session
from pyaiot.client.view import Event, Node
from pyaiot.client.watch import Watch
from pyaiot.errors import LinkLost, OperatorError, ProtocolError
from pyaiot.messages import (
    COMMAND_TIMEOUT_MAX_S,
    GatewayState,
    Reading,
    Receipt,
    Subscription,
    check_name,
    check_uid,
    check_value,
)

DAY_S: Final = 86_400
"""Seconds of a day without a clock change: the value of `every_s` for steps of days."""
_EVENTS: Final = Event.__args__

log = logging.getLogger(__name__)


class Client:
    """A client of a broker: `async with Client() as client: …`.

    Entering it returns after the broker has sent its state. A lost connection is restored with
    growing pauses of up to 30 s. Meanwhile `connected` is False, `nodes` is the last known state,
    and watches wait.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: bool = False,
        login_link: str = "",
        token: str | None = None,
        cookie_file: Path | None = None,
        uids: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        patience_s: float = 0.0,
        live: bool = True,
        tell: Callable[[str], None] = log.warning,
        connect: OpenConnection | None = None,
    ) -> None:
        """Connect to `host` and `port`, else to that of `login_link`, else to `localhost:8000`.

        `login_link`: the sign-in link that the broker printed, if it requires one. It works once.
        `token`: a token of `aiot token add`; None: that of the environment variable `AIOT_TOKEN`.
        `cookie_file`: file for the cookie of the sign-in, which later clients use.
        `uids`, `resources`: filters. The broker sends nothing about other nodes and resources.
        `patience_s`: how long entering retries until the broker answers.
        `live`: False for a client that only queries the history. It opens no WebSocket.
        `tell`: called with a sentence when the connection is lost and when it is restored.
        `connect`: opens a connection in place of a WebSocket.
        """
        default = (
            BrokerAddress.from_link(login_link) if login_link else BrokerAddress(HOST, PORT, ssl)
        )
        self.address: Final = BrokerAddress(
            default.host if host is None else host,
            default.port if port is None else port,
            ssl or default.ssl,
        )
        self._login_link = login_link
        self._token = os.environ.get("AIOT_TOKEN", "") if token is None else token
        self._cookie_file = cookie_file
        self._subscription = None
        if uids is not None or resources is not None:
            self._subscription = Subscription(
                uids=None if uids is None else tuple(uids),
                resources=None if resources is None else tuple(resources),
            )
        self._patience_s = patience_s
        self._with_live = live
        self._notify = tell
        self._given_connect = connect
        self._stack = AsyncExitStack()
        self._closed = False
        self._live: LiveConnection | None = None
        self._history: HistoryClient | None = None

    async def __aenter__(self) -> Self:
        """Raises `NoBroker` if no broker answers, `LoginNeeded` if it requires a sign-in."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                open_session(
                    self.address,
                    login_link=self._login_link,
                    cookie_file=self._cookie_file,
                    token=self._token,
                )
            )
            self._history = HistoryClient(session, self.address)
            if self._with_live:
                self._live = await self._start(stack, session)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack, session: aiohttp.ClientSession) -> LiveConnection:
        live = LiveConnection(
            self._given_connect or (lambda: connect(session, self.address)),
            subscription=self._subscription,
            patience_s=self._patience_s,
            notify=self._notify,
        )
        task = asyncio.create_task(live.run(), name=f"client of {self.address}")
        stack.push_async_callback(_cancel, task)
        try:
            await live.first
        except LinkLost as lost:
            raise no_broker(self.address, lost) from lost
        return live

    # -- current state --------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the broker is connected and has sent its state."""
        return not self._closed and self._live_or_raise.connected

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The online nodes, by uid. Replaced by a new object after each reconnection."""
        return self._live_or_raise.view.nodes

    @property
    def gateways(self) -> Mapping[str, GatewayState]:
        """The gateways that are connected to the broker, by name."""
        return self._live_or_raise.view.gateways

    def get(self, uid: str, resource: str) -> Reading | None:
        """The latest reading of a resource; None if the node or the resource is unknown."""
        node = self.nodes.get(uid)
        return None if node is None else node.resources.get(resource)

    # -- events ---------------------------------------------------------------------------------

    def watch(
        self, uid: str | None = None, resource: str | None = None, *, known: bool = True
    ) -> Watch[Reading]:
        """Readings of all nodes and resources, or of one.

        With `known`, it starts with the latest reading of each. It continues after a reconnection.
        A slow reader gets only the latest reading of each resource. A reader that falls further
        behind gets `Behind`.
        """
        first = [
            reading
            for node in (self.nodes.values() if known else ())
            for reading in node.resources.values()
        ]

        def wanted(event: Event) -> bool:
            return (
                isinstance(event, Reading)
                and (uid is None or event.uid == uid)
                and (resource is None or event.resource == resource)
            )

        return self._started(Watch(wanted, first, kind=Reading))

    def events(self, uid: str | None = None) -> Watch[Event]:
        """All events from now on: readings, and nodes that appear, reboot and leave.

        If `uid` is None, also gateways that connect and disconnect. A reconnection yields the
        differences between the old and the new state.
        """

        def wanted(event: Event) -> bool:
            return uid is None or getattr(event, "uid", None) == uid

        return self._started(Watch(wanted, kind=_EVENTS))

    # -- commands -------------------------------------------------------------------------------

    async def set(
        self, uid: str, resource: str, value: object, *, timeout_s: float = 5.0
    ) -> Receipt:
        """Write `value` to a resource and wait for the receipt. Values other than text are JSON.

        The command is carried out at most once. `receipt.state` is its outcome: `confirmed`, or the
        reason of the failure. After a lost connection it is `timeout`: the outcome is unknown.
        Raises `ProtocolError` for an invalid command, such as a value above 64 kB.
        """
        if not 0 < timeout_s <= COMMAND_TIMEOUT_MAX_S:
            raise ProtocolError(
                f"the timeout of a command is more than 0 and at most {COMMAND_TIMEOUT_MAX_S:g} s"
            )
        check_uid(uid)
        check_name(resource, "resource")
        payload = payload_of(value)
        check_value(payload)
        return await self._live_or_raise.command(uid, resource, payload, timeout_s=timeout_s)

    # -- history --------------------------------------------------------------------------------

    async def history(
        self,
        uid: str,
        resource: str,
        start: Moment | None = "-1h",
        end: Moment | None = None,
        *,
        every_s: int | None = None,
        agg: str | None = None,
        limit: int | None = None,
        tz: str | None = None,
    ) -> Rows:
        """Readings of a resource from `start` (inclusive) to `end` (exclusive), oldest first.

        None: no bound. `limit`: only the newest `limit` readings. `every_s`: aggregate numbers in
        steps of this many seconds, with `agg`: `mean`, `min`, `max`, `last`, `count`, or several
        separated by commas. `tz`: steps are the days of this time zone, for example `Europe/Paris`,
        including days with a change of daylight saving time. The result is complete, or an error is
        raised: `TooManyRows`, `ApiProblem` or `LinkLost`.
        """
        if tz is not None:
            if every_s not in (None, DAY_S):
                raise OperatorError(f"tz makes steps of days: omit every_s, or set it to {DAY_S}.")
            every_s = DAY_S
        if every_s is not None and limit is not None:
            raise OperatorError(
                "limit cannot be combined with every_s: choose the range and the step."
            )
        if agg is not None and every_s is None:
            raise OperatorError("agg requires every_s.")
        return await self._history_or_raise.rows(
            uid, resource, start=start, end=end, every_s=every_s, agg=agg, limit=limit, tz=tz
        )

    def export(
        self,
        form: ExportFormat = "csv",
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        uid: str | None = None,
        resource: str | None = None,
    ) -> AsyncIterator[bytes]:
        """Readings as a file, in pieces; of all nodes unless `uid` is set. There is no limit.

        Raises `LinkLost` if the transfer is interrupted: the data is then incomplete.
        """
        return self._history_or_raise.export(form, start=start, end=end, uid=uid, resource=resource)

    @property
    def _live_or_raise(self) -> LiveConnection:
        """Raises `LinkLost` if the client is closed."""
        if self._closed:
            raise LinkLost("this client is closed")
        if self._live is None:
            raise RuntimeError("the client is not open: use async with Client(live=True)")
        return self._live

    @property
    def _history_or_raise(self) -> HistoryClient:
        """Raises `LinkLost` if the client is closed."""
        if self._closed:
            raise LinkLost("this client is closed")
        if self._history is None:
            raise RuntimeError("the client is not open: use async with Client() as client")
        return self._history

    def _started(self, watch: Watch[Any]) -> Watch[Any]:
        self._live_or_raise.add(watch)
        return watch


def payload_of(value: object) -> str:
    """The payload of a value: text unchanged, everything else as JSON (`1`, `true`)."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the value is neither text nor JSON: {error}") from error


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # Its watches got the error.
    with contextlib.suppress(asyncio.CancelledError, OperatorError):
        await task
