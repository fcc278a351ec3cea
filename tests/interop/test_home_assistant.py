# SPDX-License-Identifier: BSD-3-Clause
"""The real Home Assistant: its core and its MQTT integration, without the frontend.

`scripts/home_assistant.py` installs it; without it these tests are skipped, and `scripts/test`
reports it. The state of Home Assistant is read from its APIs.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.app.demo import demo_kinds
from pyaiot.homeassistant.discovery import Description, config_payload
from pyaiot.homeassistant.entities import Entity
from pyaiot.homeassistant.names import Topics
from pyaiot.homeassistant.units import BINARY_CLASSES, BUTTON_CLASSES, SWITCH_CLASSES, UNITS
from pyaiot.model import ResourceType
from pyaiot.mqtt.client import MqttClient, MqttServer
from scripts import home_assistant
from tests.gateways.mqtt_servers import server
from tests.programs import ANY_PORTS, Program, Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 40.0
"""Home Assistant takes 5 s to start, and as long again until it sends its birth message."""
HEADLESS = Path(__file__).parent / "homeassistant" / "headless.py"
NOW = "2026-01-01T00:00:00+00:00"
KEY = "k" * 64
UNAVAILABLE = {"unavailable", "unknown"}


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    started.close()


def stored(key: str, version: int, minor_version: int, data: object) -> str:
    return json.dumps(
        {"key": key, "version": version, "minor_version": minor_version, "data": data}
    )


def write_settings(folder: Path, port: int, mqtt: dict[str, object]) -> None:
    """A Home Assistant that has been set up: one user with a token, and the MQTT integration."""
    storage = folder / ".storage"
    storage.mkdir(parents=True)
    (folder / "configuration.yaml").write_text(
        f"http:\n  server_host: 127.0.0.1\n  server_port: {port}\n"
        "api:\nwebsocket_api:\nconfig:\nlogger:\n  default: warning\n"
    )
    user = {
        "id": "user",
        "group_ids": ["system-admin"],
        "is_owner": True,
        "is_active": True,
        "name": "test",
        "system_generated": False,
        "local_only": False,
    }
    token = {
        "id": "token",
        "user_id": "user",
        "client_id": None,
        "client_name": "test",
        "client_icon": None,
        "token_type": "long_lived_access_token",
        "created_at": NOW,
        "access_token_expiration": 315360000.0,
        "token": "t" * 64,
        "jwt_key": KEY,
        "last_used_at": None,
        "last_used_ip": None,
        "expire_at": None,
        "credential_id": None,
        "version": None,
    }
    groups = [{"id": "system-admin", "name": "Administrators"}]
    auth = {"users": [user], "groups": groups, "credentials": [], "refresh_tokens": [token]}
    (storage / "auth").write_text(stored("auth", 1, 1, auth))
    entry: dict[str, object] = {
        "created_at": NOW,
        "modified_at": NOW,
        "data": mqtt,
        "disabled_by": None,
        "discovery_keys": {},
        "domain": "mqtt",
        "entry_id": "mqtt",
        "minor_version": 2,
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "subentries": [],
        "title": "MQTT",
        "unique_id": None,
        "version": 1,
    }
    (storage / "core.config_entries").write_text(
        stored("core.config_entries", 1, 5, {"entries": [entry]})
    )


def access_token() -> str:
    """A JSON web token (RFC 7519) of the user."""

    def encoded(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"iss": "token", "iat": int(time.time()) - 60, "exp": int(time.time()) + 3600}
    text = encoded(b'{"alg":"HS256","typ":"JWT"}') + b"." + encoded(json.dumps(claims).encode())
    signature = hmac.new(KEY.encode(), text, hashlib.sha256).digest()
    return (text + b"." + encoded(signature)).decode()


@dataclass
class Home:
    """One Home Assistant, which can be ended and started again with what it has stored."""

    programs: Programs
    session: aiohttp.ClientSession
    python: Path
    folder: Path
    port: int
    program: Program | None = None
    token: str = field(default_factory=access_token)

    def start(self) -> None:
        self.program = self.programs.start(self.python, HEADLESS, self.folder)

    def end(self) -> None:
        assert self.program is not None
        self.program.send(signal.SIGTERM)
        self.program.exit_code(LIMIT_S)
        self.program = None

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def states(self) -> dict[str, dict[str, Any]]:
        """The entities of MQTT, by id; none while it starts."""
        url = f"http://127.0.0.1:{self.port}/api/states"
        try:
            async with self.session.get(url, headers=self._headers) as answer:
                assert answer.status == 200
                states = await answer.json()
        except aiohttp.ClientConnectionError:
            return {}
        return {it["entity_id"]: it for it in states if not it["entity_id"].startswith("zone.")}

    async def call(self, domain: str, service: str, entity: str, **more: object) -> None:
        url = f"http://127.0.0.1:{self.port}/api/services/{domain}/{service}"
        body = {"entity_id": entity, **more}
        async with self.session.post(url, headers=self._headers, json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def listed(self, registry: str) -> list[dict[str, Any]]:
        """The devices or entities of its registry."""
        url = f"ws://127.0.0.1:{self.port}/api/websocket"
        async with self.session.ws_connect(url) as connection:
            await connection.receive_json()
            await connection.send_json({"type": "auth", "access_token": self.token})
            await connection.receive_json()
            await connection.send_json({"id": 1, "type": f"config/{registry}_registry/list"})
            answer = await connection.receive_json()
        return list(answer["result"])

    async def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, Any]:
        """Its entities, when they are as they should be."""
        states: dict[str, dict[str, Any]] = {}
        try:
            async with time_limit(LIMIT_S):
                while not condition(states := await self.states()):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            shown = {name: it["state"] for name, it in states.items()}
            log = self.program.stderr[-3000:] if self.program else ""
            raise AssertionError(f"{shown}\n{log}") from None
        return states

    async def settled(self, devices: int) -> dict[str, Any]:
        """Its entities, when there are `devices` devices, each with all of its entities."""
        names: list[str] = []
        before = -1
        try:
            async with time_limit(LIMIT_S):
                while True:
                    states = await self.states()
                    names = [it["name"] for it in await self.listed("device")]
                    if len(names) == devices and known(states) == before:
                        return states
                    before = known(states)
                    await asyncio.sleep(3.0)
        except TimeoutError:
            raise AssertionError(f"{names}, {before} states") from None

    def complaints(self) -> list[str]:
        """Warnings and errors about MQTT in its log."""
        log = (self.folder / "home-assistant.log").read_text("utf-8")
        return [line for line in log.splitlines() if ".mqtt" in line and "[homeassistant" in line]


def python_of_home_assistant() -> Path:
    """Skips the test if it is not installed."""
    python = home_assistant.environment()
    if python is None:
        pytest.skip("Home Assistant is not installed: scripts/home_assistant.py installs it")
    return python


@asynccontextmanager
async def home(programs: Programs, **mqtt: object) -> AsyncIterator[Home]:
    python = python_of_home_assistant()
    folder = programs.home / "home-assistant"
    port = free_port(socket.SOCK_STREAM)
    write_settings(folder, port, {"broker": "127.0.0.1", **mqtt})
    async with aiohttp.ClientSession() as session:
        yield Home(programs, session, python, folder, port)


def state(states: dict[str, dict[str, Any]], entity: str) -> str:
    return str(states.get(entity, {}).get("state"))


def names_of_known(states: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, it in states.items() if it["state"] not in UNAVAILABLE}


def known(states: dict[str, dict[str, Any]]) -> int:
    return len(names_of_known(states))


CLASSES = """
import json
from homeassistant.components import binary_sensor, button, switch
from homeassistant.components.sensor import const

