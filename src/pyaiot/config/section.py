# SPDX-License-Identifier: BSD-3-Clause
"""What all sections of the settings are, and the settings that every gateway has."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
SilenceLimitS = Annotated[
    float, Meta(gt=0, description="A node that was silent for so many seconds has left.")
]
NodesMax = Annotated[
    int, Meta(ge=1, le=100_000, description="Nodes held at once. One more is refused.")
]
NodesPerHostMax = Annotated[
    int,
    Meta(
        ge=1,
        le=100_000,
        description="Nodes of one host (address), so that none takes the room of others. One more"
        " is refused. Raise it where many nodes are behind one router or proxy.",
    ),
]
NewNodesPerS = Annotated[
    float,
    Meta(
        gt=0,
        le=100_000,
        description="New nodes that are accepted each second, and ten times as many at once."
        " Above, they are refused until later, and nodes that are known are served first.",
    ),
]
GatewayName = Annotated[
    str, Meta(min_length=1, max_length=64, description="Name of this gateway on the page.")
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file."""


class ProtocolSection(Section, frozen=True, kw_only=True):
    """The table of a device protocol. Each protocol adds its own (`register`)."""

    table: ClassVar[str]
    """Name of the table, and first part of its environment variables."""
