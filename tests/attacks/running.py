# SPDX-License-Identifier: BSD-3-Clause
"""A system on real sockets, with an honest node and client during an attack."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import aiohttp
import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.broker.broker import Broker
from pyaiot.broker.identity import LEGACY, GatewayIdentity
from pyaiot.broker.keys import Keys, TokenCheck, generate_keys, mint_token
from pyaiot.broker.subscriber import Subscriber
from pyaiot.gateways.coap.gateway import CoapGateway
from pyaiot.gateways.gateway import Gateway, GatewayLink
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.links.connecting import connect_gateway
from pyaiot.protocols.coap.numbers import Code
from pyaiot.transport.backoff import Backoff
from pyaiot.transport.http_server import HttpServer
from pyaiot.web.access_watch import AccessWatch
from pyaiot.web.app import WebApp
from tests import clients
from tests.coap_device import CoapDevice, Reply, coap_device
from tests.time_limits import time_limit

PROMPT_S: Final = 3.0
"""Time in which the honest client must be served."""
LOST: Final = ("coap", "lost")
HONEST: Final = "honest"
"""The uid of the honest node."""


class BrokerSide:
    """A broker behind its web server."""

    def __init__(self, broker: Broker, app: WebApp, url: str) -> None:
        self.broker = broker
        self.app = app
        self.url = url

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@contextlib.asynccontextmanager
async def running_broker(
    keys: Keys,
    *,
    port: int = 0,
    unix_time: Callable[[], float] = time.time,
    accounts: AccountsFile | None = None,
    key_file_identity: GatewayIdentity = LEGACY,
) -> AsyncIterator[BrokerSide]:
    """A broker as of `aiot broker`, on a free port. `accounts` has the tokens of gateways."""
    broker = Broker(flush_interval_s=0.02, timer=asyncio.get_running_loop(), unix_time=unix_time)

    def gateways_changed(names: frozenset[str]) -> None:
        broker.router.names.with_tokens = names

    watch = None
    if accounts is not None:
        watch = AccessWatch(accounts, gateways_changed=gateways_changed, unix_time=unix_time)
        watch.check()
    app = WebApp(
        broker,
        tokens=TokenCheck(keys, unix_time),
        title="Attacked",
        access=watch,
        key_file_identity=key_file_identity,
    )
    watching = None if watch is None else asyncio.ensure_future(watch.run())
    server = await HttpServer.open(
        app.app, "127.0.0.1", port, service="The test", flag="--port", server_log=app.server_log
    )
    try:
        yield BrokerSide(broker, app, server.url)
    finally:
        if watching is not None:
            watching.cancel()
        server.stop_listening()
        await app.sockets.close_all()
        await server.close()


class GatewaySide:
    """A CoAP gateway with a link to a broker over a WebSocket."""

    def __init__(self, coap: CoapGateway, links: list[GatewayLink]) -> None:
        self.coap = coap
        self.links = links
        """Every link that was made, in order."""

    @property
    def port(self) -> int:
        return self.coap.port


@contextlib.asynccontextmanager
async def running_gateway(
    url: str,
    token: Callable[[], str],
    *,
    name: str = "coap",
    unix_time: Callable[[], float] = time.time,
    connect_link: Callable[
        [aiohttp.ClientSession, str, str], Awaitable[GatewayLink]
    ] = connect_gateway,
) -> AsyncIterator[GatewaySide]:
    """A CoAP gateway as of `aiot coap-gateway`, with short reconnect pauses."""
    gateway = Gateway(
        name=name,
        protocol="CoAP",
        nodes=LiveNodes(silence_limit_s=120.0, nodes_max=10_000),
        loop=asyncio.get_running_loop(),
        unix_time=unix_time,
        backoff=Backoff(first_s=0.05, limit_s=0.2),
    )
    coap = await CoapGateway.open(gateway, "127.0.0.1", 0)
    links: list[GatewayLink] = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:

        async def connect() -> GatewayLink:
            link = await connect_link(session, url.replace("http", "ws") + "gw", token())
            links.append(link)
            return link

        task = tasks.create_task(coap.run(connect))
        try:
            yield GatewaySide(coap, links)
        finally:
            task.cancel()


class System:
    """A broker, a CoAP gateway, and an honest node and client that detect problems."""

    def __init__(
        self,
        keys: Keys,
        broker_side: BrokerSide,
        gateway_side: GatewaySide,
        people: clients.Broker,
        client: clients.Client,
        node: CoapDevice,
    ) -> None:
        self.keys = keys
        self.broker_side = broker_side
        self.gateway_side = gateway_side
        self.people = people
        self.client = client
        self.node = node
        self._values = itertools.count()

    @property
    def url(self) -> str:
        return self.broker_side.url

    @property
    def broker(self) -> Broker:
        return self.broker_side.broker

    @property
    def app(self) -> WebApp:
        return self.broker_side.app

    @property
    def coap(self) -> CoapGateway:
        return self.gateway_side.coap

    def inside(self) -> list[Subscriber]:
        """The clients of the broker, except the honest one."""
        honest, *others = self.broker.fanout.clients.values()
        del honest
        return others

    def token(self) -> str:
        return mint_token(self.keys)

    async def serves(self) -> None:
        """Check that readings, commands and new clients are served promptly.

        The honest node and its gateway must have been online all the time.
        """
        async with time_limit(PROMPT_S):
            value = str(next(self._values))
            answer = await self.node.post("server", f"temperature:{value}")
            assert answer.code == Code.CHANGED
            await self.client.shows(HONEST, temperature=value)
            receipt = await self.client.write(HONEST, "led", "1")
            assert receipt["state"] == "confirmed", receipt
        async with time_limit(PROMPT_S), self.people.client() as newcomer:
            await newcomer.shows(HONEST, temperature=value)
        assert len(self.gateway_side.links) == 1
        wrong = [
            message
            for message in self.client.received
            if (message["type"] == "gateway" and (message["name"], message["state"]) == LOST)
            or (message["type"] == "out" and message["uid"] == HONEST)
        ]
        assert not wrong


@contextlib.asynccontextmanager
async def running_system(unix_time: Callable[[], float] = time.time) -> AsyncIterator[System]:
    """The complete path on real sockets, with an honest node and client."""
    keys = generate_keys()
    async with (
        running_broker(keys, unix_time=unix_time) as broker_side,
        running_gateway(
            broker_side.url, lambda: mint_token(keys), unix_time=unix_time
        ) as gateway_side,
        coap_device(gateway_side.port) as node,
        clients.Broker(broker_side.url) as people,
        people.client() as client,
    ):
        node.has({"led": "0"})
        node.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        assert (await node.post("alive", f"alive:{HONEST}")).code == Code.CHANGED
        await client.shows(HONEST, led="0")
        yield System(keys, broker_side, gateway_side, people, client, node)
        # Let delayed effects of the attack happen.
        await asyncio.sleep(0)


class Log:
    """The log of a test, of this package, aiohttp and asyncio."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        # caplog has another list of records in each phase of a test.
        self._caplog = caplog

    @property
    def _records(self) -> list[logging.LogRecord]:
        return self._caplog.records

    @property
    def lines(self) -> list[str]:
        """Warnings and errors."""
        return [
            record.getMessage() for record in self._records if record.levelno >= logging.WARNING
        ]

    def shown(self) -> list[str]:
        """The lines of this package from INFO on, which an operator sees by default."""
        return [
            record.getMessage()
            for record in self._records
            if record.levelno >= logging.INFO and record.name.startswith("pyaiot")
        ]

    @property
    def everything(self) -> str:
        formatter = logging.Formatter()
        return "\n".join(map(formatter.format, self._records))

    @property
    def tracebacks(self) -> list[str]:
        return [record.getMessage() for record in self._records if record.exc_info]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition without an event, such as the end of a connection inside the server."""
    async with time_limit(5.0):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
