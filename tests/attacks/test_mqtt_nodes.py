# SPDX-License-Identifier: BSD-3-Clause
"""Attacks 4, 9, 13, 15 and 17, over MQTT and through everything that `aiot run` starts."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.attacks.running import Log, until
from tests.attacks.test_clock_jumps import HOUR_S, Calendar
from tests.attacks.test_names import ORDINARY, REFUSED
from tests.clients import Broker, Client
from tests.gateways.mqtt_servers import nats_server, server
from tests.gateways.test_mqtt_gateway import (
    RECOVERY_LIMIT_S,
    Device,
    World,
    at,
    device,
    world,
)
from tests.programs import Program, Programs, free_port
from tests.running import Scene, scene
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

FORBIDDEN_IN_TOPICS = set("/+# ")


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


@asynccontextmanager
async def attacked() -> AsyncIterator[tuple[Scene, Device]]:
    """`aiot run` with an honest CoAP node and an honest MQTT node."""
    async with scene(everything=True) as here, device(here.running.mqtt_port, "good") as board:
        here.device.has({"led": "0"})
        await here.device.post("alive", "alive:honest")
        await here.client.shows("honest", led="0")
        await here.client.shows("good", led="0")
        yield here, board


async def serves(client: Client, board: Device, value: str) -> None:
    """Readings of the honest MQTT node arrive, it carries out a command, and it stayed online."""
    board.values["temperature"] = value
    board.send_value("temperature")
    await client.shows("good", temperature=value)
    assert (await client.write("good", "led", "1"))["state"] == "confirmed"
    assert not [message for message in client.received if message["type"] in {"out", "reset"}]


async def test_another_gateways_node_cannot_be_claimed_over_mqtt(log: Log) -> None:
    async with attacked() as (here, board):
        board.send("check", {"id": "honest"})
        board.send("honest/led", {"value": "forged"})
        for bookkeeping in ("id", "protocol"):
            board.send(f"good/{bookkeeping}", {"value": "forged"})
        await serves(here.client, board, "1°C")
        assert here.client.nodes["honest"]["led"] == "0"
        assert here.client.nodes["honest"]["protocol"] == "CoAP"
        assert here.client.nodes["good"]["protocol"] == "MQTT"
        assert here.client.nodes["good"]["id"] == "good"
        assert not [message for message in here.client.received if message.get("data") == "forged"]
    assert [line for line in log.lines if "the broker refused" in line and "honest" in line]


async def test_odd_names_are_nodes_or_are_refused_for_themselves_alone(log: Log) -> None:
    async with attacked() as (here, board):
        for name in (*REFUSED, *ORDINARY):
            board.send("check", {"id": name})
        await serves(here.client, board, "2°C")
        fit = {name for name in ORDINARY if FORBIDDEN_IN_TOPICS.isdisjoint(name)}
        assert set(here.client.nodes) == {"honest", "good", *fit}
    assert all(line.isprintable() for line in log.lines)
    assert log.tracebacks == []


async def test_no_name_becomes_a_topic_of_the_gateway(tmp_path: Path) -> None:
    """A client that may subscribe to everything gets only topics with valid names."""
    with server("nats", tmp_path) as nats:
        nats.start()
        async with (
            world(at(nats)) as here,
            device(nats.port, "good") as board,
            device(nats.port, "witness") as witness,
        ):
            await here.until(lambda: here.value("good", "led") and here.value("witness", "led"))
            connection = here.mqtt._sides.open.client._connection
            witness.client.subscribe("gateway/#")
            for name in ("#", "+", "a/b", "../x", "", "a b", "$SYS", "x\0y", "x\n", "x" * 65):
                board.send("check", {"id": name})
                board.send("good/resources", [name])
                await here.command("good", name, "1", timeout_s=0.05)
            assert (await here.command("good", "led", "1")).state == "confirmed"
            await here.until(lambda: "gateway/good/led/set" in witness.requested)
            targets = {topic.split("/")[1] for topic in witness.requested if topic.count("/") > 1}
            assert targets <= {"good", "witness", "$SYS"}
            assert here.mqtt._sides.open.client._connection is connection


async def test_a_clock_that_jumps_loses_no_mqtt_node(tmp_path: Path) -> None:
    with server("nats", tmp_path) as nats:
        nats.start()
        calendar = Calendar()
        async with world(at(nats), unix_time=calendar) as here, device(nats.port, "a") as board:
            await here.until(lambda: here.value("a", "led"))
            for jump_s in (HOUR_S, -2 * HOUR_S):
                calendar.now += jump_s
                board.values["led"] = str(jump_s)
                board.send_value("led")
                await here.until(lambda: here.value("a", "led") == board.values["led"])
                assert (await here.command("a", "temperature", "5")).state == "confirmed"
            await here.mqtt.answers()
            assert here.uids() == ["a"]
            assert gone(here) == []


def gone(here: World) -> list[object]:
    return [message for message in here.received if type(message).__name__ == "NodeLeft"]


def start_gateway(programs: Programs, nats_port: int, broker_port: str) -> Program:
    gateway = programs.aiot(
        *("mqtt-gateway", "--mqtt-port", str(nats_port), "--broker-port", broker_port),
        *("--key-file", programs.key_file()),
        AIOT_MQTT_CLIENT_ID="gateway1",
    )
    gateway.line()
    return gateway


async def test_what_was_acknowledged_outlives_a_gateway_and_a_broker_that_are_killed(
    programs: Programs, tmp_path: Path
) -> None:
    port = str(free_port(socket.SOCK_STREAM))
    with server("nats", tmp_path) as nats:
        nats.start()
        programs.aiot("broker", "--port", port, "--key-file", programs.key_file()).line()
        gateway = start_gateway(programs, nats.port, port)
        async with Broker(f"http://127.0.0.1:{port}/") as broker, broker.client() as client:
            async with device(nats.port, "a") as board:
                await client.shows("a", led="0")
                gateway.send(signal.SIGKILL)
                gateway.exit_code(10)
                published = [
                    board.client.publish("node/a/count", json.dumps({"value": number}), qos=1)
                    for number in range(50)
                ]
                await until(lambda: all(message.is_published() for message in published))
            nats.kill()
            started_at = time.monotonic()
            nats.start()
            start_gateway(programs, nats.port, port)
            await client.shows("a", count=49)
            assert time.monotonic() - started_at < RECOVERY_LIMIT_S
            counts = [
                message["data"] for message in client.received if message.get("endpoint") == "count"
            ]
            assert counts == list(range(50))


async def test_everything_that_is_killed_is_back_within_ten_seconds(programs: Programs) -> None:
    ports = [str(free_port(kind)) for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM)]
    arguments = (
        *("run", "--web-port", ports[0], "--mqtt-port", ports[1]),
        *("--coap-port", "0", "--ws-port", "0", "--mqttsn-port", "0"),
    )
    service = programs.aiot(*arguments)
    service.line()
    async with device(int(ports[1]), "a") as board:
        async with Broker(f"http://127.0.0.1:{ports[0]}/") as broker, broker.client() as client:
            await client.shows("a", led="0")
        board.values["led"] = "after"
        os.kill(service.pid, signal.SIGKILL)
        service.exit_code(10)
        started_at = time.monotonic()
        line = programs.aiot(*arguments).startup_text()
        assert re.search(rf"MQTT: TCP port {ports[1]}\b", line)
        async with Broker(f"http://127.0.0.1:{ports[0]}/") as broker, broker.client() as client:
            async with time_limit(RECOVERY_LIMIT_S):
                await client.shows("a", led="after")
            assert time.monotonic() - started_at < RECOVERY_LIMIT_S
            assert (await client.write("a", "led", "1"))["state"] == "confirmed"
