# SPDX-License-Identifier: BSD-3-Clause
"""Settings of the connection to a broker: of gateways in their own processes, and of clients."""

from typing import Annotated, Final

from msgspec import Meta

from pyaiot.config.section import Port, Section

KEY_FILE: Final = "~/.pyaiot/keys"


class GatewaySection(Section, frozen=True, kw_only=True):
    """The connection of a gateway in a process of its own to the broker."""

    broker_host: Annotated[str, Meta(description="Host of the broker.")] = "localhost"
    broker_port: Annotated[Port, Meta(description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[
        bool, Meta(description="Use TLS for the connection to the broker (wss://).")
    ] = False
    key_file: Annotated[
        str, Meta(description="Key file that the gateway shares with the broker.")
    ] = KEY_FILE


class ClientSection(Section, frozen=True, kw_only=True):
    """The connection of `aiot nodes`, `aiot get` and the like to the broker."""

    broker_host: Annotated[str, Meta(min_length=1, description="Host of the broker.")] = "localhost"
    broker_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[bool, Meta(description="Use TLS for the connection to the broker.")] = (
        False
    )
