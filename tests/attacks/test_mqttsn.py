# SPDX-License-Identifier: BSD-3-Clause
"""Attacks 9, 11, 12, 13, 15 and 17 at the UDP port of MQTT-SN, beside an honest client."""

import asyncio
import contextlib
import gc
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyaiot.gateways.mqttsn import admission
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from tests import clients
from tests.attacks.running import PROMPT_S, Log
from tests.gateways.mqtt_servers import Server, server
from tests.gateways.mqttsn_device import (
    Device,
    Running,
    Watcher,
    eventually,
    mqttsn_gateway,
    watcher,
)
from tests.running import running_everything
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

HOSTILE_IDS = [
    b"",
    b"a/b",
    b"#",
    b"+",
    b"a#",
    b"\x00",
    b"a\nb",
    b"\x1b[31m",
    b"x" * 65,
    b"\xff\xfe",
]
HOSTILE_TOPICS = [b"#", b"node/#", b"node/+/x", b"+", b"a\x00b", b"", b"x" * 1100]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Server]:
    with server("mosquitto", tmp_path) as running:
        running.start()
        yield running


@dataclass
class Scene:
    """A gateway, an honest client that publishes, and a watcher at the MQTT broker."""

    running: Running
    honest: Device
    topic_id: str
    seen: Watcher
    count: int = 0

    async def serves(self) -> None:
        """The honest client publishes, is acknowledged and seen, all promptly."""
        self.count += 1
        payload = b"honest %d" % self.count
        async with time_limit(PROMPT_S):
            await self.honest.publishes(self.topic_id, payload, self.count + 1)
            await self.seen.sees("node/honest/x", payload)


@contextlib.asynccontextmanager
async def scene(
    port: int, config: GatewayConfig | None = None, **more: Any
) -> AsyncIterator[Scene]:
    async with watcher(port, "#") as seen, mqttsn_gateway(port, config, **more) as running:
        with Device(running.port) as honest:
            await honest.connects(b"honest")
            topic_id = await honest.registers(b"node/honest/x")
            yield Scene(running, honest, topic_id, seen)


async def test_a_hostile_client_id_is_refused(mosquitto: Server, log: Log) -> None:
    """Attacks 9, 15."""
    async with scene(mosquitto.port) as it:
        for name in HOSTILE_IDS:
            with Device(it.running.port) as odd:
                odd.send("LL 04 04 01 0168", name)
                assert (await odd.receive()).hex() == "030503", name
        assert it.running.gateway.clients == 1
        await it.serves()
    assert all(line.isprintable() for line in log.lines)
    assert log.tracebacks == []
    assert "sn-honest" in mosquitto.log
    assert mosquitto.log.count("New client connected") == 2


async def test_a_hostile_topic_never_reaches_the_broker(mosquitto: Server, log: Log) -> None:
    """Attack 15: it is refused where it is registered, and as a short name."""
    async with scene(mosquitto.port) as it:
        with Device(it.running.port) as odd:
            await odd.connects(b"odd")
            for topic in HOSTILE_TOPICS:
                head = (
                    "LL 0a 0000 0001"
                    if len(topic) < 200
                    else f"01 {len(topic) + 8:04x} 0a 0000 0001"
                )
                assert await odd.exchange(head, topic) == "070b0000000102", topic
            for short in ("232b", "2b2f", "0061", "ffff"):
                assert await odd.exchange(f"LL 0c 22 {short} 0002", b"1") == f"070d{short}000202"
            assert await odd.exchange("LL 12 20 0003", b"node/#/x") == "0813000000000302"
            # What may be a topic and means nothing to the gateways is only that.
            topic_id = await odd.registers(b"node/x/y/z", 4)
            await odd.publishes(topic_id, b"deep", 5)
        await it.seen.sees("node/x/y/z", b"deep")
        await it.serves()
        assert {message.topic for message in it.seen.messages} == {"node/x/y/z", "node/honest/x"}
    assert log.tracebacks == []


