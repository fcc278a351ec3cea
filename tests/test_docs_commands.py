# SPDX-License-Identifier: BSD-3-Clause
"""Every command in the documents is followed, page by page, as a reader would.

A page is followed from top to bottom in its own home, with the default ports replaced by free
ones. What a service shows after a command is looked at, not only that it started.
"""

import json
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import aiohttp
import pytest

from pyaiot.app.demo import demo_kinds
from pyaiot.transport.resolver import open_http_session
from tests import clients
from tests.documents import ROOT, Block, documents
from tests.programs import Program, Programs, fleet_flags, free_port

pytestmark = pytest.mark.sockets

END_LIMIT_S = 5.0
FINISH_LIMIT_S = 20.0


class Reader:
    """Somebody who follows one page: a home, a shell's environment, and what still runs."""

    def __init__(self, programs: Programs) -> None:
        self.home = programs.home
        self.web_port = free_port(socket.SOCK_STREAM)
        self.coap_port = free_port(socket.SOCK_DGRAM)
        self.node_port = free_port(socket.SOCK_DGRAM)
        self.mqtt_port = free_port(socket.SOCK_STREAM)
        self.url = f"http://localhost:{self.web_port}/"
        self.lines: list[str] = []
        """The lines that the last service printed at its start."""
        self._programs = programs
        self._running: list[Program] = []
        self._token = ""
        """The last one that was added."""
        # Shells find what was installed next to this Python.
        path = f"{Path(sys.executable).parent}:{programs.environment()['PATH']}"
        self._environment = {
            "PATH": path,
            "PYTHONUNBUFFERED": "1",
            "AIOT_BROKER_PORT": str(self.web_port),
            "AIOT_COAP_PORT": str(self.coap_port),
            "AIOT_COAP_COAPS_PORT": "0",
            "AIOT_WEBSOCKET_PORT": "0",
            "AIOT_MQTT_PORT": str(self.mqtt_port),
            "AIOT_MQTTSN_PORT": "0",
            "AIOT_GATEWAY_BROKER_PORT": str(self.web_port),
            "AIOT_CLIENT_BROKER_PORT": str(self.web_port),
            "AIOT_DASHBOARD_PORT": str(self.web_port),
        }

    def save(self, name: str, text: str) -> None:
        """A file that the page shows, written where its commands will look for it."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = text.replace("localhost:8000", f"localhost:{self.web_port}")
        path.write_text(text.replace('"localhost", 8000', f'"localhost", {self.web_port}'), "utf-8")

    def serve(self, command: str, ready: str) -> None:
        """Start a service and read its lines up to one with `ready`."""
        variables, words = self._typed(command)
        program = self._programs.start(*words, **{**self._environment, **variables})
        self._running.append(program)
        self.lines = [program.line()]
        while ready not in self.lines[-1]:
            self.lines.append(program.line())
        if self.lines[-1].startswith("Pyaiot: http://"):
            self.lines += program.startup_text().splitlines()

    def log(self) -> str:
        """What the last service logged."""
        return self._running[-1].stderr

    def finish(self, command: str, code: int = 0) -> str:
        """Run a command that ends by itself with this exit code; what it printed."""
        variables, words = self._typed(command)
        result = self._programs.finish(words, {**self._environment, **variables}, FINISH_LIMIT_S)
        assert result.returncode == code, result.stderr
        if words[:3] == ["aiot", "token", "add"]:
            self._token = result.stdout.strip()
        return result.stdout

    def end(self) -> None:
        """Ctrl+C in every terminal."""
        for program in self._running:
            program.send(signal.SIGINT)
        for program in self._running:
            code = program.exit_code(END_LIMIT_S)
            assert code in {0, -signal.SIGINT}, program.stderr
            assert "Traceback" not in program.stderr or code == -signal.SIGINT
        self._running.clear()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[clients.Client]:
        async with clients.Broker(self.url) as broker, broker.client() as client:
            yield client

    def _typed(self, command: str) -> tuple[dict[str, str], list[str]]:
        """Variables and words of a command, with our ports and folders in them."""
        words = shlex.split(command)
        variables = {}
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, variables[name] = words.pop(0).partition("=")
        variables = {name: self._here(value) for name, value in variables.items()}
        words = [self._here(word) for word in words]
        if words[:3] == ["aiot", "node", "coap"]:
            words += ["--gateway-port", str(self.coap_port)]
        if words[:3] == ["aiot", "node", "mqtt"]:
            words += ["--mqtt-port", str(self.mqtt_port)]
        if words[:2] == ["aiot", "fleet"]:
            words += fleet_flags("\n".join(self.lines))
        return variables, words

    def _here(self, word: str) -> str:
        if re.fullmatch(r"\w+\.(toml|py|db|svg|png|csv|tar\.gz)", word):
            return str(self.home / word)
        word = word.replace("//localhost:8000/", f"//localhost:{self.web_port}/")
        word = word.replace("$AIOT_TOKEN", self._token)
        word = re.sub(r"^coap://localhost/", f"coap://localhost:{self.coap_port}/", word)
        word = re.sub(r"^9101$", "0", word)
        return re.sub(r"\b5700\b", str(self.node_port), word)


Look: TypeAlias = Callable[[Reader, str], Awaitable[None]]


async def page_is_there(reader: Reader, _output: str) -> None:
    async with aiohttp.ClientSession() as web, web.get(reader.url) as page:
        assert page.status == 200
        assert "<title>" in await page.text()


async def everything_is_ready(reader: Reader, output: str) -> None:
    await page_is_there(reader, output)
    async with aiohttp.ClientSession() as web, web.get(reader.url + "readyz") as answer:
        assert answer.status == 200, await answer.text()


async def alert_is_active(reader: Reader, _output: str) -> None:
    async with aiohttp.ClientSession() as web:
        while True:
            async with web.get(reader.url + "api/alerts") as answer:
                if (await answer.json())["alerts"]:
                    return


async def simulated_nodes_are_there(reader: Reader, _output: str) -> None:
    async with reader.client() as client:
        while len(client.nodes) < len(demo_kinds()):
            await client.next()


async def gateway_is_linked(reader: Reader, _output: str) -> None:
    async with reader.client() as client:
        if not any(message["type"] == "gateway" for message in client.received):
            await client.until(type="gateway", state="connected")


async def logs_are_json(reader: Reader, _output: str) -> None:
    lines = reader.log().splitlines()
    assert any("key file" in json.loads(line)["message"] for line in lines)


async def nothing_more(_reader: Reader, _output: str) -> None:
    """Whether the service reported that it is ready."""


async def link_lets_in(reader: Reader, _output: str) -> None:
    """The printed link, once; nobody else."""
    (path,) = re.findall(r"http://[^/]+/(login\S*)", reader.lines[0])
    link = reader.url + path
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address
    async with aiohttp.ClientSession(cookie_jar=jar) as web:
        async with web.get(reader.url) as answer:
            assert answer.status == 401
        # To open the link uses nothing up: mail programs and chats fetch links to preview them.
        async with web.get(link) as page:
            assert page.status == 200
        async with web.post(link) as dashboard:
            assert (dashboard.status, str(dashboard.url)) == (200, reader.url)
        async with web.post(link) as again:
            assert again.status == 403


async def link_is_required(reader: Reader, _output: str) -> None:
    """Over plain HTTP the cookie of the link would not come back: it wants the proxy's TLS."""
    assert "/login?token=" in reader.lines[0]
    async with aiohttp.ClientSession() as web, web.get(reader.url) as answer:
        assert answer.status == 401
    name = {"Host": "pyaiot.example.org"}
    async with aiohttp.ClientSession() as web, web.get(reader.url, headers=name) as answer:
        assert answer.status == 401


