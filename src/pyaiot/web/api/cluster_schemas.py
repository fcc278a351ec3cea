# SPDX-License-Identifier: BSD-3-Clause
"""The types of the response of `/api/cluster`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pyaiot.web.api.schemas import schema_name

_OfAll = Annotated[
    int | None,
    Meta(description="Their number; null for a client whose scope is not all nodes."),
]


@schema_name("ClusterPeer")
class PeerInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Another broker of the cluster."""

    name: Annotated[str, Meta(description="Its name, for people.")]
    address: Annotated[
        str, Meta(description="Its URL; empty if unknown, and for clients that are not admins.")
    ]
    version: Annotated[str, Meta(description="Its version of Pyaiot.")]
    state: Annotated[
        Literal["joining", "online", "lost", "incompatible"],
        Meta(
            description="`joining`: its nodes are not all known yet. `lost`: it sends nothing. A"
            " broker that stays lost is not listed any more. `incompatible`: its version is too"
            " old or too new, and nothing is exchanged with it."
        ),
    ]
    silent_s: Annotated[float, Meta(description="Seconds since its last packet.")]
    lag_s: Annotated[
        float, Meta(description="Seconds since its state was last known to be complete here.")
    ]
    ahead_s: Annotated[
        float,
        Meta(
            description="Seconds by which its clock is ahead of that of this broker; negative if"
            " it is behind. 0: they differ by 10 s at most."
        ),
    ]
    nodes: _OfAll
    gateways: _OfAll
    clients: _OfAll
    readings: _OfAll


@schema_name("EmbeddedBroker")
class EmbeddedBrokerInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A machine of a cluster of MQTT brokers."""

    address: Annotated[
        str,
        Meta(description="Its address in the settings; empty for clients that are not admins."),
    ]
    state: Annotated[
        Literal["this one", "online", "lost"],
        Meta(description="`lost`: its gateway sends nothing, and others serve its nodes."),
    ]
    shares: Annotated[
        int, Meta(description="How many of the twelve shares of the nodes its gateway serves.")
    ]


@schema_name("Cluster")
class ClusterInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The cluster of this broker."""

    in_cluster: Annotated[
        bool,
        Meta(description="False: this broker is not in a cluster, and the other fields are empty."),
    ]
    name: Annotated[str, Meta(description="The name of this broker.")] = ""
    version: Annotated[str, Meta(description="Its version of Pyaiot.")] = ""
    nodes: _OfAll = None
    gateways: _OfAll = None
    connected: Annotated[
        bool, Meta(description="Whether it is connected to a nats-server of the cluster.")
    ] = False
    problem: Annotated[
        str,
        Meta(description="Why it is not; empty if it is, and for clients that are not admins."),
    ] = ""
    queued_bytes: Annotated[
        int, Meta(description="Bytes that wait to be sent to the nats-server.")
    ] = 0
    peers: Annotated[list[PeerInfo], Meta(description="The other brokers, by name.")] = []
    embedded_brokers: Annotated[
        list[EmbeddedBrokerInfo],
        Meta(
            description="The machines whose embedded brokers are one cluster, as the gateway"
            " of this broker sees them; empty if its embedded broker is alone."
        ),
    ] = []
