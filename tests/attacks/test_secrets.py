# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of secret is used, rightly and wrongly, and none is in any output of a process.

The services log at level DEBUG. Output is: standard output and error of every process, the command
lines of all processes, the audit log, the databases, metrics, and the answers to requests.
"""

import contextlib
import http.client
import re
import signal
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pyaiot.app.device_access import accesses
from pyaiot.broker.keys import load_keys, mint_token
from tests.no_secrets import secret
from tests.programs import ANY_PORTS, Program, Programs, finish_aiot, free_port

pytestmark = pytest.mark.sockets

PASSWORD: Final = "correct-horse-battery-staple"
TYPED: Final = "Password-in-the-wrong-field-7"
DSN_PASSWORD: Final = "postgres-p@ss/word#1"
MQTT_PASSWORD: Final = "mqtt-password-of-the-gateway"
REFUSALS_LIMIT_S: Final = 15.0


class Used:
    """The secrets of a run, and everything that was printed, answered and stored."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.secrets: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.commands = 0

    def add(self, kind: str, text: str) -> str:
        self.secrets[kind] = secret(text)
        return text

    def aiot(self, *arguments: str, typed: str = "", shows: str = "", **environment: str) -> str:
        """Run a command. Of its output, only the secret that it `shows` on purpose is allowed."""
        # Forked: no command line is read before it has ended.
        done = finish_aiot(
            arguments,
            self.programs.home,
            self.programs.environment(**environment),
            typed=typed,
            limit_s=30.0,
        )
        self.commands += 1
        name = f"{self.commands}: aiot {' '.join(arguments[:2])}"
        self.outputs[f"standard error of {name}"] = done.stderr
        if shows:
            found = re.search(shows, done.stdout)
            assert found is not None, (done.stdout, done.stderr)
            text = found[1]
            self.outputs[f"standard output of {name}"] = done.stdout.replace(text, "")
            return text
        self.outputs[f"standard output of {name}"] = done.stdout
        return done.stdout

    def request(
        self, port: str, method: str, path: str, headers: dict[str, str], body: str = ""
    ) -> tuple[int, str]:
        """Status and cookie of a response. Its body and headers count as output."""
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
            rest = [value for name, value in answer.getheaders() if name != "Set-Cookie"]
            self.outputs[f"{method} {len(self.outputs)}"] = text + "\n".join(rest)
            return answer.status, cookie
        finally:
            connection.close()

    def leaks(self) -> list[str]:
        return [
            f"{kind} in {where}"
            for kind, text in self.secrets.items()
            for where, output in self.outputs.items()
            if text in output or urllib.parse.quote(text, safe="") in output
        ]


@pytest.fixture
def used(tmp_path: Path) -> Iterator[Used]:
    programs = Programs(tmp_path, preloaded=False)
    yield Used(programs)
    programs.close()


