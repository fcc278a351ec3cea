# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the MQTT gateway."""

from typing import Annotated, ClassVar, Final, Literal, TypeAlias, get_args

from msgspec import Meta

from pyaiot.config.section import (
    GatewayName,
    NewNodesPerS,
    NodesMax,
    OfflineTimeoutS,
    Port,
    ProtocolSection,
)
from pyaiot.gateways.mqtt.base_topics import DEFAULT_TOPICS, BaseTopics
from pyaiot.model.topic_mapping import TopicMapping

PASSWORD_KIND: Final = "mqtt"  # noqa: S105 - not a password
"""The kind of the credential of a device with user name and password at the embedded broker."""


DialectName: TypeAlias = Literal[
    "tasmota", "zigbee2mqtt", "shelly", "shelly-rpc", "homie", "sparkplug", "homeassistant"
]
DIALECT_NAMES: Final[tuple[DialectName, ...]] = get_args(DialectName)


class MqttSection(ProtocolSection, frozen=True, kw_only=True):
    """The MQTT gateway, a client of an MQTT broker: a named one, or the embedded one."""

    table: ClassVar[str] = "mqtt"

    host: Annotated[
        str,
        Meta(
            description="Host of the MQTT broker; empty: `aiot run` and `aiot demo` start the"
            " embedded one, `aiot mqtt-gateway` uses localhost."
        ),
    ] = ""
    port: Annotated[
        Port, Meta(description="TCP port of the MQTT broker; 0: any free port, if embedded.")
    ] = 1886
    listen: Annotated[
        str,
        Meta(
            description="Address that the embedded MQTT broker listens on; `::` accepts devices"
            " from the whole network."
        ),
    ] = "127.0.0.1"
    folder: Annotated[
        str,
        Meta(
            description="Folder in which the embedded MQTT broker stores acknowledged messages;"
            " empty: `$XDG_DATA_HOME/pyaiot/mqtt`. The demo uses a temporary folder."
        ),
    ] = ""
    cluster: Annotated[
        str,
        Meta(
            description="The machines whose embedded MQTT brokers are one cluster, this one"
            " included: `HOST[:PORT],…`, three to seven. Devices may connect to any of them. Empty:"
            " this one is alone."
        ),
    ] = ""
    cluster_listen: Annotated[
        str,
        Meta(
            description="This machine in `mqtt.cluster`, whose MQTT broker listens there for the"
            " others, on TCP port 6222 if no other is set."
        ),
    ] = ""
    cluster_secret_file: Annotated[
        str,
        Meta(
            description="File whose first line is a secret of all machines of `mqtt.cluster`. It"
            " must be readable only by its owner."
        ),
    ] = ""
    cluster_certificate_file: Annotated[
        str,
        Meta(
            description="Certificate of this machine for the connections of `mqtt.cluster` (PEM),"
            " which names its host. Needed beyond loopback."
        ),
    ] = ""
    cluster_certificate_key_file: Annotated[
        str, Meta(description="Its private key (PEM); empty: in the same file.")
    ] = ""
    cluster_ca_file: Annotated[
        str,
        Meta(description="Certificate authority of the certificates of all these machines (PEM)."),
    ] = ""
    sync_always: Annotated[
        bool,
        Meta(
            description="The embedded MQTT broker writes to the disk before it acknowledges. No"
            " message is lost in a power failure, at a tenth of the speed."
        ),
    ] = False
    anonymous: Annotated[
        Literal["auto", "yes", "no"],
        Meta(
            description="Whether devices without user name and password may use the embedded MQTT"
            " broker; `auto`: if new MQTT nodes are admitted without approval."
        ),
    ] = "auto"
    user: Annotated[str, Meta(description="User name at the named MQTT broker; empty: none.")] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `user`. It is read at each"
            " connection attempt, and must be readable only by its owner."
        ),
    ] = ""
    client_id: Annotated[
        str,
        Meta(
            max_length=23,
            description="Client id at the named MQTT broker, unique to this gateway. The MQTT"
            " broker then queues messages with QoS 1 while the gateway is not connected; empty:"
            " a random one, and nothing is queued.",
        ),
    ] = ""
    tls: Annotated[
        bool, Meta(description="Use TLS for the connection to the named MQTT broker.")
    ] = False
    ca_file: Annotated[
        str,
        Meta(description="CA certificates for the MQTT broker (PEM); empty: those of the system."),
    ] = ""
    certificate_file: Annotated[
        str, Meta(description="Client certificate for the MQTT broker (PEM).")
    ] = ""
    certificate_key_file: Annotated[
        str, Meta(description="Private key of the certificate (PEM); empty: in the same file.")
    ] = ""
    count_ignored: Annotated[
        bool,
        Meta(
            description="Count messages on topics that belong to no node, and show the last topic."
            " At a named MQTT broker this needs a second connection, which subscribes to all topics"
            " with QoS 0 while the message rate is low."
        ),
    ] = True
    dialects: Annotated[
        tuple[DialectName, ...],
        Meta(
            description="Dialects of foreign devices that are understood, besides the topics"
            " `node/…`; an empty list: none. At the embedded MQTT broker, devices without a user"
            " name may then publish on any topic but those of commands."
        ),
    ] = DIALECT_NAMES
    tasmota_full_topics: Annotated[
        tuple[str, ...],
        Meta(
            description="Each `FullTopic` of Tasmota devices whose native discovery is off, with"
            " `%prefix%` and `%topic%` as levels. Discovery states that of other devices."
        ),
    ] = DEFAULT_TOPICS.tasmota
    zigbee2mqtt_base_topics: Annotated[
        tuple[str, ...], Meta(description="`base_topic` of each Zigbee2MQTT.")
    ] = DEFAULT_TOPICS.zigbee2mqtt
    homie_base_topics: Annotated[
        tuple[str, ...],
        Meta(description="Base topics of Homie devices."),
    ] = DEFAULT_TOPICS.homie
    sparkplug_groups: Annotated[
        tuple[str, ...],
        Meta(description="Group ids of Sparkplug B whose edge nodes become nodes; empty: all."),
    ] = DEFAULT_TOPICS.sparkplug
    homeassistant_prefixes: Annotated[
        tuple[str, ...],
        Meta(description="Discovery prefixes of devices with Home Assistant discovery."),
    ] = DEFAULT_TOPICS.homeassistant
    mapping: Annotated[
        tuple[TopicMapping, ...],
        Meta(
            description="Plain topics that become nodes: tables `[[mqtt.mapping]]` in the settings"
            " file, see [plain topics](../how-to/plain-topics.md)."
        ),
    ] = ()
    silence_limit_s: OfflineTimeoutS = 120.0
    nodes_max: NodesMax = 100_000
    new_nodes_per_s: NewNodesPerS = 500.0
    name: GatewayName = "mqtt"

    @property
    def base_topics(self) -> BaseTopics:
        """Where the topics of the dialects begin."""
        return BaseTopics(
            self.tasmota_full_topics,
            self.zigbee2mqtt_base_topics,
            self.homie_base_topics,
            self.sparkplug_groups,
            self.homeassistant_prefixes,
        )
