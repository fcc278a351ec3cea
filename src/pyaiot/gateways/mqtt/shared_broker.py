# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT broker that the gateways connect to: a named one, or the embedded one."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import msgspec

from pyaiot.accounts.devices import DeviceStore
from pyaiot.config import Config, WorkersCluster, data_folder
from pyaiot.errors import OperatorError
from pyaiot.gateways.base import device_store, warn_if_open
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.mqtt.dialect_access import FOREIGN_KINDS
from pyaiot.gateways.mqtt.settings import PASSWORD_KIND, MqttSection
from pyaiot.gateways.mqtt.shares import ShareAccess
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.credentials import read_password, tls_context
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.foreign_topics import DeviceRights
from pyaiot.mqtt.embedded.machines import MqttCluster, check_machines, read_machines
from pyaiot.transport.tls import ServerTls

log = logging.getLogger(__name__)

_ONLY_NAMED: Final = ("user", "client_id", "tls", "ca_file", "certificate_file")
"""Settings that only a named MQTT broker has."""


class SecuredDevices(msgspec.Struct, frozen=True):
    """The devices with a user name and password at the embedded MQTT broker."""

    server: MqttServer
    """Address and credentials of the MQTT gateway among these devices."""
    disconnect: Callable[[Sequence[str]], None]
    """Closes the connections of devices whose credentials were removed."""
    refused: Callable[[], int]
    """Number of clients that were refused or disconnected."""
    before_login: Callable[[Callable[[], Awaitable[None]]], None] = lambda _wait: None
    """Registers a function that is awaited before a device is admitted: from then on, the gateway
    receives its messages."""


class SharedMqttBroker(msgspec.Struct, frozen=True):
    """The MQTT broker that the gateways of a process connect to."""

    server: MqttServer
    """Address and credentials of the MQTT gateway, which may use the topics of every node."""
    embedded: bool
    """Whether it is the embedded MQTT broker, which needs no user name."""
    accepts_foreign: bool = False
    """Whether it is embedded and permits devices without a user name to publish on foreign
    topics."""
    starts: Callable[[], int] | None = None
    """The number of starts of the embedded MQTT broker."""
    problem: Callable[[], str] = lambda: ""
    """Why the embedded MQTT broker does not deliver QoS 1; empty if it does."""
    secret_prefix: str = ""
    """Prefix of the client ids of MQTT-SN clients at the embedded MQTT broker. It prevents that
    devices, which choose their client ids, take over those of MQTT-SN clients."""
    deadlines: CommandDeadlines = msgspec.field(default_factory=CommandDeadlines)
    """Deadlines of the commands that the MQTT gateway of this process publishes."""
    reload_tls: Callable[[], None] = lambda: None
    """Make the embedded MQTT broker read its certificate again. Raises `OperatorError`."""
    report_ignored: Callable[[Callable[[str], None]], None] | None = None
    """Registers a function that is called with each topic outside `node/` that is published to."""
    report_refused: Callable[[Callable[[str], None]], None] | None = None
    """Registers a function that is called with each refused client, and the reason."""
    refused_messages: list[Callable[..., None]] = msgspec.field(default_factory=list)
    """Functions that are called with a log text for each refused message of an MQTT-SN client. Its
    node belongs to the MQTT gateway, which shows the text."""
    mqttsn_server: MqttServer | None = None
    """Address and credentials for connections on behalf of MQTT-SN clients, if it is embedded."""
    home_assistant: MqttServer | None = None
    """Address and credentials of the client that publishes for Home Assistant, if it is
    embedded."""
    secured: SecuredDevices | None = None
    """Devices with a user name and password; None: the MQTT broker is not embedded."""

    shares: ShareAccess | None = None
    """It is one of a cluster, and the gateways of all machines share the nodes."""

    @property
    def for_devices(self) -> MqttServer:
        """Address and credentials for connections on behalf of one device."""
        return self.mqttsn_server or self.server


