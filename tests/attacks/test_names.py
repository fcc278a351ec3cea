# SPDX-License-Identifier: BSD-3-Clause
"""Attack 9: names that mean something to a protocol, a path, a topic or a language."""

import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.attacks.raw import raw_gateway
from tests.attacks.running import HONEST, Log, running_system
from tests.coap_device import coap_device
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

REFUSED = ["alive", "all", "", "x" * 10_000, "x" * 65, "tab\tinside", "nul\0inside", "\x1b[31m"]
ORDINARY = ["*", "#", "+", "../x", "__proto__", "constructor", "<b>", "x" * 64, "a/b", "é"]
REFUSED_BY_GATEWAY = [name for name in REFUSED if name]


async def test_node_with_an_invalid_name_is_answered_4_00(log: Log) -> None:
    async with running_system() as system, coap_device(system.coap.port) as odd:
        for count, name in enumerate(REFUSED, start=1):
            answer = await odd.post("alive", f"alive:{name}")
            # 10 kB are too large already.
            wrong = Code.BAD_REQUEST if len(name) < 1_000 else Code.REQUEST_ENTITY_TOO_LARGE
            assert answer.code == wrong, name[:20]
            assert len(answer.payload) <= 64
            assert system.coap.refused == count
        await system.serves()
        assert set(system.client.nodes) == {HONEST}
    assert all(line.isprintable() for line in log.lines)
    assert log.tracebacks == []


async def test_node_with_an_odd_name_is_a_node_like_any_other() -> None:
    async with running_system() as system, coap_device(system.coap.port) as odd:
        odd.has({"led": "0"})
        for name in ORDINARY:
            async with time_limit(5.0):
                assert (await odd.post("alive", f"alive:{name}")).code == Code.CHANGED
                assert (await odd.post("server", f"{name}:1")).code == Code.CHANGED
                await system.client.shows(name, led="0", **{name: "1"})
        await system.serves()


@pytest.mark.parametrize("extended", [True, False])
async def test_messages_with_invalid_names_are_refused_one_by_one(extended: bool, log: Log) -> None:
    async with (
        running_system() as system,
        raw_gateway(system.url, system.token(), extended=extended) as peer,
    ):
        for name in REFUSED:
            for message in (
                {"type": "new", "uid": name},
                {"type": "update", "uid": name, "endpoint": "t", "data": "1"},
                {"type": "update", "uid": HONEST, "endpoint": name, "data": "1"},
                {"type": "reset", "uid": name},
                {"type": "out", "uid": name},
            ):
                await peer.send_json([message] if extended else message)
        legacy_alive = {"type": "update", "uid": "alive"}
        await peer.send_json([legacy_alive] if extended else legacy_alive)
        good = {"type": "new", "uid": "good"}
        await peer.send_json([good] if extended else good)
        async with time_limit(5.0):
            await system.client.shows("good")
        assert set(system.client.nodes) == {HONEST, "good"}
        assert system.app.sockets.refused_gateways >= 4 * len(REFUSED)
        await system.serves()
    assert all(line.isprintable() for line in log.lines)
    assert log.tracebacks == []


async def test_gateway_with_an_odd_name_serves_beside_the_others() -> None:
    async with running_system() as system:
        for name in [*ORDINARY, "alive", "all"]:
            async with raw_gateway(system.url, system.token()) as peer, time_limit(5.0):
                await peer.send_json([{"type": "hello", "name": name, "protocol": "x"}])
                await system.client.until(type="gateway", name=name, state="connected")
            await system.client.until(type="gateway", name=name, state="lost")
        system.client.received.clear()
        await system.serves()


@pytest.mark.parametrize("name", ["", "x" * 65, "tab\tinside"])
async def test_gateway_with_an_invalid_name_gets_the_reason(name: str) -> None:
    async with running_system() as system, raw_gateway(system.url, system.token()) as peer:
        await peer.send_json([{"type": "hello", "name": name, "protocol": "x"}])
        assert (await peer.next()).json[0]["type"] == "error"
        assert system.app.sockets.refused_gateways == 1
        await system.serves()
