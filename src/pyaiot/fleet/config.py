# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a fleet. Its command line and its reference are made of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, cast, get_type_hints

import msgspec
from msgspec import Meta

from pyaiot.fleet.node import NodeKind

NODES_MAX: Final = 10_000
"""Virtual nodes of one protocol. More need another process."""

Port = Annotated[int, Meta(ge=1, le=65535)]


NodeCount = Annotated[int, Meta(ge=0, le=NODES_MAX)]


class FleetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the virtual nodes do, and where the gateways and the broker are.

    `fleet_settings` adds the settings of each protocol.
    """

    rate: Annotated[
        float,
        Meta(
            gt=0,
            le=20,
            description="Readings a second of each node. Gateways refuse more than 20, sustained.",
        ),
    ] = 2.0
    seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="How long readings are sent, in seconds.")
    ] = 60.0
    commands_per_s: Annotated[
        float,
        Meta(
            ge=0,
            le=20,
            description="Commands a second in all, to one node after the other. The broker allows"
            " a client 20.",
        ),
    ] = 1.0
    grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="After the last reading, wait at most so many seconds for what is under"
            " way.",
        ),
    ] = 15.0
    json: Annotated[bool, Meta(description="Print the result as JSON instead of the table.")] = (
        False
    )
    gateway_host: Annotated[
        str,
        Meta(min_length=1, description="Host of the gateways."),
    ] = "127.0.0.1"
    broker_host: Annotated[str, Meta(min_length=1, description="Host of the broker.")] = "127.0.0.1"
    broker_port: Annotated[Port, Meta(description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[bool, Meta(description="Speak TLS to the broker (wss://).")] = False
    login_link: Annotated[
        str,
        Meta(
            description="The link that the broker printed at its start, where it asks for one. It"
            " works once."
        ),
    ] = ""


def fleet_settings(protocols: Mapping[str, NodeKind]) -> type[FleetConfig]:
    """All settings of a fleet: the numbers of nodes first, then those of the fleet, then others."""
    counts: list[Any] = []
    others: list[Any] = []
    for kind in protocols.values():
        struct = kind.settings()
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            where = counts if field.name == kind.count else others
            where.append((field.name, hints[field.name], field.default))
    settings: Any = msgspec.defstruct(
        "FleetSettings", [*counts, *others], bases=(FleetConfig,), frozen=True, kw_only=True
    )
    return cast("type[FleetConfig]", settings)


def settings_of_kind(config: FleetConfig, kind: NodeKind) -> Any:
    """The settings of one protocol out of those of the fleet."""
    struct = kind.settings()
    return struct(**{name: getattr(config, name) for name in struct.__struct_fields__})