async def test_hostile_nodes_do_not_become_nodes() -> None:
    """The same through everything: what a client publishes is judged by the MQTT gateway."""
    async with (
        running_everything() as everything,
        clients.Broker(everything.url) as broker,
        broker.client() as client,
    ):
        with Device(everything.mqttsn_port) as odd:
            await odd.connects(b"odd")
            # nats-server takes no control characters: the topic is not supported (MQTT-SN 5.3.10).
            assert await odd.exchange("LL 0a 0000 001e", b"node/a\x1bb/x") == "070b0000001e03"
            for number, topic in enumerate([b"node/x/y/z", b"node//x"]):
                topic_id = await odd.registers(topic, 2 * number + 1)
                await odd.publishes(topic_id, b'{"value":"1"}', 2 * number + 2)
            topic_id = await odd.registers(b"node/good/x", 20)
            await odd.publishes(topic_id, b'{"value":"1"}', 21)
        async with time_limit(5):
            await client.shows("good", x="1", protocol="MQTT")
        assert set(client.nodes) == {"good"}


async def test_20000_datagrams_of_unknown_peers_affect_no_client(
    mosquitto: Server, log: Log
) -> None:
    """Attack 11."""
    chance = random.Random(1885)
    async with scene(mosquitto.port) as it:
        gateway = it.running.gateway
        await it.serves()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        requested = answered = 0
        unknown_peer = Device(it.running.port)
        for number in range(20_000):
            if number % 400 == 0:
                unknown_peer.close()
                unknown_peer = Device(it.running.port)
            size = chance.choice((2, 3, 7, 40, 200))
            datagram = bytes((size, chance.randrange(0x20))) + chance.randbytes(size - 2)
            if datagram[1] == 0x04:  # CONNECT has its own test
                datagram = bytes((size, 0x0C)) + datagram[2:]
            unknown_peer.send("", datagram)
            requested += size
            if number % 50 == 49:
                await asyncio.sleep(0)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        answered += len(unknown_peer._socket.recv(65536))
            if number % 2000 == 1999:
                await it.serves()
        unknown_peer.close()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert gateway.clients == 1
        assert len(gateway._admission) <= 2
        assert after - before < 500_000
        assert answered <= requested
        assert gateway.counts["received"] > 5_000
        assert gateway.counts["no packet"] > 100
        await it.serves()
    assert len(log.lines) < 100
    assert log.tracebacks == []


async def test_connects_of_one_host_have_a_rate_limit_and_get_congestion(mosquitto: Server) -> None:
    """Attack 11: only CONNECT is expensive, and each host has a rate limit for it."""
    async with scene(mosquitto.port) as it:
        burst = int(admission.CONNECTS_OF_HOST_BURST)
        with Device(it.running.port) as flood:
            refused = 0
            for number in range(burst + 50):
                flood.send("LL 04 04 01 0168", b"flood-%d" % number)
                if number % 20 == 0:
                    await asyncio.sleep(0.001)
            with contextlib.suppress(TimeoutError):
                while True:
                    refused += (await flood.receive(0.3)).hex() == "030501"
        assert refused >= 30
        assert it.running.gateway.counts["a CONNECT over the rate of its host"] >= 30
        assert it.running.gateway.clients <= 2  # at one address there is one client
        await it.serves()


async def test_clients_beyond_the_limit_are_refused(mosquitto: Server) -> None:
    config = GatewayConfig(advertise_s=None, clients_max=2)
    async with scene(mosquitto.port, config) as it:
        with Device(it.running.port) as second, Device(it.running.port) as third:
            await second.connects(b"second")
            assert await third.exchange("LL 04 04 01 0168", b"third") == "030501"
        await it.serves()


