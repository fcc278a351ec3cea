# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of a broker in a cluster."""

from collections.abc import Iterable
from typing import Final

from pyaiot.cluster.member import ClusterMember
from pyaiot.cluster.nats_link import NatsLink
from pyaiot.metrics import Metric, Sample

CONNECTED: Final = Metric(
    "pyaiot_cluster_connected", "gauge", "1: connected to a nats-server of the cluster. 0: not."
)
BROKERS: Final = Metric(
    "pyaiot_cluster_brokers", "gauge", "Other brokers whose whole state is known here."
)
OWNED: Final = Metric(
    "pyaiot_cluster_owned_nodes", "gauge", "Nodes of the gateways that are linked to this broker."
)
REMOTE: Final = Metric("pyaiot_cluster_remote_nodes", "gauge", "Nodes of other brokers.")
LAG: Final = Metric(
    "pyaiot_cluster_lag_seconds",
    "gauge",
    "The longest time since the stream of another broker was known to be complete.",
)
RESTARTS: Final = Metric(
    "pyaiot_cluster_stream_restarts",
    "counter",
    "Streams of other brokers that began again because a frame was missing.",
)
DROPPED: Final = Metric(
    "pyaiot_cluster_packets_dropped",
    "counter",
    "Packets that were not sent: no connection to a nats-server, or too much waited for it.",
)
INVALID: Final = Metric(
    "pyaiot_cluster_packets_invalid", "counter", "Packets of other brokers that were not valid."
)


def collect(member: ClusterMember, link: NatsLink, now: float) -> Iterable[Sample]:
    """Samples of all these metrics. `now` is the broker's clock."""
    yield CONNECTED.of(not link.problem)
    yield BROKERS.of(sum(peer.is_complete for peer in member.peers.values()))
    yield OWNED.of(len(member.directory.of(member.run)))
    yield REMOTE.of(sum(len(member.directory.of(run)) for run in member.peers))
    lags = [now - peer.incoming.confirmed_at for peer in member.peers.values()]
    yield LAG.of(max(lags, default=0.0))
    yield RESTARTS.of(member.resyncs)
    yield DROPPED.of(link.dropped)
    yield INVALID.of(member.invalid)
