# SPDX-License-Identifier: BSD-3-Clause
"""One list of protocols: a further one appears everywhere, and no other file names any."""

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import aiohttp
import msgspec
import pytest
from msgspec import Meta

from pyaiot import config
from pyaiot.accounts.devices import DeviceStore
from pyaiot.app import broker_parts, demo, protocols, services
from pyaiot.app.device_access import add_device, digest_of_password
from pyaiot.app.service_reload import check_protocols
from pyaiot.app.tls import ProcessTls
from pyaiot.broker.metrics import NODES
from pyaiot.cli.app import _modules_of, program
from pyaiot.client.address import BrokerAddress
from pyaiot.config import (
    BrokerSection,
    Config,
    HistorySection,
    ProtocolSection,
    RegistrySection,
    SettingFlag,
    TlsSection,
)
from pyaiot.devices.node_config import NodeConfig
from pyaiot.doctor import ports as doctor_ports
from pyaiot.doctor import trip
from pyaiot.doctor.doctor import examine
from pyaiot.errors import LinkLost
from pyaiot.fleet.config import fleet_settings
from pyaiot.fleet.ledger import ReadingSeries
from pyaiot.fleet.node import FleetRun, NodeFactory, VirtualNode
from pyaiot.gateways.base import new_gateway
from pyaiot.gateways.gateway import ConnectToBroker, Outcome
from pyaiot.gateways.plugin import (
    DemoNode,
    DeviceAccess,
    FleetNodes,
    ListenerPort,
    OpenGateway,
    Plugin,
    ProbeResult,
    SharedService,
    SimulatedNode,
    Snippet,
)
from scripts.reference import commands as commands_page
from scripts.reference import settings as settings_page

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pyaiot"


class CarrierPigeonSection(ProtocolSection, frozen=True, kw_only=True):
    """The pigeon gateway."""

    table: ClassVar[str] = "pigeon"
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of the pigeonry.")] = 1149
    state_file: Annotated[str, Meta(description="Where the pigeons live.")] = "pigeonry.db"
    silence_limit_s: Annotated[float, Meta(gt=0, description="Offline timeout.")] = 3600.0


class PigeonFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a fleet that concern pigeons."""

    pigeons: Annotated[int, Meta(ge=0, description="Nodes that send pigeons.")] = 0


class PigeonFactory(NodeFactory):
    def __init__(self, run: FleetRun) -> None:
        self._run = run

    @property
    def target(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, 1149, "pigeon"

    def add(self, uid: str, series: ReadingSeries) -> VirtualNode:
        raise NotImplementedError  # no test runs a fleet of pigeons


class NoDevices:
    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        raise LinkLost(f"{uid} has flown away with {resource} {payload} until {deadline}")


@asynccontextmanager
async def open_loft(_config: Config, _folder: Path | None) -> AsyncIterator[str]:
    yield "the loft"


LOFT = SharedService(open_loft, lambda _: "a loft alone")


async def open_gateway(config: Config, shared: object) -> OpenGateway:
    assert shared == "the loft"
    gateway = new_gateway("pigeon", "Pigeon", None, 10)

    async def check() -> str:
        return "the pigeonry is empty"

    async def run(connect: ConnectToBroker) -> None:
        await gateway.keep_linked(connect, NoDevices())

    return OpenGateway(
        command="pigeon-gateway",
        protocol="Pigeon",
        listener=f"roof {config.of(CarrierPigeonSection).port}",
        port=1149,
        check=check,
        collect=lambda: iter(()),
        gateway=gateway,
        run=run,
    )


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(CarrierPigeonSection)
    yield ListenerPort("Pigeon", "UDP", section.host, section.port, "--pigeon-port")


async def probe(_config: Config) -> Any:
    yield ProbeResult("pigeonry", "grain", ok=False, text="is missing", action="buy grain")


async def open_fleet(_settings: Any, run: Any) -> NodeFactory:
    return PigeonFactory(run)


def run_node(_config: NodeConfig, opened: Callable[[], None]) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        opened()
        await asyncio.Future()

    return run()


FLAG = SettingFlag(("--pigeon-port",), "pigeon.port")
PIGEON = Plugin(
    protocol="Pigeon",
    command="pigeon-gateway",
    help="Run the pigeon gateway (RFC 1149).",
    section=CarrierPigeonSection,
    flags=(FLAG,),
    run_flags=(FLAG,),
    open=open_gateway,
    ports=ports,
    offline_timeout="pigeon.silence_limit_s",
    has_tls=True,
    shared=LOFT,
    probe=probe,
    node=SimulatedNode(
        name="pigeon",
        help="Run a simulated pigeon.",
        config=lambda: NodeConfig,
        run=run_node,
        port_setting="board",
        peer=lambda _: "pigeons to the roof",
    ),
    demo=(DemoNode(99, "Homing pigeon", ("led", "temperature")),),
    fleet=FleetNodes("pigeons", lambda: PigeonFleetSettings, open_fleet),
    access=(
        DeviceAccess(
            name="pigeon",
            kind="ring",
            summary=lambda device: f"{device.uid} flies to {device.host}.",
            snippets=lambda device: [Snippet("shell", f"coo {device.secret}")],
            is_local_only=lambda _config: True,
        ),
    ),
)


@pytest.fixture
def pigeon() -> Iterator[None]:
    protocols.register(PIGEON)
    yield
    protocols.unregister(PIGEON)


def command_names() -> set[str]:
    return {command.name for command in commands_page.commands()}


def options_of(name: str) -> tuple[commands_page.Option, ...]:
    (command,) = (item for item in commands_page.commands() if item.name == name)
    return tuple(command.options)


def flags_of(name: str) -> set[str]:
    return {flag for option in options_of(name) for flag in option.names}


def flag_of(command: str, flag: str) -> commands_page.Option:
    (option,) = (option for option in options_of(command) if flag in option.names)
    return option


@pytest.mark.usefixtures("pigeon")
def test_a_further_protocol_has_commands_flags_and_settings() -> None:
    assert {"aiot pigeon-gateway", "aiot node pigeon"} <= command_names()
    for command in ("aiot pigeon-gateway", "aiot run", "aiot demo", "aiot doctor"):
        assert "--pigeon-port" in flags_of(command)
    assert {"--broker-host", "--key-file"} <= flags_of("aiot pigeon-gateway")
    assert "--pigeons" in flags_of("aiot fleet")
    assert "## `[pigeon]`" in settings_page.page()
    assert "`AIOT_PIGEON_PORT`" in settings_page.page()
    settings, origins = config.load(None, {"AIOT_PIGEON_PORT": "7"}, {})
    assert settings.of(CarrierPigeonSection).port == 7
    assert origins["pigeon.port"] == "AIOT_PIGEON_PORT"


@pytest.mark.usefixtures("pigeon")
def test_settings_of_all_protocols_are_those_of_a_further_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    check_protocols(RegistrySection(admission_of={"pigeon": "approve"}))
    broker_parts.gateway_access(Config(broker=BrokerSection(legacy_protocols=("pigeon",))), None)
    ProcessTls(TlsSection(listeners=("pigeon",)))
    offline_timeout = flag_of("aiot run", "--max-time")
    assert "pigeon.silence_limit_s" in offline_timeout.settings
    assert "Pigeon" in offline_timeout.help
    demo_settings = services._without_state_files(Config())
    assert demo_settings.of(CarrierPigeonSection).state_file == "off"
    assert trip._config().of(CarrierPigeonSection).port == 0
    assert _modules_of(["pigeon-gateway"]) == ("services",)


@pytest.mark.usefixtures("pigeon")
def test_a_further_protocol_is_in_demo_doctor_fleet_and_metrics() -> None:
    assert demo.demo_kinds()[-1] == (PIGEON, PIGEON.demo[0])
    assert trip.lamps()["Pigeon"] == "Homing pigeon"
    assert "Pigeon" in {finding.subject for finding in doctor_ports.check(Config())}
    assert fleet_settings(protocols.fleet_protocols())(pigeons=3).pigeons == 3  # type: ignore[call-arg, attr-defined]
    assert NODES.of(1, protocol="Pigeon").labels == ("Pigeon",)


@pytest.mark.usefixtures("pigeon")
@pytest.mark.sockets
async def test_the_doctor_runs_the_probe_of_a_further_protocol() -> None:
    found = await examine(
        Config(),
        BrokerAddress("127.0.0.1", 9, False),
        settings="",
        run_demo=None,
        finished=lambda _: None,
    )
    assert ("pigeonry", "grain", "wrong") in {(f.area, f.subject, f.verdict) for f in found}


@pytest.mark.sockets
@pytest.mark.usefixtures("pigeon")
async def test_a_further_protocol_is_run_and_watched_with_the_others() -> None:
    zero = tuple(
        msgspec.structs.replace(plugin.section(), port=0)
        for plugin in protocols.plugins()
        if plugin is not PIGEON and plugin.shared is None
    )
    lines: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    others = [plugin for plugin in protocols.plugins() if plugin.shared not in {None, LOFT}]
    for plugin in others:
        protocols.unregister(plugin)
    try:
        settings = Config(
            broker=BrokerSection(port=0), history=HistorySection(store="off"), protocols=zero
        )
        service = asyncio.ensure_future(services.run_all(settings, lines.set_result))
        either: set[asyncio.Future[Any]] = {service, lines}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        assert "Pigeon: roof 1149" in lines.result()
        found = re.search(r"http://\S+/", lines.result())
        assert found is not None
        async with aiohttp.ClientSession() as session, session.get(found[0] + "readyz") as answer:
            assert answer.status == 503
            parts = (await answer.json())["parts"]
            assert parts["pigeon-gateway"] == "the pigeonry is empty"
    finally:
        service.cancel()
        await asyncio.wait({service})
        for plugin in others:
            protocols.register(plugin)


@pytest.mark.usefixtures("pigeon")
def test_devices_of_a_further_protocol_get_credentials(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "homer", "pigeon", host="192.0.2.7", now=1.0)
    assert added.summary == "homer flies to 192.0.2.7."
    assert [it.text for it in added.snippets] == [f"coo {added.secret}"]
    store.refresh()
    (credential,) = store.credentials()
    assert (credential.kind, credential.secret) == ("ring", digest_of_password(added.secret))


@pytest.mark.usefixtures("pigeon")
def test_the_command_of_a_further_protocol_can_be_built() -> None:
    assert "pigeon-gateway" in program().commands


# -- names of protocols -------------------------------------------------------------------------

NAMED = re.compile(r"(?i)coap|oscore|edhoc|mqtt")
"""WebSocket is a transport too: clients and gateways speak it, so its name shows nothing."""
PLACES = re.compile(
    r"gateways/(coap|mqtt|mqttsn|websocket)/|protocols/(coap|oscore|edhoc|mqtt|mqttsn)/|mqtt/"
    r"|(devices|fleet)/\w*(coap|oscore|mqtt|mqttsn|websocket|topic)\w*\.py|app/protocols\.py"
    # Settings and units that the older system had.
    r"|config/python_file\.py|systemd/units\.py"
    # Mappings are of MQTT topics by definition.
    r"|app/topic_mappings\.py|cli/mappings\.py|web/api/mapping_operations\.py"
    # MQTT is one of the acronyms in labels.
    r"|model/names\.py"
    # Brokers of one machine connect to the server of its embedded MQTT broker.
    r"|app/workers\.py"
    # Foreign devices and Home Assistant speak MQTT, and nothing else.
    r"|devices/foreign/|homeassistant/|(app|doctor)/home_assistant\.py|config/homeassistant\.py"
)


def names_in(path: Path) -> Iterator[str]:
    """Identifiers, imports and texts of a module that name a protocol; docstrings may."""
    text = path.read_text("utf-8")
    if not NAMED.search(text):
        return  # to parse all modules takes long
    tree = ast.parse(text)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        texts: list[str] = []
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                texts = [name]
            case ast.keyword(arg=str(name)):
                texts = [name]
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                texts = [name]
            case ast.ImportFrom(module=module, names=names):
                texts = [module or "", *(f"{item.name} {item.asname}" for item in names)]
            case ast.Import(names=names):
                texts = [f"{item.name} {item.asname}" for item in names]
            case ast.Constant(value=str(value)) if id(node) not in docstrings:
                texts = [value]
        for found in texts:
            if NAMED.search(found):
                yield f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}: {found[:60]}"


def test_no_other_file_names_a_protocol() -> None:
    found = [
        line
        for path in sorted(SOURCE.rglob("*.py"))
        if not PLACES.match(path.relative_to(SOURCE).as_posix())
        for line in names_in(path)
    ]
    assert found == []


def test_every_folder_of_a_protocol_is_in_the_list() -> None:
    folders = {path.parent.name for path in (SOURCE / "gateways").glob("*/plugin.py")}
    assert folders == set(protocols.PROTOCOLS)
