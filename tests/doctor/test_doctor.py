# SPDX-License-Identifier: BSD-3-Clause
"""`aiot doctor` on a machine without problems, and on machines with one real problem each."""

import asyncio
import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import paho.mqtt.client as paho
import pytest
from aiohttp import web
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.client.address import BrokerAddress
from pyaiot.doctor import running, trip
from pyaiot.doctor.findings import Finding
from pyaiot.errors import OperatorError
from pyaiot.history.sqlite.schema import APPLICATION_ID, MIGRATIONS
from tests.gateways.mqtt_servers import Server, mosquitto, server
from tests.programs import AIOT, Programs, free_port
from tests.terminals import on_terminal
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Doctor:
    """`aiot doctor` with its own home directory and free ports."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.ports = {
            name: free_port(kind)
            for name, kind in (
                *(("--web-port", TCP), ("--coap-port", UDP), ("--ws-port", TCP)),
                *(("--mqtt-port", TCP), ("--mqttsn-port", UDP)),
            )
        }

    @property
    def flags(self) -> list[str]:
        return [word for name, port in self.ports.items() for word in (name, str(port))]

    def run(self, *more: str | Path, trip: bool = False, code: int) -> dict[str, Any]:
        """Its findings, by area and subject."""
        words = ["doctor", "--json", *([] if trip else ["--no-trip"]), *self.flags, *more]
        ended = self.programs.run(*words)
        assert (ended.returncode, ended.stderr) == (code, ""), ended.stdout + ended.stderr
        printed = json.loads(ended.stdout)
        assert printed["wrong"] is (code == 1)
        found = {f"{it['area']}: {it['about']}": it for it in printed["findings"]}
        assert all(it["do"] for it in found.values() if it["verdict"] != "ok")
        return found


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    programs = Programs(tmp_path)
    yield Doctor(programs)
    programs.close()


def wrong(found: dict[str, Any]) -> list[str]:
    return [key for key, it in found.items() if it["verdict"] == "wrong"]


def test_on_a_machine_without_problems_a_node_of_each_protocol_makes_the_round_trip(
    doctor: Doctor,
) -> None:
    found = doctor.run(trip=True, code=0)
    for protocol in ("CoAP", "WebSocket", "MQTT", "MQTT-SN"):
        assert "a command confirmed in" in found[f"round trip: {protocol}"]["says"]
    assert found["broker: running"]["verdict"] == "note"
    # It stored nothing.
    assert not (doctor.programs.home / ".local").exists()


def test_on_a_terminal_the_report_fits_80_columns_and_replaces_the_progress_line(
    doctor: Doctor,
) -> None:
    command = [*AIOT, "doctor", "--no-trip", *doctor.flags]
    shown = on_terminal(command, doctor.programs.environment(TERM="xterm"), columns=80)
    assert "Checking ... " in shown
    report = shown.rpartition("\x1b[2K")[2]
    assert "\x1b[32m✓ ok   \x1b[0m" in report
    assert report.rstrip().endswith("\x1b[0m")
    plain = report.replace("\r", "")
    for code in ("0", "1", "31", "32", "33", "36"):
        plain = plain.replace(f"\x1b[{code}m", "")
    # A path is not wrapped, so that it can be copied.
    lines = [line for line in plain.splitlines() if str(doctor.programs.home) not in line]
    assert max(map(len, lines)) <= 80


def test_a_port_in_use_is_named_with_its_process_and_the_flag(doctor: Doctor) -> None:
    with socket.socket(socket.AF_INET, UDP) as taken:
        taken.bind(("127.0.0.1", doctor.ports["--coap-port"]))
        found = doctor.run(code=1)
    assert wrong(found) == ["ports: CoAP"]
    it = found["ports: CoAP"]
    assert "in use by python" in it["says"]
    assert "--coap-port" in it["do"]


REFUSED_STARTS = {
    "open": ["--host", "0.0.0.0"],
    "open to a network": ["--host", "192.0.2.7", "--anonymous", "viewer"],
    "invalid proxy": ["--host", "0.0.0.0", "--trusted-proxy", "not-an-address"],
    "workers without a database": ["--workers", "2"],
    "a cluster without a database": ["--cluster", "nats://127.0.0.1:4222"],
    "no MQTT broker of Home Assistant": ["--homeassistant", "http://127.0.0.1"],
}


@pytest.mark.parametrize("flags", REFUSED_STARTS.values(), ids=REFUSED_STARTS)
def test_settings_with_which_run_does_not_start_are_reported_with_its_sentence(
    doctor: Doctor, flags: list[str]
) -> None:
    ended = doctor.programs.run("run", *doctor.flags, *flags)
    assert ended.returncode == 2
    sentence = " ".join(ended.stderr.split()).removeprefix("aiot: ").removeprefix("Error: ")
    it = doctor.run(*flags, code=1)["settings: start"]
    assert it["verdict"] == "wrong"
    assert it["says"] == sentence.rstrip(".")
    assert "does not start" in it["do"]


@pytest.mark.parametrize(
    ("flags", "notes"),
    [
        ([], {}),
        (["--host", "0.0.0.0", "--insecure"], {"start": "plain HTTP"}),
        (["--host", "0.0.0.0", "--behind-proxy"], {"proxy": "no proxy is trusted"}),
        (["--host", "0.0.0.0", "--trusted-proxy", "127.0.0.1"], {}),
        (
            ["--behind-proxy", "--trusted-proxy", "127.0.0.1", "--anonymous", "viewer"],
            {"visitors": "sees all nodes"},
        ),
    ],
)
def test_who_reaches_the_web_listener_is_a_note(
    doctor: Doctor, flags: list[str], notes: dict[str, str]
) -> None:
    found = doctor.run(*flags, code=0)
    about = ("start", "proxy", "visitors")
    subjects = {name: it for name in about if (it := found.get(f"settings: {name}"))}
    noted = {name: it for name, it in subjects.items() if it["verdict"] != "ok"}
    assert noted.keys() == notes.keys()
    assert all(notes[name] in it["says"] for name, it in noted.items())


@pytest.mark.parametrize(
    "store",
    [
        "postgresql://me:hidden@127.0.0.1:1/x",
        "postgresql://me:hid/den@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=me&password=hidden",
        "postgresql://127.0.0.1:1/x?sslmode=hidden&password=hidden",
        "postgresql+asyncpg://me:hidden@127.0.0.1:1/x",
        "mysql://me:hidden@127.0.0.1:1/x",
    ],
)
@pytest.mark.parametrize("json_form", [True, False])
def test_no_password_of_a_history_is_printed(
    doctor: Doctor, store: str, *, json_form: bool
) -> None:
    store = store.replace("sslmode=hidden", "sslmode=wrong")
    form = ["--json"] if json_form else []
    words = ["doctor", "--no-trip", *form, *doctor.flags, "--history", store]
    ended = doctor.programs.run(*words)
    assert ended.returncode == 1
    assert "history" in ended.stdout
    for secret in ("hidden", "hid/den", "hid", "den@"):
        assert secret not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "store",
    [
        "postgresql://me:hid/den@127.0.0.1:1/x",
        "postgresql+asyncpg://me:hidden@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?sslmode=wrong&password=hidden",
    ],
)
def test_no_password_of_a_history_is_in_the_errors_and_logs_of_a_service(
    doctor: Doctor, store: str
) -> None:
    program = doctor.programs.aiot("run", *doctor.flags, "--history", store, "--debug")
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.exit_code(4.0)
    program.kill()
    printed = program.stderr + program.rest()
    assert "history" in printed.lower()
    assert "hid" not in printed
    assert "den@" not in printed


def test_ports_and_parts_of_a_running_pyaiot_are_ok(doctor: Doctor) -> None:
    doctor.programs.aiot_by_name("run", *doctor.flags).startup_text()
    port = doctor.ports["--web-port"]
    found = doctor.run(code=0)
    for name in ("web", "CoAP", "WebSocket", "MQTT", "MQTT-SN"):
        assert "a process of Pyaiot" in found[f"ports: {name}"]["says"], name
    assert f"http://localhost:{port}" in found["broker: running"]["says"]
    assert found["broker: its clock"]["says"] == "equal to the clock of this machine"
    for part in ("coap-gateway", "ws-gateway", "mqtt-gateway", "mqttsn-gateway", "history"):
        assert found[f"broker: {part}"]["verdict"] == "ok"
    assert "coap, mqtt, websocket connected" in found["broker: gateways"]["says"]


async def test_a_client_that_the_mqtt_broker_refuses_is_a_note_with_its_id(doctor: Doctor) -> None:
    running_ = doctor.programs.aiot_by_name("run", *doctor.flags)
    await asyncio.to_thread(running_.startup_text)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="my board")
    client.connect("127.0.0.1", doctor.ports["--mqtt-port"])
    client.loop_start()
    url = f"http://127.0.0.1:{doctor.ports['--web-port']}/api/gateways"
    refused = 0
    async with time_limit(10), aiohttp.ClientSession() as web_client:
        while not refused:
            await asyncio.sleep(0.05)
            async with web_client.get(url) as answer:
                refused = sum(it["refused"] for it in (await answer.json())["gateways"])
    client.loop_stop()
    found = await asyncio.to_thread(doctor.run, code=0)
    assert found["broker: mqtt"]["verdict"] == "note"
    assert "device my board at 127.0.0.1 was refused" in found["broker: mqtt"]["says"]
    assert "a space, a dot, * or >" in found["broker: mqtt"]["says"]


def test_a_broker_that_needs_a_sign_in_is_a_note(doctor: Doctor) -> None:
    doctor.programs.aiot_by_name("run", *doctor.flags, "--behind-proxy").startup_text()
    found = doctor.run(code=0)
    assert found["broker: parts"]["verdict"] == "note"
    assert "link" in found["broker: parts"]["do"]


async def findings_of(application: web.Application) -> list[Finding]:
    """The findings about a server in the place of the broker."""
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return [finding async for finding in running.check(BrokerAddress(host, port))]
    finally:
        await runner.cleanup()


async def test_another_server_in_the_place_of_the_broker_is_wrong() -> None:
    [found] = await findings_of(web.Application())
    assert found.verdict == "wrong"
    assert "another server answers" in found.text
    assert "--broker-port" in found.action


def stub(
    *,
    ready: web.StreamResponse | Exception,
    ahead_s: float = 0.0,
    cluster: dict[str, Any] | None = None,
) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        date = formatdate(time() + ahead_s, usegmt=True)
        return web.json_response({"version": "9.9"}, headers={"Date": date})

    async def readyz(_request: web.Request) -> web.StreamResponse:
        if isinstance(ready, Exception):
            raise ready
        return ready

    async def gateways(_request: web.Request) -> web.Response:
        return web.json_response({"gateways": []})

    async def cluster_(_request: web.Request) -> web.Response:
        return web.json_response(cluster)

    application = web.Application()
    if cluster is not None:
        application.router.add_get("/api/cluster", cluster_)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/api/gateways", gateways)
    return application


async def test_a_clock_that_is_an_hour_ahead_is_wrong() -> None:
    ready = web.json_response({"parts": {"broker": "ok"}})
    found = {it.subject: it for it in await findings_of(stub(ready=ready, ahead_s=3600))}
    assert found["its clock"].verdict == "wrong"
    assert "ahead of the clock of this machine" in found["its clock"].text
    assert found["gateways"].verdict == "note"


async def test_a_part_with_a_problem_is_wrong_with_that_problem() -> None:
    parts = {"broker": "ok", "mqtt-gateway": "the MQTT broker does not answer"}
    ready = web.json_response({"parts": parts}, status=503)
    found = {it.subject: it for it in await findings_of(stub(ready=ready))}
    assert found["mqtt-gateway"].verdict == "wrong"
    assert found["mqtt-gateway"].text == "the MQTT broker does not answer"
    assert "aiot mqtt-gateway" in found["mqtt-gateway"].action


async def test_brokers_of_a_cluster_that_are_lost_or_have_another_version_are_found() -> None:
    ready = web.json_response({"parts": {"broker": "ok"}})
    peers = [
        {"name": "b", "state": "online", "version": "9.8", "ahead_s": 90.0},
        {"name": "c", "state": "lost", "version": "9.9"},
        {"name": "d", "state": "incompatible", "version": "1.0"},
    ]
    document = {"in_cluster": True, "version": "9.9", "connected": True, "problem": ""}
    application = stub(ready=ready, cluster={**document, "peers": peers})
    found = {it.subject: it for it in await findings_of(application) if it.area == "cluster"}
    assert {name: it.verdict for name, it in found.items()} == {
        "nats-server": "ok",
        "other brokers": "wrong",
        "incompatible version": "wrong",
        "clocks": "wrong",
        "version": "note",
    }
    assert found["other brokers"].text == "no packets from c"
    assert "b has 9.8" in found["version"].text


async def test_a_broker_alone_has_no_findings_of_a_cluster() -> None:
    ready = web.json_response({"parts": {"broker": "ok"}})
    found = await findings_of(stub(ready=ready, cluster={"in_cluster": False}))
    assert {it.area for it in found} == {"broker"}


async def test_a_broker_that_stops_answering_is_wrong() -> None:
    *_, last = await findings_of(stub(ready=web.Response(text="<html>")))
    assert (last.subject, last.verdict) == ("parts", "wrong")


def test_a_key_file_that_every_user_can_read_is_wrong_with_the_command_that_fixes_it(
    doctor: Doctor,
) -> None:
    key_file = doctor.programs.key_file()
    good = doctor.run("--key-file", key_file, code=0)
    assert good["settings: keys"]["verdict"] == "ok"
    key_file.chmod(0o644)
    found = doctor.run("--key-file", key_file, code=1)
    assert f"chmod 600 {key_file}" in found["settings: keys"]["do"]
    key_file.chmod(0o600)
    secret = "s3cret-" * 5
    key_file.write_text(f"[keys]\nsecret = {secret}\nprivate = short\n")
    found = doctor.run("--key-file", key_file, code=1)
    assert "generate-keys --force" in found["settings: keys"]["do"]
    assert secret not in json.dumps(found)


def history(path: Path, *, application: int = APPLICATION_ID, version: int = 1) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {application}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("CREATE TABLE reading (value)")
        db.executemany("INSERT INTO reading VALUES (?)", [("x" * 500,)] * 200)
        db.commit()
    return path


@pytest.mark.parametrize(
    ("kind", "verdict", "words"),
    [
        ("intact", "ok", ": OK"),
        ("damaged", "wrong", "damaged"),
        ("garbage", "wrong", "cannot be read"),
        ("foreign", "wrong", "another program"),
        ("newer", "wrong", "newer Pyaiot"),
    ],
)
def test_the_integrity_of_a_history_is_checked(
    doctor: Doctor, tmp_path: Path, kind: str, verdict: str, words: str
) -> None:
    path = tmp_path / "history.db"
    history(
        path,
        application=1 if kind == "foreign" else APPLICATION_ID,
        version=len(MIGRATIONS) + (kind == "newer"),
    )
    if kind == "damaged":
        data = bytearray(path.read_bytes())
        data[5 * 4096 : 9 * 4096] = b"\xff" * 4 * 4096
        path.write_bytes(data)
    elif kind == "garbage":
        path.write_bytes(b"no database at all, " * 400)
    before = path.read_bytes()
    found = doctor.run("--history", path, code=int(verdict == "wrong"))
    assert found["settings: history"]["verdict"] == verdict
    assert words in found["settings: history"]["says"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "verdict", "words"),
    [
        (b"", "ok", ": OK"),
        (b"no database at all, " * 400, "wrong", "cannot be read"),
        (None, "wrong", "cannot be read"),
    ],
)
def test_the_registry_is_checked(
    doctor: Doctor, tmp_path: Path, content: bytes | None, verdict: str, words: str
) -> None:
    path = tmp_path / "registry.db"
    path.mkdir() if content is None else path.write_bytes(content)
    found = doctor.run("--registry", path, code=int(verdict == "wrong"))
    assert found["settings: registry"]["verdict"] == verdict
    assert words in found["settings: registry"]["says"]


def test_an_unreachable_postgresql_is_wrong_and_its_password_is_not_printed(doctor: Doctor) -> None:
    url = f"postgresql://who:s3cret@127.0.0.1:{free_port(TCP)}/db"
    found = doctor.run("--history", url, code=1)
    assert found["settings: history"]["verdict"] == "wrong"
    assert "s3cret" not in json.dumps(found)


def test_a_named_mqtt_broker_is_checked_with_a_connection(doctor: Doctor, tmp_path: Path) -> None:
    port = doctor.ports["--mqtt-port"]
    named = ("--mqtt-host", "127.0.0.1")
    found = doctor.run(*named, code=1)
    assert wrong(found) == ["MQTT broker: named"]
    assert "start it" in found["MQTT broker: named"]["do"]
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
    server = Server([mosquitto(), "-c", str(settings)], port, tmp_path)
    server.start()
    try:
        found = doctor.run(*named, code=1)
        assert "not authorised" in found["MQTT broker: named"]["says"]
        assert "mqtt.user" in found["MQTT broker: named"]["do"]
        server.kill()
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        server.start()
        assert doctor.run(*named, code=0)["MQTT broker: named"]["verdict"] == "ok"
    finally:
        server.kill()


def test_the_mqtt_broker_of_home_assistant_is_checked_with_a_connection(
    doctor: Doctor, tmp_path: Path
) -> None:
    with server("mosquitto", tmp_path) as mqtt:
        url = ("--homeassistant", f"mqtt://127.0.0.1:{mqtt.port}")
        found = doctor.run(*url, code=1)
        assert wrong(found) == ["Home Assistant: MQTT broker"]
        assert found["Home Assistant: MQTT broker"]["do"] == (
            "start it, or correct --homeassistant"
        )
        mqtt.start()
        assert doctor.run(*url, code=0)["Home Assistant: MQTT broker"]["verdict"] == "ok"


def test_home_assistant_without_a_password_for_the_embedded_mqtt_broker_is_a_note(
    doctor: Doctor,
) -> None:
    found = doctor.run("--homeassistant", code=0)["Home Assistant: password"]
    assert found["verdict"] == "note"
    assert found["do"] == "run aiot device add homeassistant --protocol mqtt"
    doctor.programs.run("device", "add", "homeassistant", "--protocol", "mqtt")
    found = doctor.run("--homeassistant", code=0)["Home Assistant: password"]
    assert found["verdict"] == "ok"


async def test_a_round_trip_that_cannot_start_is_wrong_with_the_reason() -> None:
    async def refused(*_: object, **__: object) -> None:
        raise OperatorError("There is no nats-server here: install one.")

    [found] = await trip.check(refused)
    assert (found.verdict, found.text) == ("wrong", "There is no nats-server here: install one")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def in_namespace(kind: str, script: str, doctor: Doctor) -> dict[str, Any]:
    """The findings in a separate namespace, which `script` prepares."""
    words = f"{sys.executable} -m pyaiot doctor --no-trip --json"
    if shutil.which("unshare") is None:
        pytest.skip("no unshare: install util-linux")
    start = ("unshare", "--map-root-user", kind, "sh", "-c")
    tried = run(*start, script)
    if tried.returncode:
        pytest.skip(f"this machine does not allow that in a namespace: {tried.stderr}")
    ended = run(*start, f"{script} && HOME={doctor.programs.home} {words}; exit 0")
    assert not ended.stderr
    return {f"{it['area']}: {it['about']}": it for it in json.loads(ended.stdout)["findings"]}


def test_a_machine_without_ipv6_is_wrong(doctor: Doctor) -> None:
    off = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    found = in_namespace("--net", off, doctor)
    assert found["machine: IPv6"]["verdict"] == "wrong"
    assert "disable_ipv6=0" in found["machine: IPv6"]["do"]


def test_a_machine_without_a_link_local_address_is_a_note(doctor: Doctor) -> None:
    found = in_namespace("--net", "ip link set lo up", doctor)
    assert found["machine: IPv6"]["verdict"] == "note"
    assert "ip link set" in found["machine: IPv6"]["do"]


def test_a_nearly_full_disk_is_wrong(doctor: Doctor, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {folder} && export XDG_DATA_HOME={folder}"
    found = in_namespace("--mount", mount, doctor)
    assert found["settings: disk"]["verdict"] == "wrong"
    assert "free space" in found["settings: disk"]["do"]
