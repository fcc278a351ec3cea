# SPDX-License-Identifier: BSD-3-Clause
"""What MQTT devices know as acknowledged outlives the end of the service, in each moment of it."""

import asyncio
import signal
import socket
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from tests.end_to_end.mqtt_machines import CountingDevice
from tests.end_to_end.test_processes import ends_well
from tests.gateways.mqtt_servers import nats_server, server
from tests.programs import ANY_PORTS, Program, Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 30.0
DEVICES = 12
INTERVAL_S = 0.01
ENDS = 3


def running(programs: Programs, port: int) -> Program:
    history = str(programs.home / "history.db")
    ports = (*ANY_PORTS, "--mqtt-port", str(port))
    program = programs.aiot("run", *ports, "--history", history)
    program.startup_text()
    return program


def gateway_process(programs: Programs, broker_port: str, mqtt_port: int) -> Program:
    """The MQTT gateway in a separate process, with a session at the MQTT broker."""
    settings = programs.home / "gateway.toml"
    settings.write_text('[mqtt]\nclient_id = "gateway"\n')
    program = programs.aiot(
        *("mqtt-gateway", "--config", settings, "--mqtt-port", str(mqtt_port)),
        *("--broker-port", broker_port, "--key-file", programs.key_file()),
    )
    program.startup_text()
    return program


def recorded(history: Path, uid: str) -> set[int]:
    rows = """
        SELECT value FROM reading JOIN series ON series = id WHERE uid = ? AND resource = 'count'
    """
    with closing(sqlite3.connect(history)) as database:
        return {int(row[0]) for row in database.execute(rows, (uid,))}


async def until_acknowledged(devices: Iterable[CountingDevice], more: int) -> None:
    aims = {device: device.acknowledged + more for device in devices}
    async with time_limit(LIMIT_S):
        while any(device.acknowledged < aim for device, aim in aims.items()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_recorded(history: Path, device: CountingDevice) -> None:
    needed = set(range(1, device.acknowledged + 1))
    async with time_limit(LIMIT_S):
        while needed - recorded(history, device.uid):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def until_it_has_a_session(history: Path, port: int) -> None:
    """Before its first connection, an MQTT broker stores nothing for the gateway."""
    device = CountingDevice("first", [port], INTERVAL_S)
    device.start()
    async with time_limit(LIMIT_S):
        while not recorded(history, device.uid):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    await asyncio.to_thread(device.stop)


async def test_nothing_that_was_acknowledged_is_lost_when_the_service_ends(
    programs: Programs,
) -> None:
    nats_server()
    port = free_port(socket.SOCK_STREAM)
    program = running(programs, port)
    for turn in range(ENDS):
        devices = [CountingDevice(f"{turn}-{it}", [port], INTERVAL_S) for it in range(DEVICES)]
        for device in devices:
            device.start()
        await until_acknowledged(devices, 20)
        program.send(signal.SIGTERM)
        await asyncio.to_thread(ends_well, program)
        for device in devices:
            await asyncio.to_thread(device.stop)
        # It continues the session, in which the rest waits.
        program = running(programs, port)
        for device in devices:
            await until_recorded(programs.home / "history.db", device)
    program.send(signal.SIGTERM)
    await asyncio.to_thread(ends_well, program)


async def test_nothing_that_was_acknowledged_is_lost_when_the_gateway_ends(
    programs: Programs, tmp_path: Path
) -> None:
    history = programs.home / "history.db"
    broker_port = str(free_port(socket.SOCK_STREAM))
    with server("nats", tmp_path) as nats:
        nats.start()
        programs.aiot(
            *("broker", "--web-port", broker_port, "--history", history),
            *("--key-file", programs.key_file()),
        ).startup_text()
        program = gateway_process(programs, broker_port, nats.port)
        await until_it_has_a_session(history, nats.port)
        for turn in range(ENDS):
            devices = [
                CountingDevice(f"{turn}-{it}", [nats.port], INTERVAL_S) for it in range(DEVICES)
            ]
            for device in devices:
                device.start()
            await until_acknowledged(devices, 20)
            program.send(signal.SIGTERM)
            await asyncio.to_thread(ends_well, program)
            for device in devices:
                await asyncio.to_thread(device.stop)
            program = gateway_process(programs, broker_port, nats.port)
            for device in devices:
                await until_recorded(history, device)
        program.send(signal.SIGTERM)
        await asyncio.to_thread(ends_well, program)
