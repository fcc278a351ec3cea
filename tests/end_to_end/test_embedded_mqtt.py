# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT broker that `aiot run` and `aiot demo` bring along, as a user meets it."""

import asyncio
import os
import re
import signal
import site
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from tests.clients import Broker, Client
from tests.end_to_end.test_processes import complaint, ends_well
from tests.gateways.mqtt_servers import nats_server, server
from tests.gateways.test_mqtt_gateway import RECOVERY_LIMIT_S, device
from tests.mqtt.test_embedded_broker import is_alive, until_gone
from tests.programs import ANY_PORTS, Program, Programs
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

NODES_LINE = re.compile(r"(http://\S+/)\s.* MQTT: TCP port (\d+)", re.DOTALL)


@pytest.fixture(autouse=True)
def _nats_is_here() -> None:
    nats_server()


def everything(programs: Programs, *more: str, **environment: str) -> tuple[Program, str, int]:
    """`aiot run`, the URL of its page, and the port of its MQTT broker."""
    service = programs.aiot("run", *ANY_PORTS, *more, **environment)
    found = NODES_LINE.search(service.startup_text())
    assert found is not None
    return service, found[1], int(found[2])


def ended(service: Program) -> None:
    service.send(signal.SIGTERM)
    ends_well(service)


async def ready(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as web, web.get(url + "readyz") as answer:
        return answer.status, await answer.text()


async def shows_within(client: Client, limit_s: float, uid: str, **values: str) -> None:
    started_at = time.monotonic()
    await client.shows(uid, **values)
    assert time.monotonic() - started_at < limit_s


async def test_a_device_without_a_name_is_seen_and_commanded(programs: Programs) -> None:
    service, url, port = everything(programs)
    status, parts = await ready(url)
    assert status == 200, parts
    assert "mqtt-gateway" in parts
    async with (
        device(port, "fipy-1"),
        Broker(url) as broker,
        broker.client() as client,
    ):
        await client.shows("fipy-1", temperature="23.5°C", protocol="MQTT")
        receipt = await client.write("fipy-1", "led", "1")
        assert receipt["state"] == "confirmed", receipt
    service.send(signal.SIGTERM)
    ends_well(service)


async def test_one_that_is_killed_is_started_again_and_the_nodes_come_back(
    programs: Programs,
) -> None:
    service, url, port = everything(programs)
    (child,) = service.children()
    async with (
        device(port, "fipy-1") as board,
        Broker(url) as broker,
        broker.client() as client,
    ):
        await client.shows("fipy-1", led="0")
        board.values["led"] = "after"
        os.kill(child, signal.SIGKILL)
        await shows_within(client, RECOVERY_LIMIT_S, "fipy-1", led="after")
        assert (await client.write("fipy-1", "led", "1"))["state"] == "confirmed"
        assert not any(message["type"] == "out" for message in client.received)
    assert (await ready(url))[0] == 200
    assert "nats-server ended with code -9" in service.stderr


async def test_one_that_does_not_answer_is_not_ready_and_is_replaced(programs: Programs) -> None:
    service, url, _ = everything(programs)
    (child,) = service.children()
    os.kill(child, signal.SIGSTOP)
    status, parts = await ready(url)
    assert status == 503
    assert "the MQTT broker does not answer" in parts
    # It lives, so it does not end by itself: it is replaced.
    async with time_limit(40):
        while (await ready(url))[0] != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.5)
    assert service.children() != [child]
    assert "restarting it in" in service.stderr
    service.send(signal.SIGTERM)
    ends_well(service)


async def test_killed_service_ends_its_mqtt_broker_and_can_start_again(
    programs: Programs,
) -> None:
    service, _, port = everything(programs)
    (child,) = service.children()
    service.send(signal.SIGKILL)
    service.exit_code(10)
    await until_gone(child)
    # Nobody is in its folder any more, and devices find it where it was.
    _, url, again = everything(programs, "--mqtt-port", str(port))
    assert again == port
    async with device(port, "fipy-1"), Broker(url) as broker, broker.client() as client:
        await client.shows("fipy-1", led="0")


async def test_its_port_is_printed_when_the_gateway_is_subscribed(
    programs: Programs,
) -> None:
    """What the MQTT broker acknowledges before anybody subscribed would be seen by nobody."""
    service, _, _ = everything(programs)
    assert "connected to the MQTT broker" in service.stderr


async def test_a_broker_that_is_named_is_used_and_none_is_started(
    programs: Programs, tmp_path: Path
) -> None:
    with server("nats", tmp_path) as theirs:
        theirs.start()
        service = programs.aiot(
            *("run", *ANY_PORTS, "--mqtt-host", "127.0.0.1", "--mqtt-port", str(theirs.port))
        )
        line = service.startup_text()
        assert f"MQTT: MQTT broker 127.0.0.1 port {theirs.port}" in line
        assert service.children() == []
        url = line.split()[1]
        async with device(theirs.port, "fipy-1"), Broker(url) as broker, broker.client() as client:
            await client.shows("fipy-1", led="0")


