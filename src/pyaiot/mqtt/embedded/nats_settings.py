# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the embedded MQTT broker, and the settings file of its nats-server."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of
from pyaiot.mqtt.embedded.foreign_topics import foreign_permissions
from pyaiot.mqtt.embedded.machines import SHARES, MqttCluster
from pyaiot.mqtt.gmqtt_connection import PACKET_SIZE_MAX

STORE_MAX: Final = 1024 * 1024 * 1024
"""Bytes on disk that the embedded MQTT broker keeps for sessions with QoS 1. More is refused to its
clients."""
MEMORY_MAX: Final = 64 * 1024 * 1024
"""Bytes of the in-memory stores of nats-server. More is refused to its clients."""
SUBSCRIPTIONS_MAX: Final = 256
"""Subscriptions of one connection to the embedded MQTT broker. Further ones are
refused (SUBACK).
"""
HOME_ASSISTANT_SUBSCRIPTIONS_MAX: Final = 100_000
"""The same for Home Assistant, which has one for each entity."""
LAME_DUCK_S: Final = 30
"""Within which nats-server closes the connections of its clients when its parent process was killed
and not started again. It allows no less."""
ACKNOWLEDGED_WITHIN_S: Final = 7
"""The embedded MQTT broker sends a message with QoS 1 again that a client has not acknowledged for
this long, for example because its connection broke. More than the time after which a gateway that
hangs is disconnected: until then it may acknowledge."""
KEEP_IDLE_S: Final = 86_400
"""The embedded MQTT broker deletes a subscription with QoS 1 whose client was offline for this
long."""
HOME_STORE_MAX: Final = 64 * 1024 * 1024
"""Bytes on disk that the embedded MQTT broker stores for Home Assistant, mostly discovery messages.
More is not retained."""
HOME_MEMORY_MAX: Final = 4 * 1024 * 1024
"""Bytes of its in-memory stores for Home Assistant."""
LOGIN_LIMIT_S: Final = 10
"""How long a client may take to log in at the embedded MQTT broker. Then it is disconnected. When
many connect at once, the last of them wait for seconds."""

OPEN: Final = "OPEN"
"""The account of clients without a credential."""
SECURED: Final = "SECURED"
"""The account of devices with a user name and a password."""
HOME: Final = "HOME"
"""The account of Home Assistant. Nothing passes between the accounts. Limits of connections are
those of an account: nats-server ignores the ones of a user that `DeviceLogins` accepts."""
LOGIN_ACCOUNT: Final = "AUTH"
"""The account in which `DeviceLogins` decides."""
GATEWAY: Final = "pyaiot/gateway"
SECURED_GATEWAY: Final = "pyaiot/secured-gateway"
ENFORCER: Final = "pyaiot/enforcer"
SECURED_ENFORCER: Final = "pyaiot/secured-enforcer"
LOGINS: Final = "pyaiot/logins"
BROKERS: Final = "pyaiot/brokers"
"""The user of the workers of `aiot run`, in a separate account."""
HOME_ASSISTANT: Final = "pyaiot/homeassistant"
"""The user that publishes for Home Assistant."""
SYSTEM: Final = "pyaiot/system"
MQTTSN: Final = "pyaiot/mqttsn"
ANONYMOUS: Final = "pyaiot/anonymous"
"""The user of clients that send no user name."""
OWN_USERS: Final = (
    *(GATEWAY, SECURED_GATEWAY, ENFORCER, SECURED_ENFORCER, LOGINS, SYSTEM, MQTTSN, ANONYMOUS),
    *(HOME_ASSISTANT, BROKERS),
)
"""The users of Pyaiot itself, with random passwords. The name of a device has no slash."""

