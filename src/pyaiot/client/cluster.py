# SPDX-License-Identifier: BSD-3-Clause
"""The brokers of a cluster, over the HTTP API of one of them."""

from typing import Final, Literal

import msgspec

from pyaiot.client.address import path
from pyaiot.client.api import HttpApi


class PeerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Another broker."""

    name: str
    address: str = ""
    """Its URL; empty if it is unknown, and for clients that are not admins."""
    version: str = ""
    state: Literal["joining", "online", "lost", "incompatible"]
    silent_s: float = 0.0
    """Seconds since its last packet."""
    lag_s: float = 0.0
    """Seconds since all that it reports was known to the broker that was asked."""
    ahead_s: float = 0.0
    """Seconds by which its clock is ahead of that of the broker that was asked; 0: by at most
    10."""
    nodes: int | None = None
    gateways: int | None = None
    """None: the client may not know."""


class ClusterRow(msgspec.Struct, frozen=True, kw_only=True):
    """The broker that was asked, and the others."""

    in_cluster: bool
    """False: the broker is alone."""
    name: str = ""
    version: str = ""
    nodes: int | None = None
    gateways: int | None = None
    connected: bool = False
    """To a nats-server of the cluster."""
    problem: str = ""
    """Why it is not connected, for admins."""
    queued_bytes: int = 0
    """Bytes that wait to be sent to the nats-server."""
    peers: list[PeerRow] = []


_cluster: Final = msgspec.json.Decoder(ClusterRow)


async def cluster_row(api: HttpApi) -> ClusterRow:
    """Raises `ApiProblem` or `LinkLost`."""
    return api.decode(_cluster, await api.read("GET", path("cluster")), "a cluster")
