# SPDX-License-Identifier: BSD-3-Clause
"""Every setting of every service, in sections: its name, type, default, limits and meaning."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pyaiot.config.brokers import KEY_FILE, ClientSection, GatewaySection, Port
from pyaiot.config.observability import LogSection, MetricsSection
from pyaiot.config.section import Section

SilenceLimitS = Annotated[
    float, Meta(gt=0, description="A node that was silent for so many seconds has left.")
]
NodesMax = Annotated[
    int, Meta(ge=1, le=100_000, description="Nodes held at once. One more is refused.")
]
GatewayName = Annotated[
    str, Meta(min_length=1, max_length=64, description="Name of this gateway on the page.")
]


class BrokerSection(Section, frozen=True, kw_only=True):
    """The broker and its web side."""

    host: Annotated[
        str,
        Meta(
            description="Address to listen on: `127.0.0.1` is loopback of IPv4 and IPv6, `::` every"
            " address of both. Beyond loopback, it needs `insecure` or `behind_proxy`."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="TCP port of page, clients and gateways; 0: any free one.")
    ] = 8000
    key_file: Annotated[
        str,
        Meta(description="Key file that gateways in processes of their own share with the broker."),
    ] = KEY_FILE
    flush_interval_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="Messages for clients are gathered for so many milliseconds when it is"
            " busy; 0 gathers those of one turn of the loop.",
        ),
    ] = 20.0
    title: Annotated[str, Meta(max_length=64, description="Title of the page.")] = "Pyaiot"
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names under which it may be reached; its addresses and localhost"
            " always may."
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins (https://name:port) of other sites whose pages may use it."),
    ] = ()
    insecure: Annotated[
        bool,
        Meta(
            description="Allow to listen beyond loopback without TLS: what is said there can be"
            " overheard. Who may come in opens a link that is printed at start."
        ),
    ] = False
    behind_proxy: Annotated[
        bool,
        Meta(
            description="A proxy in front speaks TLS to browsers, so that it may listen beyond"
            " loopback. Who may come in opens a link that is printed at start, on loopback too."
        ),
    ] = False
    anonymous: Annotated[
        Literal["none", "viewer"],
        Meta(
            description="Beyond loopback, what those who did not open the link may do: `none`"
            " nothing, `viewer` look on without commanding."
        ),
    ] = "none"


class CoapSection(Section, frozen=True, kw_only=True):
    """The CoAP gateway."""

    host: Annotated[
        str, Meta(description="Address to listen on; `::` lets in every device that reaches it.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="UDP port that nodes post to; 0: any free one.")] = 5683
    interface: Annotated[
        str, Meta(description="Listen on this network interface only, say `tap0`.")
    ] = ""
    poll_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Resources that a node does not notify of by itself are read again every"
            " so many seconds, somewhat spread; 0: only when the node appears.",
        ),
    ] = 0.0
    sleepy: Annotated[
        tuple[str, ...],
        Meta(
            description="Nodes that sleep (uids, or `*` for every one): a command waits, as long"
            " as its deadline is, until the node speaks next."
        ),
    ] = ()
    trace: Annotated[
        str,
        Meta(
            description="Write what is on the wire to this file (pcapng, for Wireshark), with"
            " names of nodes and what became of each request; empty: nothing."
        ),
    ] = ""
    trace_nodes: Annotated[
        tuple[str, ...], Meta(description="Write only what these nodes (uids) say and hear.")
    ] = ()
    trace_size_mb: Annotated[
        float,
        Meta(
            gt=0,
            le=10_000,
            description="Megabytes of one trace file. Then the next one is begun; the last three"
            " are kept as FILE.1 to FILE.3.",
        ),
    ] = 10.0
    silence_limit_s: SilenceLimitS = 120.0
    nodes_max: NodesMax = 100_000
    name: GatewayName = "coap"
    state_file: Annotated[
        str,
        Meta(
            description="File that remembers registrations of the resource directory over a"
            " restart; empty: `$XDG_STATE_HOME/pyaiot/NAME-PORT.db`, and none for port 0; `off`:"
            " none."
        ),
    ] = ""


class WebsocketSection(Section, frozen=True, kw_only=True):
    """The WebSocket gateway."""

    host: Annotated[
        str, Meta(description="Address to listen on; `::` lets in every device that reaches it.")
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="TCP port that nodes connect to, at `/node`; 0: any free one.")
    ] = 8001
    nodes_max: Annotated[
        int, Meta(ge=1, le=100_000, description="Connections at once. One more is refused.")
    ] = 10_000
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names under which it may be reached; its addresses and localhost"
            " always may."
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins (https://name:port) of sites whose pages may be nodes."),
    ] = ()
    name: GatewayName = "websocket"


class MqttSection(Section, frozen=True, kw_only=True):
    """The MQTT gateway, a client of an MQTT broker: of one that is named, or of one of ours."""

    host: Annotated[
        str,
        Meta(
            description="Host of the MQTT broker; empty: `aiot run` and `aiot demo` start one of"
            " their own, gateways by themselves look on this machine."
        ),
    ] = ""
    port: Annotated[
        Port, Meta(description="TCP port of the MQTT broker; 0: any free one, for one of our own.")
    ] = 1886
    listen: Annotated[
        str,
        Meta(
            description="Address that our own MQTT broker listens on; `::` lets in every device"
            " that reaches it."
        ),
    ] = "127.0.0.1"
    folder: Annotated[
        str,
        Meta(
            description="Where our own MQTT broker keeps what it has acknowledged; empty:"
            " `$XDG_DATA_HOME/pyaiot/mqtt`. The demo keeps nothing."
        ),
    ] = ""
    sync_always: Annotated[
        bool,
        Meta(
            description="Our own MQTT broker writes to the disk before it acknowledges: a tenth"
            " as fast, and proof against power cuts."
        ),
    ] = False
    user: Annotated[
        str, Meta(description="User name at the MQTT broker that is named; empty: without one.")
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `user`. Read again at each"
            " attempt to connect; only its owner may read it."
        ),
    ] = ""
    client_id: Annotated[
        str,
        Meta(
            max_length=23,
            description="Client id at the MQTT broker that is named, of this gateway alone: what"
            " nodes publish with QoS 1 while it is away is kept for it there; empty: any, and"
            " nothing is kept.",
        ),
    ] = ""
    tls: Annotated[bool, Meta(description="Speak TLS to the MQTT broker that is named.")] = False
    ca_file: Annotated[
        str, Meta(description="Authorities of the MQTT broker (PEM); empty: those of the system.")
    ] = ""
    certificate_file: Annotated[
        str, Meta(description="Certificate that the gateway shows the MQTT broker (PEM).")
    ] = ""
    certificate_key_file: Annotated[
        str, Meta(description="Its key (PEM); empty: in the file of the certificate.")
    ] = ""
    count_ignored: Annotated[
        bool,
        Meta(
            description="Count what is published under topics of no node, and show the last one. At"
            " an MQTT broker that is named this takes a second connection, which reads every topic"
            " with QoS 0 for as long as little is published."
        ),
    ] = True
    silence_limit_s: SilenceLimitS = 120.0
    nodes_max: NodesMax = 100_000
    name: GatewayName = "mqtt"


class MqttsnSection(Section, frozen=True, kw_only=True):
    """The MQTT-SN gateway, whose clients each get a connection to the MQTT broker of `[mqtt]`."""

    host: Annotated[
        str, Meta(description="Address to listen on; `::` lets in every device that reaches it.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="UDP port that clients speak to; 0: any free one.")] = (
        1885
    )
    gateway_id: Annotated[
        int, Meta(ge=0, le=255, description="What it is called in ADVERTISE and GWINFO.")
    ] = 1
    clients_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Clients that are connected or asleep. One more is refused.",
        ),
    ] = 10_000
    clients_per_host_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="The same of one host, which may be a router with many clients behind it."
            " One more is refused.",
        ),
    ] = 1_000
    topic_bytes_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_048_576,
            description="Bytes of the registered topics of one client, and as many of its topic"
            " filters. More are refused.",
        ),
    ] = 16_384
    state_file: Annotated[
        str,
        Meta(
            description="File that remembers the clients and their topics over a restart; empty:"
            " `$XDG_STATE_HOME/pyaiot/mqttsn-PORT.db`, and none for port 0; `off`: none."
        ),
    ] = ""
    topics_max: Annotated[
        int,
        Meta(ge=1, le=65_534, description="Registered topics of one client. One more is refused."),
    ] = 256
    messages_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Messages kept for one client, as while it sleeps. Beyond, the oldest"
            " goes, one of QoS 0 if there is one.",
        ),
    ] = 64
    packets_per_s: Annotated[
        float,
        Meta(
            ge=1,
            le=100_000,
            description="Packets of one client that are read in a second, sustained; twice as"
            " many at once. What is over is dropped.",
        ),
    ] = 200.0
    client_prefix: Annotated[
        str,
        Meta(
            max_length=32,
            pattern=r"^[^/+#\x00-\x1f]*$",
            description="Stands before the client id at the MQTT broker, so that no client of"
            " MQTT-SN takes the place of one of MQTT.",
        ),
    ] = "sn-"
    predefined: Annotated[
        dict[Annotated[int, Meta(ge=1, le=65_534)], Annotated[str, Meta(min_length=1)]],
        Meta(description="Predefined topic ids: a table of numbers and topics."),
    ] = msgspec.field(default_factory=dict)
    publish_without_connection: Annotated[
        bool,
        Meta(
            description="Serve QoS -1: anybody may publish to short and predefined topics, and"
            " nobody says who it was."
        ),
    ] = False
    advertise_address: Annotated[
        str,
        Meta(
            description="Broadcast or multicast address at which it tells of itself, say"
            " `255.255.255.255` or `ff02::1%eth0`; empty: it does not."
        ),
    ] = ""
    advertise_interval_s: Annotated[
        int, Meta(ge=1, le=65_535, description="Between two ADVERTISE.")
    ] = 900


class HistorySection(Section, frozen=True, kw_only=True):
    """What is kept of what nodes said."""

    store: Annotated[
        str,
        Meta(
            description="Where it is kept: the path of a file, a URL `postgresql://…`, or"
            " `off`. Empty:"
            " `~/.local/share/pyaiot/history.db` (`$XDG_DATA_HOME` counts); in the demo, a file"
            " that goes with it."
        ),
    ] = ""
    readings_days: Annotated[
        float,
        Meta(ge=0, le=36500, description="Days for which every reading is kept; 0: for ever."),
    ] = 30.0
    minutes_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which the least, mean, greatest and last number of each minute is"
            " kept, and for as long as readings are; 0: for ever.",
        ),
    ] = 365.0
    hours_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which the same of each hour is kept, and for as long as minutes"
            " are; 0: for ever.",
        ),
    ] = 3650.0
    events_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which it is kept who came and went, and who commanded what; 0:"
            " for ever.",
        ),
    ] = 365.0


class DashboardSection(Section, frozen=True, kw_only=True):
    """The page: how it looks, and where `aiot dashboard` serves it alone."""

    host: Annotated[str, Meta(description="Address that aiot dashboard listens on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port of aiot dashboard; 0: any free one.")] = 8080
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names under which it may be reached; its addresses and localhost"
            " always may."
        ),
    ] = ()
    broker_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Host of the broker, as browsers reach it; localhost: the host under which"
            " they opened the page.",
        ),
    ] = "localhost"
    broker_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[bool, Meta(description="Speak TLS to the broker (wss://).")] = False
    logo: Annotated[
        str, Meta(description="Picture beside the title: a file, or an address (https://…).")
    ] = ""
    favicon: Annotated[str, Meta(description="Picture of the browser's tab: file or address.")] = ""
    camera_url: Annotated[
        str, Meta(description="Address of the image of a camera that looks at the nodes.")
    ] = ""
    webcam_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts (name or name:port) whose images the page may show."),
    ] = ()
    tile_url: Annotated[
        str,
        Meta(
            description="Map tiles, as https://host/{z}/{x}/{y}.png. Empty: the outline of the land"
            " alone, without the internet."
        ),
    ] = ""
    floor_plan: Annotated[
        str, Meta(description="Picture that lies on the map: file or address.")
    ] = ""
    floor_plan_bounds: Annotated[
        str, Meta(description="Where it lies, in degrees: south,west,north,east.")
    ] = ""
    static_path: Annotated[
        str, Meta(description="Folder of a built page to serve in place of the packaged one.")
    ] = ""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. Sections are tables of the TOML file."""

    broker: BrokerSection = BrokerSection()
    coap: CoapSection = CoapSection()
    websocket: WebsocketSection = WebsocketSection()
    mqtt: MqttSection = MqttSection()
    mqttsn: MqttsnSection = MqttsnSection()
    gateway: GatewaySection = GatewaySection()
    client: ClientSection = ClientSection()
    history: HistorySection = HistorySection()
    dashboard: DashboardSection = DashboardSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