async def backup_is_there(reader: Reader, output: str) -> None:
    """The page stops the service before it restores the backup."""
    assert "  registry" in output
    assert (reader.home / "pyaiot.tar.gz").exists()
    reader.end()


async def certificate_is_trusted(reader: Reader, _output: str) -> None:
    """By clients that have a copy of it; and everybody has to sign in."""
    copy = reader.home / ".local" / "share" / "pyaiot" / "tls" / "cert.pem"
    async with open_http_session(str(copy)) as web:
        async with web.get(f"https://localhost:{reader.web_port}/healthz") as answer:
            assert answer.status == 200
        async with web.get(f"https://localhost:{reader.web_port}/api/nodes") as answer:
            assert answer.status == 401


async def origin_is_allowed(reader: Reader, _output: str) -> None:
    for origin, status in (("https://dashboard.example.org", 200), ("https://evil.example", 403)):
        async with (
            aiohttp.ClientSession() as web,
            web.get(reader.url, headers={"Origin": origin}) as answer,
        ):
            assert answer.status == status


def dashboard_has_pictures(**expected: object) -> Look:
    async def look(reader: Reader, _output: str) -> None:
        async with aiohttp.ClientSession() as web:
            async with web.get(reader.url + "dashboard.json") as answer:
                settings = await answer.json()
            for name in ("logo", "floorPlan"):
                if settings[name]:
                    async with web.get(reader.url + settings[name]) as picture:
                        assert await picture.read() == b"a picture"
        assert {name: settings[name] for name in expected} == expected

    return look


async def title_is_from_the_file(reader: Reader, _output: str) -> None:
    async with aiohttp.ClientSession() as web, web.get(reader.url + "dashboard.json") as answer:
        assert (await answer.json())["title"] == "Greenhouse"


async def key_file_is_closed(reader: Reader, output: str) -> None:
    path = reader.home / ".pyaiot" / "keys"
    assert str(path) in output
    assert path.stat().st_mode & 0o777 == 0o600


async def led_is_switched_and_confirms(reader: Reader, _output: str) -> None:
    async with reader.client() as client:
        while not any(set(values) >= {"led", "temperature"} for values in client.nodes.values()):
            await client.next()
        (uid,) = client.nodes
        assert client.nodes[uid]["name"] == "My first node"
        assert (await client.write(uid, "led", "1"))["state"] == "confirmed"
        await client.shows(uid, led="1")


async def led_is_off(reader: Reader, _output: str) -> None:
    async with reader.client() as client:
        (uid,) = client.nodes
        await client.shows(uid, led="0")


def shows(uid: str, **values: str) -> Look:
    async def look(reader: Reader, _output: str) -> None:
        async with reader.client() as client:
            await client.shows(uid, **values)

    return look


def history_is_in(name: str) -> Look:
    async def look(reader: Reader, output: str) -> None:
        await everything_is_ready(reader, output)
        assert (reader.home / name).read_bytes().startswith(b"SQLite format 3")

    return look


def prints(pattern: str) -> Look:
    async def look(_reader: Reader, output: str) -> None:
        assert re.search(pattern, output), output

    return look


async def board_is_kept(reader: Reader, _output: str) -> None:
    """Its values are there, and in the history."""
    async with reader.client() as client:
        while set(client.nodes.get("my-board", ())) < {"led", "temperature"}:
            await client.next()
    url = f"{reader.url}api/nodes/my-board/resources/temperature/history"
    async with aiohttp.ClientSession() as web:
        while True:
            async with web.get(url) as answer:
                if (await answer.json())["readings"]:
                    return


def saved(name: str, part: str) -> Look:
    async def look(reader: Reader, _output: str) -> None:
        assert part.encode() in (reader.home / name).read_bytes()

    return look


async def foreign_device_is_there(reader: Reader, _output: str) -> None:
    async with reader.client() as client:
        while not any(
            uid.startswith("z2m-") and {"state", "temperature"} <= set(values)
            for uid, values in client.nodes.items()
        ):
            await client.next()


