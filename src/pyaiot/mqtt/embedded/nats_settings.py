# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the embedded MQTT broker, and the settings file of its nats-server. Pure."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyaiot.mqtt.gmqtt_connection import PACKET_SIZE_MAX

STORE_MAX: Final = 1024 * 1024 * 1024
"""Bytes on disk that the embedded MQTT broker keeps for sessions with QoS 1. More is refused to its
clients."""
MEMORY_MAX: Final = 64 * 1024 * 1024
"""Bytes of the in-memory stores of nats-server. More is refused to its clients."""
SUBSCRIPTIONS_MAX: Final = 256
"""Subscriptions of one connection to the embedded MQTT broker. One more closes the connection."""
ACKNOWLEDGED_WITHIN_S: Final = 7
"""The embedded MQTT broker sends a message with QoS 1 again that a client has not acknowledged for
this long, for example because its connection broke. More than the time after which a gateway that
hangs is disconnected: until then it may acknowledge."""
KEEP_IDLE_S: Final = 86_400
"""The embedded MQTT broker deletes a subscription with QoS 1 whose client was offline for this
long."""

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


def settings_text(
    config: EmbeddedConfig,
    *,
    mqtt_host: str,
    mqtt_port: int,
    gateway_password: str,
    enforcer_password: str,
    system_password: str,
) -> str:
    """The settings file of nats-server. JSON strings are valid in it.

    Devices connect without a name; they publish as nodes and subscribe to gateways. Only the
    gateway sees everything. The filter `gateway/#` also matches `gateway` (MQTT 3.1.1 section
    4.7.1.2).
    """
    tls = ""
    if config.certificate_file:
        tls = (
            f"tls {{ cert_file: {json.dumps(config.certificate_file)},"
            f" key_file: {json.dumps(config.key_file)}, timeout: {HANDSHAKE_LIMIT_S} }}"
        )
    sync = "sync_interval: always" if config.sync_always else ""
    return f"""\
server_name: "pyaiot"
host: "127.0.0.1"
port: -1
max_payload: {PACKET_SIZE_MAX}
max_subscriptions: {SUBSCRIPTIONS_MAX}
logtime: false
jetstream {{
  store_dir: {json.dumps(str(config.folder / "jetstream"))}
  max_memory_store: {MEMORY_MAX}
  max_file_store: {STORE_MAX}
  {sync}
}}
mqtt {{
  host: {json.dumps(mqtt_host)}
  port: {mqtt_port}
  no_auth_user: "device"
  ack_wait: "{ACKNOWLEDGED_WITHIN_S}s"
  consumer_inactive_threshold: "{KEEP_IDLE_S}s"
  {tls}
}}
accounts {{
  SYS {{ users = [ {{ user: "system", password: {json.dumps(system_password)} }} ] }}
}}
system_account: SYS
authorization {{
  users = [
    {{ user: "gateway", password: {json.dumps(gateway_password)} }}
    {{ user: "enforcer", password: {json.dumps(enforcer_password)} }}
    {{ user: "device", password: {json.dumps(secrets.token_urlsafe(24))}, permissions {{
      publish: ["node.>"], subscribe: ["gateway", "gateway.>"] }} }}
  ]
}}
"""
