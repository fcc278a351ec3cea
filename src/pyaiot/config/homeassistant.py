# SPDX-License-Identifier: BSD-3-Clause
"""The section of Home Assistant, which speaks MQTT."""

from typing import Annotated, Final

from msgspec import Meta

from pyaiot.config.section import Section

URL_FLAG_HELP: Final = (
    "Show all nodes in Home Assistant, over the MQTT broker that it uses: mqtt://HOST:PORT, or"
    " mqtts://HOST:PORT with TLS. Without a URL: the MQTT broker of this system."
)
"""Help of `--homeassistant`, which may have no value, unlike the setting."""


class HomeassistantSection(Section, frozen=True, kw_only=True):
    """What is published for Home Assistant."""

    url: Annotated[
        str,
        Meta(
            description="MQTT broker that Home Assistant uses: `on` for the one of this system,"
            " `mqtt://HOST:PORT`, or `mqtts://HOST:PORT` with TLS. Empty: nothing is published."
        ),
    ] = ""
    user: Annotated[
        str, Meta(description="User name at the MQTT broker of `url`; empty: none.")
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `user`. It is read at each"
            " connection attempt, and must be readable only by its owner."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(description="CA certificates for `mqtts://` (PEM); empty: those of the system."),
    ] = ""
    discovery_prefix: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
            max_length=64,
            description="Discovery prefix of the MQTT integration of Home Assistant.",
        ),
    ] = "homeassistant"
    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9-]{1,32}$",
            description="Name of this system in the ids and topics of its nodes: letters, digits"
            " and `-`. Systems that share an MQTT broker need different names.",
        ),
    ] = "pyaiot"
    tags: Annotated[
        tuple[str, ...],
        Meta(
            max_length=32,
            description="Only nodes with one of these tags are shown in Home Assistant. Empty: all"
            " nodes.",
        ),
    ] = ()
