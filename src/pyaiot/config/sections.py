# SPDX-License-Identifier: BSD-3-Clause
"""All sections of the settings except those of device protocols and of Home Assistant."""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.config.section import AllowedHosts, CaFile, Port, Section, TrustedProxyAddresses

KEY_FILE: Final = "~/.pyaiot/keys"

AdmissionPolicy: TypeAlias = Literal["open", "approve", "known"]


class BrokerSection(Section, frozen=True, kw_only=True):
    """The broker and its web side."""

    host: Annotated[
        str,
        Meta(
            description="Address to listen on: `127.0.0.1` is loopback of IPv4 and IPv6, `::` is"
            " every address of both. Beyond loopback it needs TLS, `insecure` or `behind_proxy`."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="TCP port for dashboard, clients and gateways; 0: any free port.")
    ] = 8000
    key_file: Annotated[
        str,
        Meta(
            description="Key file that gateways in separate processes share with the broker."
            " `off`: each gateway needs its own token (aiot gateway add)."
        ),
    ] = KEY_FILE
    legacy_protocols: Annotated[
        tuple[str, ...],
        Meta(
            description="Protocols whose nodes gateways with the key file may report. Empty: all."
        ),
    ] = ()
    flush_interval_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="Milliseconds for which a busy broker batches messages to clients; 0: only"
            " those of one iteration of the event loop.",
        ),
    ] = 20.0
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Processes of aiot run that serve clients, all at the same port. More than"
            " one need PostgreSQL for history and registry, or `off`.",
        ),
    ] = 1
    title: Annotated[str, Meta(max_length=64, description="Title of the dashboard.")] = "Pyaiot"
    allowed_hosts: AllowedHosts = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins (https://name:port) of other sites whose pages may use the broker."
        ),
    ] = ()
    insecure: Annotated[
        bool,
        Meta(
            description="Allow listening beyond loopback without TLS. The traffic can be read on"
            " the network. Users sign in with a link that is printed at start."
        ),
    ] = False
    behind_proxy: Annotated[
        bool,
        Meta(
            description="A proxy in front of the broker provides TLS, which allows listening beyond"
            " loopback. Users sign in with a link that is printed at start, also on loopback."
        ),
    ] = False
    trusted_proxies: TrustedProxyAddresses = ()
    """Implies `behind_proxy`."""
    anonymous: Annotated[
        Literal["none", "viewer"],
        Meta(
            description="Access without sign-in, where sign-in is required: `none`, or `viewer`,"
            " which may see everything and send no commands."
        ),
    ] = "none"


class HistorySection(Section, frozen=True, kw_only=True):
    """The history of readings, events and commands."""

    store: Annotated[
        str,
        Meta(
            description="Where the history is stored: the path of a file, a URL `postgresql://…`,"
            " or `off`. Empty: `$XDG_DATA_HOME/pyaiot/history.db`, by default in"
            " `~/.local/share`; in the demo, a temporary file."
        ),
    ] = ""
    readings_days: Annotated[
        float,
        Meta(ge=0, le=36500, description="Days for which every reading is kept; 0: no limit."),
    ] = 30.0
    minutes_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which the minimum, mean, maximum and last value of each minute"
            " are kept, at least as long as readings; 0: no limit.",
        ),
    ] = 365.0
    hours_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which the same values of each hour are kept, at least as long as"
            " those of minutes; 0: no limit.",
        ),
    ] = 3650.0
    events_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which events and commands are kept; 0: no limit.",
        ),
    ] = 365.0
    free_mb: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Megabytes that stay free on the disk of the history. With less, recording"
            " pauses until a quarter more is free. 0: until the disk is full.",
        ),
    ] = 100


class RegistrySection(Section, frozen=True, kw_only=True):
    """The registry of nodes: what is stored of them, and which new ones are admitted."""

    store: Annotated[
        str,
        Meta(
            description="Where the registry is stored: the path of a file, a URL `postgresql://…`,"
            " or `off`. Empty: the database of the history if that is PostgreSQL, else"
            " `$XDG_DATA_HOME/pyaiot/registry.db`, by default in `~/.local/share`; in the demo, a"
            " temporary file."
        ),
    ] = ""
    admission: Annotated[
        AdmissionPolicy,
        Meta(
            description="What happens to a node that is not registered: `open` accepts it,"
            " `approve` shows it to operators and waits until one accepts it, `known` refuses it."
        ),
    ] = "open"
    admission_of: Annotated[
        dict[str, AdmissionPolicy],
        Meta(description="The same for the nodes of some protocols, by the name of the protocol."),
    ] = msgspec.field(default_factory=dict)
    offline_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Offline nodes without edits that are remembered. Beyond that, the one that"
            " has been offline for longest is forgotten; half of them may be of one gateway.",
        ),
    ] = 100_000


class AuditSection(Section, frozen=True, kw_only=True):
    """The audit log: who did what to which node."""

    folder: Annotated[
        str,
        Meta(
            description="Folder of the audit log, or `off`. Empty: `$XDG_DATA_HOME/pyaiot/audit`,"
            " by default in `~/.local/share`; in the demo, a temporary folder."
        ),
    ] = ""
    days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which entries are kept, or up to seven days longer; 0: no limit.",
        ),
    ] = 365.0
    megabytes: Annotated[
        int,
        Meta(
            ge=3,
            le=100_000,
            description="Megabytes of the audit log. A third each is for changes, for commands and"
            " for connections and refused attempts. Beyond that, the oldest entries are removed.",
        ),
    ] = 100


