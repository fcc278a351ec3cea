# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of a broker that is one of a cluster."""

from pyaiot.broker.router import Router
from pyaiot.cluster import metrics
from pyaiot.cluster.member import ClusterMember
from pyaiot.cluster.nats_link import NatsLink
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.metrics import Metric


def test_every_declared_metric_is_reported() -> None:
    nodes = OwnedNodes()
    member = ClusterMember("aa", "greenhouse", Router(nodes=nodes), nodes, 0.0)
    link = NatsLink([], "pyaiot", "aa", lambda _packet: None)
    member.receive_packet(b"nonsense", 1.0, 1.0)
    samples = {sample.metric.name: sample.value for sample in metrics.collect(member, link, 1.0)}
    declared = {value.name for value in vars(metrics).values() if isinstance(value, Metric)}
    assert samples.keys() == declared
    assert samples["pyaiot_cluster_connected"] == 0
    assert samples["pyaiot_cluster_packets_invalid"] == 1
