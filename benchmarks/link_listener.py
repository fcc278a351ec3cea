# SPDX-License-Identifier: BSD-3-Clause
"""Worker: the broker's end of a link, which counts frames and readings."""

import asyncio
import json
import sys
import time

from aiohttp import WSMsgType, web

from benchmarks.processes import HOST, answer
from benchmarks.wire import MARK, V2


class Listener:
    """The link of one gateway. It accepts any token."""

    def __init__(self) -> None:
        self.frames = 0
        self.readings = 0

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=[V2], compress=False)
        await socket.prepare(request)
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                readings = frame.data.encode().count(MARK)
                # Frames without readings are not counted.
                self.frames += readings > 0
                self.readings += readings
        return socket


async def serve() -> None:
    listener = Listener()
    app = web.Application()
    app.router.add_get("/gw", listener.link)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    answer(port=runner.addresses[0][1])
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def on_line() -> None:
        line = sys.stdin.readline()
        if not line:
            ended.set()
            return
        assert json.loads(line)["do"] == "read"
        answer(frames=listener.frames, readings=listener.readings, at=time.monotonic())

    loop.add_reader(sys.stdin, on_line)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
