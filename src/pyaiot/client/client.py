# SPDX-License-Identifier: BSD-3-Clause
"""The client that programs use: what is there, what happens, what was, and commands."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec

from pyaiot.client.address import HOST, PORT, BrokerAddress
from pyaiot.client.connection import Connect, connect
from pyaiot.client.history import ExportFormat, History, Moment
from pyaiot.client.live import Live
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
    Subscribe,
    check_name,
    check_uid,
    check_value,
)

DAY_S: Final = 86_400
"""Seconds of a day on which no clock is set: so steps of days are asked for."""
_EVENTS: Final = Event.__args__

log = logging.getLogger(__name__)


class Client:
    """A client of a broker, to be entered: `async with Client() as client: …`.

    It is there when the broker has told everything it knows. When the connection is lost it
    connects again by itself, later each time, up to every 30 s; meanwhile `nodes` is what was
    known, `connected` is False, and watches go on when the broker is back.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: bool = False,
        login_link: str = "",
        cookie_file: Path | None = None,
        uids: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        patience_s: float = 0.0,
        live: bool = True,
        tell: Callable[[str], None] = log.warning,
        connect: Connect | None = None,
    ) -> None:
        """The broker is at `host` and `port`, else where `login_link` leads, else at
        `localhost:8000`.

        `login_link`: the link that the broker printed, where it asks for one; it works once.
        `cookie_file`: keeps what the link gave, so that the next client needs none.
        `uids`, `resources`: only of these nodes and readings the broker tells; others it does not
        send at all.
        `patience_s`: entering waits so long for a broker that is not there yet.
        `live`: False for a client that only asks for history, and connects no WebSocket.
        `tell`: is called with a sentence when the broker is gone, and when it is back.
        `connect`: another way to the broker than a WebSocket.
        """
        linked = BrokerAddress.of_link(login_link) if login_link else BrokerAddress(HOST, PORT, ssl)
        self.place: Final = BrokerAddress(
            linked.host if host is None else host,
            linked.port if port is None else port,
            ssl or linked.ssl,
        )
        self._login_link = login_link
        self._cookie_file = cookie_file
        self._subscription = None
        if uids is not None or resources is not None:
            self._subscription = Subscribe(
                uids=None if uids is None else tuple(uids),
                resources=None if resources is None else tuple(resources),
            )
        self._patience_s = patience_s
        self._with_live = live
        self._tell = tell
        self._given_connect = connect
        self._stack = AsyncExitStack()
        self._closed = False
        self._live: Live | None = None
        self._history: History | None = None

    async def __aenter__(self) -> Self:
        """Raises `NoBroker` if none is there, `LoginNeeded` if it lets nobody in."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                open_session(self.place, login_link=self._login_link, cookie_file=self._cookie_file)
            )
            self._history = History(session, self.place)
            if self._with_live:
                self._live = await self._connected(stack, session)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        await self._stack.aclose()

    async def _connected(self, stack: AsyncExitStack, session: aiohttp.ClientSession) -> Live:
        live = Live(
            self._given_connect or (lambda: connect(session, self.place)),
            subscription=self._subscription,
            patience_s=self._patience_s,
            tell=self._tell,
        )
        task = asyncio.create_task(live.run(), name=f"client of {self.place}")
        stack.push_async_callback(_ended, task)
        try:
            await live.first
        except LinkLost as lost:
            raise no_broker(self.place, lost) from lost
        return live

    # -- what is there --------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """The broker is there and has told what it knows."""
        return not self._closed and self._now.connected

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes that are there, by uid. It is another object after each reconnection."""
        return self._now.view.nodes

    @property
    def gateways(self) -> Mapping[str, GatewayState]:
        """The gateways that are connected to the broker, by name."""
        return self._now.view.gateways

    def get(self, uid: str, resource: str) -> Reading | None:
        """The latest reading of a resource; None if the node or the resource is not there."""
        node = self.nodes.get(uid)
        return None if node is None else node.resources.get(resource)

    # -- what happens ---------------------------------------------------------------------------

    def watch(
        self, uid: str | None = None, resource: str | None = None, *, known: bool = True
    ) -> Watch[Reading]:
        """Readings, of one node or resource or of all, first the latest that are `known`.

        It goes on over lost connections. A reader that is slow gets the latest of each resource
        only; one that is slower still gets `Behind`.
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

        return self._begun(Watch(wanted, first, kind=Reading))

    def events(self, uid: str | None = None) -> Watch[Event]:
        """Everything that happens from now on: readings, and that nodes appear, reboot and leave.

        Gateways that come and go are told if `uid` is None. After a connection was lost, what
        changed meanwhile is told as it is then.
        """

        def wanted(event: Event) -> bool:
            return uid is None or getattr(event, "uid", None) == uid

        return self._begun(Watch(wanted, kind=_EVENTS))

    # -- commands -------------------------------------------------------------------------------

    async def set(
        self, uid: str, resource: str, value: object, *, timeout_s: float = 5.0
    ) -> Receipt:
        """Write `value` to a resource and wait for the receipt. Text goes as it is, others as JSON.

        It is carried out at most once. `receipt.state` tells what became of it: `confirmed`, or
        why not; after a lost connection `timeout`, because nobody knows. Raises `ProtocolError` for
        what no node could be told, such as a value above 64 kB.
        """
        if not 0 < timeout_s <= COMMAND_TIMEOUT_MAX_S:
            raise ProtocolError(
                f"a command has more than 0 and at most {COMMAND_TIMEOUT_MAX_S:g} s"
            )
        check_uid(uid)
        check_name(resource, "resource")
        payload = payload_of(value)
        check_value(payload)
        return await self._now.command(uid, resource, payload, timeout_s=timeout_s)

    # -- what was -------------------------------------------------------------------------------

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
        """Readings of a resource from `start` up to, but without, `end`, oldest first.

        None: as far as there is anything. `limit`: only the newest so many. `every_s`: numbers are
        brought together in steps of so many seconds, by `agg`: `mean`, `min`, `max`, `last` or
        `count`, or several with commas between. `tz`: steps are the days of this time zone, such as
        `Europe/Paris`, also those on which clocks are set. There is all that was asked for, or an
        error: `TooManyRows`, `ApiProblem`, `LinkLost`.
        """
        if tz is not None:
            if every_s not in (None, DAY_S):
                raise OperatorError(f"tz brings together days: leave every_s, or say {DAY_S}.")
            every_s = DAY_S
        if every_s is not None and limit is not None:
            raise OperatorError("Steps have no limit: choose the range and the step.")
        if agg is not None and every_s is None:
            raise OperatorError("agg tells what becomes of steps: it wants every_s.")
        return await self._past.rows(
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
        """Readings of all nodes, any number of them, as pieces of a file.

        Raises `LinkLost` if the transfer breaks off: then what came is not everything.
        """
        return self._past.export(form, start=start, end=end, uid=uid, resource=resource)

    @property
    def _now(self) -> Live:
        """Raises `LinkLost` if the client was closed."""
        if self._closed:
            raise LinkLost("this client is closed")
        if self._live is None:
            raise RuntimeError("enter the client first: async with Client() as client (live=True)")
        return self._live

    @property
    def _past(self) -> History:
        """Raises `LinkLost` if the client was closed."""
        if self._closed:
            raise LinkLost("this client is closed")
        if self._history is None:
            raise RuntimeError("enter the client first: async with Client() as client")
        return self._history

    def _begun(self, watch: Watch[Any]) -> Watch[Any]:
        self._now.add(watch)
        return watch


def payload_of(value: object) -> str:
    """What is written for a value: text as it is, everything else as JSON (`1`, `true`)."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"a value is text or JSON: {error}") from error


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    # What went wrong with it, its watches were told.
    with contextlib.suppress(asyncio.CancelledError, OperatorError):
        await task
