# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a fleet. Command line and reference are generated from them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, cast, get_type_hints

import msgspec
from msgspec import Meta

from pyaiot.fleet.node import NodeKind

NODES_MAX: Final = 10_000
"""Virtual nodes of one protocol. More are refused; use another process."""

Port = Annotated[int, Meta(ge=1, le=65535)]
NodeCount = Annotated[int, Meta(ge=0, le=NODES_MAX)]


class FleetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Load of the virtual nodes, and addresses of the gateways and the broker.

    `fleet_settings` adds the settings of each protocol.
    """

    rate: Annotated[
        float,
        Meta(
            gt=0,
            le=20,
            description="Readings per second and node. Gateways accept at most 20, sustained.",
        ),
    ] = 2.0
    seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Duration of the run in seconds.")
    ] = 60.0
    commands_per_s: Annotated[
        float,
        Meta(
            ge=0,
            le=20,
            description="Commands per second, to all nodes in turn. The broker accepts at most 20"
            " from a client.",
        ),
    ] = 1.0
    grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Longest wait for outstanding readings and receipts after the last reading,"
            " in seconds.",
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
    broker_ssl: Annotated[bool, Meta(description="Use TLS to the broker (wss://).")] = False
    ca_file: Annotated[
        str,
        Meta(
            description="Certificates that are trusted for the broker (PEM); empty: those of the"
            " system."
        ),
    ] = ""
    login_link: Annotated[
        str,
        Meta(
            description="Sign-in link that the broker printed at its start, if it requires one. It"
            " works once."
        ),
    ] = ""


def fleet_settings(protocols: Mapping[str, NodeKind]) -> type[FleetConfig]:
    """All settings of a fleet: node counts first, then those of the protocols and the fleet."""
    counts: list[Any] = []
    others: list[Any] = []
    for kind in protocols.values():
        struct = kind.settings()
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            group = counts if field.name == kind.count else others
            group.append((field.name, hints[field.name], field.default))
    settings: Any = msgspec.defstruct(
        "FleetSettings", [*counts, *others], bases=(FleetConfig,), frozen=True, kw_only=True
    )
    return cast("type[FleetConfig]", settings)


def settings_of_kind(config: FleetConfig, kind: NodeKind) -> Any:
    """The settings of one protocol."""
    struct = kind.settings()
    return struct(**{name: getattr(config, name) for name in struct.__struct_fields__})