async def test_a_client_that_sent_only_connect_gets_few_bytes(mosquitto: Server) -> None:
    """Attack 11: a CONNECT with a forged address does not flood that address with kept messages."""
    async with scene(mosquitto.port) as it:
        with Device(it.running.port) as owner, Device(it.running.port) as victim:
            await owner.connects(b"owner", clean=False)
            assert await owner.exchange("LL 12 00 0001", b"gateway/owner/x") == "0813000001000100"
            victim.send("LL 04 00 01 0168", b"owner")
            sent = len(await victim.receive())
            assert (await owner.receive()).hex() == "0218"
            for _ in range(20):
                it.seen.connection.publish(0, "gateway/owner/x", bytes(500), qos=0)
            with contextlib.suppress(TimeoutError):
                while True:
                    sent += len(await victim.receive(0.2))
            assert sent <= AMPLIFICATION_MAX * 11
        await it.serves()


async def test_a_client_that_sends_too_fast_affects_no_other(mosquitto: Server) -> None:
    async with scene(mosquitto.port, packets_per_s=50.0) as it:
        with Device(it.running.port) as fast:
            await fast.connects(b"fast")
            topic_id = await fast.registers(b"node/fast/x")
            for number in range(2000):
                fast.send(f"LL 0c 00 {topic_id} 0000", b"%d" % number)
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await it.serves()
        assert it.running.gateway.counts["over the rate of its client"] > 1000
        fast_ones = [m for m in it.seen.messages if m.topic == "node/fast/x"]
        assert 90 <= len(fast_ones) <= 200


async def test_client_id_moves_to_the_last_client_and_the_other_gets_disconnect(
    mosquitto: Server,
) -> None:
    """Attack 12. MQTT-SN knows no passwords: this is its limit, and that of MQTT."""
    async with scene(mosquitto.port) as it:
        with Device(it.running.port) as first, Device(it.running.port) as second:
            await first.connects(b"same")
            await second.connects(b"same")
            assert (await first.receive()).hex() == "0218"
            assert await first.exchange("LL 0c 20 0001 0001", b"1") == "0218"
        assert it.running.gateway.clients == 2
        await it.serves()


async def test_a_client_id_of_mqtt_is_not_used(mosquitto: Server) -> None:
    """Attack 15: the MQTT client id of the watcher, used over MQTT-SN, is a different client id."""
    async with scene(mosquitto.port) as it:
        with Device(it.running.port) as odd:
            await odd.connects(b"watcher")
            await it.serves()
        assert "already connected" not in mosquitto.log


async def test_a_puback_means_that_the_mqtt_broker_has_the_message(mosquitto: Server) -> None:
    """Attack 17."""
    async with scene(mosquitto.port) as it:
        await it.serves()
        mosquitto.kill()
        await eventually(
            lambda: (
                it.running.gateway._connections._by_client_id["honest"]._client.connection is None
            )
        )
        answer = await it.honest.exchange(f"LL 0c 20 {it.topic_id} 0777", b"lost?")
        assert answer == f"070d{it.topic_id}077701"  # congestion: the client may publish again
        assert it.running.gateway.clients == 1


async def test_messages_kept_for_a_sleeping_client_are_bounded(mosquitto: Server) -> None:
    config = GatewayConfig(advertise_s=None, session=SessionConfig(messages_max=10))
    async with scene(mosquitto.port, config) as it:
        with Device(it.running.port) as sleeper:
            await sleeper.connects(b"sleeper", clean=False)
            assert (
                await sleeper.exchange("LL 12 20 0001", b"gateway/sleeper/x") == "0813200001000100"
            )
            assert await sleeper.exchange("04 18 003c") == "0218"
            for number in range(100):
                it.seen.connection.publish(number + 1, "gateway/sleeper/x", b"%d" % number, qos=1)
            session = it.running.gateway._protocol.session("sleeper")
            assert session is not None
            await eventually(lambda: session.delivery.dropped >= 90)
            assert len(session.delivery) == 10
        await it.serves()