REPLICAS: Final = 3
"""Machines of a cluster that store a message before it is acknowledged."""
SHARE_LEVEL: Final = "share"
"""In a cluster, `node/<id>/<resource>` becomes `node/<id>/<resource>/share/<number>`: the gateway
that serves this share subscribes to it."""
PRESENCE_TOPIC: Final = "pyaiot/gateways"
"""The topic on which gateways of a cluster announce their presence. Devices may not use it."""
ROUTES_USER: Final = "pyaiot"
"""The user with which the nats-servers of a cluster authenticate to each other."""
STORE_LIMIT_S: Final = 2
"""Seconds after which a nats-server of a cluster closes the connection of an MQTT client, because
no leader of the store has answered: after a machine was lost, one is elected, and the request was
lost. The client sends it again when it has connected again."""
HANDSHAKE_LIMIT_S: Final = 10
"""Seconds for a TLS handshake with the embedded MQTT broker. Then the connection is closed."""


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """Where the embedded MQTT broker listens and what it stores."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 1886
    """0: any free port."""
    sync_always: bool = False
    """Write to the disk before each acknowledgement: slower, but safe against power cuts."""
    certificate_file: str = ""
    """Certificate for TLS (PEM); empty: no TLS."""
    key_file: str = ""
    anonymous: bool = True
    """Accept devices without user name and password."""
    foreign: bool = False
    """Let such devices use topics outside of `node/` and `gateway/`."""
    zigbee2mqtt_bases: tuple[str, ...] = ("zigbee2mqtt",)
    """Base topics of Zigbee2MQTT, which reads them as a whole."""
    discovery_prefixes: tuple[str, ...] = ("homeassistant",)
    """Of Home Assistant discovery."""
    brokers_port: int = 0
    """Where workers connect to each other, on loopback; 0: there are none."""
    brokers_password: str = field(default="", repr=False)
    cluster: MqttCluster | None = None
    """The machines with which it is one cluster; None: it is alone."""

    @property
    def store(self) -> Path:
        """Where nats-server stores its streams. It cannot use those of a server that was alone in
        a cluster."""
        return self.folder / ("jetstream" if self.cluster is None else "jetstream-cluster")


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of the users of Pyaiot itself, random for each start."""

    gateway: str = field(default_factory=_password, repr=False)
    """In both accounts."""
    enforcer: str = field(default_factory=_password, repr=False)
    """In both accounts."""
    mqttsn: str = field(default_factory=_password, repr=False)
    home_assistant: str = field(default_factory=_password, repr=False)
    logins: str = field(default_factory=_password, repr=False)
    system: str = field(default_factory=_password, repr=False)


def settings_text(
    config: EmbeddedConfig, passwords: Passwords, *, mqtt_host: str, mqtt_port: int, issuer: str
) -> str:
    """The settings file of nats-server. JSON strings are valid in it.

    Clients without a credential publish as nodes and subscribe to gateways; only the gateway sees
    everything. The filter `gateway/#` also matches `gateway` (MQTT 3.1.1 section 4.7.1.2). For all
    other clients nats-server asks `DeviceLogins`, whose answers are signed by `issuer`.
    """
    tls = ""
    if config.certificate_file:
        tls = (
            f"tls {{ cert_file: {json.dumps(config.certificate_file)},"
            f" key_file: {json.dumps(config.key_file)}, timeout: {HANDSHAKE_LIMIT_S} }}"
        )
    sync = "sync_interval: always" if config.sync_always else ""
    anonymous = f'no_auth_user: "{ANONYMOUS}"' if config.anonymous else ""
    brokers = ""
    if config.brokers_port:
        brokers = f"BROKERS {{ users = [ {_user(BROKERS, config.brokers_password)} ] }}"
    name, account, further, clustered, mapped = "pyaiot", LOGIN_ACCOUNT, "", "", ""
    replicas = 1
    if config.cluster is not None:
        # Its requests to log in are for the process of this machine.
        name, account = config.cluster.server_name, f"{LOGIN_ACCOUNT}-{config.cluster.own}"
        # Each server warns of accounts that it does not know.
        further = "\n  ".join(f'"{LOGIN_ACCOUNT}-{it}" {{}}' for it in config.cluster.others)
        clustered, mapped, replicas = _cluster(config.cluster), _MAPPED, REPLICAS
    of_nodes = 'permissions { publish: ["node.>"], subscribe: ["gateway", "gateway.>"] }'
    of_devices = of_nodes
    if config.foreign:
        of_devices = foreign_permissions(config.zigbee2mqtt_bases, config.discovery_prefixes)
    return f"""\
server_name: {json.dumps(name)}
host: "127.0.0.1"
port: {config.brokers_port or -1}
max_payload: {PACKET_SIZE_MAX}
max_subscriptions: {HOME_ASSISTANT_SUBSCRIPTIONS_MAX}
logtime: false
{clustered}
jetstream {{
  store_dir: {json.dumps(str(config.store))}
  max_memory_store: {MEMORY_MAX}
  max_file_store: {STORE_MAX}
  {sync}
}}
mqtt {{
  host: {json.dumps(mqtt_host)}
  port: {mqtt_port}
  {anonymous}
  ack_wait: "{ACKNOWLEDGED_WITHIN_S}s"
  consumer_inactive_threshold: "{KEEP_IDLE_S}s"
  {_OF_CLUSTER if clustered else ""}
  {tls}
}}
accounts {{
  SYS {{ users = [ {_user(SYSTEM, passwords.system)} ] }}
  {json.dumps(account)} {{ users = [ {_user(LOGINS, passwords.logins)} ] }}
  {further}
  {brokers}
  {OPEN} {{
    jetstream: enabled
    {mapped}
    limits {{ max_subscriptions: {SUBSCRIPTIONS_MAX} }}
    users = [
      {_user(GATEWAY, passwords.gateway)}
      {_user(ENFORCER, passwords.enforcer)}
      {_user(MQTTSN, passwords.mqttsn, of_nodes)}
      {_user(ANONYMOUS, _password(), of_devices)}
    ]
  }}
  {HOME} {{
    jetstream {{ max_memory: {replicas * HOME_MEMORY_MAX}, max_file: {replicas * HOME_STORE_MAX} }}
    users = [ {_user(HOME_ASSISTANT, passwords.home_assistant)} ]
  }}
  {SECURED} {{
    jetstream: enabled
    {mapped}
    limits {{ max_subscriptions: {SUBSCRIPTIONS_MAX} }}
    users = [
      {_user(SECURED_GATEWAY, passwords.gateway)}
      {_user(SECURED_ENFORCER, passwords.enforcer)}
    ]
  }}
}}
system_account: SYS
authorization {{
  timeout: {LOGIN_LIMIT_S}
  auth_callout {{
    issuer: {json.dumps(issuer)}
    account: {json.dumps(account)}
    auth_users: {json.dumps(OWN_USERS)}
  }}
}}
"""


