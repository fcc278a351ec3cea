# SPDX-License-Identifier: BSD-3-Clause
"""Which flags each command has: names of flags, and the settings that they give a value."""

from typing import Final

from pyaiot.options import Flag

FILE_AND_LOG: Final = (
    Flag(("--debug",), "log.debug"),
    Flag(("--log-format",), "log.format"),
)
METRICS: Final = (
    Flag(("--metrics-host",), "metrics.host"),
    Flag(("--metrics-port",), "metrics.port"),
)
PAGE: Final = (
    Flag(("--title",), "broker.title"),
    Flag(("--logo",), "dashboard.logo"),
    Flag(("--favicon",), "dashboard.favicon"),
    Flag(("--camera-url",), "dashboard.camera_url"),
    Flag(("--webcam-host",), "dashboard.webcam_hosts"),
    Flag(("--tile-url",), "dashboard.tile_url"),
    Flag(("--floor-plan",), "dashboard.floor_plan"),
    Flag(("--floor-plan-bounds",), "dashboard.floor_plan_bounds"),
    Flag(("--static-path",), "dashboard.static_path"),
)
WEB: Final = (
    Flag(("--key-file",), "broker.key_file"),
    Flag(("--history",), "history.store"),
    Flag(("--flush-interval-ms",), "broker.flush_interval_ms"),
    *PAGE,
    Flag(("--allowed-host",), "broker.allowed_hosts"),
    Flag(("--allowed-origin",), "broker.allowed_origins"),
    Flag(("--insecure",), "broker.insecure"),
    Flag(("--behind-proxy",), "broker.behind_proxy"),
    Flag(("--anonymous",), "broker.anonymous"),
)
BROKER: Final = (
    Flag(("--host",), "broker.host"),
    Flag(("--web-port", "--broker-port", "--port"), "broker.port"),
    *WEB,
    *METRICS,
    *FILE_AND_LOG,
)
TO_BROKER: Final = (
    Flag(("--broker-host",), "gateway.broker_host"),
    Flag(("--broker-port",), "gateway.broker_port"),
    Flag(("--broker-ssl",), "gateway.broker_ssl"),
    Flag(("--key-file",), "gateway.key_file"),
)
COAP: Final = (
    *(Flag(("--coap-port",), "coap.port"), Flag(("--interface",), "coap.interface")),
    *(Flag(("--trace",), "coap.trace"), Flag(("--trace-node",), "coap.trace_nodes")),
)
COAP_GATEWAY: Final = (
    Flag(("--host",), "coap.host"),
    *COAP,
    Flag(("--max-time",), "coap.silence_limit_s"),
    Flag(("--name",), "coap.name"),
    *TO_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
WEBSOCKET: Final = (Flag(("--ws-port", "--gateway-port"), "websocket.port"),)
WEBSOCKET_GATEWAY: Final = (
    Flag(("--host",), "websocket.host"),
    *WEBSOCKET,
    Flag(("--allowed-host",), "websocket.allowed_hosts"),
    Flag(("--allowed-origin",), "websocket.allowed_origins"),
    Flag(("--name",), "websocket.name"),
    *TO_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
MQTT_BROKER: Final = (
    Flag(("--mqtt-host",), "mqtt.host"),
    Flag(("--mqtt-port",), "mqtt.port"),
)
MQTT_GATEWAY: Final = (
    *MQTT_BROKER,
    Flag(("--max-time",), "mqtt.silence_limit_s"),
    Flag(("--name",), "mqtt.name"),
    *TO_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
MQTTSN: Final = (Flag(("--mqttsn-port",), "mqttsn.port"),)
MQTTSN_GATEWAY: Final = (
    Flag(("--host",), "mqttsn.host"),
    *MQTTSN,
    *MQTT_BROKER,
    *METRICS,
    *FILE_AND_LOG,
)
DASHBOARD: Final = (
    Flag(("--host",), "dashboard.host"),
    Flag(("--web-port", "--port"), "dashboard.port"),
    Flag(("--allowed-host",), "dashboard.allowed_hosts"),
    Flag(("--broker-host",), "dashboard.broker_host"),
    Flag(("--broker-port",), "dashboard.broker_port"),
    Flag(("--broker-ssl",), "dashboard.broker_ssl"),
    *PAGE,
    *FILE_AND_LOG,
)
SILENCE: Final = Flag(
    ("--max-time",),
    "coap.silence_limit_s",
    also=("mqtt.silence_limit_s",),
    help="A node over CoAP, MQTT or MQTT-SN that was silent for so many seconds has left. One over"
    " WebSocket leaves with its connection.",
)
RUN: Final = (
    Flag(("--host",), "broker.host"),
    Flag(("--web-port", "--broker-port"), "broker.port"),
    Flag(("--coap-host",), "coap.host"),
    *COAP,
    SILENCE,
    Flag(("--ws-host",), "websocket.host"),
    *WEBSOCKET,
    *MQTT_BROKER,
    Flag(("--mqtt-listen",), "mqtt.listen"),
    Flag(("--mqttsn-host",), "mqttsn.host"),
    *MQTTSN,
    *WEB,
    *METRICS,
    *FILE_AND_LOG,
)
DOCTOR: Final = (
    *(flag for flag in RUN if flag.key != "broker.port"),
    Flag(("--web-port",), "broker.port"),
    Flag(("--broker-host",), "client.broker_host"),
    Flag(("--broker-port",), "client.broker_port"),
    Flag(("--broker-ssl",), "client.broker_ssl"),
)
