# SPDX-License-Identifier: BSD-3-Clause
"""The flags of each command, and the settings that they set."""

from collections.abc import Iterator
from typing import Final

from pyaiot.app.protocols import plugins
from pyaiot.config import SettingFlag
from pyaiot.config.homeassistant import URL_FLAG_HELP
from pyaiot.gateways.plugin import Plugin

LOG: Final = (
    SettingFlag(("--debug",), "log.debug"),
    SettingFlag(("--log-format",), "log.format"),
)
METRICS: Final = (
    SettingFlag(("--metrics-host",), "metrics.host"),
    SettingFlag(("--metrics-port",), "metrics.port"),
)
MDNS: Final = (SettingFlag(("--mdns",), "mdns.name"),)
TLS: Final = (
    SettingFlag(("--tls-cert",), "tls.cert_file"),
    SettingFlag(("--tls-key",), "tls.key_file"),
    SettingFlag(("--tls-listener",), "tls.listeners"),
)
APPEARANCE: Final = (
    SettingFlag(("--title",), "broker.title"),
    SettingFlag(("--logo",), "dashboard.logo"),
    SettingFlag(("--favicon",), "dashboard.favicon"),
    SettingFlag(("--camera-url",), "dashboard.camera_url"),
    SettingFlag(("--webcam-host",), "dashboard.webcam_hosts"),
    SettingFlag(("--tile-url",), "dashboard.tile_url"),
    SettingFlag(("--floor-plan",), "dashboard.floor_plan"),
    SettingFlag(("--floor-plan-bounds",), "dashboard.floor_plan_bounds"),
    SettingFlag(("--static-path",), "dashboard.static_path"),
)
WEB: Final = (
    SettingFlag(("--key-file",), "broker.key_file"),
    SettingFlag(("--legacy-protocol",), "broker.legacy_protocols"),
    SettingFlag(("--history",), "history.store"),
    SettingFlag(("--registry",), "registry.store"),
    SettingFlag(("--admission",), "registry.admission"),
    SettingFlag(("--alerts",), "alerts.file"),
    SettingFlag(("--flush-interval-ms",), "broker.flush_interval_ms"),
    *APPEARANCE,
    SettingFlag(("--allowed-host",), "broker.allowed_hosts"),
    SettingFlag(("--allowed-origin",), "broker.allowed_origins"),
    SettingFlag(("--insecure",), "broker.insecure"),
    SettingFlag(("--behind-proxy",), "broker.behind_proxy"),
    SettingFlag(("--trusted-proxy",), "broker.trusted_proxies"),
    SettingFlag(("--anonymous",), "broker.anonymous"),
)
HOMEASSISTANT: Final = (
    SettingFlag(
        ("--homeassistant",),
        "homeassistant.url",
        help=URL_FLAG_HELP,
    ),
    SettingFlag(("--homeassistant-tag",), "homeassistant.tags"),
)
CLUSTER: Final = (
    SettingFlag(
        ("--cluster",),
        "cluster.servers",
        help="Serve the nodes together with other brokers, over these nats-servers:"
        " `nats://HOST:PORT`, separated by commas.",
    ),
    SettingFlag(("--cluster-name",), "cluster.name"),
    SettingFlag(("--cluster-broker",), "cluster.broker"),
    SettingFlag(("--cluster-database",), "cluster.database"),
    SettingFlag(("--cluster-credentials",), "cluster.credentials_file"),
    SettingFlag(("--cluster-ca",), "cluster.ca_file"),
)
BROKER: Final = (
    SettingFlag(("--host",), "broker.host"),
    SettingFlag(("--web-port", "--broker-port", "--port"), "broker.port"),
    *WEB,
    *HOMEASSISTANT,
    *MDNS,
    *CLUSTER,
    *TLS,
    *METRICS,
    *LOG,
)
TO_BROKER: Final = (
    SettingFlag(("--broker-host",), "gateway.broker_host"),
    SettingFlag(("--broker-port",), "gateway.broker_port"),
    SettingFlag(("--broker-ssl",), "gateway.broker_ssl"),
    SettingFlag(("--ca-file",), "gateway.ca_file"),
    SettingFlag(("--key-file",), "gateway.key_file"),
    SettingFlag(("--token-file",), "gateway.token_file"),
)
DASHBOARD: Final = (
    SettingFlag(("--host",), "dashboard.host"),
    SettingFlag(("--web-port", "--port"), "dashboard.port"),
    SettingFlag(("--allowed-host",), "dashboard.allowed_hosts"),
    SettingFlag(("--broker-host",), "dashboard.broker_host"),
    SettingFlag(("--broker-port",), "dashboard.broker_port"),
    SettingFlag(("--broker-ssl",), "dashboard.broker_ssl"),
    *APPEARANCE,
    *TLS,
    *LOG,
)


def gateway_flags(plugin: Plugin) -> tuple[SettingFlag, ...]:
    """The flags of the command that runs the gateway of a protocol alone."""
    link = TO_BROKER if plugin.has_link else ()
    return (*plugin.flags, *link, *MDNS, *TLS, *METRICS, *LOG)


def run_flags() -> tuple[SettingFlag, ...]:
    """The flags of `aiot run` and `aiot demo`."""
    return (
        SettingFlag(("--host",), "broker.host"),
        SettingFlag(("--web-port", "--broker-port"), "broker.port"),
        SettingFlag(("--workers",), "broker.workers"),
        *(flag for plugin in plugins() for flag in plugin.run_flags),
        *_offline_timeouts(),
        *WEB,
        *HOMEASSISTANT,
        *MDNS,
        *CLUSTER,
        *TLS,
        *METRICS,
        *LOG,
    )


def _offline_timeouts() -> Iterator[SettingFlag]:
    """One flag for the offline timeouts of all protocols that have one."""
    keys = [plugin.offline_timeout for plugin in plugins() if plugin.offline_timeout]
    names = " or ".join(plugin.protocol for plugin in plugins() if plugin.offline_timeout)
    if keys:
        yield SettingFlag(
            ("--max-time",),
            keys[0],
            also=tuple(keys[1:]),
            help=f"Offline timeout in seconds: a node over {names} that sends nothing for this long"
            " is offline.",
        )


def doctor_flags() -> tuple[SettingFlag, ...]:
    """The flags of `aiot doctor`: those of `aiot run`, and the address of a running broker."""
    return (
        *(flag for flag in run_flags() if flag.key != "broker.port"),
        SettingFlag(("--web-port",), "broker.port"),
        SettingFlag(("--broker-host",), "client.broker_host"),
        SettingFlag(("--broker-port",), "client.broker_port"),
        SettingFlag(("--broker-ssl",), "client.broker_ssl"),
        SettingFlag(("--ca-file",), "client.ca_file"),
    )
