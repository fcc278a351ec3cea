# SPDX-License-Identifier: BSD-3-Clause
"""Machines with embedded MQTT brokers: devices connect to any, and each reading counts once."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

import aiohttp
import pytest

from tests.end_to_end.mqtt_machines import (
    LIMIT_S,
    CountingDevice,
    Machines,
    Seen,
    counting,
    recorded,
    seen_at,
    until_complete,
)
from tests.gateways.mqtt_servers import nats_server
from tests.history.postgres_server import Server, running_server
from tests.programs import Programs
from tests.time_limits import time_limit

pytestmark = [pytest.mark.sockets]


def uids(test: str) -> list[str]:
    return [f"{test}-{number}" for number in range(12)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    nats_server()
    with running_server() as it:
        yield it


@pytest.fixture
def database(server: Server) -> str:
    return server.url


@pytest.fixture(scope="module")
def started(shared_programs: Programs, server: Server) -> Machines:
    return Machines(shared_programs, server.url)


@pytest.fixture
def machines(started: Machines) -> Machines:
    """All three run. Each test has its own devices."""
    started.restart_ended()
    return started


async def until_seen(seen: Seen, devices: list[CountingDevice], more: int) -> None:
    """Wait until a further number of each device is seen: `more` after the last one."""
    aims = {it.uid: it.acknowledged + more for it in devices}
    async with time_limit(LIMIT_S):
        while any(  # noqa: ASYNC110 - other processes
            seen.numbers(uid)[-1:] < [aim] for uid, aim in aims.items()
        ):
            await asyncio.sleep(0.05)


async def recorded_of(
    database: str, device: CountingDevice, lost: Collection[int] = ()
) -> list[int]:
    """What the history has of a device, as soon as it has all numbers that were acknowledged; or
    all but the `lost` ones. Those that were on the way to a gateway come some seconds later."""
    needed = set(range(1, device.acknowledged + 1)).difference(lost)
    numbers: list[int] = []
    with contextlib.suppress(TimeoutError):
        async with time_limit(LIMIT_S):
            while not needed <= set(numbers := await recorded(database, device.uid)):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.1)
    missing = sorted(needed.difference(numbers))
    assert not missing, f"{device.uid}: {missing} of {device.acknowledged} were not recorded"
    return numbers


async def commanded(url: str, uid: str, payload: str) -> str:
    """How a command for the `led` of a node ended."""
    address = f"{url}/api/nodes/{uid}/resources/led?timeout=10"
    async with aiohttp.ClientSession() as web, web.put(address, data=payload) as answer:
        document = await answer.json()
    return str(document.get("command", document).get("state"))


def repeated(numbers: Iterable[int]) -> set[int]:
    return {number for number, count in Counter(numbers).items() if count > 1}


async def test_devices_at_any_machine_are_counted_once_at_every_broker(
    machines: Machines, database: str
) -> None:
    await until_complete(machines.urls)
    async with seen_at(machines.urls[0]) as first, seen_at(machines.urls[2]) as last:
        with counting(uids("any"), machines.mqtt_ports) as devices:
            await until_seen(first, devices, 20)
            await until_seen(last, devices, 5)
        for device in devices:
            numbers = await recorded_of(database, device)
            assert numbers == list(range(1, len(numbers) + 1)), device.uid
        for seen in (first, last):
            assert seen.came_and_went(devices) == {"new": len(devices)}


async def test_a_machine_that_leaves_and_returns_loses_and_repeats_nothing(
    machines: Machines, database: str
) -> None:
    await until_complete(machines.urls)
    async with seen_at(machines.urls[1]) as seen:
        # The devices stay connected, and the shares of their nodes move.
        with counting(uids("leaves"), machines.mqtt_ports[1:]) as devices:
            await until_seen(seen, devices, 10)
            machines.end(0, signal.SIGTERM)
            await until_seen(seen, devices, 20)
            await asyncio.to_thread(machines.restart, 0)
            await until_complete(machines.urls)
            await until_seen(seen, devices, 20)
        for device in devices:
            assert repeated(await recorded_of(database, device)) <= device.sent_again, device.uid
        assert seen.came_and_went(devices) == {"new": len(devices)}


async def test_a_machine_that_is_killed_is_replaced(machines: Machines, database: str) -> None:
    await until_complete(machines.urls)
    async with seen_at(machines.urls[1]) as seen:
        with counting(uids("killed"), machines.mqtt_ports) as devices:
            await until_seen(seen, devices, 20)
            machines.end(0, signal.SIGKILL)
            before = {device.uid: device.acknowledged for device in devices}
            await until_seen(seen, devices, 20)
        for device in devices:
            # The gateway had these, and they were not in the database yet (reliability.md).
            lost = range(before[device.uid] - 10, before[device.uid] + 2)
            numbers = await recorded_of(database, device, lost)
            assert repeated(numbers) <= device.sent_again, device.uid
        assert seen.came_and_went(devices) == {"new": len(devices)}


async def test_a_command_reaches_a_node_whose_share_has_moved(machines: Machines) -> None:
    await until_complete(machines.urls)
    async with seen_at(machines.urls[1]) as seen:
        # The devices stay connected, and the shares of their nodes move.
        with counting(uids("commanded"), machines.mqtt_ports[1:]) as devices:
            await until_seen(seen, devices, 5)
            machines.end(0, signal.SIGTERM)
            await until_seen(seen, devices, 20)
            for payload, url in enumerate(machines.urls[1:]):
                states = await asyncio.gather(
                    *(commanded(url, device.uid, str(payload)) for device in devices)
                )
                # `sent`: the new value came too late to confirm it, as on a busy machine.
                assert set(states) <= {"confirmed", "sent"}
        for device in devices:
            assert device.carried_out == ["0", "1"], device.uid


def test_beyond_loopback_a_cluster_without_tls_is_refused(programs: Programs) -> None:
    secret = programs.home / "secret"
    secret.touch(mode=0o600)
    secret.write_text("a secret of all machines\n")
    settings = programs.home / "pyaiot.toml"
    settings.write_text(f'[mqtt]\ncluster_secret_file = "{secret}"\n')
    machines = ("--mqtt-cluster", "10.0.0.1,10.0.0.2,10.0.0.3")
    ended = programs.run(
        *("run", "--config", str(settings), "--history", "off", "--registry", "off"),
        *(*machines, "--mqtt-cluster-listen", "10.0.0.1"),
    )
    assert ended.returncode == 2
    assert ended.stderr.endswith(
        "aiot: The MQTT brokers of several machines connect with TLS: set"
        " mqtt.cluster_certificate_file and mqtt.cluster_ca_file.\n"
    )
