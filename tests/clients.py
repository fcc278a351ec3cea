# SPDX-License-Identifier: BSD-3-Clause
"""Clients of the broker on real sockets: one that speaks `pyaiot.v2`, one of the legacy form."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self, TypeAlias

import aiohttp

from pyaiot.messages import SUBPROTOCOL

Message: TypeAlias = dict[str, Any]


class Client:
    """A client that has joined, and the state from the messages that it received."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: list[Message] = []
        self.received: list[Message] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        """Values by uid and resource, as a page would show them."""
        self._commands = 0

    async def next(self) -> Message:
        """The next message. `nodes` includes it then."""
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
        """The next message with these parts; those before it are taken too."""
        while True:
            message = await self.next()
            if parts.items() <= message.items():
                return message

    async def shows(self, uid: str, **values: object) -> None:
        """Return when the node is there and has these values."""
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
    """A page of old: text frames, as they are on the wire."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, frame: str) -> None:
        await self._socket.send_str(frame)

    async def next(self) -> str:
        return await self._socket.receive_str()

    async def until(self, *parts: str) -> list[str]:
        """The frames up to the first that has all these parts."""
        frames = [await self.next()]
        while not all(part in frames[-1] for part in parts):
            frames.append(await self.next())
        return frames


class Broker:
    """A broker at `url` (`http://host:port/`), as its clients see it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def node(self, uid: str) -> dict[str, Any]:
        """A node, as the HTTP API has it."""
        async with self._session.get(f"{self.url}api/nodes/{uid}") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of `pyaiot.v2` that has joined and knows what the broker knows."""
        async with self._session.ws_connect(self.url + "ws", protocols=(SUBPROTOCOL,)) as socket:
            client = Client(socket)
            await client.send({"type": "new", "data": "client"})
            await client.until(type="joined")
            yield client

    @contextlib.asynccontextmanager
    async def legacy_client(self) -> AsyncIterator[LegacyClient]:
        """A legacy client that has asked for everything."""
        async with self._session.ws_connect(self.url + "ws") as socket:
            client = LegacyClient(socket)
            await client.send('{"type":"new","data":"client"}')
            yield client
