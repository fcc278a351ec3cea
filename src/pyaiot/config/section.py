# SPDX-License-Identifier: BSD-3-Clause
"""Base classes of the sections, and the types of settings that several sections have."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
CaFile = Annotated[
    str,
    Meta(
        description="Certificates that are trusted (PEM), for a broker with a self-signed"
        " certificate or its own authority; empty: `AIOT_CA_FILE`, else those of the system."
    ),
]
AllowedHosts = Annotated[
    tuple[str, ...],
    Meta(
        description="Host names that are accepted in requests, besides its addresses and localhost."
    ),
]
TrustedProxyAddresses = Annotated[
    tuple[str, ...],
    Meta(
        description="Addresses and networks of reverse proxies, whose headers `X-Forwarded-For`,"
        " `-Proto` and `-Host` are used. Those of other senders are ignored."
    ),
]
OfflineTimeoutS = Annotated[
    float,
    Meta(
        gt=0,
        description="Offline timeout in seconds: a node that sends nothing for this long is"
        " offline.",
    ),
]
NodesMax = Annotated[
    int, Meta(ge=1, le=100_000, description="Maximum number of nodes. Further ones are refused.")
]
NodesPerHostMax = Annotated[
    int,
    Meta(
        ge=1,
        le=100_000,
        description="Maximum number of nodes of one host (address). Further ones are refused, so"
        " that one host cannot use up the places of others. Raise it where many nodes are behind"
        " one router or proxy.",
    ),
]
NewNodesPerS = Annotated[
    float,
    Meta(
        gt=0,
        le=100_000,
        description="Maximum rate of new nodes per second; the burst is ten times that. Further"
        " ones are refused until later; known nodes are served first.",
    ),
]
GatewayName = Annotated[
    str, Meta(min_length=1, max_length=64, description="Name of this gateway in the dashboard.")
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file."""


class ProtocolSection(Section, frozen=True, kw_only=True):
    """The section of a device protocol. Each protocol registers its own (`register`)."""

    table: ClassVar[str]
    """Name of the TOML table and prefix of the environment variables."""


class ClusterSection(Section, frozen=True, kw_only=True):
    """Several brokers that serve the same nodes, over NATS."""

    servers: Annotated[
        str,
        Meta(
            description="The nats-servers of the cluster:"
            " `nats://[USER:PASSWORD@]HOST[:PORT][,HOST…]`, or `tls://…`. The broker connects to"
            " one of them, and to the next one if that is lost. Empty: this broker is alone."
        ),
    ] = ""
    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9-]{1,32}$",
            description="Name of the cluster: letters, digits and `-`. Clusters that share"
            " nats-servers need different names.",
        ),
    ] = "main"
    broker: Annotated[
        str,
        Meta(
            max_length=64,
            description="Name of this broker in the cluster, for people; each has another. Empty:"
            " the name of its host, with its port.",
        ),
    ] = ""
    database: Annotated[
        str,
        Meta(
            description="Where the brokers of a cluster share accounts, the audit log and"
            " `Idempotency-Key`s: a URL `postgresql://…`. Empty: the database of the registry, or"
            " else of the history."
        ),
    ] = ""
    credentials_file: Annotated[
        str,
        Meta(
            description="File with the nkey seed of this broker at the nats-servers, or with a JWT"
            " and a seed (`.creds`). It is read at each connection attempt, and must be readable"
            " only by its owner."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(description="CA certificates of the nats-servers (PEM); empty: those of the system."),
    ] = ""

    @property
    def is_on(self) -> bool:
        """The broker is one of a cluster."""
        return bool(self.servers)

    @property
    def shares_files(self) -> bool:
        """All brokers are on this machine, and use the same files."""
        return False


BROKERS_USER: Final = "pyaiot/brokers"
"""The user of workers at the nats-server of the first one."""


class WorkersCluster(ClusterSection, frozen=True, kw_only=True):
    """The same for the worker processes of `aiot run`. No file has these fields."""

    worker: int = 1
    """Number of this process. The first worker starts the others."""
    nats_port: int = 0
    """Where the nats-server of the first worker listens for brokers, on loopback; 0: the workers
    use the nats-servers in the settings."""
    nats_password: str = ""
    spans_machines: bool = False
    """That nats-server is one of a cluster: there are brokers on other machines."""

    @property
    def shares_files(self) -> bool:
        return bool(self.nats_port) and not self.spans_machines
