# SPDX-License-Identifier: BSD-3-Clause
"""What foreign devices with a credential may do, without a broker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import Refused
from pyaiot.gateways.mqtt.dialect_access import ACCESSES, TopicOwners
from pyaiot.gateways.mqtt.dialects import DIALECTS
from pyaiot.mqtt.embedded.foreign_topics import subjects_of

NAMES = {
    "shelly-rpc": "shellyplus1-a8032ab12345",
    "zigbee2mqtt": "zigbee2mqtt",
    "sparkplug": "plant.line-1",
}


def test_each_dialect_has_credentials() -> None:
    assert {it.dialect for it in ACCESSES.values()} == set(DIALECTS)


@pytest.mark.parametrize("word", ACCESSES)
def test_a_device_owns_each_topic_that_it_may_publish_on(word: str) -> None:
    access = ACCESSES[word]
    name = NAMES.get(word, "plug-1")
    assert access.problem(name) == ""
    uid = access.uid_prefix + name
    rights = access.rights(uid)
    for pattern in rights.publish:
        topic = pattern.replace("#", "x").replace("+", "y")
        assert access.owner(topic) == uid, topic
    assert "." not in "".join(rights.client_ids[1])


@pytest.mark.parametrize("word", ACCESSES)
def test_no_device_may_publish_for_another_of_any_dialect(word: str) -> None:
    access = ACCESSES[word]
    mine = access.uid_prefix + NAMES.get(word, "mine")
    credentials = {(mine, access.kind)}
    for other in ACCESSES.values():
        name = NAMES.get(other.word, "victim")
        uid = other.uid_prefix + name
        if uid == mine:
            continue
        credentials.add((uid, other.kind))
        owners = TopicOwners(lambda uid, kind: (uid, kind) in credentials)
        for pattern in access.rights(mine).publish:
            topic = pattern.replace("#", "x").replace("+", "y")
            if other.is_first_come:
                owners.check(other.dialect, f"{name}/state", uid)  # it was there before
            with pytest.raises(Refused):
                owners.check(other.dialect, topic, uid)


def test_first_credential_that_names_a_discovered_node_keeps_it() -> None:
    owners = TopicOwners(lambda _uid, kind: kind == "mqtt:homeassistant")
    owners.check("homeassistant", "homeassistant/sensor/a/t/config", "ha-boiler")
    owners.check("homeassistant", "a/t", "ha-boiler")
    with pytest.raises(Refused):
        owners.check("homeassistant", "homeassistant/sensor/b/t/config", "ha-boiler")
    assert owners.may_use("ha-boiler", "a/t/set")
    assert not owners.may_use("ha-boiler", "b/t/set")
    assert owners.of("ha-a") == ["ha-boiler"]
    owners.forget("ha-boiler")
    owners.check("homeassistant", "homeassistant/sensor/b/t/config", "ha-boiler")


def test_further_nodes_belong_to_the_bridge() -> None:
    owners = TopicOwners(lambda *_: True)
    owners.check("sparkplug", "spBv1.0/plant/DBIRTH/line-1/pump", "spb-plant.line-1.pump")
    owners.check("zigbee2mqtt", "zigbee2mqtt/bridge/devices", "z2m-0x00158d0001a2b3c4")
    with pytest.raises(Refused):
        owners.check("sparkplug", "spBv1.0/plant/DBIRTH/line-10/pump", "spb-plant.line-1.pump")


def test_a_topic_without_a_credential_has_no_nodes() -> None:
    owners = TopicOwners(lambda *_: False)
    with pytest.raises(Refused):
        owners.check("tasmota", "tele/plug/STATE", "tasmota-plug")


def test_topic_filters_become_subjects() -> None:
    assert subjects_of(("tele/a/#", "spBv1.0/g/DCMD/e/+", "x/online")) == [
        *("tele.a", "tele.a.>", "spBv1//0.g.DCMD.e.*", "x.online"),
    ]


@given(st.text(max_size=30), st.sampled_from(sorted(ACCESSES)), st.text(max_size=20))
def test_any_topic_has_one_owner_or_none(topic: str, word: str, uid: str) -> None:
    owners = TopicOwners(lambda *_: True)
    owner = ACCESSES[word].owner(topic)
    assert owner == "" or owner.startswith(ACCESSES[word].uid_prefix)
    try:
        owners.check(ACCESSES[word].dialect, topic, uid)
    except Refused:
        assert owners.of(owner) == []