@asynccontextmanager
async def open_mqtt_broker(config: Config, folder: Path | None) -> AsyncIterator[SharedMqttBroker]:
    """The named MQTT broker, or, if `mqtt.host` is empty, the embedded one while the block runs.

    `folder`: the folder of the embedded one, instead of the setting. Raises `OperatorError`.
    """
    section = config.of(MqttSection)
    if section.host:
        if isinstance(config.cluster, WorkersCluster) and config.cluster.nats_port:
            raise OperatorError(
                "Workers connect to each other over the embedded MQTT broker, which --mqtt-host"
                " replaces: also set --cluster to a nats-server, nats://HOST."
            )
        if section.cluster:
            raise OperatorError(
                "The machines of --mqtt-cluster run the embedded MQTT broker, which --mqtt-host"
                " replaces: omit one of them."
            )
        yield named_mqtt_broker(section)
        return
    cluster = cluster_of(section)
    misplaced = [name for name in _ONLY_NAMED if getattr(section, name)]
    if misplaced:
        raise OperatorError(
            f"mqtt.{misplaced[0]} needs a named MQTT broker: set --mqtt-host (localhost, if it"
            " runs on this machine)."
        )
    tls = None
    if config.tls.covers("mqtt"):
        tls = ServerTls(config.tls.cert_file, config.tls.key_file)
    embedded = EmbeddedConfig(
        folder or _folder(section),
        section.listen,
        section.port,
        sync_always=section.sync_always,
        certificate_file=str(tls.certificate_path.absolute()) if tls else "",
        key_file=str(tls.key_path.absolute()) if tls else "",
        anonymous=accepts_anonymous(config),
        foreign=bool(section.dialects or section.mapping),
        zigbee2mqtt_bases=section.zigbee2mqtt_base_topics,
        discovery_prefixes=section.homeassistant_prefixes,
        cluster=cluster,
        **_for_workers(config),
    )
    with closing(device_store(config)) as store:
        async with EmbeddedBroker.running(embedded, partial(_is_password, store)) as broker:
            if embedded.anonymous:
                warn_if_open(
                    log,
                    section.listen,
                    f"TCP port {broker.port}",
                    "can announce nodes over MQTT and publish their readings",
                )
            yield SharedMqttBroker(
                broker.server,
                embedded=True,
                accepts_foreign=embedded.anonymous and embedded.foreign,
                starts=lambda: broker.starts,
                problem=lambda: broker.problem,
                secret_prefix=broker.mqttsn_prefix,
                reload_tls=broker.reload_tls,
                report_ignored=broker.on_ignored,
                report_refused=broker.on_refused,
                mqttsn_server=broker.mqttsn_server,
                home_assistant=broker.home_assistant_server,
                secured=SecuredDevices(
                    broker.secured_server,
                    broker.disconnect,
                    lambda: broker.refused_logins,
                    broker.before_login,
                ),
                shares=None if cluster is None else _shares(cluster),
            )


def cluster_of(section: MqttSection) -> MqttCluster | None:
    """The machines with which the embedded MQTT broker is one cluster; None: it is alone.

    Raises `OperatorError`.
    """
    if not section.cluster:
        return None
    machines, own = read_machines(section.cluster, section.cluster_listen)
    secret = section.cluster_secret_file
    cluster = MqttCluster(
        machines,
        own,
        read_password(Path(secret).expanduser()) if secret else "",
        *map(
            _absolute,
            (
                section.cluster_certificate_file,
                section.cluster_certificate_key_file,
                section.cluster_ca_file,
            ),
        ),
    )
    check_machines(cluster)
    return cluster


def _shares(cluster: MqttCluster) -> ShareAccess:
    gateways = tuple(map(str, cluster.machines))
    return ShareAccess(str(cluster.own), gateways, cluster.share_ids, cluster.group)


def _absolute(file: str) -> str:
    return str(Path(file).expanduser().absolute()) if file else ""


def _for_workers(config: Config) -> dict[str, Any]:
    cluster = config.cluster
    if not isinstance(cluster, WorkersCluster):
        return {}
    return {"brokers_port": cluster.nats_port, "brokers_password": cluster.nats_password}


def accepts_anonymous(config: Config) -> bool:
    """Whether devices without user name and password may use the embedded MQTT broker. If nodes are
    approved one by one, such a device could take the uid of an approved node."""
    section = config.of(MqttSection)
    if section.anonymous != "auto":
        return section.anonymous == "yes"
    of_protocol = {name.lower(): rule for name, rule in config.registry.admission_of.items()}
    return of_protocol.get("mqtt", config.registry.admission) == "open"


def _is_password(store: DeviceStore, uid: str, password: str) -> bool | DeviceRights:
    try:
        store.refresh()
    except OperatorError as error:
        log.debug(
            "the credentials of devices are unchanged: %s", error
        )  # the gateway logs it as an error
    digest = sha256(password.encode(errors="replace")).digest()
    for kind in (PASSWORD_KIND, *FOREIGN_KINDS):
        credential = store.credential(uid, kind)
        if credential is not None and compare_digest(credential.secret, digest):
            return kind == PASSWORD_KIND or FOREIGN_KINDS[kind].rights(uid)
    return False


def _folder(section: MqttSection) -> Path:
    return Path(section.folder or data_folder(os.environ) / "mqtt").expanduser()


def named_mqtt_broker(section: MqttSection) -> SharedMqttBroker:
    """The MQTT broker at `mqtt.host`, or at localhost if that is empty.

    Raises `OperatorError` for invalid settings.
    """
    if not section.port:
        raise OperatorError(
            "mqtt.port 0 is only for the embedded MQTT broker: set a port with --mqtt-port."
        )
    password = None
    if section.password_file:
        path = Path(section.password_file).expanduser()
        # Errors that exist now are reported to the operator; later ones go to the log.
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
    return SharedMqttBroker(server, embedded=False)


def broker_of_one_gateway(config: Config) -> SharedMqttBroker:
    """The named MQTT broker, for a gateway in a separate process. Raises `OperatorError`."""
    return named_mqtt_broker(config.of(MqttSection))
