# SPDX-License-Identifier: BSD-3-Clause
"""Clients of the broker on real sockets: one for `pyaiot.v2`, one for the legacy protocol."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self, TypeAlias

import aiohttp

from pyaiot.messages import SUBPROTOCOL

Message: TypeAlias = dict[str, Any]


class Client:
    """A client that has joined, and the state that its received messages add up to."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: list[Message] = []
        self.received: list[Message] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        """Values by uid and resource, as a dashboard would show them."""
        self._commands = 0

    async def next(self) -> Message:
        """The next message. `nodes` is updated first."""
        while not self._waiting:
            self._waiting = json.loads(await self._socket.receive_str())
        message = self._waiting.pop(0)
        self.received.append(message)
        uid = message.get("uid", "")
        match message["type"]:
            case "new":
                self.nodes.setdefault(uid, {})
            case "update":
                self.nodes.setdefault(uid, {})[message["endpoint"]] = message["data"]
            case "reset":
                self.nodes[uid] = {}
            case "out":
                self.nodes.pop(uid, None)
        return message

    async def until(self, **parts: Any) -> Message:
        """The next message with these members. Earlier messages are consumed."""
        while True:
            message = await self.next()
            if parts.items() <= message.items():
                return message

    async def shows(self, uid: str, **values: object) -> None:
        """Return when the node is online and has these values."""
        while uid not in self.nodes or not values.items() <= self.nodes[uid].items():
            await self.next()

    async def send(self, message: Message) -> None:
        await self._socket.send_str(json.dumps(message))

    async def command(
        self, uid: str, resource: str, payload: str, *, timeout_s: float = 5.0
    ) -> str:
        """Send a command and return its id."""
        self._commands += 1
        command_id = f"command-{self._commands}"
        await self.send(
            {
                "type": "command",
                "id": command_id,
                "uid": uid,
                "endpoint": resource,
                "payload": payload,
                "timeout": timeout_s,
            }
        )
        return command_id

    async def write(
        self, uid: str, resource: str, payload: str, *, timeout_s: float = 5.0
    ) -> Message:
        """Send a command and return its receipt."""
        command_id = await self.command(uid, resource, payload, timeout_s=timeout_s)
        return await self.until(type="receipt", id=command_id)


class LegacyClient:
    """A legacy page: sends and returns text frames unchanged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, frame: str) -> None:
        await self._socket.send_str(frame)

    async def next(self) -> str:
        return await self._socket.receive_str()

    async def until(self, *parts: str) -> list[str]:
        """The frames up to the first one that contains all these parts."""
        frames = [await self.next()]
        while not all(part in frames[-1] for part in parts):
            frames.append(await self.next())
        return frames


class Broker:
    """Requests to a broker at `url` (`http://host:port/`), as its clients send them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def node(self, uid: str) -> dict[str, Any]:
        """A node, as the HTTP API returns it."""
        async with self._session.get(f"{self.url}api/nodes/{uid}") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of `pyaiot.v2` that has joined and received the state of the broker."""
        async with self._session.ws_connect(self.url + "ws", protocols=(SUBPROTOCOL,)) as socket:
            client = Client(socket)
            await client.send({"type": "new", "data": "client"})
            await client.until(type="joined")
            yield client

    @contextlib.asynccontextmanager
    async def legacy_client(self) -> AsyncIterator[LegacyClient]:
        """A legacy client that has requested the state."""
        async with self._session.ws_connect(self.url + "ws") as socket:
            client = LegacyClient(socket)
            await client.send('{"type":"new","data":"client"}')
            yield client
