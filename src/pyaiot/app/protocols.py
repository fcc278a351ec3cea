# SPDX-License-Identifier: BSD-3-Clause
"""Opens each gateway as its section of the config says: one function for each protocol."""

import asyncio
import logging
import os
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from pyaiot.config import CoapSection, Config, MqttSection, data_folder, state_folder
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.gateway import CoapGateway
from pyaiot.gateways.coap.trace import Trace
from pyaiot.gateways.command_deadlines import COMMAND_S_MAX, CommandDeadlines
from pyaiot.gateways.gateway import Connect, Gateway
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.metrics import MQTT_BROKER_STARTS
from pyaiot.gateways.state_store import Kept
from pyaiot.gateways.websocket.gateway import WebSocketGateway
from pyaiot.metrics import Collector, Sample
from pyaiot.transport.addresses import is_loopback
from pyaiot.web.readiness import Check

if TYPE_CHECKING:
    # Who runs without MQTT pays nothing for it.
    from pyaiot.mqtt.client import MqttServer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenGateway:
    """A gateway whose door is open."""

    command: str
    """The command that runs it alone: `coap-gateway`."""
    protocol: str
    """What its nodes speak: `CoAP`."""
    door: str
    """Where they speak it, for people: `UDP port 5683`."""
    port: int
    check: Check
    """A round trip through its door. What is wrong, or nothing."""
    measure: Collector
    """What there is to measure of it."""
    gateway: Gateway | None
    """None: it has no link to the broker, because its nodes are those of another gateway."""
    run: Callable[[Connect], Coroutine[Any, Any, None]]
    """Serves until cancelled, and closes the door then."""


@dataclass(frozen=True, slots=True)
class MqttBroker:
    """An MQTT broker that gateways are clients of."""

    server: "MqttServer"
    """How the MQTT gateway reaches it: it hears every node."""
    embedded: bool
    """Of our own: on this machine, and devices need no name there."""

    starts: Callable[[], int] | None = None
    """How often our own was started."""
    problem: Callable[[], str] = lambda: ""
    """What is wrong with our own; empty if it carries QoS 1."""
    secret_prefix: str = ""
    """Of the client ids of MQTT-SN clients at our own, where devices choose theirs freely."""

    deadlines: CommandDeadlines = field(default_factory=CommandDeadlines)
    """Of the commands that the MQTT gateway of this process publishes there."""
    report_ignored: Callable[[Callable[[str], None]], None] | None = None
    """Has our own call this with each topic of no node on which a device publishes."""

    @property
    def for_devices(self) -> "MqttServer":
        """How those reach it that speak for one device."""
        return (
            replace(self.server, user="", password=None, client_id="", echo_topic="")
            if self.embedded
            else self.server
        )


class OpenMqttGateway(Protocol):
    """Opens a gateway that is a client of this MQTT broker."""

    async def __call__(self, config: Config, broker: MqttBroker) -> OpenGateway: ...


async def open_coap_gateway(config: Config) -> OpenGateway:
    section = config.coap
    gateway = _gateway(
        section.name,
        "CoAP",
        LiveNodes(silence_limit_s=section.silence_limit_s, nodes_max=section.nodes_max),
    )
    trace = _open_trace(section)
    try:
        coap = await CoapGateway.open(
            gateway,
            section.host,
            section.port,
            interface=section.interface,
            poll_s=section.poll_s,
            sleepy=section.sleepy,
            trace=trace,
            kept=_kept(section.state_file, section.name, section.port),
        )
    except BaseException:
        if trace is not None:
            trace.close()
        raise
    if not is_loopback(section.host):
        log.warning(
            "UDP port %d is open to the network: every device that reaches it can announce nodes"
            " and post readings",
            coap.port,
        )

    async def check() -> str:
        return "" if await coap.answers() else "does not answer on its UDP port"

    return OpenGateway(
        "coap-gateway",
        "CoAP",
        f"UDP port {coap.port}",
        coap.port,
        check,
        coap.measure,
        gateway,
        coap.run,
    )


