# SPDX-License-Identifier: BSD-3-Clause
"""Which flags each command has: names of flags, and the settings that they give a value."""

from typing import Final

from pyaiot.cli.options import SettingFlag

FILE_AND_LOG: Final = (
    SettingFlag(("--debug",), "log.debug"),
    SettingFlag(("--log-format",), "log.format"),
)
METRICS: Final = (
    SettingFlag(("--metrics-host",), "metrics.host"),
    SettingFlag(("--metrics-port",), "metrics.port"),
)
PAGE: Final = (
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
    SettingFlag(("--history",), "history.store"),
    SettingFlag(("--flush-interval-ms",), "broker.flush_interval_ms"),
    *PAGE,
    SettingFlag(("--allowed-host",), "broker.allowed_hosts"),
    SettingFlag(("--allowed-origin",), "broker.allowed_origins"),
    SettingFlag(("--insecure",), "broker.insecure"),
    SettingFlag(("--behind-proxy",), "broker.behind_proxy"),
    SettingFlag(("--anonymous",), "broker.anonymous"),
)
BROKER: Final = (
    SettingFlag(("--host",), "broker.host"),
    SettingFlag(("--web-port", "--broker-port", "--port"), "broker.port"),
    *WEB,
    *METRICS,
    *FILE_AND_LOG,
)
TO_BROKER: Final = (
    SettingFlag(("--broker-host",), "gateway.broker_host"),
    SettingFlag(("--broker-port",), "gateway.broker_port"),
    SettingFlag(("--broker-ssl",), "gateway.broker_ssl"),
    SettingFlag(("--key-file",), "gateway.key_file"),
)
COAP: Final = (
    *(SettingFlag(("--coap-port",), "coap.port"), SettingFlag(("--interface",), "coap.interface")),
    *(SettingFlag(("--trace",), "coap.trace"), SettingFlag(("--trace-node",), "coap.trace_nodes")),
)
COAP_GATEWAY: Final = (
    SettingFlag(("--host",), "coap.host"),
    *COAP,
    SettingFlag(("--max-time",), "coap.silence_limit_s"),
    SettingFlag(("--name",), "coap.name"),
    *TO_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
WEBSOCKET: Final = (SettingFlag(("--ws-port", "--gateway-port"), "websocket.port"),)
WEBSOCKET_GATEWAY: Final = (
    SettingFlag(("--host",), "websocket.host"),
    *WEBSOCKET,
    SettingFlag(("--allowed-host",), "websocket.allowed_hosts"),
    SettingFlag(("--allowed-origin",), "websocket.allowed_origins"),
    SettingFlag(("--name",), "websocket.name"),
    *TO_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
MQTT_BROKER: Final = (
    SettingFlag(("--mqtt-host",), "mqtt.host"),
    SettingFlag(("--mqtt-port",), "mqtt.port"),
)
MQTT_GATEWAY: Final = (
    *MQTT_BROKER,
    SettingFlag(("--max-time",), "mqtt.silence_limit_s"),
    SettingFlag(("--name",), "mqtt.name"),
    *TO_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
MQTTSN: Final = (SettingFlag(("--mqttsn-port",), "mqttsn.port"),)
MQTTSN_GATEWAY: Final = (
    SettingFlag(("--host",), "mqttsn.host"),
    *MQTTSN,
    *MQTT_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
DASHBOARD: Final = (
    SettingFlag(("--host",), "dashboard.host"),
    SettingFlag(("--web-port", "--port"), "dashboard.port"),
    SettingFlag(("--allowed-host",), "dashboard.allowed_hosts"),
    SettingFlag(("--broker-host",), "dashboard.broker_host"),
    SettingFlag(("--broker-port",), "dashboard.broker_port"),
    SettingFlag(("--broker-ssl",), "dashboard.broker_ssl"),
    *PAGE,
    *FILE_AND_LOG,
)
SILENCE: Final = SettingFlag(
    ("--max-time",),
    "coap.silence_limit_s",
    also=("mqtt.silence_limit_s",),
    help="A node over CoAP, MQTT or MQTT-SN that was silent for so many seconds has left. One over"
    " WebSocket leaves with its connection.",
)
RUN: Final = (
    SettingFlag(("--host",), "broker.host"),
    SettingFlag(("--web-port", "--broker-port"), "broker.port"),
    SettingFlag(("--coap-host",), "coap.host"),
    *COAP,
    SILENCE,
    SettingFlag(("--ws-host",), "websocket.host"),
    *WEBSOCKET,
    *MQTT_BROKER,
    SettingFlag(("--mqtt-listen",), "mqtt.listen"),
    SettingFlag(("--mqttsn-host",), "mqttsn.host"),
    *MQTTSN,
    *WEB,
    *METRICS,
    *FILE_AND_LOG,
)
DOCTOR: Final = (
    *(flag for flag in RUN if flag.key != "broker.port"),
    SettingFlag(("--web-port",), "broker.port"),
    SettingFlag(("--broker-host",), "client.broker_host"),
    SettingFlag(("--broker-port",), "client.broker_port"),
    SettingFlag(("--broker-ssl",), "client.broker_ssl"),
)
