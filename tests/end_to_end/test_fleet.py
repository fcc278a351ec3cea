# SPDX-License-Identifier: BSD-3-Clause
"""`aiot fleet` end to end: quiet runs, bad links, killed processes, and errors."""

import asyncio
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyaiot.app import services
from pyaiot.app.protocols import fleet_protocols
from pyaiot.errors import OperatorError
from pyaiot.fleet import fleet
from pyaiot.fleet.config import FleetConfig, fleet_settings
from tests.clients import Broker
from tests.gateways.mqtt_servers import Server, server
from tests.programs import ANY_PORTS, Program, Programs, fleet_flags, free_port
from tests.relay import tcp_relay, udp_relay
from tests.running import running_everything

pytestmark = pytest.mark.sockets

RECOVERY_LIMIT_S = 10.0
NODES = ("--coap", "10", "--mqtt", "10", "--mqttsn", "5", "--ws", "10")


def fleet_config(**values: Any) -> FleetConfig:
    return fleet_settings(fleet_protocols())(**values)


def result(run: Program, limit_s: float) -> dict[str, Any]:
    """The output of a fleet with `--json`, after its end."""
    code = run.exit_code(limit_s)
    report: dict[str, Any] = json.loads(run.rest())
    assert code == report["exit_code"], run.stderr
    assert "Traceback" not in run.stderr
    return report


def test_quiet_run_has_no_lost_superseded_or_duplicate_readings(programs: Programs) -> None:
    output = programs.aiot("run", *ANY_PORTS).startup_text()
    run = programs.aiot(
        *("fleet", *NODES, "--rate", "10", "--seconds", "3", "--commands-per-s", "5", "--json"),
        *fleet_flags(output),
    )
    report = result(run, 25)
    assert set(report["protocols"]) == {"CoAP", "MQTT", "MQTT-SN", "WebSocket"}
    for account in (report["total"], *report["protocols"].values()):
        assert account["sent"] == account["acknowledged"] == account["seen"], report
        assert (account["lost"], account["superseded"], account["duplicates"]) == (0, 0, 0)
    # A busy machine may be slower than requested; most readings are sent nevertheless.
    assert report["total"]["sent"] > 0.3 * 10 * 3 * 35, report
    assert report["commands"]["ended"] == {"confirmed": report["commands"]["sent"]}
    assert report["exit_code"] == 0


async def over_a_bad_wire(programs: Programs, *posts: str) -> dict[str, Any]:
    """The report of a fleet with 5 % loss, 5 % doubled, 5 % overtaken, in both directions."""
    data = str(programs.home / f"data{''.join(posts)}")
    service = programs.aiot("run", *ANY_PORTS, XDG_DATA_HOME=data)
    flags = fleet_flags(await asyncio.to_thread(service.startup_text))
    ports = dict(zip(flags[::2], map(int, flags[1::2]), strict=True))
    async with (
        udp_relay(ports["--coap-port"], seed=5683) as coap,
        udp_relay(ports["--mqttsn-port"], seed=1885) as mqttsn,
    ):
        run = programs.aiot(
            *("fleet", "--coap", "20", "--mqtt", "0", "--mqttsn", "10", "--ws", "0", *posts),
            *("--rate", "2", "--seconds", "3", "--commands-per-s", "2", "--json", *flags),
            *("--grace-s", "5"),
            # The last occurrence of a flag wins.
            *("--coap-port", str(coap.port), "--mqttsn-port", str(mqttsn.port)),
        )
        report = await asyncio.to_thread(result, run, 29)
        assert coap.lost > 0 < mqttsn.lost
    return report


async def test_acknowledged_readings_survive_a_bad_wire(programs: Programs) -> None:
    """CON and NON posts run concurrently, because both mostly wait."""
    reports = await asyncio.gather(over_a_bad_wire(programs), over_a_bad_wire(programs, "--non"))
    for report in reports:
        total = report["total"]
        assert total["lost"] == total["strangers"] == 0, report
        # Between gateway and client nothing was cut: each acknowledged reading was seen. Only
        # readings that were lost on the wire can be superseded.
        assert total["superseded"] <= total["sent"] - total["acknowledged"], report
        assert total["acknowledged"] > 0.5 * total["sent"] > 0
        assert report["exit_code"] == 0


