# SPDX-License-Identifier: BSD-3-Clause
"""Many gateways that reconnect at once, and many clients."""

import asyncio
import re
import resource
import time
from collections.abc import Iterator
from typing import Final

import aiohttp

from benchmarks.faults.load import Load
from benchmarks.faults.nodes import HOST, CoapNode
from benchmarks.faults.rig import BROKER, COAP, START_LIMIT_S, Parts, Rig
from benchmarks.faults.row import Row
from pyaiot.broker.keys import Keys, load_keys, mint_token

BROKER_ONLY: Final = Parts(CoapNode, {"broker": BROKER})
GATEWAYS: Final = 200
NODES_OF_GATEWAY: Final = 50
CLIENTS: Final = 10_000


def gateways() -> Row:
    """Kill the broker, and let 200 gateways with 50 nodes each reconnect at once."""
    with Rig.running(BROKER_ONLY) as rig:
        took_s = asyncio.run(_reconnecting(rig, load_keys(rig.keys)))
    nodes = GATEWAYS * NODES_OF_GATEWAY
    return Row(
        f"Broker is killed (kill -9); {GATEWAYS} gateways with {NODES_OF_GATEWAY} nodes each"
        " connect again at once",
        took_s,
        f"0 of {nodes:,} nodes",
    )


async def _reconnecting(rig: Rig, keys: Keys) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        links = await _connect_all(session, rig, keys)
        await _until_online(session, rig)
        rig.kill("broker")
        rig.start("broker")
        start = time.monotonic()
        await asyncio.to_thread(rig.ready)
        links += await _connect_all(session, rig, keys)
        await _until_online(session, rig)
        return time.monotonic() - start


async def _connect_all(
    session: aiohttp.ClientSession, rig: Rig, keys: Keys
) -> list[aiohttp.ClientWebSocketResponse]:
    """The links. The caller must keep them: an unreferenced link is closed."""

    async def connect(number: int) -> aiohttp.ClientWebSocketResponse:
        token = mint_token(keys)
        socket = await session.ws_connect(
            f"ws://{HOST}:{rig.web_port}/gw", protocols=["pyaiot.v2", "token", token]
        )
        messages = [f'{{"type":"hello","name":"g{number}","protocol":"CoAP","version":"1"}}']
        for node in range(NODES_OF_GATEWAY):
            uid = f"g{number}-{node}"
            messages.append(f'{{"type":"new","uid":"{uid}"}}')
            messages.append(f'{{"type":"update","uid":"{uid}","endpoint":"n","data":1}}')
        await socket.send_str(f"[{','.join(messages)}]")
        return socket

    return await asyncio.gather(*map(connect, range(GATEWAYS)))


async def _until_online(session: aiohttp.ClientSession, rig: Rig) -> None:
    url = f"http://{HOST}:{rig.web_port}/metrics"
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until:
        async with session.get(url) as answer:
            text = await answer.text()
        online = sum(map(float, re.findall(r"(?m)^pyaiot_nodes\{[^}]*\} (\S+)", text)))
        if online == GATEWAYS * NODES_OF_GATEWAY:
            return
        await asyncio.sleep(0.05)
    raise SystemExit("not all nodes are online again")


def clients() -> Row:
    """Connect 10,000 WebSocket clients, and measure when the last one gets a reading."""
    with Rig.running(COAP) as rig:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12_000, 20_000))
        with Load(CoapNode, rig.device_port, rig.web_port) as load:
            load.begin()
            took_s = asyncio.run(_many_clients(rig))
            served_s = load.until_served()
            load.stop()
            lost = load.lost()
    return Row(
        f"{CLIENTS:,} WebSocket clients connect and join (in {took_s:.0f} s)",
        served_s,
        f"{lost} of {len(load.acknowledged)} acknowledged readings, no client",
    )


async def _many_clients(rig: Rig) -> float:
    start = time.monotonic()
    opened: list[asyncio.StreamWriter] = []
    upgrade = (
        f"GET /ws HTTP/1.1\r\nHost: {HOST}:{rig.web_port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
        "Sec-WebSocket-Protocol: pyaiot.v2\r\n\r\n"
    ).encode()
    join = b'[{"type":"new","data":"client"}]'
    frame = bytes([0x81, 0x80 | len(join)]) + bytes(4) + join

    async def connect(number: int) -> None:
        source = (f"127.0.{1 + number // 250}.{1 + number % 250}", 0)
        reader, writer = await asyncio.open_connection(HOST, rig.web_port, local_addr=source)
        opened.append(writer)
        writer.write(upgrade)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame)
        await reader.readuntil(b'"joined"')

    for first in range(0, CLIENTS, 100):
        await asyncio.gather(*map(connect, range(first, first + 100)))
    took_s = time.monotonic() - start
    for writer in opened:
        writer.transport.abort()
    return took_s


def rows() -> Iterator[Row]:
    yield gateways()
    yield clients()
