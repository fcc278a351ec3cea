# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the workers of `aiot run --workers N`."""

from pathlib import Path

import pytest

from pyaiot.app.accounts import any_database, shared_database
from pyaiot.app.cluster import check
from pyaiot.app.optional_parts import check_parts_of_demo
from pyaiot.app.workers import Workers, read_settings, reading_again, settings_of, with_workers
from pyaiot.cluster.credentials import parse_servers
from pyaiot.config import Config, WorkersCluster
from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt.shared_broker import open_mqtt_broker
from pyaiot.mqtt.embedded.nats_settings import EmbeddedConfig, Passwords, settings_text

DATABASE = "postgresql://me@db/pyaiot"


def config(**values: object) -> Config:
    given = {"broker.workers": 3, "history.store": DATABASE}
    return Config().with_values({**given, **{k.replace("__", "."): v for k, v in values.items()}})


def test_one_process_has_no_cluster() -> None:
    alone = config(broker__workers=1)
    assert with_workers(alone) is alone


def test_workers_connect_at_the_embedded_nats_server() -> None:
    first = with_workers(config())
    assert isinstance(first.cluster, WorkersCluster)
    (server,) = parse_servers(first.cluster.servers)
    assert (server.host, server.port) == ("127.0.0.1", first.cluster.nats_port)
    check(first)
    embedded = EmbeddedConfig(
        Path("somewhere"),
        brokers_port=first.cluster.nats_port,
        brokers_password=first.cluster.nats_password,
    )
    text = settings_text(embedded, Passwords(), mqtt_host="::1", mqtt_port=1, issuer="A")
    assert "somewhere" in text
    assert f'"{server.user}", password: "{server.password}"' in text
    assert server.password not in repr(embedded)


def test_a_worker_gets_the_settings_of_the_first_one() -> None:
    first = with_workers(config(mqtt__port=1999, metrics__port=9000, broker__title="Lab"))
    third = read_settings(settings_of(first, 3, 8123))
    assert isinstance(third.cluster, WorkersCluster)
    assert (third.cluster.worker, third.cluster.servers) == (3, first.cluster.servers)
    assert (shared_database(third), any_database(third)) == ("", DATABASE)
    assert (third.broker.port, third.metrics.port, third.mdns.name) == (8123, 9002, "off")
    assert (third.broker.title, third.history.store) == ("Lab", DATABASE)
    assert third.protocols
    assert all(it in third.protocols for it in first.protocols)


def test_workers_of_a_cluster_use_its_nats_servers() -> None:
    first = with_workers(config(cluster__servers="nats://10.0.0.1", mqtt__host="mosquitto"))
    assert isinstance(first.cluster, WorkersCluster)
    assert (first.cluster.servers, first.cluster.nats_port) == ("nats://10.0.0.1", 0)
    assert shared_database(first) == DATABASE


def test_workers_of_one_machine_share_its_files_and_the_database() -> None:
    first = with_workers(config(broker__host="0.0.0.0", broker__insecure=True))
    check(first)
    assert (shared_database(first), any_database(first)) == ("", DATABASE)


def test_reading_again_keeps_the_connection_of_the_workers() -> None:
    first = with_workers(config())
    read = reading_again(first, lambda: config(broker__title="New"))
    assert read is not None
    assert (read().cluster, read().broker.title) == (first.cluster, "New")


def test_workers_refuse_files_that_one_process_writes() -> None:
    with pytest.raises(OperatorError, match=r"The workers cannot share a history in a file: set"):
        check(with_workers(config(history__store="")))


async def test_workers_need_a_nats_server() -> None:
    first = with_workers(config(mqtt__host="mosquitto"))
    with pytest.raises(OperatorError, match="also set --cluster"):
        async with open_mqtt_broker(first, None):
            pass


def test_the_demo_is_one_process() -> None:
    with pytest.raises(OperatorError, match="The demo is one process"):
        check_parts_of_demo(config())


def test_metrics_count_the_workers_that_serve_clients_and_those_started_again() -> None:
    workers = Workers(config(), 8000, print)
    workers.restarts = 2
    found = {it.metric.name: it.value for it in workers.collect()}
    assert found == {"pyaiot_workers": 1, "pyaiot_worker_restarts": 2}