print(json.dumps({
    "units": {c.value: sorted(map(str, units)) for c, units in const.DEVICE_CLASS_UNITS.items()},
    "binary": [c.value for c in binary_sensor.BinarySensorDeviceClass],
    "button": [c.value for c in button.ButtonDeviceClass],
    "switch": [c.value for c in switch.SwitchDeviceClass],
}))
"""


def test_every_class_and_unit_exists_in_home_assistant(tmp_path: Path) -> None:
    ended = subprocess.run(
        [python_of_home_assistant(), "-c", CLASSES],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    known = json.loads(ended.stdout)
    for senml, unit in UNITS.items():
        for device_class in filter(None, (unit.device_class, *unit.others)):
            units = known["units"].get(device_class, ["None"])
            assert (unit.text or "None") in units, (senml, device_class)
    assert set(known["binary"]) >= BINARY_CLASSES
    assert set(known["button"]) >= BUTTON_CLASSES
    assert set(known["switch"]) >= SWITCH_CLASSES


DEMO = {
    "sensor.greenhouse_humidity": ("humidity", "%"),
    "sensor.greenhouse_illuminance": ("illuminance", "lx"),
    "sensor.greenhouse_temperature": ("temperature", "°C"),
    "sensor.weather_station_humidity": ("humidity", "%"),
    "sensor.weather_station_pressure": ("pressure", "hPa"),
    "sensor.weather_station_temperature": ("temperature", "°C"),
    "sensor.workbench_humidity": ("humidity", "%"),
    "sensor.workbench_temperature": ("temperature", "°C"),
}


async def test_the_demo_is_in_home_assistant_and_its_leds_are_switched(
    programs: Programs, tmp_path: Path
) -> None:
    with server("mosquitto", tmp_path) as mqtt:
        mqtt.start()
        async with home(programs, port=mqtt.port) as here:
            here.start()
            await _every_kind_is_accepted(here, mqtt.port)
            url = f"mqtt://127.0.0.1:{mqtt.port}"
            demo = programs.aiot("demo", *ANY_PORTS, "--homeassistant", url)
            web = re.search(r"http://\S+/", demo.line(LIMIT_S))
            assert web
            states = await here.settled(len(demo_kinds()))
            for entity, (device_class, unit) in DEMO.items():
                attributes = states[entity]["attributes"]
                assert attributes["device_class"] == device_class
                assert attributes["unit_of_measurement"] == unit
                assert attributes["state_class"] == "measurement"
                float(states[entity]["state"])
            assert "latitude" in states["device_tracker.tracker_position"]["attributes"]
            devices = await here.listed("device")
            await here.call("switch", "turn_on", "switch.desk_lamp_led")
            await here.until(lambda states: state(states, "switch.desk_lamp_led") == "on")
            (uid,) = (
                it["identifiers"][0][1].removeprefix("pyaiot_")
                for it in devices
                if it["name"] == "Desk lamp"
            )
            async with here.session.get(f"{web[0]}api/nodes/{uid}") as answer:
                resources = (await answer.json())["resources"]
            assert [it["data"] for it in resources if it["name"] == "led"] == ["1"]
            async with here.session.get(f"{web[0]}metrics") as answer:
                text = await answer.text()
            assert 'homeassistant_commands_total{receipt="confirmed"} 1.0' in text
            await _restart_of_the_system(here, programs, demo, url)
            assert here.complaints() == []


KINDS = {
    "switch": (ResourceType(kind="boolean", writable=True, device_class="outlet"), "1"),
    "motion": (ResourceType(kind="boolean", device_class="motion"), "1"),
    "level": (
        ResourceType(kind="number", unit="Cel", writable=True, minimum=5, maximum=30, step=0.5),
        "20",
    ),
    "power": (ResourceType(kind="number", unit="kVA", writable=True), "1.5"),
    "mode": (ResourceType(kind="enum", choices=("eco", "boost"), writable=True), "eco"),
    "phase": (ResourceType(kind="enum", choices=("low", "high")), "low"),
    "message": (ResourceType(kind="text", writable=True, maximum=16), "hello"),
    "note": (ResourceType(kind="text"), "x" * 300),
    "restart": (ResourceType(kind="command", device_class="restart"), None),
    "move": (ResourceType(kind="command", choices=("up", "down")), None),
    "lamp": (ResourceType(kind="colour", writable=True), "#ff8800"),
    "place": (ResourceType(kind="position"), '{"lat":48.7,"lng":2.2}'),
    "axes": (ResourceType(kind="vector"), "[1,2,3]"),
    "settings": (ResourceType(kind="json"), {"a": 1}),
}
"""A resource of each kind, and a value of it."""
WRITES: dict[str, tuple[str, str, dict[str, object], object]] = {
    "switch": ("switch", "turn_off", {}, False),
    "level": ("number", "set_value", {"value": 21.5}, 21.5),
    "power": ("number", "set_value", {"value": 2500}, 2.5),
    "mode": ("select", "select_option", {"option": "boost"}, "boost"),
    "message": ("text", "set_value", {"value": "bye"}, "bye"),
    "restart": ("button", "press", {}, ""),
    "move": ("select", "select_option", {"option": "up"}, "up"),
    "lamp": ("light", "turn_on", {"rgb_color": [0, 255, 10]}, "#00ff0a"),
}
"""The domain and service that writes a resource, its data, and the value that arrives."""


async def _every_kind_is_accepted(here: Home, port: int) -> None:
    """Another system at the same MQTT broker, which has every kind of resource and every unit."""
    topics = Topics("lab", "homeassistant")
    types = {**KINDS, **{f"u{n}": (number_in(unit), 1.0) for n, unit in enumerate(UNITS)}}
    entities = {resource: Entity(it) for resource, (it, _) in types.items()}
    received: dict[str, str] = {}
    subscribed = asyncio.Event()
    client = MqttClient(
        MqttServer("127.0.0.1", port),
        name="lab",
        subscriptions=(topics.commands,),
        on_messages=lambda them: received.update((topic, it.decode()) for topic, it, _ in them),
        on_connect=subscribed.set,
        keeps_session=False,
    )
    running = asyncio.ensure_future(client.run())
    try:
        await subscribed.wait()
        config = config_payload(topics, "lab_kinds", Description(name="Kinds"), entities)
        client.publish(topics.config("lab_kinds"), config, retain=True)
        for topic in (topics.status, topics.availability("lab_kinds")):
            client.publish(topic, b"online", retain=True)
        await here.until(lambda states: len(states) == len(types))
        without_state = {"button.kinds_restart", "select.kinds_move"}

        def all_known(states: dict[str, dict[str, Any]]) -> bool:
            # Home Assistant subscribes a while after it has added the entities.
            for resource, (_, value) in types.items():
                if (state := entities[resource].state(value)) is not None:
                    client.publish(topics.state("lab_kinds", resource), state)
            return known(states) == len(types) - len(without_state)

        states = await here.until(all_known)
        for (resource, unit), (unit_text, device_class, *_) in zip(
            ((f"u{n}", unit) for n, unit in enumerate(UNITS)), UNITS.values(), strict=True
        ):
            attributes = states[f"sensor.kinds_{resource}"]["attributes"]
            assert attributes.get("unit_of_measurement", "") == unit_text, unit
            assert attributes.get("device_class", "") == device_class, unit
        for resource, (domain, service, data, written) in WRITES.items():
            await here.call(domain, service, f"{domain}.kinds_{resource}", **data)
            topic = topics.command("lab_kinds", resource)
            async with time_limit(LIMIT_S):
                while topic not in received:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            assert entities[resource].value_of_command(received[topic], "#ff8800") == written
        client.publish(topics.config("lab_kinds"), b"", retain=True)
        await here.until(lambda states: states == {})
    finally:
        running.cancel()
        await asyncio.wait({running})


def number_in(unit: str) -> ResourceType:
    return ResourceType(kind="number", unit=unit)


async def _restart_of_the_system(here: Home, programs: Programs, demo: Program, url: str) -> None:
    """Its nodes have the same uids again: nothing is doubled."""
    entities = {it["entity_id"]: it["unique_id"] for it in await here.listed("entity")}
    names = names_of_known(await here.states())
    demo.send(signal.SIGTERM)
    await here.until(lambda states: known(states) == 0)
    programs.aiot("demo", *ANY_PORTS, "--homeassistant", url)
    await here.until(lambda states: names_of_known(states) >= names)
    assert entities == {it["entity_id"]: it["unique_id"] for it in await here.listed("entity")}
    assert len(await here.listed("device")) == len(demo_kinds())


async def test_a_node_goes_offline_is_forgotten_and_survives_a_restart_of_home_assistant(
    programs: Programs,
) -> None:
    added = programs.run("device", "add", "homeassistant", "--protocol", "mqtt")
    password = re.search(r"shown only now: (\w+)", added.stdout)
    assert password, added.stdout
    mqtt_port = free_port(socket.SOCK_STREAM)
    running = programs.aiot(
        *("run", *ANY_PORTS, "--mqtt-port", str(mqtt_port), "--homeassistant"),
    )
    printed = running.startup_text()
    web, ws_port = (
        found[1]
        for found in (
            re.search(r"(http://\S+/)", printed),
            re.search(r"WebSocket: TCP port (\d+)", printed),
        )
        if found
    )
    flags = ("--gateway-port", ws_port, "--led", "--temperature", "--period-s", "1")
    programs.aiot("node", "ws", "--uid", "lamp 1", "--name", "Lamp", *flags)
    other = programs.aiot("node", "ws", "--uid", "shed", "--name", "Shed", *flags)
    login = {"username": "homeassistant", "password": password[1]}
    async with home(programs, port=mqtt_port, **login) as here:
        here.start()
        names = {f"{kind}_{part}" for kind in ("lamp", "shed") for part in ("led", "temperature")}
        await here.until(lambda states: known(states) == len(names))
        await here.call("switch", "turn_on", "switch.lamp_led")
        await here.until(lambda states: state(states, "switch.lamp_led") == "on")
        other.send(signal.SIGTERM)
        await here.until(lambda states: state(states, "switch.shed_led") == "unavailable")
        await _restart_of_home_assistant(here)
        async with here.session.delete(f"{web}api/nodes/shed") as answer:
            assert answer.status in {200, 204}, await answer.text()
        await here.until(lambda states: "switch.shed_led" not in states)
        assert [it["name"] for it in await here.listed("device")] == ["Lamp"]
        assert "WARNING" not in running.stderr
        assert here.complaints() == []


async def _restart_of_home_assistant(here: Home) -> None:
    before = await here.listed("entity")
    here.end()
    here.start()
    states = await here.until(lambda states: known(states) == 2)
    assert state(states, "switch.lamp_led") == "on"
    assert state(states, "switch.shed_led") == "unavailable"
    after = await here.listed("entity")
    assert {it["unique_id"] for it in after} == {it["unique_id"] for it in before}
    assert len(await here.listed("device")) == 2
