# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a simulated MQTT node. Command line and reference are generated from them."""

from typing import Annotated, Literal

from msgspec import Meta

from pyaiot.devices.node_config import NodeConfig


class MqttNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """A simulated MQTT node and the address of its MQTT broker."""

    dialect: Annotated[
        Literal["", "tasmota", "shelly", "zigbee2mqtt", "homie", "sparkplug", "homeassistant"],
        Meta(
            description="The dialect of a foreign device that the node speaks: `tasmota`, `shelly`,"
            " `zigbee2mqtt`, `homie`, `sparkplug` or `homeassistant`; empty: the topics of Pyaiot."
            " Such a device has thermometer, hygrometer, barometer, light meter and a switch"
            " (`led`)."
        ),
    ] = ""
    mqtt_host: Annotated[str, Meta(min_length=1, description="Host of the MQTT broker.")] = (
        "127.0.0.1"
    )
    mqtt_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the MQTT broker.")] = (
        1886
    )
    tls: Annotated[bool, Meta(description="Use TLS for the connection.")] = False
    ca_file: Annotated[
        str, Meta(description="Certificates that are trusted (PEM); empty: those of the system.")
    ] = ""
    user: Annotated[str, Meta(description="User name for the MQTT broker; empty: none.")] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `user`. Only its owner may have"
            " access to it."
        ),
    ] = ""
