# SPDX-License-Identifier: BSD-3-Clause
"""The machines of a cluster of MQTT brokers: their list, what they derive, their settings file."""

from pathlib import Path

import pytest

from pyaiot.errors import OperatorError
from pyaiot.mqtt.embedded.client_ids import ID_LENGTH
from pyaiot.mqtt.embedded.machines import (
    MACHINES_MAX,
    ROUTES_PORT,
    SECRET_LENGTH_MIN,
    SHARES,
    Machine,
    MqttCluster,
    check_machines,
    read_machines,
)
from pyaiot.mqtt.embedded.nats_settings import EmbeddedConfig, Passwords, settings_text

SECRET = "s" * SECRET_LENGTH_MIN
THREE = tuple(Machine(f"127.0.0.{it}", ROUTES_PORT) for it in (1, 2, 3))
BEYOND = tuple(Machine(f"10.0.0.{it}", ROUTES_PORT) for it in (1, 2, 3))


def text_of(cluster: MqttCluster | None) -> str:
    config = EmbeddedConfig(Path("/folder"), cluster=cluster)
    return settings_text(config, Passwords(), mqtt_host="::", mqtt_port=1886, issuer="A")


def test_a_list_of_machines_with_and_without_ports() -> None:
    machines, own = read_machines("10.0.0.1, 10.0.0.2:7000,[fd00::1]:6222", "10.0.0.2")
    assert machines == (
        Machine("10.0.0.1", ROUTES_PORT),
        Machine("10.0.0.2", 7000),
        Machine("fd00::1", 6222),
    )
    assert own == machines[1]
    assert read_machines("a:1,a:2,a:3", "a:2")[1] == Machine("a", 2)


@pytest.mark.parametrize(
    ("text", "own", "reason"),
    [
        ("10.0.0.1,10.0.0.2", "10.0.0.1", "has 3 to 7 machines"),
        ("10.0.0.1,10.0.0.2,10.0.0.1", "10.0.0.1", "has 3 to 7 machines"),
        (",".join(f"a{it}" for it in range(MACHINES_MAX + 1)), "a1", "has 3 to 7 machines"),
        ("10.0.0.1,10.0.0.2,10.0.0.3", "", "Set --mqtt-cluster-listen"),
        ("10.0.0.1,10.0.0.2,10.0.0.3", "10.0.0.4", "for example 10.0.0.1"),
        ("a:1,a:2,a:3", "a", "Set --mqtt-cluster-listen"),
        ('a",b,c', "b", "Invalid host"),
    ],
)
def test_a_list_that_is_no_cluster_is_refused(text: str, own: str, reason: str) -> None:
    with pytest.raises(OperatorError, match=reason):
        read_machines(text, own)


def test_beyond_loopback_a_cluster_needs_tls() -> None:
    check_machines(MqttCluster(THREE, THREE[0], SECRET))
    check_machines(MqttCluster(BEYOND, BEYOND[0], SECRET, "a.pem", "", "ca.pem"))
    for files in ((), ("a.pem",), ("", "a.key", "ca.pem")):
        with pytest.raises(OperatorError, match="connect with TLS"):
            check_machines(MqttCluster(BEYOND, BEYOND[0], SECRET, *files))


@pytest.mark.parametrize("secret", ["", SECRET[1:]])
def test_a_short_secret_is_refused(secret: str) -> None:
    with pytest.raises(OperatorError, match="at least 16 characters"):
        check_machines(MqttCluster(THREE, THREE[0], secret))


def test_all_machines_derive_the_same_ids_and_each_has_its_own() -> None:
    one, two = (MqttCluster(THREE, own, SECRET) for own in THREE[:2])
    other = MqttCluster(THREE, THREE[0], SECRET + "x")
    assert one.share_ids == two.share_ids
    assert one.all_ids == two.all_ids
    assert one.ids.mqttsn_prefix == two.ids.mqttsn_prefix
    assert {one.ids.gateway, one.ids.health, two.ids.gateway, two.ids.health} < one.all_ids
    assert len(one.all_ids) == 2 * len(THREE) + SHARES
    assert all(len(it) == ID_LENGTH and it.isalnum() for it in one.all_ids)
    assert one.all_ids.isdisjoint(other.all_ids)
    assert one.server_name != two.server_name
    assert one.group == two.group != other.group
    assert SECRET not in repr(one)
    assert not {one.group, one.route_password} & one.all_ids


def test_the_settings_file_names_the_others_and_verifies_them() -> None:
    text = text_of(MqttCluster(BEYOND, BEYOND[1], SECRET, "a.pem", "", "ca.pem"))
    routes = text.partition("routes: ")[2].partition("\n")[0]
    assert "10.0.0.1:6222" in routes
    assert "10.0.0.3:6222" in routes
    assert "10.0.0.2" not in routes
    assert 'host: "10.0.0.2"' in text
    assert 'tls { cert_file: "a.pem", key_file: "a.pem", ca_file: "ca.pem"' in text
    assert "stream_replicas: 3" in text
    assert 'js_api_timeout: "2s"' in text
    assert text.count("partition(12,1)") == 2
    assert '"/folder/jetstream-cluster"' in text


def test_a_broker_alone_has_no_routes() -> None:
    text = text_of(None)
    assert "cluster" not in text
    assert "partition" not in text
    assert "stream_replicas" not in text
    assert "js_api_timeout" not in text
    assert '"/folder/jetstream"' in text
