# SPDX-License-Identifier: BSD-3-Clause
"""A mock broker: serves the dashboard and its protocol, and behaves as a test sets.

By hand, with moving nodes: `python tests/web/mock_broker.py --port 8000 --nodes 12 --rate 50`.
"""

import argparse
import asyncio
import json
import math
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from aiohttp import WSCloseCode, WSMsgType, web

from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.stored_files import load_built

Message: TypeAlias = dict[str, Any]

SUBPROTOCOL: Final = "pyaiot.v2"
HOSTILE_NAME: Final = "<img src=x onerror=alert(1)>"

ANSWERS: Final[dict[str, Message]] = {
    "confirmed": {"state": "confirmed", "elapsed_ms": 12.3},
    "refused": {"state": "refused", "detail": "4.00 Bad Request", "elapsed_ms": 8.1},
    "timeout": {"state": "timeout", "detail": "", "elapsed_ms": 5000.0},
}


def update(uid: str, resource: str, data: object, *, age_s: float = 0.0) -> Message:
    """An update as the broker sends it; number and unit for texts like `23.5°C`."""
    message: Message = {"type": "update", "uid": uid, "endpoint": resource, "data": data}
    message["ts"] = time.time() - age_s
    for suffix, unit in (("°C", "Cel"), ("%", "%RH"), ("hPa", "hPa"), ("lx", "lx")):
        if isinstance(data, str) and data.endswith(suffix):
            try:
                message |= {"value": float(data.removesuffix(suffix)), "unit": unit}
            except ValueError:
                break
    return message


class MockBroker:
    """One broker, by default on a free port of loopback."""

    def __init__(
        self, *, port: int = 0, legacy: bool = False, dashboard: Dashboard | None = None
    ) -> None:
        """`dashboard` None: it is not built."""
        self.port = port
        self.legacy = legacy
        self._dashboard = dashboard or Dashboard(Look(), {})
        self.gateways: dict[str, Message] = {}
        self.nodes: dict[str, dict[str, Message]] = {}
        """The latest update of each resource of each node."""
        self.since: dict[str, float] = {}
        """Unix time at which nodes appeared, by uid; absent: now."""
        self.answers: dict[tuple[str, str], str] = {}
        """The outcome of commands by uid and resource: a key of `ANSWERS`, or `held`."""
        self.held: list[Message] = []
        """Commands without a receipt; the test may send one."""
        self.commands: list[Message] = []
        self.subscriptions: list[Message] = []
        self.joins = 0
        self.may_join = asyncio.Event()
        """While cleared, clients that join wait."""
        self.may_join.set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Listen; after `stop`, on the same port."""
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        self._dashboard.add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, and close every connection with 1001."""
        if self._runner is None:
            return
        await self.drop(WSCloseCode.GOING_AWAY)
        await self._runner.cleanup()
        self._runner = None

    async def drop(self, code: int = WSCloseCode.GOING_AWAY, reason: str = "") -> None:
        """Close every connection; clients may connect again."""
        for socket in list(self._sockets):
            await socket.close(code=code, message=reason.encode())

    # -- state ------------------------------------------------------------------------------------

    def add_gateway(self, name: str = "coap", state: str = "connected") -> Message:
        message = {"type": "gateway", "name": name, "protocol": "CoAP", "version": "0.1.0"}
        self.gateways[name] = message | {"state": state, "ts": time.time()}
        return self.gateways[name]

    def add_node(
        self,
        uid: str,
        resources: Mapping[str, object] = MappingProxyType({}),
        *,
        age_s: float = 0.0,
        **more: object,
    ) -> list[Message]:
        """A node and its values, received `age_s` ago. Returns the messages for `broadcast`."""
        self.nodes[uid] = {
            name: update(uid, name, data, age_s=age_s)
            for name, data in {**resources, **more}.items()
        }
        return [self._appeared(uid), *self.nodes[uid].values()]

    def _appeared(self, uid: str) -> Message:
        ts = self.since.get(uid) or time.time()
        return {"type": "new", "uid": uid, "ts": ts, "gateway": "coap"}

    # -- messages ---------------------------------------------------------------------------------

    async def broadcast(self, *messages: Message) -> None:
        """Send to every client, in one frame; to legacy clients one by one."""
        for socket in list(self._sockets):
            await self._send(socket, list(messages))

    async def change(self, uid: str, resource: str, data: object) -> None:
        """Report a value of a node."""
        self.nodes[uid][resource] = update(uid, resource, data)
        await self.broadcast(self.nodes[uid][resource])

    async def leave(self, uid: str, reason: str) -> None:
        del self.nodes[uid]
        await self.broadcast({"type": "out", "uid": uid, "ts": time.time(), "reason": reason})

    async def _send(self, socket: web.WebSocketResponse, messages: list[Message]) -> None:
        try:
            if not self.legacy:
                await socket.send_str(json.dumps(messages))
                return
            for message in messages:
                old = {k: message[k] for k in ("type", "uid", "endpoint", "data") if k in message}
                if old["type"] in {"new", "update", "reset", "out"}:
                    await socket.send_str(json.dumps(old | {"dst": "all"}))
        except ConnectionError:
            self._sockets.discard(socket)

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=() if self.legacy else (SUBPROTOCOL,))
        await socket.prepare(request)
        hello = {"type": "hello", "name": "broker", "protocol": SUBPROTOCOL, "version": "0.1.0"}
        if not self.legacy:
            await self._send(socket, [hello])
        self._sockets.add(socket)
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._receive(socket, json.loads(frame.data))
        finally:
            self._sockets.discard(socket)
        return socket

    async def _receive(self, socket: web.WebSocketResponse, message: Message) -> None:
        match message:
            case {"type": "new", "data": "client"}:
                self.joins += 1
                await self.may_join.wait()
                burst = list(self.gateways.values())
                for uid, resources in self.nodes.items():
                    burst += [self._appeared(uid), *resources.values()]
                joined = {"type": "joined", "nodes": len(self.nodes), "ts": time.time()}
                await self._send(socket, [*burst, joined])
            case {"type": "command"}:
                await self._command(message)
            case {"type": "subscribe"} if not self.legacy:
                self.subscriptions.append(message)  # it still sends everything
            case {"type": "update", "data": dict(command)} if self.legacy:
                await self._command(command)
            case _:
                await socket.close(code=1003, message=b"no such message")

    async def _command(self, command: Message) -> None:
        self.commands.append(command)
        uid, resource = command["uid"], command["endpoint"]
        answer = self.answers.get((uid, resource), "confirmed")
        if answer == "held":
            self.held.append(command)
            return
        if answer == "confirmed":
            await self.change(uid, resource, command["payload"])
        if not self.legacy:
            await self.broadcast({"type": "receipt", "id": command["id"], **ANSWERS[answer]})


