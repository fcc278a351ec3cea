# SPDX-License-Identifier: BSD-3-Clause
"""A node over WebSocket: the load of this machine, and an LED.

Usage: python node.py ws://HOST:8001/node
"""

import asyncio
import os
import platform
import sys

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMessageTypeError

UID = platform.node() or "my-node"
REPORT_S = 5.0
RETRY_S = 2.0


async def serve(socket: ClientWebSocketResponse) -> None:
    """Serve until the connection ends, which raises WSMessageTypeError."""
    led = "0"

    async def report(**values: str) -> None:
        await socket.send_json({"type": "update", "data": values})

    while True:
        load = f"{os.getloadavg()[0]:.2f}"
        try:
            message = await socket.receive_json(timeout=REPORT_S)
        except TimeoutError:  # nothing received: report the load
            await report(load=load)
            continue
        match message:
            case {"request": "discover"}:
                await report(name=UID, os="linux", led=led, load=load)
            case {"endpoint": "led", "payload": "0" | "1" as led}:
                await report(led=led)  # here a real LED would be switched
            case {"type": "error", "detail": detail}:
                print(detail)


async def main(url: str) -> None:
    async with ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(f"{url}?uid={UID}", heartbeat=30) as socket:
                    await serve(socket)
            except (ClientError, OSError, WSMessageTypeError) as error:
                print(f"Not connected: {error}; trying again")
            await asyncio.sleep(RETRY_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