async def test_acknowledged_readings_survive_cut_connections(
    programs: Programs,
) -> None:
    output = programs.aiot("run", *ANY_PORTS).startup_text()
    flags = fleet_flags(output)
    ports = dict(zip(flags[::2], map(int, flags[1::2]), strict=True))
    async with (
        tcp_relay(ports["--mqtt-port"]) as mqtt,
        tcp_relay(ports["--ws-port"]) as ws,
        tcp_relay(ports["--broker-port"]) as broker,
    ):
        run = programs.aiot(
            *("fleet", "--coap", "5", "--mqtt", "10", "--mqttsn", "0", "--ws", "10"),
            *("--rate", "10", "--seconds", "4", "--commands-per-s", "0", "--json", *flags),
            *("--mqtt-port", str(mqtt.port), "--ws-port", str(ws.port)),
            *("--broker-port", str(broker.port)),
        )
        url = f"http://127.0.0.1:{ports['--broker-port']}/"
        async with Broker(url) as watched, watched.client() as client:
            for relay in (mqtt, ws, broker):
                for _ in range(100):
                    await client.until(type="update", endpoint="reading")
                relay.cut()
        report = await asyncio.to_thread(result, run, 25)
    assert report["total"]["lost"] == report["total"]["strangers"] == 0, report
    assert report["broker_connections"] == 2
    for protocol in ("MQTT", "WebSocket"):
        assert report["protocols"][protocol]["connections"] == 20, report
    # Only the client was disconnected. It got the latest readings with the state of its join.
    assert report["protocols"]["CoAP"]["connections"] == 5
    assert report["exit_code"] == 0


class Parts:
    """All services in separate processes, which can be killed and restarted."""

    def __init__(self, programs: Programs, mqtt: Server) -> None:
        self._programs = programs
        self.mqtt = mqtt
        keys = ("--key-file", str(programs.key_file()))
        self.web, ws = (str(free_port(socket.SOCK_STREAM)) for _ in range(2))
        coap, mqttsn = (str(free_port(socket.SOCK_DGRAM)) for _ in range(2))
        to_broker = ("--broker-port", self.web, *keys)
        to_mqtt = ("--mqtt-host", "127.0.0.1", "--mqtt-port", str(mqtt.port))
        self._commands = {
            "broker": ("broker", "--port", self.web, *keys),
            "coap": ("coap-gateway", "--coap-port", coap, *to_broker),
            "ws": ("ws-gateway", "--ws-port", ws, *to_broker),
            "mqtt": ("mqtt-gateway", *to_mqtt, *to_broker),
            "mqttsn": ("mqttsn-gateway", "--mqttsn-port", mqttsn, *to_mqtt),
        }
        self.flags = (
            *("--broker-port", self.web, "--coap-port", coap, "--ws-port", ws),
            *("--mqtt-port", str(mqtt.port), "--mqttsn-port", mqttsn),
        )
        self._running: dict[str, Program] = {}
        mqtt.start()
        self.start(*self._commands)

    def start(self, *names: str) -> None:
        """Start all at once and wait for their first lines."""
        for name in names:
            self._running[name] = self._programs.aiot(*self._commands[name])
        for name in names:
            self._running[name].line()

    def restart(self, *names: str) -> None:
        """Kill processes and start them again."""
        for name in names:
            self._running[name].kill()
        self.start(*names)

    def restart_gateways(self) -> None:
        self.restart("coap", "ws", "mqtt", "mqttsn")

    def restart_broker(self) -> None:
        self.restart("broker")

    def restart_mqtt_broker(self) -> None:
        self.mqtt.kill()
        self.mqtt.start()


@contextmanager
def parts(programs: Programs, folder: Path) -> Iterator[Parts]:
    with server("nats", folder) as mqtt:
        yield Parts(programs, mqtt)