async def open_websocket_gateway(config: Config) -> OpenGateway:
    section = config.websocket
    gateway = _gateway(
        section.name, "WebSocket", LiveNodes(silence_limit_s=None, nodes_max=section.nodes_max)
    )
    websocket = WebSocketGateway(
        gateway,
        connections_max=section.nodes_max,
        allowed_hosts=section.allowed_hosts,
        allowed_origins=section.allowed_origins,
    )
    await websocket.open(section.host, section.port)
    if not is_loopback(section.host):
        log.warning(
            "TCP port %d is open to the network: every device that reaches it can announce a node"
            " and send its readings",
            websocket.port,
        )

    async def check() -> str:
        return "" if await websocket.answers() else "does not answer on its TCP port"

    return OpenGateway(
        "ws-gateway",
        "WebSocket",
        f"TCP port {websocket.port}",
        websocket.port,
        check,
        websocket.measure,
        gateway,
        websocket.run,
    )


async def open_mqtt_gateway(config: Config, broker: MqttBroker) -> OpenGateway:
    from pyaiot.gateways.mqtt.gateway import MqttGateway  # noqa: PLC0415 - see above

    section, server = config.mqtt, broker.server
    gateway = _gateway(
        section.name,
        "MQTT",
        LiveNodes(silence_limit_s=section.silence_limit_s, nodes_max=section.nodes_max),
    )
    mqtt = MqttGateway(
        gateway,
        server,
        name=section.name,
        deadlines=broker.deadlines,
        observes=section.count_ignored and not broker.embedded,
    )
    if section.count_ignored and broker.report_ignored is not None:
        broker.report_ignored(gateway.ignore)

    async def check() -> str:
        answers = await mqtt.answers()
        problem = broker.problem()
        if problem:
            return f"the MQTT broker does not work: {problem}"
        return "" if answers else "the MQTT broker does not answer"

    def measure() -> Iterator[Sample]:
        yield from mqtt.measure()
        if broker.starts is not None:
            yield MQTT_BROKER_STARTS.of(broker.starts())

    door = "TCP" if broker.embedded else f"MQTT broker {server.host}"
    return OpenGateway(
        "mqtt-gateway",
        "MQTT",
        f"{door} port {server.port}",
        server.port,
        check,
        measure,
        gateway,
        mqtt.run,
    )


async def open_mqttsn_gateway(config: Config, broker: MqttBroker) -> OpenGateway:
    from pyaiot.gateways.mqttsn.endpoint import Endpoint  # noqa: PLC0415 - see above
    from pyaiot.gateways.mqttsn.gateway import MqttSnGateway  # noqa: PLC0415
    from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig  # noqa: PLC0415

    section = config.mqttsn
    what = GatewayConfig(
        gateway_id=section.gateway_id,
        clients_max=section.clients_max,
        clients_per_host_max=section.clients_per_host_max,
        # At a broker of our own, the deadlines of all commands of Pyaiot are known.
        command_s_max=None if broker.embedded else COMMAND_S_MAX,
        advertise_s=section.advertise_interval_s if section.advertise_address else None,
        publish_without_connection=section.publish_without_connection,
        session=SessionConfig(
            predefined=_topics(section.predefined),
            topics_max=section.topics_max,
            topic_bytes_max=section.topic_bytes_max,
            spaces_in_topics=not broker.embedded,
            messages_max=section.messages_max,
        ),
    )
    mqttsn = MqttSnGateway(
        Endpoint(section.host, section.port, section.advertise_address),
        broker.for_devices,
        what,
        packets_per_s=section.packets_per_s,
        client_prefix=broker.secret_prefix + section.client_prefix,
        kept=_kept(section.state_file, "mqttsn", section.port),
        deadlines=broker.deadlines,
    )
    if not is_loopback(section.host):
        log.warning(
            "UDP port %d is open to the network: every device that reaches it can publish at the"
            " MQTT broker, under any client id",
            mqttsn.port,
        )

    async def check() -> str:
        return "" if await mqttsn.answers() else "does not answer on its UDP port"

    async def run(_connect: Connect) -> None:
        await mqttsn.run()

    door = f"UDP port {mqttsn.port}"
    return OpenGateway(
        "mqttsn-gateway", "MQTT-SN", door, mqttsn.port, check, mqttsn.measure, None, run
    )


GATEWAYS: Final[Sequence[Callable[[Config], Awaitable[OpenGateway]]]] = (
    open_coap_gateway,
    open_websocket_gateway,
)
"""Those that `aiot run` and `aiot demo` start. A further protocol is one function more."""