def furnish(broker: MockBroker, nodes: int) -> None:
    """Add nodes: ordinary, odd and hostile ones."""
    broker.add_gateway()
    board = {"os": "riot", "board": "samr21-xpro", "mcu": "samd21", "protocol": "CoAP"}
    imu = '[{"type":"acc","values":[304,488,448]},{"type":"gyro","values":[1,0,0]}]'
    place = '{"lat":48.7148,"lng":2.2055}'
    broker.add_node(
        "5A0B38D71C9E2F4",
        board,
        name="Weather on the roof",
        temperature="23.5°C",
        pressure="1006.60hPa",
        humidity="40.82%",
        led="0",
        version="2026.07",
        ip="fe80::5a0b:38d7:1c9e:2f4",
    )
    broker.add_node("refuses", board, name="Refuses", led="1", temperature="19.02°C")
    broker.add_node("silent", board, name="Never answers", led="0", illuminance="312lx")
    broker.add_node("waits", board, name="Takes its time", led="0")
    broker.add_node("rover", board, name="Rover", imu=imu, position=place)
    broker.add_node("__proto__", name=HOSTILE_NAME, temperature="21.00°C", os="<b>riot</b>")
    broker.add_node("old", board, name="Silent for long", age_s=400, humidity="61.00%")
    broker.add_node("bare", protocol="CoAP", ip="fe80::1")
    broker.answers |= {
        ("refuses", "led"): "refused",
        ("silent", "led"): "timeout",
        ("waits", "led"): "held",
    }
    for number in range(nodes - len(broker.nodes)):
        broker.add_node(
            f"node-{number:04}",
            board,
            name=f"Node {number}",
            temperature="20.0°C",
            humidity="50.0%",
            pressure="1000.0hPa",
            led="0",
        )


def reading_at(number: int, step: int) -> tuple[str, str]:
    """A resource and a value that changes slowly."""
    wave = math.sin(step / 40 + number) + math.sin(step / 7 + 2 * number) / 5
    match step % 3:
        case 0:
            return "temperature", f"{21 + 3 * wave:.2f}°C"
        case 1:
            return "humidity", f"{45 + 12 * wave:.2f}%"
        case _:
            return "pressure", f"{1006 + 4 * wave:.2f}hPa"


async def run_by_hand(port: int, nodes: int, rate: float, *, legacy: bool) -> None:
    """Serve until interrupted, with `rate` updates per second, sent 50 times a second."""
    broker = MockBroker(port=port, legacy=legacy, dashboard=Dashboard(Look(), load_built()))
    if nodes:
        furnish(broker, nodes)
    await broker.start()
    print(broker.url, flush=True)
    moving = [uid for uid in broker.nodes if "pressure" in broker.nodes[uid]]
    sent, start = 0, time.monotonic()
    while True:
        await asyncio.sleep(0.02)
        batch = []
        while moving and sent < (time.monotonic() - start) * rate:
            number, step = sent % len(moving), sent // len(moving)
            uid = moving[number]
            resource, text = reading_at(number, step)
            broker.nodes[uid][resource] = update(uid, resource, text)
            batch.append(broker.nodes[uid][resource])
            sent += 1
        if batch:
            await broker.broadcast(*batch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--rate", type=float, default=20, help="updates per second")
    parser.add_argument("--legacy", action="store_true", help="use the legacy protocol")
    flags = parser.parse_args()
    service = run_by_hand(flags.port, flags.nodes, flags.rate, legacy=flags.legacy)
    asyncio.run(service)