class AlertsSection(Section, frozen=True, kw_only=True):
    """Alerts: rules over readings and states, and who is notified."""

    file: Annotated[
        str,
        Meta(
            description="TOML file with channels of notifications and rules, which the dashboard"
            " shows and does not edit. Empty: none. SIGHUP reads it again."
        ),
    ] = ""


class DashboardSection(Section, frozen=True, kw_only=True):
    """The appearance of the dashboard, and the server of `aiot dashboard`."""

    host: Annotated[str, Meta(description="Address that aiot dashboard listens on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port of aiot dashboard; 0: any free port.")] = 8080
    allowed_hosts: AllowedHosts = ()
    broker_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Host at which browsers reach the broker; localhost: the host in the URL"
            " of the dashboard. Or the brokers of a cluster, `HOST[:PORT]` separated by commas: the"
            " dashboard connects to the next one if one does not answer.",
        ),
    ] = "localhost"
    broker_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[
        bool, Meta(description="Use TLS for the connection to the broker (wss://).")
    ] = False
    logo: Annotated[
        str, Meta(description="Image beside the title: the path of a file, or a URL (https://…).")
    ] = ""
    favicon: Annotated[str, Meta(description="Icon of the browser tab: a path or a URL.")] = ""
    camera_url: Annotated[
        str, Meta(description="URL of the image of a camera that shows the nodes.")
    ] = ""
    webcam_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts (name or name:port) whose images the dashboard may show."),
    ] = ()
    tile_url: Annotated[
        str,
        Meta(
            description="URL of map tiles, such as https://host/{z}/{x}/{y}.png. Empty: only"
            " outlines of countries are drawn, which needs no internet access."
        ),
    ] = ""
    floor_plan: Annotated[str, Meta(description="Image on the map: a path or a URL.")] = ""
    floor_plan_bounds: Annotated[
        str, Meta(description="Bounds of the floor plan in degrees: south,west,north,east.")
    ] = ""
    static_path: Annotated[
        str, Meta(description="Folder of a built dashboard, instead of the packaged one.")
    ] = ""


class GatewaySection(Section, frozen=True, kw_only=True):
    """The connection of a gateway in a separate process to the broker."""

    broker_host: Annotated[
        str,
        Meta(
            description="Host of the broker; or the brokers of a cluster, `HOST[:PORT]` separated"
            " by commas: the gateway connects to the next one if the link is lost."
        ),
    ] = "localhost"
    broker_port: Annotated[Port, Meta(description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[
        bool, Meta(description="Use TLS for the connection to the broker (wss://).")
    ] = False
    ca_file: CaFile = ""
    key_file: Annotated[
        str, Meta(description="Key file that the gateway shares with the broker.")
    ] = KEY_FILE
    token_file: Annotated[
        str,
        Meta(
            description="File with the token of this gateway, which replaces the key file. The"
            " variable `AIOT_GATEWAY_TOKEN` may have the token itself instead."
        ),
    ] = ""


class DevicesSection(Section, frozen=True, kw_only=True):
    """The credentials of devices, which gateways check."""

    file: Annotated[
        str,
        Meta(
            description="File with the credentials that `aiot device` makes; empty:"
            " `$XDG_DATA_HOME/pyaiot/devices.db`, by default in `~/.local/share`; `off`: none, as"
            " in the demo."
        ),
    ] = ""


class ClientSection(Section, frozen=True, kw_only=True):
    """The connection of client commands such as `aiot nodes` and `aiot get` to the broker."""

    broker_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Host of the broker; or the brokers of a cluster, `HOST[:PORT]` separated"
            " by commas: the next one is used if one does not answer.",
        ),
    ] = "localhost"
    broker_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[bool, Meta(description="Use TLS for the connection to the broker.")] = (
        False
    )
    ca_file: CaFile = ""


class MetricsSection(Section, frozen=True, kw_only=True):
    """A separate listener for metrics, next to `/metrics` at the port of the broker."""

    host: Annotated[
        str,
        Meta(
            description="Address of the metrics listener. Anybody who can reach it can read the"
            " metrics."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=-1,
            le=65535,
            description="TCP port of a separate metrics listener without sign-in; -1: none, 0: any"
            " free port.",
        ),
    ] = -1
    allowed_hosts: AllowedHosts = ()


class MdnsSection(Section, frozen=True, kw_only=True):
    """Announcements on the local network: mDNS and DNS-SD."""

    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9-]{0,63}$",
            description="Listeners that the network reaches are announced as `NAME.local`. Empty:"
            " the name of this machine; `off`: nothing is announced.",
        ),
    ] = ""


class TlsSection(Section, frozen=True, kw_only=True):
    """TLS of the TCP listeners."""

    cert_file: Annotated[
        str,
        Meta(
            description="Certificate (PEM), with those of its authorities after it. Empty: no TLS."
            " Certificate and key are read again on SIGHUP."
        ),
    ] = ""
    key_file: Annotated[
        str,
        Meta(
            description="Private key of the certificate (PEM); empty: in the same file. Other users"
            " must not be able to read it."
        ),
    ] = ""
    listeners: Annotated[
        tuple[str, ...],
        Meta(
            description="Listeners that require TLS: `web` (also that of aiot dashboard),"
            " `metrics`, and those of device protocols by the name of their section. Empty: all TCP"
            " listeners."
        ),
    ] = ()

    def covers(self, listener: str) -> bool:
        """Whether this listener requires TLS."""
        return bool(self.cert_file) and (not self.listeners or listener in self.listeners)


class LogSection(Section, frozen=True, kw_only=True):
    """The log, on standard error."""

    debug: Annotated[bool, Meta(description="Log debug messages.")] = False
    format: Annotated[
        Literal["text", "json"],
        Meta(description="`text`: lines of text; `json`: one JSON object per line."),
    ] = "text"
