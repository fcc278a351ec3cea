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

from pyaiot.client.address import HOST, PORT, BrokerAddress, BrokerAddresses
from pyaiot.client.administration import AdministrationClient
from pyaiot.client.api import HttpApi
from pyaiot.client.connection import OpenConnection, connect_to_one
from pyaiot.client.errors import NoBroker
from pyaiot.client.history import ExportFormat, HistoryClient, Moment
from pyaiot.client.live import LiveConnection
from pyaiot.client.registry import RegistryClient, payload_of
from pyaiot.client.rows import Rows
from pyaiot.client.session import no_broker, open_session, share_cookies
from pyaiot.client.view import Event, Node
from pyaiot.client.watch import SelectedNode, Watch
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
RETRY_S: Final = 1.0
"""Seconds between two attempts to reach a broker before the first connection."""
_EVENTS: Final = Event.__args__

log = logging.getLogger(__name__)


class Client(RegistryClient, AdministrationClient):
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
        ca_file: str | None = None,
        uids: Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        tags: Iterable[str] | None = None,
        gateways: Iterable[str] | None = None,
        patience_s: float = 0.0,
        live: bool = True,
        tell: Callable[[str], None] = log.warning,
        connect: OpenConnection | None = None,
    ) -> None:
        """Connect to `host` and `port`, else to that of `login_link`, else to `localhost:8000`.

        `host` may be the brokers of a cluster, `HOST[:PORT]` separated by commas. The client uses
        one of them, and the next one when that does not answer for three seconds.

        `login_link`: the sign-in link that the broker printed, if it requires one. It works once.
        `token`: a token of `aiot token add`; None: that of the environment variable `AIOT_TOKEN`.
        `cookie_file`: file for the cookie of the sign-in, which later clients use.
        `ca_file`: file with the trusted certificates (PEM), for a broker with a self-signed
        certificate; None: that of the environment variable `AIOT_CA_FILE`, else those of the
        system.
        `uids`, `resources`: filters. The broker sends nothing about other nodes and resources. A
        unique label works in place of a uid; entering resolves it.
        `tags`, `gateways`: the same by one of several tags of a node, or names of gateways; at most
        32 each, and at least one.
        `patience_s`: how long entering retries until the broker answers.
        `live`: False for a client that only queries the history. It opens no WebSocket.
        `tell`: called with a sentence when the connection is lost and when it is restored.
        `connect`: opens a connection in place of a WebSocket.
        """
        default = (
            BrokerAddress.from_link(login_link) if login_link else BrokerAddress(HOST, PORT, ssl)
        )
        self._addresses = BrokerAddresses.of(
            default.host if host is None else host,
            default.port if port is None else port,
            ssl=ssl or default.ssl,
        )
        self._login_link = login_link
        self._token = os.environ.get("AIOT_TOKEN", "") if token is None else token
        self._cookie_file = cookie_file
        self._ca_file = os.environ.get("AIOT_CA_FILE", "") if ca_file is None else ca_file
        self._uids = None if uids is None else tuple(uids)
        self._resources = None if resources is None else tuple(resources)
        self._tags = None if tags is None else tuple(tags)
        self._gateways = None if gateways is None else tuple(gateways)
        self._patience_s = patience_s
        self._with_live = live
        self._notify = tell
        self._given_connect = connect
        self._stack = AsyncExitStack()
        self._closed = False
        self._live: LiveConnection | None = None
        self._http: HttpApi | None = None

    @property
    def address(self) -> BrokerAddress:
        """Of the broker that it uses."""
        return self._addresses.current

    async def __aenter__(self) -> Self:
        """Raises `NoBroker` if no broker answers, `LoginNeeded` if it requires a sign-in."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                open_session(
                    self.address,
                    login_link=self._login_link,
                    cookie_file=self._cookie_file,
                    token=self._token,
                    ca_file=self._ca_file,
                )
            )
            share_cookies(session, self._addresses)
            self._http = HttpApi(session, self._addresses)
            if self._with_live:
                self._live = await self._start(stack, session)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack, session: aiohttp.ClientSession) -> LiveConnection:
        subscription = None
        filters = (self._uids, self._resources, self._tags, self._gateways)
        if any(it is not None for it in filters):
            uids = None if self._uids is None else await self._subscribed(self._uids)
            subscription = Subscription(
                uids=uids, resources=self._resources, tags=self._tags, gateways=self._gateways
            )
        live = LiveConnection(
            self._given_connect or (lambda: connect_to_one(session, self._addresses)),
            subscription=subscription,
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

    async def _subscribed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The uids of these uids and labels, as soon as the broker answers."""
        if self._given_connect is not None:  # there may be no HTTP API
            return names
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._patience_s
        while True:
            try:
                known = await self.find_uids(names)
                return tuple(
                    [name if name in known else await self._uid_or_name(name) for name in names]
                )
            except NoBroker:
                if loop.time() >= patient_until:
                    raise
            await asyncio.sleep(RETRY_S)

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
        """The latest reading of a resource of an online node; None if either is unknown.

        It makes no request, so it does not accept labels: see `uid_of`, and `node` for offline
        nodes.
        """
        node = self.nodes.get(uid)
        return None if node is None else node.resources.get(resource)

    # -- events ---------------------------------------------------------------------------------

    def watch(
        self, uid: str | None = None, resource: str | None = None, *, known: bool = True
    ) -> Watch[Reading]:
        """Readings of all nodes and resources, or of one.

        With `known`, it starts with the latest reading of each. It continues after a reconnection.
        A unique label works in place of the uid; it is resolved when the first reading is read.
        A slow reader gets only the latest reading of each resource. A reader that falls further
        behind gets `Behind`.
        """
        selected = SelectedNode(uid)

        def current() -> list[Reading]:
            nodes = self.nodes.values() if known else ()
            return [reading for node in nodes for reading in node.resources.values()]

        def wanted(event: Event) -> bool:
            return (
                isinstance(event, Reading)
                and selected.includes(event)
                and (resource is None or event.resource == resource)
            )

        async def resolve(watch: Watch[Reading]) -> None:
            if await selected.resolve(self._resolved):
                for reading in current():
                    watch.add(reading)

        begin = resolve if self._may_be_label(uid) else None
        return self._started(Watch(wanted, current(), kind=Reading, begin=begin))

    def events(self, uid: str | None = None) -> Watch[Event]:
        """All events from now on: readings, and nodes that appear, reboot and leave.

        If `uid` is None, also gateways that connect and disconnect. A reconnection yields the
        differences between the old and the new state.
        """

        selected = SelectedNode(uid)

        async def resolve(_watch: Watch[Event]) -> None:
            await selected.resolve(self._resolved)

        begin = resolve if self._may_be_label(uid) else None
        return self._started(Watch(selected.includes, kind=_EVENTS, begin=begin))

    # -- commands -------------------------------------------------------------------------------

    async def set(
        self, uid: str, resource: str, value: object, *, timeout_s: float = 5.0
    ) -> Receipt:
        """Write `value` to a resource and wait for the receipt. Values other than text are JSON.

        A unique label works in place of the uid.
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
        live = self._live_or_raise
        if live.connected and self._may_be_label(uid):
            uid = await self._resolved(uid)
        return await live.command(uid, resource, payload, timeout_s=timeout_s)

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
        history = HistoryClient(self._api)
        uid = await self._uid_or_name(uid)
        return await history.rows(
            uid, resource, start=start, end=end, every_s=every_s, agg=agg, limit=limit, tz=tz
        )

    async def export(
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
        history = HistoryClient(self._api)
        if uid is not None:
            uid = await self._uid_or_name(uid)
        async for piece in history.export(form, start=start, end=end, uid=uid, resource=resource):
            yield piece

    @property
    def _live_or_raise(self) -> LiveConnection:
        """Raises `LinkLost` if the client is closed."""
        if self._closed:
            raise LinkLost("this client is closed")
        if self._live is None:
            raise RuntimeError("the client is not open: use async with Client(live=True)")
        return self._live

    @property
    def _api(self) -> HttpApi:
        """Raises `LinkLost` if the client is closed."""
        if self._closed:
            raise LinkLost("this client is closed")
        if self._http is None:
            raise RuntimeError("the client is not open: use async with Client() as client")
        return self._http

    def _may_be_label(self, name: str | None) -> bool:
        """Whether the uid must be requested from the broker."""
        return name is not None and name not in self.nodes and self._given_connect is None

    async def _resolved(self, name: str) -> str:
        """The uid for a uid or label. Raises `AmbiguousLabel`.

        Without a broker, a name is taken as the uid of a node that may appear.
        """
        with contextlib.suppress(NoBroker, LinkLost):
            return await self._uid_or_name(name)
        return name

    def _started(self, watch: Watch[Any]) -> Watch[Any]:
        self._live_or_raise.add(watch)
        return watch


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # Its watches got the error.
    with contextlib.suppress(asyncio.CancelledError, OperatorError):
        await task
