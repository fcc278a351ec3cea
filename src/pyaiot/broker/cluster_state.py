# SPDX-License-Identifier: BSD-3-Clause
"""The state of a cluster as one of its brokers shows it. Pure."""

from typing import Literal

import msgspec


class PeerState(msgspec.Struct, frozen=True):
    """Another broker of the cluster."""

    name: str
    address: str
    """Its URL, as it reports it; empty if it does not know its own."""
    version: str
    state: Literal["joining", "online", "lost", "incompatible"]
    """`joining`: its nodes are not all known yet. `lost`: it sends nothing; it is removed soon.
    `incompatible`: its version is too old or too new to understand it."""
    silent_s: float
    """Seconds since its last packet."""
    lag_s: float
    """Seconds since its stream was known to be complete."""
    nodes: int
    gateways: int
    clients: int
    readings: int
    """That its gateways sent since their links were opened."""
    ahead_s: float = 0.0
    """Seconds by which its clock is ahead of that of this broker, if that is too much; otherwise
    0."""


class EmbeddedBrokerState(msgspec.Struct, frozen=True):
    """A machine of a cluster of MQTT brokers, as the MQTT gateway of this broker sees it."""

    address: str
    state: Literal["this one", "online", "lost"]
    shares: int
    """Shares of the nodes that its gateway serves."""


class ClusterState(msgspec.Struct, frozen=True):
    """This broker and the others."""

    name: str
    """The name of this broker."""
    nodes: int
    gateways: int
    """Nodes and gateways of this broker."""
    peers: tuple[PeerState, ...]
    problem: str = ""
    """Why there is no connection to a nats-server; empty if there is one."""
    queued_bytes: int = 0
    """Bytes that wait to be sent to the nats-server."""
    embedded_brokers: tuple[EmbeddedBrokerState, ...] = ()
