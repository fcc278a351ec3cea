# SPDX-License-Identifier: BSD-3-Clause
"""Ids and topics: stable, valid for Home Assistant, and never those of another node."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.homeassistant.names import SYSTEM_PATTERN, Topics, device_id, escaped, unique_id

TOPICS = Topics("pyaiot", "homeassistant")
TEXTS = st.text(min_size=1, max_size=64)


def test_an_id_is_letters_digits_and_escapes() -> None:
    assert escaped("Node-7") == "Node-7"
    assert escaped("a_b c") == "a_5Fb_20c"
    assert escaped("°") == "_C2_B0"
    assert device_id("pyaiot", "0F4A") == "pyaiot_0F4A"
    assert unique_id("pyaiot_0F4A", "led") == "pyaiot_0F4A__led"


@given(TEXTS, TEXTS)
def test_two_uids_never_have_the_same_id(one: str, other: str) -> None:
    assert (device_id("pyaiot", one) == device_id("pyaiot", other)) == (one == other)


@given(st.text(alphabet="ab_/A5F ", min_size=1), st.text(alphabet="ab_/A5F ", min_size=1))
def test_similar_uids_have_different_ids(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) == (one == other)


@given(*[st.text(alphabet="a_5F", min_size=1, max_size=4)] * 4)
def test_two_resources_never_have_the_same_unique_id(
    uid: str, resource: str, other_uid: str, other_resource: str
) -> None:
    one = unique_id(device_id("pyaiot", uid), resource)
    other = unique_id(device_id("pyaiot", other_uid), other_resource)
    assert (one == other) == ((uid, resource) == (other_uid, other_resource))


@given(TEXTS)
def test_an_id_is_valid_in_a_discovery_topic_and_has_no_wildcard(uid: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", device_id("pyaiot", uid))


@given(TEXTS, TEXTS)
def test_the_topics_of_a_system_are_read_back(uid: str, resource: str) -> None:
    device = device_id("pyaiot", uid)
    assert TOPICS.device_of_config(TOPICS.config(device)) == device
    topic = TOPICS.command(device, resource)
    assert TOPICS.target_of_command(topic) == (device, escaped(resource))
    assert TOPICS.state(device, resource) != TOPICS.availability(device) != TOPICS.status


@given(st.from_regex(SYSTEM_PATTERN, fullmatch=True), TEXTS)
def test_the_status_of_a_system_is_never_the_topic_of_a_node(system: str, uid: str) -> None:
    topics = Topics(system, "homeassistant")
    assert topics.availability(device_id("pyaiot", uid)) != topics.status


@given(TEXTS)
def test_the_discovery_messages_of_another_system_are_not_ours(uid: str) -> None:
    for system in ("pyaiot2", "pyaiot-2", "lab"):
        topic = Topics(system, "homeassistant").config(device_id(system, uid))
        assert TOPICS.device_of_config(topic) == ""


def test_other_topics_are_no_discovery_message_of_a_device() -> None:
    for topic in (
        "homeassistant/sensor/pyaiot_a/config",
        "homeassistant/device/x/pyaiot_a/config",
        "homeassistant/device/pyaiot_a",
        "other/device/pyaiot_a/config",
        "homeassistant/device/pyaiot/config",
    ):
        assert TOPICS.device_of_config(topic) == ""
