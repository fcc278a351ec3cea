# SPDX-License-Identifier: BSD-3-Clause
"""The table of `aiot cluster`, and the problems that it reports."""

import io

import msgspec
import pytest

from pyaiot.cli.cluster import cluster_table, problem_of
from pyaiot.cli.terminal import Paint
from pyaiot.client import ClusterRow, EmbeddedBrokerRow, PeerRow

WELL = ClusterRow(
    in_cluster=True,
    name="a",
    version="0.1.0",
    nodes=1200,
    gateways=2,
    connected=True,
    peers=[PeerRow(name="b\x1b[31m", state="online", silent_s=0.42, version="0.1.1", nodes=None)],
)


def test_the_own_broker_comes_first_and_names_are_made_plain() -> None:
    title, own, other = cluster_table(WELL, Paint(io.StringIO())).splitlines()
    assert title.split()[:3] == ["BROKER", "STATE", "SILENT"]
    assert own.split() == ["a", "this", "one", "1,200", "2", "0.1.0"]
    assert "\x1b" not in other
    assert other.split()[1:] == ["online", "0.4", "s", "0.0", "s", "0.1.1"]


OF_MQTT = [
    EmbeddedBrokerRow(address="10.0.0.1:6222", state="this one", shares=7),
    EmbeddedBrokerRow(address="10.0.0.2:6222", state="online", shares=5),
    EmbeddedBrokerRow(address="10.0.0.3:6222", state="lost"),
]


def test_the_machines_of_the_mqtt_brokers_follow() -> None:
    row = msgspec.structs.replace(WELL, embedded_brokers=OF_MQTT)
    brokers, machines = cluster_table(row, Paint(io.StringIO())).split("\n\n")
    assert brokers == cluster_table(WELL, Paint(io.StringIO()))
    assert [it.split() for it in machines.splitlines()[1:]] == [
        ["10.0.0.1:6222", "this", "one", "7"],
        ["10.0.0.2:6222", "online", "5"],
        ["10.0.0.3:6222", "lost", "0"],
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (msgspec.structs.replace(WELL, embedded_brokers=OF_MQTT[:2]), ""),
        (
            msgspec.structs.replace(WELL, embedded_brokers=OF_MQTT),
            "no gateway at 10.0.0.3:6222:",
        ),
        (WELL, ""),
        (ClusterRow(in_cluster=False), "the broker is alone"),
        (ClusterRow(in_cluster=True, problem="x refuses."), "to a nats-server: x refuses."),
        (ClusterRow(in_cluster=True), "to a nats-server."),
        (
            ClusterRow(in_cluster=True, connected=True, peers=[PeerRow(name="b", state="lost")]),
            "no packets from b.",
        ),
        (
            ClusterRow(
                in_cluster=True,
                connected=True,
                peers=[PeerRow(name="b", state="online", ahead_s=-3600.0)],
            ),
            "the clocks of brokers differ: b (-3600 s). Synchronise them (NTP).",
        ),
        (
            ClusterRow(
                in_cluster=True,
                connected=True,
                version="1",
                peers=[PeerRow(name="b", state="incompatible", version="3")],
            ),
            "the version of b (3) does not work together with 1: upgrade one release after",
        ),
    ],
)
def test_a_problem_is_one_sentence(row: ClusterRow, problem: str) -> None:
    assert problem in problem_of(row)
    assert bool(problem) == bool(problem_of(row))