def has(uid: str, resource: str) -> Look:
    async def look(reader: Reader, _output: str) -> None:
        async with reader.client() as client:
            while resource not in client.nodes.get(uid, ()):
                await client.next()

    return look


def node_is(uid: str, **fields: str) -> Look:
    """The registry has the node with these fields, as soon as the node is there."""

    async def look(reader: Reader, _output: str) -> None:
        async with aiohttp.ClientSession() as web:
            while True:
                async with web.get(f"{reader.url}api/nodes/{uid}") as answer:
                    node = await answer.json()
                if answer.status == 200:
                    break
        assert {name: node[name] for name in fields} == fields

    return look


@dataclass(frozen=True, slots=True)
class Serve:
    """A service that keeps running; one that is not `beside` others takes their place."""

    ready: str
    look: Look
    beside: bool = False
    instead: str = ""
    """What is started in its place."""


@dataclass(frozen=True, slots=True)
class Finish:
    """A command that ends by itself."""

    look: Look
    code: int = 0


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A command that is not run here, and why."""

    reason: str


RUN = Serve("Pyaiot: http://", everything_is_ready)
DEMO = f"Pyaiot shows {len(demo_kinds())} simulated nodes"
MACHINE = Elsewhere("it needs a second machine")
ROOT_ONLY = Elsewhere("it needs an interface that only root can create")
BOARD = Elsewhere("it needs a board; tests/examples runs what is copied onto it")
PROGRAM = Elsewhere("tests/examples/test_python_clients.py does")
INSTALL = Elsewhere("tests/test_package.py installs the wheel into a fresh environment")
BOOTED = Elsewhere("tests/machines does, on a machine with systemd")
RELEASE = Elsewhere("tests/test_release.py and tests/machines do")
CONTAINER = Elsewhere("it needs Docker; the page lists what was tested")
ZEPHYR = Elsewhere("tests/interop/test_coap_directory.py has such a device")
BROKER_ELSEWHERE = Elsewhere("it needs a broker with a name or on another machine")

FOREIGN = (
    ("tasmota", "lamp", "tasmota-lamp", "power"),
    (
        *("shelly", "shellyplusplugs-a8032abe54dc"),
        *("shelly2-shellyplusplugs-a8032abe54dc", "switch_0"),
    ),
    ("zigbee2mqtt", "0x00158d0001a2b3c4", "z2m-0x00158d0001a2b3c4", "state"),
    ("homie", "bench", "homie5-bench", "switch"),
    ("sparkplug", "press", "spb-sim.press", "switch"),
    ("homeassistant", "fan", "ha-fan", "switch"),
)
"""Dialect, id and node of the device of each page, and its switch."""

STEPS: dict[str, Serve | Finish | Elsewhere] = {
    **{
        f"aiot node mqtt --dialect {dialect} --uid {name}": Serve(
            "(Ctrl+C ends it)", has(uid, switch), beside=True
        )
        for dialect, name, uid, switch in FOREIGN
    },
    **{
        f"aiot set {uid} {switch} on": Finish(prints("^confirmed in "))
        for _, _, uid, switch in FOREIGN
    },
    **{
        f"aiot device add {name} --protocol {protocol}": Finish(
            prints(rf"User: {user}\. Client id: \S+\. Password, shown only now: \w{{32}}")
        )
        for name, protocol, user in (
            (
                *("shellyplusplugs-a8032abe54dd", "shelly-rpc"),
                "shelly2-shellyplusplugs-a8032abe54dd",
            ),
            ("zigbee2mqtt", "zigbee2mqtt", "z2m-zigbee2mqtt"),
            ("kitchen", "homie", "homie5-kitchen"),
            ("plant-1.edge-1", "sparkplug", r"spb-plant-1\.edge-1"),
            ("garden", "homeassistant", "ha-garden"),
        )
    },
    # What scripts/demo does before it becomes `aiot demo` is for tests/test_scripts.py.
    "scripts/demo": Serve(DEMO, simulated_nodes_are_there, instead="aiot demo"),
    **dict.fromkeys(
        (
            "scripts/release --deb 12 --architecture amd64",
            "sudo apt install ./dist/pyaiot_0.1.0-1~deb12_amd64.deb",
            "scripts/release",
            "pipx install dist/pyaiot-0.1.0-py3-none-any.whl",
            "uv tool install dist/pyaiot-0.1.0-py3-none-any.whl",
            "sudo python3 -m venv /opt/pyaiot",
            "sudo /opt/pyaiot/bin/pip install dist/pyaiot-0.1.0-py3-none-any.whl",
            "sudo /opt/pyaiot/bin/aiot service install",
            "scripts/release --wheelhouse x86_64",
            "uv tool install --offline --no-index --find-links dist/wheelhouse-x86_64 pyaiot",
            'pipx install --pip-args "--no-index --find-links dist/wheelhouse-x86_64" pyaiot',
            "scripts/release --wheelhouse x86_64 --python 3.13",
        ),
        RELEASE,
    ),
    **dict.fromkeys(
        (
            "docker build -t pyaiot .",
            "docker compose -f deploy/compose/everything.yaml up --detach",
            "docker compose -f deploy/compose/everything.yaml logs",
            "docker compose -f deploy/compose/everything.yaml exec pyaiot aiot invite",
            "docker compose -f deploy/compose/apart.yaml up --detach",
            "docker compose -f deploy/compose/cluster.yaml up --detach",
        ),
        CONTAINER,
    ),
    **dict.fromkeys(
        (
            "sudo aiot service install",
            'sudo aiot service install --lan --title "My lab"',
            "sudo aiot service exec invite --role admin",
            "aiot service status",
            "aiot service logs -n 20",
            "aiot health",
            "sudo aiot service exec token add logger --role viewer",
            "sudo aiot service exec config --show",
            "sudo systemctl restart pyaiot",
            "sudo aiot service install --apart",
            "sudo systemctl restart pyaiot-coap-gateway",
            "aiot service install --user",
            "sudo aiot service uninstall",
        ),
        BOOTED,
    ),
    "scripts/test": Elsewhere("it is what runs this test"),
    "python scripts/sbom.py": Elsewhere("tests/test_supply_chain.py does, in the checkout"),
    "python scripts/audit_packages.py": Elsewhere("tests/test_supply_chain.py does"),
    "python3 -m venv ~/pyaiot": INSTALL,
    ". ~/pyaiot/bin/activate": INSTALL,
    "pip install .": INSTALL,
    "aiot demo": Serve(DEMO, simulated_nodes_are_there),
    "aiot run": RUN,
    "aiot run --coap-host ::": RUN,
    "aiot run --max-time 900": RUN,
    "aiot setup": Elsewhere("tests/end_to_end/test_setup.py answers its questions"),
    "aiot setup --yes --reach network --protocol coap --protocol mqtt --force": Finish(
        prints("Written: ")
    ),
    **dict.fromkeys(
        ("aiot run --lan", "aiot run --lan --mdns greenhouse", "aiot run --lan --mdns off"),
        Serve("Open this link once to sign in: http://", link_lets_in),
    ),
    "aiot demo --free-ports": Serve(DEMO, nothing_more),
    **dict.fromkeys(
        (
            "sudo apt install python3-venv",
            "sudo python3 -m venv /opt/pyaiot",
            "sudo /opt/pyaiot/bin/pip install pyaiot",
            "sudo ln -s /opt/pyaiot/bin/aiot /usr/local/bin/aiot",
            "sudo systemctl stop pyaiot",
            "sudo systemctl start pyaiot",
        ),
        Elsewhere("it changes the machine"),
    ),
    "aiot run --coap-port 5693": Elsewhere("its port is fixed; the next ones need Zephyr"),
    **dict.fromkeys(
        (
            (
                "west build -b native_sim zephyr/samples/net/sockets/coap_server --"
                " -DCONFIG_NET_DRIVERS=y      -DCONFIG_NET_SOCKETS_OFFLOAD=y"
                " -DCONFIG_NET_NATIVE_OFFLOADED_SOCKETS=y"
            ),
            "west build -t run",
            (
                "aiocoap-client -m POST --content-format application/link-format     "
                ' --payload "</obs>;obs,</test>" "coap://[::1]:5693/rd?ep=zephyr&base=coap://[::1]:5683"'
            ),
            "aiot set zephyr test 1",
        ),
        ZEPHYR,
    ),
    "sudo aiot setup": Elsewhere("tests/end_to_end/test_setup.py answers its questions"),
    "aiot node coap --gateway-host lab.local --temperature --led": MACHINE,
    "sudo aiot service exec restore --keep-settings /mnt/disk/pyaiot.tar.gz": Elsewhere(
        "tests/end_to_end/test_backup.py does, without a service"
    ),
    "aiot backup pyaiot.tar.gz": Finish(backup_is_there),
    "aiot restore --check pyaiot.tar.gz": Finish(prints("is complete: ")),
    "aiot restore pyaiot.tar.gz": Finish(prints("Restored: the state of ")),
    "aiot config --import config.py": Finish(prints(r"\[coap\]\nport = 5683")),
    "aiot upgrade-check": Finish(prints("ok        registry")),
    "aiot run --history greenhouse.db": Serve("Pyaiot: http://", history_is_in("greenhouse.db")),
    "aiot run --history off": RUN,
    "aiot run --history postgresql://pyaiot@db.example.org/pyaiot": Elsewhere(
        "tests/history/test_postgres.py starts a server"
    ),
    "aiot run --workers 4 --history postgresql://pyaiot@db.example.org/pyaiot": Elsewhere(
        "tests/end_to_end/test_workers.py does"
    ),
    "aiot coap-gateway --broker-host 10.0.0.1,10.0.0.2,10.0.0.3": Elsewhere(
        "tests/end_to_end/test_cluster.py does, on one machine"
    ),
    "sudo -u pyaiot env AIOT_CONFIG=/etc/pyaiot/pyaiot.toml"
    " /opt/pyaiot/bin/aiot token add script": Elsewhere(
        "tests/end_to_end/test_cluster_page.py starts a broker with these settings"
    ),
    "aiot dashboard --broker-host 10.0.0.1,10.0.0.2,10.0.0.3": Elsewhere(
        "tests/web/test_dashboard_cluster.py does, on one machine"
    ),
    "pg_dump -Fc --schema='pyaiot*' -f pyaiot.dump "
    "postgresql://pyaiot@db.example.org/pyaiot": Elsewhere(
        "tests/end_to_end/test_cluster_restore.py does, on one machine"
    ),
    "aiot backup --no-history machine-1.tar.gz": Elsewhere(
        "tests/end_to_end/test_cluster_restore.py does, on one machine"
    ),
    "createdb --host=db.example.org --username=pyaiot restored": Elsewhere(
        "tests/end_to_end/test_cluster_restore.py does, on one machine"
    ),
    "pg_restore --exit-on-error -d postgresql://pyaiot@db.example.org/restored "
    "pyaiot.dump": Elsewhere("tests/end_to_end/test_cluster_restore.py does, on one machine"),
    "sqlite3 ~/.local/share/pyaiot/history.db \"VACUUM INTO 'copy.db'\"": Elsewhere(
        "tests/history/test_sqlite.py does, without the program sqlite3"
    ),
    'aiot node coap --uid my-board --name "My board" --temperature --led --port 5700': Serve(
        "(Ctrl+C ends it)", board_is_kept, beside=True
    ),
    **{
        f"curl {arguments}".replace("API", "http://localhost:8000/api"): Finish(look)
        for arguments, look in {
            "API/nodes": prints(r'"uid":"my-board"'),
            '"API/nodes?state=online&q=board"': prints(r'"uid":"my-board"'),
            """-X PATCH -H "Content-Type: application/json" -d '{"types":{"led":"""
            """{"label":"Lamp"}}}'    API/nodes/my-board""": prints(r'"label":"Lamp"'),
            """-X PATCH -H "Content-Type: application/json" -d '{"label":"Desk lamp","""
            """"tags":["class-3b"]}'    API/nodes/my-board""": prints(r'"label":"Desk lamp"'),
            """-H "Content-Type: application/json" -d '{"resource":"led","payload":"1"}'    """
            '"API/commands?tag=class-3b"': prints(r'"uid":"my-board",.*"state":"confirmed"'),
            "API/nodes/my-board": prints(r'"name":"temperature","data":"'),
            "API/nodes/my-board/resources/temperature": prints(r'"value":[-\d.]+,"unit":"Cel"'),
            '"API/nodes/my-board/resources/temperature/history?from=-1h"': prints(
                r'"readings":\[\{"ts":[\d.]+,"value":[-\d.]+,"unit":"Cel"\}.*"next":null'
            ),
            '"API/nodes/my-board/resources/temperature/history?from=-1d&every=60"': prints(
                r'"readings":\[\{"ts":\d+,"value":[-\d.]+,"unit":"Cel"\}'
            ),
            '"API/history/state?at=-1h"': prints(r'"nodes":\['),
            '"API/history/events?from=-1d&uid=my-board"': prints(r'"kind":"appeared"'),
            '-o readings.csv "API/export?from=-7d"': saved("readings.csv", "my-board,temperature,"),
            '-o readings.ndjson "API/export?format=ndjson&uid=my-board"': saved(
                "readings.ndjson", '{"uid":"my-board","resource":"temperature",'
            ),
            '-o readings.arrows "API/export?format=arrow"': saved("readings.arrows", "my-board"),
            '-H "Accept: application/senml+json" API/export': prints(
                r'"bn":"pyaiot:my-board/temperature"'
            ),
            "-X PUT -d 1 API/nodes/my-board/resources/led": prints(r'"state":"confirmed"'),
            '-X PUT -d 0 -H "Prefer: respond-async" API/nodes/my-board/resources/led': prints(
                r'"state":"pending"'
            ),
            '-H "Authorization: Bearer $AIOT_TOKEN" API/nodes': prints(r'\{"nodes":\['),
        }.items()
    },
    "curl -N http://localhost:8000/api/events": Serve("event: joined", nothing_more, beside=True),
    "aiot run --host :: --insecure": Serve("Pyaiot: http://", nothing_more),
    "aiot invite --role operator": Finish(prints(r"^http://[^ ]+/login\?token=[\w-]{43}$")),
    "aiot invite --role operator --tag lab": Finish(prints(r"/login\?token=[\w-]{43}$")),
    "aiot user add ada --role operator": Elsewhere("tests/cli/test_accounts.py types a password"),
    "aiot user list": Finish(prints("There are no users")),
    "aiot gateway add greenhouse": Finish(prints("^aiot_")),
    "umask 077 && cat > greenhouse-token": Elsewhere("a person pastes the token"),
    "aiot coap-gateway --token-file greenhouse-token": Elsewhere(
        "tests/end_to_end/test_gateway_tokens.py does it with the token"
    ),
    "aiot gateway rotate greenhouse --overlap 7d": Finish(prints("^aiot_")),
    "aiot token add my-script --role viewer --expires 90d": Finish(prints("aiot_")),
    "aiot device add my-lamp --protocol coap": Finish(prints("^my-lamp connects with CoAP")),
    "aiot node coap --uid lamp --oscore-file lamp.key": Elsewhere(
        "it needs the key; tests/interop/test_oscore.py runs such a node"
    ),
    "aiot node coap --uid my-lamp --psk-file my-lamp.key": Elsewhere(
        "it needs the key; tests/interop/test_coap_dtls.py runs such a node"
    ),
    "aiot tls self-signed": Finish(prints(r"SHA-256 fingerprint: ([0-9A-F]{2}:){31}[0-9A-F]{2}")),
    "aiot run --host :: --tls-cert ~/.local/share/pyaiot/tls/cert.pem      --tls-key"
    " ~/.local/share/pyaiot/tls/key.pem": Serve("Pyaiot: https://", certificate_is_trusted),
    "aiot tls fingerprint https://pi.example.org:8000 --save broker.pem": BROKER_ELSEWHERE,
    "aiot nodes --broker-host pi.example.org --broker-ssl --ca-file broker.pem": BROKER_ELSEWHERE,
    "aiot run --mqtt-listen ::": RUN,
    **dict.fromkeys(
        ("mosquitto_pub -p 1886 -t sensors/cellar/humidity -m 71",),
        Elsewhere("tests/end_to_end/test_foreign_devices.py publishes with it"),
    ),
    "aiot node mqtt --dialect zigbee2mqtt": Serve(
        "(Ctrl+C ends it)", foreign_device_is_there, beside=True
    ),
    "aiot device add lamp --protocol mqtt": Finish(
        prints(r"Its password is shown only now: \w{32}")
    ),
    "aiot device add lamp --protocol oscore": Finish(
        prints(r'(?m)^master_secret,hex,"[0-9a-f]{32}"$')
    ),
    "aiot device add fridge --protocol edhoc": Finish(prints(r"-4: h'[0-9a-f]{64}'")),
    "aiot mapping try 'sensors/{node}/{resource}' sensors/attic/temperature 21.5"
    " --unit temperature=°C": Finish(prints(r"temperature +21\.5 Cel +number")),
    "aiot mapping add sensors 'sensors/{node}/{resource}' --unit temperature=°C": Finish(
        prints("^sensors ")
    ),
    "aiot device add kitchen-plug --protocol tasmota": Finish(
        prints(r"Topic: kitchen-plug\..* User: tasmota-kitchen-plug\. Client id: kitchen-plug\.")
    ),
    "aiot mapping list": Finish(prints("^sensors ")),
    "aiot mapping remove sensors": Finish(prints("")),
    "aiot device list": Finish(prints(r"(?m)^lamp  mqtt  since ")),
    "aiot device remove lamp": Finish(prints("")),
    "aiot run --mqttsn-host ::": RUN,
    "aiot mqttsn-gateway --host :: --mqtt-host mqtt.example.org --mqtt-port 1883": Serve(
        "MQTT-SN gateway: UDP port", nothing_more
    ),
    "aiot run --trace coap.pcapng": RUN,
    "aiot run --trace coap.pcapng --trace-node 0123456789ABCDE": RUN,
    "aiot run --mqtt-host mqtt.example.org --mqtt-port 1883": Elsewhere(
        "it needs an MQTT broker with a name"
    ),
    "aiot run --coap-host :: --interface tap0": Elsewhere("it needs a network interface tap0"),
    "aiot run --trusted-proxy 127.0.0.1 --allowed-host pyaiot.example.org": Serve(
        "Pyaiot: http://", link_is_required
    ),
    "aiot run --allowed-origin https://dashboard.example.org": Serve(
        "Pyaiot: http://", origin_is_allowed
    ),
    'aiot run --title "Showroom" --logo logo.svg --favicon favicon.png': Serve(
        "Pyaiot: http://", dashboard_has_pictures(title="Showroom", logo="pictures/logo.svg")
    ),
    "aiot run --camera-url http://camera.local/image.jpg --webcam-host pi.local:8081": Serve(
        "Pyaiot: http://", dashboard_has_pictures(camera="http://camera.local/image.jpg")
    ),
    "aiot run --floor-plan plan.png --floor-plan-bounds 48.7140,2.2040,48.7150,2.2060": Serve(
        "Pyaiot: http://", dashboard_has_pictures(floorPlanBounds=[48.714, 2.204, 48.715, 2.206])
    ),
    "aiot dashboard --broker-host broker.lan --broker-port 8000": Serve(
        "--allowed-origin", dashboard_has_pictures(broker="ws://broker.lan:8000/ws")
    ),
    "aiot run --allowed-origin http://localhost:8080": RUN,
    "aiot run --config greenhouse.toml": Serve("Pyaiot: http://", title_is_from_the_file),
    "AIOT_CONFIG=greenhouse.toml aiot run": Serve("Pyaiot: http://", title_is_from_the_file),
    'aiot node coap --name "My first node" --temperature --led --port 5700': Serve(
        "(Ctrl+C ends it)", led_is_switched_and_confirms, beside=True
    ),
    "aiot generate-keys": Finish(key_file_is_closed),
    "aiot broker": Serve("Broker: http://", page_is_there),
    "aiot broker --host :: --insecure": Serve("Broker: http://", link_lets_in),
    "aiot coap-gateway --host ::": Serve("CoAP gateway:", gateway_is_linked, beside=True),
    "aiot coap-gateway --broker-host 192.0.2.10": BROKER_ELSEWHERE,
    "aiot coap-gateway --host :: --broker-host pyaiot.example.org --broker-port 443"
    " --broker-ssl": BROKER_ELSEWHERE,
    "aiot fleet --coap 20 --mqtt 20 --mqttsn 5 --ws 10 --rate 2 --seconds 5": Finish(
        prints(r"(?m)^all +55 +(\d+) +\1 +\1 +0 +0 [^$]+No acknowledged reading was lost\.$")
    ),
    "aiot fleet --coap 100 --mqtt 100 --mqttsn 20 --ws 50 --rate 7.41 --seconds 60"
    " --commands-per-s 10": Elsewhere(
        "it takes a minute; tests/end_to_end/test_fleet.py is shorter"
    ),
    "aiot run --homeassistant mqtt://localhost:1883": Serve("Pyaiot: http://", page_is_there),
    "aiot run --homeassistant mqtt://localhost:1883 --homeassistant-tag home": Serve(
        "Pyaiot: http://", page_is_there
    ),
    "aiot run --homeassistant --mqtt-listen ::": Serve("Pyaiot: http://", page_is_there),
    "aiot device add homeassistant --protocol mqtt": Finish(prints("homeassistant")),
    "aiot doctor --no-trip --homeassistant mqtt://localhost:1883": Elsewhere(
        "it needs an MQTT broker; tests/doctor/test_doctor.py has one"
    ),
    "aiot doctor": Finish(
        prints(r"(?m)^  ✓ ok +CoAP +a reading received, a command confirmed in ")
    ),
    "aiot doctor --no-trip --json": Finish(prints(r'"findings":\[\{"area":"machine"')),
    "aiot doctor --no-trip --broker-host broker.lan": BROKER_ELSEWHERE,
    "curl http://localhost:8000/metrics": Finish(prints(r"(?m)^pyaiot_up 1\.0$")),
    "aiot run --behind-proxy --metrics-port 9101": Serve("Pyaiot: http://", nothing_more),
    "aiot run --log-format json": Serve("Pyaiot: http://", logs_are_json),
    "aiot config": Finish(prints(r"settings are valid")),
    "aiot config --show": Finish(prints(r'broker\.title +"Greenhouse" +.*config\.toml')),
    "AIOT_BROKER_TITLE=Kitchen aiot config --show": Finish(
        prints(r'broker\.title +"Kitchen" +AIOT_BROKER_TITLE')
    ),
    'aiocoap-client -m POST --payload "alive:my-board" coap://localhost/alive': Finish(
        shows("my-board", protocol="CoAP")
    ),
    'aiocoap-client -m POST --payload "temperature:21.5°C" coap://localhost/server': Finish(
        shows("my-board", temperature="21.5°C")
    ),
    'aiocoap-client -m POST --payload "alive:my-script" coap://localhost/alive': Finish(
        shows("my-script", protocol="CoAP")
    ),
    'aiocoap-client -m POST --payload "load:0.42" coap://localhost/server': Finish(
        shows("my-script", load="0.42")
    ),
    'aiocoap-client -m POST --payload "temperature:48.5°C" coap://localhost/server': Finish(
        shows("my-script", temperature="48.5°C")
    ),
    "aiot get my-script": Finish(prints(r"(?m)^load +0\.42 ")),
    'aiocoap-client -m POST --payload "alive:port-test" coap://localhost/alive': Finish(
        shows("port-test")
    ),
    "aiocoap-client coap://127.0.0.1:5700/.well-known/core": Finish(prints("</led>")),
    "aiocoap-client coap://127.0.0.1:5700/temperature": Finish(prints(r"^-?\d+\.\d°C")),
    "aiocoap-client -m PUT --payload 0 coap://127.0.0.1:5700/led": Finish(led_is_off),
    "python listen.py": Serve("The LED: confirmed", page_is_there, beside=True),
    "python temperatures.py localhost 8000": PROGRAM,
    "python alert.py 20 localhost 8000": PROGRAM,
    "python organise.py": Finish(
        prints(r"^Desk 2 offline 0\.0 \{\}\nedited-meanwhile\n\{'board-2': 'unreachable'\}\n$")
    ),
    "aiot nodes": Finish(prints(r"(?m)^my-board  My board  coap ")),
    "aiot nodes --online --protocol coap": Finish(prints(r"(?m)^my-board  My board  coap ")),
    "aiot nodes --text board": Finish(prints(r"(?m)^my-board  My board  coap ")),
    "aiot set --protocol coap led 0": Finish(prints(r"(?m)^my-board  My board  confirmed in ")),
    'aiot node rename my-board "Desk lamp"': Finish(prints(r"^my-board  label: Desk lamp\n$")),
    'aiot get "Desk lamp" temperature': Finish(prints(r"^-?\d+\.\d°C\n$")),
    'aiot set "desk lamp" led 1': Finish(prints(r"^confirmed in \d+ ms")),
    "aiot node tag my-board +class-3b +spare": Finish(prints(r"tags: class-3b, spare\n$")),
    "aiot node tag my-board -spare": Finish(prints(r"tags: class-3b\n$")),
    'aiot node edit my-board --room Lab --notes "Left window" --latitude 48.7137'
    " --longitude 2.2065": Finish(
        prints(r"room: Lab; .*position: 48\.7137, 2\.2065; notes: Left window\n$")
    ),
    "aiot nodes --tag class-3b --room Lab": Finish(prints(r"(?m)^my-board  Desk lamp  Lab ")),
    "aiot nodes --import names.csv --dry-run": Finish(
        prints(
            r"(?m)^my-board  edit .*label Desk lamp → Desk 1.*\nboard-2   new .*\nboard-3   new "
        )
    ),
    "aiot nodes --import names.csv": Finish(node_is("board-3", label="Desk 3", room="Attic")),
    "aiot nodes --export": Finish(
        prints(r'(?m)^my-board,Desk 1,Lab,"class-3b,lamp",48\.7137,2\.2065,Left window,,\r?$')
    ),
    "aiot set --tag class-3b --online led 1": Finish(
        prints(r"(?m)^my-board  Desk 1  confirmed in ")
    ),
    "aiot set --tag class-3b --online led 0": Finish(
        prints(r"(?m)^my-board  Desk 1  confirmed in ")
    ),
    "aiot nodes --tag class-3b --offline": Finish(prints(r"(?m)^board-2  Desk 2 .*never seen$")),
    # After a restart of the broker, and with the node switched off.
    "aiot nodes --tag class-3b": Finish(
        prints(r"(?m)^my-board  Desk 1 .* offline since (now|\d+ s)  .*led 0")
    ),
    "aiot node edit my-board --interval 900 --offline-after 2700": Finish(
        prints(r"interval: 900 s; offline after: 2700 s")
    ),
    "aiot node forget board-3": Finish(prints(r"^board-3 \(Desk 3\): forgotten ")),
    "aiot node restore board-3": Finish(prints(r"^board-3 \(Desk 3\): restored\n$")),
    "aiot run --admission approve": RUN,
    "aiot run --admission known": RUN,
    "aiot node coap --uid new-board --led": Serve(
        "(Ctrl+C ends it)", node_is("new-board", state="waiting"), beside=True
    ),
    "aiot nodes --waiting": Finish(prints(r"(?m)^new-board  ")),
    "aiot node accept new-board": Finish(prints(r"^new-board .*: accepted\n$")),
    "aiot node ban new-board": Finish(prints(r"^new-board .*: banned\n$")),
    "aiot nodes --banned": Finish(prints(r"(?m)^new-board  ")),
    "aiot run --alerts alerts.toml": RUN,
    'aiot node coap --uid my-board --name "My board" --temperature --port 5700': Serve(
        "(Ctrl+C ends it)", alert_is_active, beside=True
    ),
    "aiot alerts": Finish(prints(r"(?m)  warning  Desk is warm  my-board/temperature "), code=1),
    "aiot alerts --acknowledge all": Finish(prints(r"(?m)  by local$")),
    "aiot alerts --snooze all --for 3600": Finish(prints(r"Desk is warm")),
    "aiot alerts --all --json": Finish(prints(r'"title":"Desk is warm"')),
    "aiot audit": Finish(prints(r"(?m)  command  my-board/led  confirmed ")),
    "aiot audit --result confirmed": Finish(prints(r"  command  my-board/led  confirmed ")),
    "aiot audit --uid my-board --from -7d": Finish(prints(r"  command  my-board/led  confirmed ")),
    "aiot audit --who local --action command --json": Finish(
        prints(r'"action":"command","who":"local"')
    ),
    "aiot node type my-board led": Finish(prints(r"^led: boolean, 1 or 0, writable, light ")),
    "aiot node type my-board temperature": Finish(prints(r"^temperature: number Cel, ")),
    "aiot set my-board led on": Finish(prints(r"^confirmed in \d+ ms")),
    'aiot node type my-board led --kind boolean --label "Desk lamp"': Finish(
        prints(r"^led \(Desk lamp\): boolean, .* \(set by people\)\n$")
    ),
    "aiot node type my-board led --clear": Finish(prints(r"^led: boolean, .* \(from its name ")),
    "aiot get my-board": Finish(prints(r"(?m)^temperature +-?\d+\.\d°C +")),
    "aiot get my-board temperature": Finish(prints(r"^-?\d+\.\d°C\n$")),
    "aiot watch my-board": Serve("  my-board  temperature  ", nothing_more, beside=True),
    "aiot set my-board led 1": Finish(prints(r"^confirmed in \d+ ms")),
    "aiot history my-board temperature --from -15m": Finish(prints(r"^TIME +VALUE +UNIT\n20")),
    "aiot history my-board temperature --from -1d --every 60 --agg mean,min,max": Finish(
        prints(r"^TIME +VALUE +UNIT +MIN +MEAN +MAX\n20")
    ),
    "aiot history my-board temperature --from -7d --tz Europe/Paris --agg min,max": Finish(
        prints(r"^TIME +VALUE +UNIT +MIN +MAX\n20")
    ),
    "aiot history my-board temperature --csv": Finish(
        prints(r"^uid,resource,ts,value,unit,data\r?\nmy-board,temperature,")
    ),
    "aiot export --output readings.csv": Finish(saved("readings.csv", "uid,resource,ts,")),
    "aiot export --json --uid my-board --from -7d": Finish(prints(r'^{"uid":"my-board",')),
    "mpremote cp board_esp32.py :board.py": BOARD,
    "mpremote cp settings.py node.py main.py :": BOARD,
    "mpremote reset": BOARD,
    "pio run -e esp32dev -t upload": BOARD,
    "pio device monitor": BOARD,
    "make RIOTBASE=~/RIOT BOARD=samr21-xpro GATEWAY=fe80::1 flash term": BOARD,
    'sudo ip tuntap add dev tap0 mode tap user "$USER"': ROOT_ONLY,
    "sudo ip link set tap0 up": ROOT_ONLY,
    "sudo ip address add fe80::1/64 dev tap0 nodad": ROOT_ONLY,
    "make RIOTBASE=~/RIOT BOARD=native64 GATEWAY=fe80::1 all term": Elsewhere(
        "it needs a checkout of RIOT"
    ),
    "python node.py ws://localhost:8001/node": Elsewhere(
        "tests/examples/test_python_websocket.py does"
    ),
    "ip -6 address show": Elsewhere("iproute2 need not be here; nothing depends on it"),
    "make -C examples/networking/coap/gcoap BOARD=samr21-xpro flash term": Elsewhere(
        "it needs a checkout of RIOT and a board"
    ),
    "ssh -N -L 8000:localhost:8000 broker.example.org": MACHINE,
    "scp -p ~/.pyaiot/keys gateway.example.org:keys": MACHINE,
    "ssh gateway.example.org 'mkdir -p -m 700 .pyaiot && mv keys .pyaiot/keys && chmod 600"
    " .pyaiot/keys'": MACHINE,
}
"""Every command of the documents for users, and what is done with it."""