def command_lines() -> str:
    """Of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def until_in(program: Program, text: str) -> None:
    """Wait until a program has logged a text."""
    until = time.monotonic() + REFUSALS_LIMIT_S
    while text not in program.stderr:
        assert time.monotonic() < until, program.stderr
        time.sleep(0.05)


NAMES = {
    "shelly-rpc": "shellyplusplugs-a8032ab12345",
    "zigbee2mqtt": "zigbee2mqtt",
    "sparkplug": "plant.line-1",
}
"""Names of devices whose names have a form."""


def make_secrets(it: Used) -> None:
    home = it.programs.home
    it.add("token", it.aiot("token", "add", "script", "--role", "admin", shows=r"(aiot_\S{43})"))
    it.aiot("user", "add", "ada", "--role", "operator", typed=PASSWORD + "\n")
    it.add("password", PASSWORD)
    it.add("password typed as a name", TYPED)
    it.add("password of PostgreSQL", DSN_PASSWORD)
    it.add("password of MQTT", MQTT_PASSWORD)
    it.add(
        "invitation",
        it.aiot("invite", "--role", "viewer", "--url", "http://127.0.0.1", shows=r"token=(\S+)"),
    )
    for access in accesses().values():
        if access.kind:
            made = it.aiot(
                *("device", "add", NAMES.get(access.name, f"of-{access.name}")),
                *("--protocol", access.name),
                shows=r"\b([0-9a-f]{32}|[0-9a-f]{64}(?='))\b",
            )
            it.add(f"credential of a device for {access.name}", made)
    key_file = home / "keys"
    it.aiot("generate-keys", "--key-file", str(key_file))
    keys = load_keys(key_file)
    it.add("secret of the key file", keys.secret)
    it.add("key of the key file", keys.private)
    it.add("token of a gateway", mint_token(keys))
    (home / "mqtt-password").write_text(MQTT_PASSWORD + "\n")
    (home / "mqtt-password").chmod(0o600)
    dsn = f"postgresql://pyaiot:{DSN_PASSWORD}@127.0.0.1:{free_port(socket.SOCK_STREAM)}/pyaiot"
    (home / "config.toml").write_text(
        f'[broker]\nbehind_proxy = true\nkey_file = "{key_file}"\n'
        f'[history]\nstore = "{dsn}"\n[log]\ndebug = true\n'
    )


def use_everything(it: Used, port: str, link: str) -> None:
    host = {"Host": f"127.0.0.1:{port}"}
    form = {**host, "Content-Type": "application/x-www-form-urlencoded"}
    wrong = "aiot_" + "x" * 43
    for token in (it.secrets["token"], wrong):
        headers = {**host, "Authorization": f"Bearer {token}"}
        for path in ("/api/nodes", "/metrics", "/readyz", "/api/history/events", "/api/audit"):
            it.request(port, "GET", path, headers)
        it.request(port, "PUT", "/api/nodes/nobody/resources/led", headers, "1")
        it.request(port, "GET", f"/api/nodes?access_token={token}", host)
        it.request(port, "GET", f"/{token}", host)
        it.request(port, "GET", "/api/nodes", {**host, "Authorization": f"Basic {token}"})
    for name, password in (("ada", "wrong"), (TYPED, "x"), ("ada", PASSWORD)):
        body = urllib.parse.urlencode({"name": name, "password": password})
        status, cookie = it.request(port, "POST", "/login", form, body)
        # The page keeps the name, which the user sees in the field anyway.
        it.outputs = {
            at: text.replace(f'value="{TYPED}"', "") if "POST" in at else text
            for at, text in it.outputs.items()
        }
    assert status == 303
    it.add("session", cookie.partition("=")[2])
    for text in (cookie, cookie + "x"):
        it.request(port, "GET", "/api/nodes", {**host, "Cookie": text})
    for text in (it.secrets["invitation"], link):
        for method in ("GET", "HEAD", "POST", "POST"):
            it.request(port, method, f"/login?token={text}", host)
    it.request(port, "POST", "/logout?everywhere=1", {**host, "Cookie": cookie})
    gateway = it.secrets["token of a gateway"]
    for subprotocols in (f"token, {gateway}", f"token, {gateway}x"):
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        upgrade |= {"Sec-WebSocket-Key": "eDEyMzQ1Njc4OTAxMjM0NQ=="}
        with contextlib.suppress(OSError, http.client.HTTPException):
            offered = {"Sec-WebSocket-Protocol": subprotocols}
            it.request(port, "GET", "/gw", {**host, **upgrade, **offered})
    for raw in (
        f"GET /login?token={link} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nAuthorization Bearer {it.secrets['token']}\r\n\r\n",
        f"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: x{PASSWORD}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", int(port)), 10) as connection:
            connection.sendall(raw.encode())
            it.outputs[f"answer to {raw[:9]}"] = connection.recv(65536).decode(errors="replace")


def test_no_secret_is_in_any_output(used: Used) -> None:
    it = used
    make_secrets(it)
    home = it.programs.home
    settings = ("--config", str(home / "config.toml"))
    broker = it.programs.aiot("run", *settings, *ANY_PORTS)
    startup = broker.startup_text()
    sign_in = re.search(r"/login\?token=(\S+)", startup)
    assert sign_in is not None
    it.outputs["standard output of aiot run"] = startup.replace(sign_in[1], "", 1)
    link = it.add("sign-in link of the start", sign_in[1])
    # The line with the URL is the last one; behind a proxy it names the listener, too.
    port = re.findall(r"http://[^ /]*:(\d+)/", startup)[-1]

    other_keys = home / "other-keys"
    it.aiot("generate-keys", "--key-file", str(other_keys))
    it.add("secret of another key file", load_keys(other_keys).secret)
    to_broker = ("--broker-host", "127.0.0.1", "--broker-port", port, "--debug")
    gateways = [
        it.programs.aiot("coap-gateway", "--coap-port", "0", "--key-file", keys, *to_broker)
        for keys in (home / "keys", other_keys)
    ]
    mqtt = it.programs.aiot(
        *("mqtt-gateway", "--mqtt-host", "127.0.0.1", "--mqtt-port"),
        *(str(free_port(socket.SOCK_STREAM)), "--key-file", home / "keys", *to_broker),
        AIOT_MQTT_USER="gateway",
        AIOT_MQTT_PASSWORD_FILE=str(home / "mqtt-password"),
    )
    use_everything(it, port, link)
    client = ("--broker-host", "127.0.0.1", "--broker-port", port, "--debug")
    for token in (it.secrets["token"], it.secrets["token"] + "x"):
        it.aiot("nodes", *client, AIOT_TOKEN=token)
        it.aiot("set", "nobody", "led", "1", *client, AIOT_TOKEN=token)
        it.aiot("login", f"http://127.0.0.1:{port}", typed=token + "\n")
    it.aiot("nodes", *client)
    it.aiot("config", "--show", *settings)
    it.aiot("doctor", *settings)
    until_in(broker, "refused the gateway")
    until_in(broker, "history")
    until_in(mqtt, "MQTT")
    it.outputs["the command lines of all processes"] = command_lines()
    for program in (broker, *gateways, mqtt):
        program.send(signal.SIGTERM)
        program.exit_code(10)
        it.outputs[f"standard output of {program.pid}"] = program.rest()
        it.outputs[f"standard error of {program.pid}"] = program.stderr
    data = home / ".local" / "share" / "pyaiot"
    stored = [path for path in data.rglob("*") if path.is_file()]
    assert any(path.parent.name == "audit" for path in stored)
    for path in stored:
        # A key of DTLS must be stored: in this file, which only its owner may read.
        if path.name.startswith("devices.db"):
            assert path.stat().st_mode & 0o077 == 0
        else:
            it.outputs[path.name] = path.read_bytes().decode(errors="replace")
    assert len(it.secrets) >= 11
    assert len(it.outputs) > 40
    assert it.leaks() == []