MQTT_GATEWAYS: Final[Sequence[OpenMqttGateway]] = (open_mqtt_gateway, open_mqttsn_gateway)
"""Those that are clients of an MQTT broker, which is there before them."""


# -- the MQTT broker ----------------------------------------------------------------------------


@asynccontextmanager
async def mqtt_broker(config: Config, *, folder: Path | None = None) -> AsyncIterator[MqttBroker]:
    """The MQTT broker that is named, or one of our own while the block runs.

    It is our own if `config.mqtt.host` is empty. `folder`: what it keeps, instead of the setting.
    Raises `OperatorError`.
    """
    section = config.mqtt
    if section.host:
        yield named_mqtt_broker(section)
        return
    from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig  # noqa: PLC0415

    meant_for_others = [name for name in _OF_A_NAMED_BROKER if getattr(section, name)]
    if meant_for_others:
        raise OperatorError(
            f"mqtt.{meant_for_others[0]} is for an MQTT broker that is named: say with --mqtt-host"
            " where it is (localhost, if on this machine)."
        )
    embedded = EmbeddedConfig(
        folder or _path(section.folder or str(data_folder(os.environ) / "mqtt")),
        section.listen,
        section.port,
        sync_always=section.sync_always,
    )
    async with EmbeddedBroker.running(embedded) as broker:
        if not is_loopback(section.listen):
            log.warning(
                "TCP port %d is open to the network: every device that reaches it can announce"
                " nodes over MQTT and publish their readings",
                broker.port,
            )

        def report_ignored(report: Callable[[str], None]) -> None:
            broker.report_ignored = report

        yield MqttBroker(
            broker.server,
            embedded=True,
            starts=lambda: broker.starts,
            problem=lambda: broker.problem,
            secret_prefix=broker.mqttsn_prefix,
            report_ignored=report_ignored,
        )


_OF_A_NAMED_BROKER: Final = ("user", "client_id", "tls", "ca_file", "certificate_file")


def named_mqtt_broker(section: MqttSection) -> MqttBroker:
    """Where a broker of somebody else is, on this machine if it has no name.

    Raises `OperatorError` for what cannot be used of the settings.
    """
    from pyaiot.mqtt.client import MqttServer  # noqa: PLC0415
    from pyaiot.mqtt.credentials import read_password, tls_context  # noqa: PLC0415

    if not section.port:
        raise OperatorError("mqtt.port 0 is for an MQTT broker of our own: say --mqtt-port.")
    password = None
    if section.password_file:
        path = _path(section.password_file)
        # What is wrong with it now, the operator is told; what is later, the log.
        read_password(path)

        def password() -> str:
            return read_password(path)

    tls = None
    if section.tls:
        tls = tls_context(
            ca_file=section.ca_file,
            certificate_file=section.certificate_file,
            key_file=section.certificate_key_file,
        )
    server = MqttServer(
        section.host or "localhost", section.port, section.user, password, tls, section.client_id
    )
    return MqttBroker(server, embedded=False)


def _topics(predefined: Mapping[int, str]) -> Mapping[int, str]:
    """Raises `OperatorError` for what is no topic."""
    from pyaiot.protocols.mqttsn.topics import is_topic  # noqa: PLC0415

    for number, topic in predefined.items():
        if not is_topic(topic):
            raise OperatorError(f"mqttsn.predefined: {number} = {topic!r} is no topic.")
    return predefined


def _open_trace(section: CoapSection) -> Trace | None:
    if not section.trace:
        return None
    return Trace(
        _path(section.trace),
        size_max=round(section.trace_size_mb * 1e6),
        nodes=section.trace_nodes,
        unix_time=time.time,
    )


def _kept(setting: str, name: str, port: int) -> Kept:
    """The state file of a gateway; without one, where nobody finds its port again."""
    if setting == "off" or (not setting and not port):
        return Kept()
    if setting:
        return Kept(_path(setting))
    safe = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)
    return Kept(state_folder(os.environ) / f"{safe}-{port}.db")


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _gateway(name: str, protocol: str, nodes: LiveNodes) -> Gateway:
    return Gateway(
        name=name,
        protocol=protocol,
        nodes=nodes,
        loop=asyncio.get_running_loop(),
        unix_time=time.time,
    )