PAGES = [
    path
    for path in documents()
    if path == ROOT / "README.md" or path.parent != ROOT
    if any(block.language == "sh" for block in Block.of(path))
]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    programs = Programs(tmp_path)
    for picture in ("logo.svg", "favicon.png", "plan.png"):
        (tmp_path / picture).write_bytes(b"a picture")
    yield Reader(programs)
    programs.close()


def test_every_command_is_known_and_every_known_command_is_there() -> None:
    written = {
        command
        for path in PAGES
        for block in Block.of(path)
        if block.language == "sh"
        for command in block.commands()
    }
    assert written == set(STEPS)


def test_no_command_hides_in_another_kind_of_block() -> None:
    languages = {block.language for path in documents() for block in Block.of(path)}
    files = {"json", "toml", "yaml", "python", "c", "nginx", "caddy", "csv"}
    assert languages <= {"sh", "text", ""} | files


def test_scripts_demo_becomes_aiot_demo() -> None:
    script = (ROOT / "scripts" / "demo").read_text("utf-8")
    assert script.rstrip().endswith('run aiot demo "$@"')


@pytest.mark.parametrize("path", PAGES, ids=relative)
async def test_page_can_be_followed(path: Path, reader: Reader) -> None:
    for block in Block.of(path):
        if block.language == "toml" and "[channels]" in block.text:
            reader.save("alerts.toml", block.text)
            (reader.home / "alerts.toml").chmod(0o600)
        elif block.language == "toml":
            reader.save(".config/pyaiot/config.toml", block.text)
            reader.save("greenhouse.toml", block.text)
        elif block.language == "python":
            reader.save("listen.py", block.text)
            reader.save("organise.py", block.text)
            reader.save("config.py", block.text)
        elif block.language == "csv":
            reader.save("names.csv", block.text)
        elif block.language == "sh":
            for command in block.commands():
                await follow(reader, command)
    reader.end()


async def follow(reader: Reader, command: str) -> None:
    output = ""
    match STEPS[command]:
        case Elsewhere():
            return
        case Serve(ready=ready, look=look, beside=beside, instead=instead):
            if not beside:
                reader.end()
            reader.serve(instead or command, ready)
        case Finish(look=look, code=code):
            output = reader.finish(command, code)

    await look(reader, output)
