# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add --protocol mqttsn` prints: MQTT-SN 1.2 has no credentials."""

from collections.abc import Iterator

from pyaiot.config import Config
from pyaiot.gateways.mqttsn.settings import MqttsnSection
from pyaiot.gateways.plugin import NewDevice, Snippet
from pyaiot.transport.addresses import is_loopback


def summary(device: NewDevice) -> str:
    section = device.config.of(MqttsnSection)
    return (
        f"MQTT-SN 1.2 has no credentials: every device that reaches UDP port {section.port} of"
        f" {device.host} can claim to be {device.uid}. No credential was made."
        " Use another protocol where that matters."
    )


def snippets(device: NewDevice) -> Iterator[Snippet]:
    port = device.config.of(MqttsnSection).port
    yield Snippet(
        "riot",
        f"""\
# The Makefile of an application with emcute (USEMODULE += emcute):
CFLAGS += -DEMCUTE_ID=\\"{device.uid}\\"
# In its shell, or the same with emcute_con():
con {device.host} {port}
""",
    )


def is_local_only(config: Config) -> bool:
    return is_loopback(config.of(MqttsnSection).host)