_MAPPED: Final = (
    'mappings = { "node.*.*": "node.{{wildcard(1)}}.{{wildcard(2)}}.'
    f'{SHARE_LEVEL}.{{{{partition({SHARES},1)}}}}" }}'
)
"""Of an account: who publishes `node.<id>.<resource>` publishes on the topic of its share."""


_OF_CLUSTER: Final = f'stream_replicas: {REPLICAS}, js_api_timeout: "{STORE_LIMIT_S}s"'


def _cluster(cluster: MqttCluster) -> str:
    """The block of settings for the connections to the other machines.

    nats-server verifies the certificates of both sides, and their host names.
    """
    user = f"{ROUTES_USER}:{cluster.route_password}"
    routes = [f"nats://{user}@{machine}" for machine in cluster.others]
    tls = ""
    if cluster.certificate_file:
        tls = (
            f"tls {{ cert_file: {json.dumps(cluster.certificate_file)},"
            f" key_file: {json.dumps(cluster.key_file or cluster.certificate_file)},"
            f" ca_file: {json.dumps(cluster.ca_file)}, timeout: {HANDSHAKE_LIMIT_S} }}"
        )
    return f"""\
lame_duck_duration: "{LAME_DUCK_S}s"
lame_duck_grace_period: "1s"
cluster {{
  name: "pyaiot"
  host: {json.dumps(cluster.own.host)}
  port: {cluster.own.port}
  routes: {json.dumps(routes)}
  no_advertise: true
  ping_interval: "1s"
  ping_max: 2
  authorization {{ {_user_and_password(ROUTES_USER, cluster.route_password)} }}
  {tls}
}}"""


def move_store_of_before(folder: Path) -> None:
    """Keep what was acknowledged before clients without a credential had their own account.

    Raises `OperatorError`.
    """
    before, now = (folder / "jetstream" / "jetstream" / name for name in ("$G", OPEN))
    try:
        if before.is_dir() and not now.exists():
            before.rename(now)
    except OSError as error:
        raise OperatorError(
            f"The folder {before} cannot be renamed to {now.name}: {reason_of(error)}."
        ) from error


def _user(name: str, password: str, rest: str = "") -> str:
    return f"{{ {_user_and_password(name, password)}, {rest} }}"


def _user_and_password(name: str, password: str) -> str:
    return f"user: {json.dumps(name)}, password: {json.dumps(password)}"