def test_data_is_in_the_configured_folder(programs: Programs) -> None:
    ended(everything(programs)[0])
    assert (programs.home / ".local" / "share" / "pyaiot" / "mqtt" / "jetstream").is_dir()
    elsewhere = {"AIOT_MQTT_FOLDER": str(programs.home / "else"), "AIOT_MQTT_SYNC_ALWAYS": "true"}
    ended(everything(programs, **elsewhere)[0])
    settings = (programs.home / "else" / "nats-server.conf").read_text()
    assert "sync_interval: always" in settings
    everything(programs, XDG_DATA_HOME=str(programs.home / "data"))
    assert (programs.home / "data" / "pyaiot" / "mqtt" / "jetstream").is_dir()


def test_two_in_one_folder_are_refused(programs: Programs) -> None:
    everything(programs)
    assert "Another Pyaiot" in complaint(programs.run("run", *ANY_PORTS))


def test_demo_keeps_nothing(programs: Programs, tmp_path: Path) -> None:
    demo = programs.aiot("demo", *ANY_PORTS, TMPDIR=str(tmp_path))
    demo.line()
    assert list(tmp_path.glob("pyaiot-*/jetstream"))
    (child,) = demo.children()
    demo.send(signal.SIGTERM)
    ends_well(demo)
    assert not is_alive(child)
    assert list(tmp_path.iterdir()) == []
    assert not (programs.home / ".local").exists()


def test_warning_names_the_devices_that_reach_an_open_port(programs: Programs) -> None:
    closed, _, _ = everything(programs)
    ended(closed)
    assert "is open to the network" not in closed.stderr
    opened, _, port = everything(
        programs, "--mqtt-listen", "0.0.0.0", AIOT_MQTT_FOLDER=str(programs.home / "other")
    )
    assert f"TCP port {port} is open to the network: every device on it" in opened.stderr


@pytest.fixture
def without_wheels(programs: Programs) -> dict[str, str]:
    """The environment of a machine for which nats-server, uvloop and asyncpg have no wheels."""
    hidden = programs.home / "hidden"
    hidden.mkdir()
    for name in ("uvloop", "asyncpg"):
        (hidden / f"{name}.py").write_text(
            f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n"
        )
    elsewhere = programs.home / "bin"
    elsewhere.mkdir()
    paths = [str(hidden), *site.getsitepackages(), *_sources()]
    return {"PYTHONPATH": os.pathsep.join(paths), "PATH": str(elsewhere)}


PLAIN_PYTHON = os.path.realpath(sys.executable)
"""A Python beside which there is no nats-server."""


def test_without_nats_server_the_demo_names_the_flag_for_a_broker(
    programs: Programs, without_wheels: dict[str, str]
) -> None:
    program = programs.start(PLAIN_PYTHON, "-m", "pyaiot", "demo", *ANY_PORTS, **without_wheels)
    assert program.exit_code(10) == 2
    assert program.rest() == ""
    assert program.stderr.splitlines()[-1] == (
        "aiot: nats-server is not installed: install nats-server 2.12 or newer, or name another"
        " MQTT broker with --mqtt-host."
    )
    assert "Traceback" not in program.stderr


def test_without_nats_server_and_uvloop_everything_else_runs(
    programs: Programs, without_wheels: dict[str, str]
) -> None:
    program = programs.start(PLAIN_PYTHON, "-m", "pyaiot", "run", *ANY_PORTS, **without_wheels)
    started = program.startup_text()
    assert "CoAP: UDP port" in started
    assert "WebSocket: TCP port" in started
    assert "MQTT" not in started
    (warning,) = [line for line in program.stderr.splitlines() if "WARNING" in line]
    assert "no gateway for MQTT and MQTT-SN: nats-server is not installed: " in warning
    program.send(signal.SIGTERM)
    assert program.exit_code(5) == 0


@pytest.mark.parametrize("flag", ["--history", "--registry"])
def test_without_asyncpg_postgresql_is_refused_in_one_sentence(
    programs: Programs, without_wheels: dict[str, str], flag: str
) -> None:
    database = [flag, "postgresql://localhost/x"]
    program = programs.start(
        *(PLAIN_PYTHON, "-m", "pyaiot", "run", *ANY_PORTS, *database), **without_wheels
    )
    assert program.exit_code(10) == 2
    assert program.stderr.splitlines()[-1].startswith("aiot: PostgreSQL needs the package asyncpg")
    assert "Traceback" not in program.stderr


def _sources() -> list[str]:
    import pyaiot

    return [str(Path(pyaiot.__file__).parents[1])]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AIOT_MQTT_TLS", "true"), ("AIOT_MQTT_USER", "us"), ("AIOT_MQTT_CA_FILE", "ca.pem")],
)
def test_settings_of_a_named_broker_want_its_name(
    programs: Programs, variable: str, value: str
) -> None:
    name = variable.removeprefix("AIOT_MQTT_").lower()
    sentence = complaint(programs.run("run", *ANY_PORTS, **{variable: value}))
    assert f"mqtt.{name}" in sentence
    assert "--mqtt-host" in sentence


def test_port_of_a_named_broker_is_not_any(programs: Programs) -> None:
    assert "--mqtt-port" in complaint(programs.run("run", *ANY_PORTS, "--mqtt-host", "localhost"))