@pytest.mark.parametrize(
    "restart", [Parts.restart_gateways, Parts.restart_broker, Parts.restart_mqtt_broker]
)
async def test_acknowledged_readings_survive_killed_processes(
    programs: Programs, tmp_path: Path, restart: Callable[[Parts], None]
) -> None:
    with parts(programs, tmp_path) as those:
        run = programs.aiot(
            *("fleet", *NODES, "--rate", "5", "--seconds", "5", "--commands-per-s", "0"),
            *("--json", *those.flags),
        )
        async with Broker(f"http://127.0.0.1:{those.web}/") as broker, broker.client() as client:
            await client.until(type="update", endpoint="reading")
        await asyncio.to_thread(restart, those)
        report = await asyncio.to_thread(result, run, 28)
    total = report["total"]
    assert total["lost"] == total["strangers"] == 0, report
    assert total["acknowledged"] > 0
    for protocol, account in report["protocols"].items():
        assert account["longest_gap_s"] < RECOVERY_LIMIT_S, (protocol, report)
        # The last reading of each node arrived: all nodes have reconnected.
        assert account["seen"] + account["superseded"] >= account["acknowledged"], report
    assert report["exit_code"] == 0


def test_fleet_reports_when_a_signal_stops_it_early(programs: Programs) -> None:
    output = programs.aiot("run", *ANY_PORTS).startup_text()
    run = programs.aiot(
        *("fleet", "--coap", "2", "--mqtt", "0", "--mqttsn", "0", "--ws", "2", "--rate", "20"),
        *("--seconds", "600", "--json", *fleet_flags(output)),
    )
    deadline = time.monotonic() + 20
    while not re.search(r"\d+ seen", run.stderr):
        assert time.monotonic() < deadline, run.stderr
        time.sleep(0.05)
    run.send(signal.SIGINT)
    report = result(run, 5)
    assert report["notes"] == ["Stopped early."]
    assert report["total"]["sent"] == report["total"]["seen"] > 0


@pytest.mark.parametrize(
    ("its", "words"),
    [
        ({"coap": 1}, "No CoAP gateway accepts nodes at 127.0.0.1 port {}. .*--coap-port"),
        ({"mqttsn": 1}, "No MQTT-SN gateway accepts nodes at .* port {}. .*--mqttsn 0"),
        ({"mqtt": 1}, "No MQTT broker accepts nodes at .* port {}"),
        ({"ws": 1}, "No WebSocket gateway accepts nodes at .* port {}"),
        ({}, "needs nodes"),
    ],
)
async def test_unreachable_gateway_is_reported_with_its_flag(
    monkeypatch: pytest.MonkeyPatch, its: dict[str, int], words: str
) -> None:
    monkeypatch.setattr(fleet, "CONNECT_LIMIT_S", 0.3)
    port = free_port(socket.SOCK_STREAM)
    async with running_everything() as running:
        values: dict[str, Any] = dict.fromkeys(("coap", "mqtt", "mqttsn", "ws"), 0) | its
        values |= dict.fromkeys(("coap_port", "mqtt_port", "mqttsn_port", "ws_port"), port)
        broker_port = int(running.url.rstrip("/").rpartition(":")[2])
        config = fleet_config(**values, broker_port=broker_port)
        with pytest.raises((OperatorError, ExceptionGroup)) as raised:
            await services.run_fleet(config, print, print)
    assert_sentence(raised.value, words.format(port))


async def test_unreachable_broker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "CONNECT_LIMIT_S", 0.3)
    port = free_port(socket.SOCK_STREAM)
    config = fleet_config(coap=1, mqtt=0, mqttsn=0, ws=0, broker_port=port)
    with pytest.raises((OperatorError, ExceptionGroup)) as raised:
        await services.run_fleet(config, print, print)
    assert_sentence(raised.value, f"No broker accepts the fleet at 127.0.0.1 port {port}: ")


def assert_sentence(error: BaseException, words: str) -> None:
    """The innermost error is an `OperatorError` with these words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OperatorError)
    assert re.search(words, str(error)), error
