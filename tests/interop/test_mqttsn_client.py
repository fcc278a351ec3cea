# SPDX-License-Identifier: BSD-3-Clause
"""MQTT-SN with a client that is not ours (`mqtt-sn-12`): pub and sub as people run them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from tests.gateways.mqtt_servers import Server, server
from tests.gateways.mqttsn_device import PATIENCE_S, eventually, mqttsn_gateway, watcher
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with server(request.param, tmp_path) as running:
        running.start()
        yield running


@contextlib.asynccontextmanager
async def foreign(
    tool: str, port: int, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`mqtt_sn_pub` or `mqtt_sn_sub`."""
    process = await asyncio.create_subprocess_exec(
        # -u: otherwise Python gathers the output to a pipe until the process ends.
        *(sys.executable, "-u", "-m", f"mqttsn12.mqtt_sn_{tool}", "-h", "127.0.0.1"),
        *("-p", str(port), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def run_tool(tool: str, port: int, *arguments: str) -> str:
    """The output of a program that ended without an error."""
    async with foreign(tool, port, *arguments) as process, time_limit(PATIENCE_S):
        assert process.stdout is not None
        output = (await process.stdout.read()).decode()
        assert await process.wait() == 0, output
    return output


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_it_publishes(broker: Server, qos: int) -> None:
    async with watcher(broker.port, "node/#") as seen, mqttsn_gateway(broker.port) as running:
        arguments = ("-i", "foreign", "-t", "node/foreign/temperature", "-q", str(qos))
        await run_tool("pub", running.port, *arguments, "-m", '{"value":"21.5°C"}', "--repeat", "3")
        await eventually(lambda: len(seen.messages) == 3)
        message = await seen.sees("node/foreign/temperature", '{"value":"21.5°C"}'.encode())
        assert message.qos == min(qos, 1)
        await eventually(lambda: running.gateway.clients == 0)


async def test_it_publishes_to_predefined_and_short_topics(broker: Server) -> None:
    config = GatewayConfig(advertise_s=None, session=SessionConfig(predefined={5: "node/pre/x"}))
    async with watcher(broker.port, "node/#", "ab") as seen:
        async with mqttsn_gateway(broker.port, config) as running:
            await run_tool("pub", running.port, "-i", "f", "-T", "5", "-q", "1", "-m", "five")
            await run_tool("pub", running.port, "-i", "f", "-t", "ab", "-q", "1", "-m", "short")
        await seen.sees("node/pre/x", b"five")
        await seen.sees("ab", b"short")


@pytest.mark.parametrize("topic", ["gateway/foreign/led/set", "gateway/foreign/+/set", "gateway/#"])
async def test_it_receives_what_it_subscribed_to(broker: Server, topic: str) -> None:
    async with watcher(broker.port) as other, mqttsn_gateway(broker.port) as running:
        arguments = ("-i", "foreign", "-t", topic, "-q", "0")  # it acknowledges none of QoS 1
        async with foreign("sub", running.port, *arguments) as process:
            await eventually(lambda: running.gateway._protocol.session("foreign") is not None)
            session = running.gateway._protocol.session("foreign")
            assert session is not None
            await eventually(lambda: len(session.subscriptions) == 1)
            other.connection.publish(2, "gateway/foreign/led/set", b"on, please", qos=1)
            assert process.stdout is not None
            async with time_limit(PATIENCE_S):
                while b"on, please" not in (line := await process.stdout.readline()):
                    assert line, "it ended"


async def test_its_will_is_published_when_it_is_killed(broker: Server) -> None:
    async with watcher(broker.port, "last/#") as seen, mqttsn_gateway(broker.port) as running:
        will = ("--will-topic", "last/foreign", "--will-payload", "gone")
        arguments = ("-i", "mortal", "-t", "node/x", "-q", "1", "-k", "1", *will)
        async with foreign("sub", running.port, *arguments):
            await eventually(lambda: len(running.gateway._connections) == 1)
            session = running.gateway._protocol.session("mortal")
            assert session is not None
            await eventually(lambda: len(session.subscriptions) == 1)
        await seen.sees("last/foreign", b"gone")
