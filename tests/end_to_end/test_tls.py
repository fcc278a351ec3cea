# SPDX-License-Identifier: BSD-3-Clause
"""`aiot run` and the other services with TLS on every TCP listener."""

import asyncio
import json
import re
import shutil
import signal
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.client import Client
from pyaiot.transport.resolver import open_http_session
from pyaiot.transport.tls import client_context, read_certificate
from tests.authority import Authority, certify_again, new_authority
from tests.end_to_end.test_processes import complaint, ends_well
from tests.programs import ANY_PORTS, Program, Programs
from tests.time_limits import Stopwatch

pytestmark = pytest.mark.sockets


@dataclass
class Running:
    """A system whose listeners have TLS."""

    made: Authority
    program: Program
    url: str
    websocket_port: int
    mqtt_port: int
    metrics_url: str

    @property
    def trust(self) -> ssl.SSLContext:
        return client_context(str(self.made.ca))


def flags(made: Authority) -> tuple[str | Path, ...]:
    return ("--tls-cert", made.certificate("server"), "--tls-key", made.key("server"))


@pytest.fixture(scope="module")
def running(shared_programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Running:
    made = new_authority(tmp_path_factory.mktemp("authority"))
    program = shared_programs.aiot("run", *ANY_PORTS, "--metrics-port", "0", *flags(made))
    text = program.startup_text()
    found = [
        re.search(pattern, text)
        for pattern in (
            r"Pyaiot: (https://\S+)",
            r"WebSocket: TCP port (\d+), TLS",
            r"MQTT: TCP port (\d+), TLS",
            r"Metrics: (https://\S+)",
        )
    ]
    assert None not in found, text
    web, websocket, mqtt, metrics = (one[1] for one in found if one)
    return Running(made, program, web, int(websocket), int(mqtt), metrics)


def curl(*arguments: str | Path) -> str:
    path = shutil.which("curl")
    if path is None:
        pytest.skip("curl is not installed (apt install curl)")
    result = subprocess.run(
        [path, "-sS", "--max-time", "10", *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


async def publish(running: Running, topic: str, payload: str) -> None:
    path = shutil.which("mosquitto_pub")
    if path is None:
        pytest.skip("mosquitto_pub is not installed (apt install mosquitto-clients)")
    process = await asyncio.create_subprocess_exec(
        *(path, "-h", "127.0.0.1", "-p", str(running.mqtt_port), "-q", "1"),
        *("--cafile", str(running.made.ca), "-t", topic, "-m", payload),
    )
    assert await process.wait() == 0


class Device:
    """A subscriber to `gateway/#` on one connection over TLS."""

    def __init__(self, running: Running) -> None:
        self.connections = 0
        self.subscribed = threading.Event()
        self.received = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "tls-board")
        self._client.tls_set(str(running.made.ca))
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = lambda *_: self.received.set()
        self._client.connect("127.0.0.1", running.mqtt_port)
        self._client.loop_start()

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        self.connections += 1
        client.subscribe("gateway/tls-board/#", 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


async def fingerprint(port: int, folder: Path) -> str:
    """That of the certificate which a port shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    # close() would wait for the peer to end TLS, and uvloop cannot close its loop meanwhile.
    writer.transport.abort()
    (folder / "shown.pem").write_text(ssl.DER_cert_to_PEM_cert(der))
    return read_certificate(folder / "shown.pem").fingerprint


def port_of(url: str) -> int:
    found = re.search(r":(\d+)/", url)
    assert found is not None
    return int(found[1])


async def test_dashboard_api_and_metrics_are_served_over_tls(running: Running) -> None:
    trust = ("--cacert", running.made.ca)
    assert "<title>" in await asyncio.to_thread(curl, *trust, running.url)
    assert '"broker":""' in (
        await asyncio.to_thread(curl, *trust, running.url + "dashboard.json")
    ).replace(" ", "")
    metrics = await asyncio.to_thread(curl, *trust, running.metrics_url)
    assert "pyaiot_up 1.0" in metrics
    async with open_http_session() as session:
        async with session.get(running.url + "readyz", ssl=running.trust) as answer:
            assert answer.status == 200, await answer.text()
        plain = running.url.replace("https", "http")
        async with session.get(plain, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (307, running.url)


async def test_nodes_send_over_tls(running: Running) -> None:
    await publish(running, "node/tls-board/temperature", "21")
    url = f"https://127.0.0.1:{running.websocket_port}/node?uid=tls-page"
    async with (
        open_http_session() as session,
        session.ws_connect(url, ssl=running.trust) as node,
    ):
        await node.send_str('{"type":"update","data":{"light":"5"}}')
        for uid, resource in (("tls-board", "temperature"), ("tls-page", "light")):
            value = f"{running.url}api/nodes/{uid}/resources/{resource}"
            status = 0
            while status != 200:
                async with session.get(value, ssl=running.trust) as answer:
                    status = answer.status


async def test_unfinished_handshakes_and_garbage_at_each_listener_delay_nobody(
    running: Running,
) -> None:
    ports = (port_of(running.url), running.websocket_port, running.mqtt_port)
    writers = []
    for port in ports:
        for number in range(60):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            begun, garbage = b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x05\xff" * 9
            writer.write((b"", begun, garbage)[number % 3])
            writers.append(writer)
    watch = Stopwatch()
    async with open_http_session() as session:
        for url in (running.url, f"https://127.0.0.1:{running.websocket_port}/"):
            async with session.get(url + "healthz", ssl=running.trust) as answer:
                assert answer.status == 200
    await publish(running, "node/tls-board/temperature", "20")
    assert watch.elapsed_s < 3.0
    for writer in writers:
        writer.transport.abort()
    assert "Traceback" not in running.program.stderr


@pytest.mark.parametrize(
    ("origin", "status"), [("https", 200), ("http", 403), ("https://evil.example", 403)]
)
async def test_origin_is_exact(running: Running, origin: str, status: int) -> None:
    own = running.url.rstrip("/").removeprefix("https")
    headers = {"Origin": origin if "evil" in origin else origin + own}
    async with (
        open_http_session() as session,
        session.get(running.url + "api/info", ssl=running.trust, headers=headers) as answer,
    ):
        assert answer.status == status


async def test_commands_trust_a_ca_file_and_explain_other_certificates(
    running: Running, shared_programs: Programs, tmp_path: Path
) -> None:
    port = ("--broker-host", "127.0.0.1", "--broker-port", str(port_of(running.url)))
    ca = ("--ca-file", str(running.made.ca))

    async def aiot(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        program = shared_programs.aiot(*words, **environment)
        code = await asyncio.to_thread(program.exit_code, 15)
        return subprocess.CompletedProcess(words, code, program.rest(), program.stderr)

    results = await asyncio.gather(
        aiot("nodes", "--json", *port, "--broker-ssl", *ca),
        aiot("nodes", "--json", *port, "--broker-ssl", AIOT_CA_FILE=str(running.made.ca)),
        aiot("nodes", *port, "--broker-ssl"),
        aiot("watch", *port, "--broker-ssl"),
        aiot("nodes", *port, "--broker-ssl", "--ca-file", "absent.pem"),
        aiot("tls", "fingerprint", running.url, "--save", str(tmp_path / "saved.pem")),
    )
    known, by_variable, unknown, watching, absent, shown = results
    assert (known.returncode, known.stderr) == (0, "")
    assert (by_variable.returncode, by_variable.stdout) == (0, known.stdout)
    for refused in (unknown, watching):
        sentence = complaint(refused)
        assert "its certificate is not trusted" in sentence
        assert "aiot tls fingerprint" in sentence
        assert "--ca-file" in sentence
    assert "set --ca-file to a file" in complaint(absent)
    served = read_certificate(running.made.certificate("server"))
    assert served.fingerprint in shown.stdout
    assert read_certificate(tmp_path / "saved.pem") == served


async def test_doctor_checks_the_certificate_and_the_running_broker(
    running: Running, shared_programs: Programs
) -> None:
    port = str(port_of(running.url))
    program = shared_programs.aiot(
        *("doctor", "--no-trip", "--json", "--web-port", port, *flags(running.made))
    )
    await asyncio.to_thread(program.exit_code, 20)
    findings = {(it["area"], it["about"]): it for it in json.loads(program.rest())["findings"]}
    certificate = findings["settings", "certificate"]
    assert certificate["verdict"] == "note"
    assert "expires in " in certificate["says"]
    assert findings["broker", "running"]["verdict"] == "ok"


async def test_python_client_and_gateway_connect_over_tls(
    programs: Programs, tmp_path: Path
) -> None:
    made = new_authority(tmp_path)
    keys = ("--key-file", programs.key_file())
    broker = programs.aiot("broker", "--port", "0", *keys, *flags(made))
    (url,) = re.findall(r"Broker: (https://\S+)", broker.startup_text())
    to_broker = ("--broker-host", "127.0.0.1", "--broker-port", str(port_of(url)), "--broker-ssl")
    gateway = ("ws-gateway", "--ws-port", "0", *keys, *to_broker)
    trusting = programs.aiot(*gateway, "--ca-file", made.ca, *flags(made))
    (port,) = re.findall(r"TCP port (\d+), TLS", trusting.startup_text())
    node = ("node", "ws", "--uid", "tls-node", "--gateway-host", "127.0.0.1")
    programs.aiot(*node, "--gateway-port", port, "--tls", "--ca-file", made.ca)
    async with Client("127.0.0.1", port_of(url), ssl=True, ca_file=str(made.ca)) as client:
        async for reading in client.watch("tls-node", "temperature"):
            assert reading.uid == "tls-node"
            break
        assert (await client.set("tls-node", "led", "1")).state in {"sent", "confirmed"}
    strange = programs.aiot(*gateway)
    strange.startup_text()
    while "its certificate is not trusted" not in strange.stderr:
        await fingerprint(port_of(url), tmp_path)


async def test_mqtt_node_connects_over_tls(
    running: Running, programs: Programs, tmp_path: Path
) -> None:
    node = ("node", "mqtt", "--uid", "tls-mqtt", "--mqtt-port", str(running.mqtt_port), "--tls")
    programs.aiot(*node, "--ca-file", running.made.ca).startup_text()
    async with (
        open_http_session() as session,
        session.ws_connect(running.url + "ws", ssl=running.trust) as client,
    ):
        await client.send_str('{"type":"new","data":"all"}')
        while "tls-mqtt" not in await client.receive_str():
            pass
    strange = programs.aiot(*node[:3], "tls-strange", *node[4:])
    while "its certificate is not trusted" not in strange.stderr:
        await fingerprint(running.mqtt_port, tmp_path)


async def test_reload_keeps_connections_and_changes_every_certificate(
    running: Running, tmp_path: Path
) -> None:
    ports = [
        port_of(running.url),
        port_of(running.metrics_url),
        running.websocket_port,
        running.mqtt_port,
    ]
    before = [await fingerprint(port, tmp_path) for port in ports]
    assert len(set(before)) == 1
    device = await asyncio.to_thread(Device, running)
    await asyncio.to_thread(device.subscribed.wait, 10)
    old = running.trust
    url = running.url + "ws"
    async with open_http_session() as session, session.ws_connect(url, ssl=old) as client:
        # A broken pair first: it is logged, and nothing changes.
        kept = running.made.key("server").read_bytes()
        running.made.key("server").write_bytes(running.made.key("client").read_bytes())
        running.program.send(signal.SIGHUP)
        while "the certificate is unchanged" not in running.program.stderr:
            await fingerprint(ports[0], tmp_path)
        assert [await fingerprint(port, tmp_path) for port in ports] == before
        running.made.key("server").write_bytes(kept)

        certify_again(running.made, "server")
        shutil.copy(running.made.certificate("server"), running.made.ca)
        running.program.send(signal.SIGHUP)
        new = read_certificate(running.made.certificate("server")).fingerprint
        for port in ports:
            while await fingerprint(port, tmp_path) != new:
                pass
        # Devices connect with the new one, and the connections of before still work.
        await publish(running, "node/tls-board/temperature", "22")
        await client.send_str('{"type":"new","data":"all"}')
        await client.receive_str()
    value = f"{running.url}api/nodes/tls-board/resources/temperature"
    latest = 0.0
    async with open_http_session() as session:
        while latest != 22:
            async with session.get(value, ssl=running.trust) as answer:
                latest = (await answer.json()).get("value", 0)
        headers = {"Prefer": "respond-async"}
        async with session.put(value, data="1", ssl=running.trust, headers=headers) as answer:
            assert answer.status == 202
    await asyncio.to_thread(device.received.wait, 10)
    assert device.received.is_set()
    assert device.connections == 1
    device.close()
    assert "Traceback" not in running.program.stderr


async def test_it_ends_in_time_with_an_open_connection_and_an_unfinished_handshake(
    programs: Programs, tmp_path: Path
) -> None:
    made = new_authority(tmp_path)
    broker = programs.aiot(
        *("broker", "--port", "0", "--key-file", programs.key_file(), *flags(made))
    )
    (url,) = re.findall(r"Broker: (https://\S+)", broker.startup_text())
    async with open_http_session() as session:
        client = await session.ws_connect(url + "ws", ssl=client_context(str(made.ca)))
        _, silent = await asyncio.open_connection("127.0.0.1", port_of(url))
        broker.send(signal.SIGTERM)
        await client.receive()
        await asyncio.to_thread(ends_well, broker)
        silent.close()
        await client.close()


@pytest.mark.parametrize("command", ["run", "ws-gateway", "dashboard"])
def test_every_service_refuses_a_certificate_that_is_not_there(
    programs: Programs, command: str
) -> None:
    sentence = complaint(
        programs.run(command, "--tls-cert", "absent.pem", "--tls-key", "absent.key")
    )
    assert sentence.startswith("aiot: The certificate file absent.pem cannot be read")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (("--tls-key", "absent.key"), "set --tls-cert"),
        (("--tls-listener", "mqtts"), "there are web, metrics, "),
    ],
)
def test_contradictory_settings_are_refused(
    programs: Programs, given: tuple[str, str], remedy: str
) -> None:
    assert remedy in complaint(programs.run("broker", "--key-file", programs.key_file(), *given))


def test_expired_certificate_is_a_warning_in_the_log(programs: Programs, tmp_path: Path) -> None:
    made = new_authority(tmp_path)
    certify_again(made, "server", days=-1)
    service = programs.aiot("dashboard", "--web-port", "0", *flags(made))
    assert "https://" in service.line()
    assert re.search(r"WARNING .* expired on 20\d\d-\d\d-\d\d: clients refuse it", service.stderr)


def test_listeners_can_be_chosen(programs: Programs, tmp_path: Path) -> None:
    made = new_authority(tmp_path)
    text = programs.aiot("run", *ANY_PORTS, *flags(made), "--tls-listener", "web").startup_text()
    assert "Pyaiot: https://" in text
    assert "TLS" not in text


def new_link(programs: Programs) -> str:
    """The path of another sign-in link: the first one has been used."""
    return (
        "/login" + programs.run("invite", "--role", "admin").stdout.strip().partition("/login")[2]
    )


def test_tls_opens_the_web_beyond_loopback_with_a_sign_in_over_https(
    programs: Programs, tmp_path: Path
) -> None:
    made = new_authority(tmp_path)
    broker = programs.aiot(
        *("broker", "--host", "0.0.0.0", "--port", "0"),
        *("--key-file", programs.key_file(), *flags(made)),
    )
    (link,) = re.findall(r"https://\S+/login\?token=\S+", broker.line())
    link = re.sub(r"//[^:]+", "//127.0.0.1", link)
    ca = ("--ca-file", made.ca)
    root = link.partition("/login")[0]
    (port,) = re.findall(r":(\d+)$", root)
    at = ("--broker-host", "127.0.0.1", "--broker-port", port, "--broker-ssl")
    assert "sign-in" in complaint(programs.run("nodes", *at, *ca))
    assert programs.run("login", link, *ca).stdout == f"Signed in at {root}.\n"
    assert programs.run("nodes", *at, *ca).returncode in {0, 1}
    link = root + new_link(programs)
    headers = curl("-i", "--cacert", made.ca, "-X", "POST", link)
    assert "303 See Other" in headers
    cookie = re.search(r"(?i)set-cookie: (\S+?)=.*", headers)
    assert cookie is not None
    assert cookie[1] == "__Host-aiot"
    for attribute in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert attribute in cookie[0]
