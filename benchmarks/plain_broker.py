# SPDX-License-Identifier: BSD-3-Clause
"""A plain broker, the baseline of fan-out.

It implements the legacy protocol, sections 1 and 2, as a straightforward aiohttp program: it keeps
the latest value of each resource, sends them to joining clients, forwards commands to gateways, and
sends each message with one `send_str` per client. It runs on the same event loop as the broker
under test (uvloop if installed). It has no checks, no limits and no authentication.
"""

import argparse
import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

from benchmarks.processes import HOST


class PlainBroker:
    """Clients, gateways and the values of nodes."""

    def __init__(self) -> None:
        self.clients: set[web.WebSocketResponse] = set()
        self.gateways: set[web.WebSocketResponse] = set()
        self.nodes: dict[str, dict[str, Any]] = {}

    async def client(self, request: web.Request) -> web.WebSocketResponse:
        """`/ws`"""
        link = web.WebSocketResponse()
        await link.prepare(request)
        self.clients.add(link)
        try:
            async for message in link:
                if message.type is not WSMsgType.TEXT:
                    continue
                received = json.loads(message.data)
                if received["type"] == "new":
                    await self.send_state(link)
                else:
                    for gateway in list(self.gateways):
                        await gateway.send_str(json.dumps({**received, "src": str(id(link))}))
        finally:
            self.clients.discard(link)
        return link

    async def send_state(self, link: web.WebSocketResponse) -> None:
        for uid, values in list(self.nodes.items()):
            await link.send_str(json.dumps({"type": "new", "uid": uid, "dst": "all"}))
            for resource, data in list(values.items()):
                update = {"type": "update", "uid": uid, "endpoint": resource, "data": data}
                await link.send_str(json.dumps({**update, "dst": "all"}, ensure_ascii=False))

    async def gateway(self, request: web.Request) -> web.WebSocketResponse:
        """`/gw`"""
        link = web.WebSocketResponse(protocols=("token",))
        await link.prepare(request)
        self.gateways.add(link)
        try:
            async for message in link:
                if message.type is WSMsgType.TEXT:
                    await self.forward(json.loads(message.data))
        finally:
            self.gateways.discard(link)
        return link

    async def forward(self, message: dict[str, Any]) -> None:
        """Send a message of a gateway to all clients."""
        uid = message["uid"]
        if uid == "alive":
            return
        values = self.nodes.setdefault(uid, {})
        if message["type"] == "update":
            values[message["endpoint"]] = message["data"]
        elif message["type"] == "reset":
            values.clear()
        elif message["type"] == "out":
            del self.nodes[uid]
        text = json.dumps(message, ensure_ascii=False)
        for client in list(self.clients):
            try:
                await client.send_str(text)
            except ConnectionError:
                self.clients.discard(client)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    broker = PlainBroker()
    app = web.Application()
    app.add_routes([web.get("/ws", broker.client), web.get("/gw", broker.gateway)])
    loop = new_event_loop()
    web.run_app(
        app, host=HOST, port=port, loop=loop, print=None, access_log=None, shutdown_timeout=0.1
    )


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the broker under test."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
