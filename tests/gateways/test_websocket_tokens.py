# SPDX-License-Identifier: BSD-3-Clause
"""WebSocket nodes with a token, on real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import add_device
from pyaiot.config import Config
from pyaiot.errors import Refused
from pyaiot.gateways.base import new_gateway
from pyaiot.gateways.websocket.gateway import NEW_NODES_PER_S, WebSocketGateway
from pyaiot.gateways.websocket.tokens import uid_of
from tests.gateways.test_websocket_gateway import Road
from tests.time_limits import Stopwatch, time_limit

UPDATE = '{"type":"update","data":{"led":"%s"}}'


class TokenRoad(Road):
    """A gateway on a free port, a broker, a client that watches, and the store of the machine."""

    store: DeviceStore

    def add(self, uid: str) -> str:
        return add_device(self.store, Config(), uid, "ws", host="127.0.0.1", now=1.0).secret


@contextlib.asynccontextmanager
async def token_road(folder: Path, **limits: Any) -> AsyncIterator[TokenRoad]:
    path = folder / "devices.db"
    base = new_gateway(
        "websocket",
        "WebSocket",
        None,
        100,
        new_nodes_per_s=NEW_NODES_PER_S,
        devices=DeviceStore(path),
    )
    served = WebSocketGateway(base, connections_max=limits.get("connections_max", 10))
    await served.open("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        road = TokenRoad(served, session)
        road.store = DeviceStore(path)
        try:
            async with time_limit(5):
                await base.was_linked.wait()
            yield road
        finally:
            for task in road.tasks:
                task.cancel()
            await asyncio.gather(*road.tasks, return_exceptions=True)
            road.store.close()


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def closed_with(device: aiohttp.ClientWebSocketResponse) -> int | None:
    async with time_limit(5):
        async for _ in device:
            pass
    return device.close_code


pytestmark = pytest.mark.sockets


@pytest.mark.parametrize("how", ["header", "subprotocol"])
async def test_the_uid_is_that_of_the_token(tmp_path: Path, how: str) -> None:
    async with token_road(tmp_path) as road:
        token = road.add("lamp")
        details = bearer(token) if how == "header" else {"protocols": ("token", token)}
        async with road.device(**details) as device:
            assert device.protocol == (None if how == "header" else "token")
            await device.send_str(UPDATE % "1")
            await road.shows("lamp", led="1")
            await device.send_str('{"type":"new","uid":"lamp"}')
            await device.send_str(UPDATE % "2")
            await road.shows("lamp", led="2")


@pytest.mark.parametrize("token", ["", "x", "0" * 32, "0" * 33, "é", "0" * 31 + "\u0660"])
async def test_an_invalid_token_is_answered_401_and_counted(tmp_path: Path, token: str) -> None:
    async with token_road(tmp_path) as road:
        road.add("lamp")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with road.device(**bearer(token)):
                pass
        assert refused.value.status == 401
        assert road.gateway.nodes.refused == 1


async def test_nobody_claims_the_uid_of_a_token_without_it(tmp_path: Path) -> None:
    async with token_road(tmp_path) as road:
        lamp, desk = road.add("lamp"), road.add("desk")
        async with road.device(**bearer(lamp)) as honest:
            await honest.send_str(UPDATE % "own")
            await road.shows("lamp", led="own")
            async with road.device("?uid=lamp") as hostile:
                assert await closed_with(hostile) == 1008
            async with road.device() as hostile:
                await hostile.send_str('{"type":"new","uid":"lamp"}')
                assert await closed_with(hostile) == 1008
            async with road.device("?uid=lamp", **bearer(desk)) as hostile:
                assert await closed_with(hostile) == 1008
            async with road.device(**bearer(desk)) as hostile:
                await hostile.send_str('{"type":"new","uid":"lamp"}')
                assert await closed_with(hostile) == 1008
            assert road.gateway.nodes.refused == 4
            await honest.send_str(UPDATE % "still")
            await road.shows("lamp", led="still")
        # Also while the node is offline.
        async with road.device("?uid=lamp") as hostile:
            assert await closed_with(hostile) == 1008
        assert "lamp" not in road.gateway.gateway.nodes


async def test_a_token_that_is_added_or_removed_closes_the_connection_of_its_uid(
    tmp_path: Path,
) -> None:
    async with token_road(tmp_path) as road, road.device("?uid=desk") as other:
        async with road.device("?uid=lamp") as before:
            await before.send_str(UPDATE % "unsecured")
            await road.shows("lamp", led="unsecured")
            token = road.add("lamp")
            assert await closed_with(before) == 1008
        async with road.device(**bearer(token)) as device:
            await device.send_str(UPDATE % "secured")
            await road.shows("lamp", led="secured")
            watch = Stopwatch()
            road.store.remove("lamp")
            assert await closed_with(device) == 1008
            assert watch.elapsed_s < 1.0
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with road.device(**bearer(token)):
                pass
        await other.send_str(UPDATE % "same")
        await road.shows("desk", led="same")


async def test_a_device_with_a_token_takes_the_place_of_a_connection_that_sent_nothing(
    tmp_path: Path,
) -> None:
    async with token_road(tmp_path, connections_max=1) as road:
        token = road.add("lamp")
        async with road.device() as idle, road.device(**bearer(token)) as device:
            await device.send_str(UPDATE % "1")
            await road.shows("lamp", led="1")
            assert await closed_with(idle) in (None, 1006)
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with road.device():
                    pass


def test_a_token_is_read_from_either_header() -> None:
    store = DeviceStore(None)
    assert uid_of({}, store) == ""
    assert uid_of({"Authorization": "Basic YTpi"}, store) == ""
    assert uid_of({"Sec-WebSocket-Protocol": "token"}, store) == ""
    assert uid_of({"Sec-WebSocket-Protocol": "chat, token"}, store) == ""
    for headers in (
        {"Authorization": "bearer x"},
        {"Authorization": "Bearer"},
        {"Sec-WebSocket-Protocol": f"token,{'0' * 32}"},
    ):
        with pytest.raises(Refused):
            uid_of(headers, store)
