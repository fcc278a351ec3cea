# SPDX-License-Identifier: BSD-3-Clause
"""Dialects with other base topics than those of their documentation."""

from collections.abc import Iterable

import pytest

from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt import foreign_filters
from pyaiot.gateways.mqtt.base_topics import DEFAULT_TOPICS, BaseTopics
from pyaiot.gateways.mqtt.dialects import DIALECTS, new_dialects
from pyaiot.gateways.mqtt.dialects.dialect import DeviceValue, Dialect
from pyaiot.gateways.mqtt.foreign_filters import ForeignFilters
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.mqtt.embedded.foreign_topics import foreign_permissions
from tests.gateways.dialects.recordings import (
    HOMEASSISTANT,
    HOMIE_4,
    HOMIE_5,
    SPARKPLUG,
    ZIGBEE2MQTT,
    moved,
)

Message = tuple[str, bytes, bool]


def dialects_with(name: str, **topics: tuple[str, ...]) -> list[Dialect]:
    made = new_dialects([name], lambda: 1.7e9, (), DEFAULT_TOPICS._replace(**topics))
    return [it for it in made if it.name == name]


def values(dialect: Dialect, messages: Iterable[Message]) -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {}
    for topic, payload, retained in messages:
        for event in dialect.receive(topic, payload, retained=retained, now=0.0) or ():
            if isinstance(event, DeviceValue):
                found[event.uid, event.resource] = event.data
    return found


@pytest.mark.parametrize(
    ("name", "field", "old", "recording"),
    [
        ("zigbee2mqtt", "zigbee2mqtt", "zigbee2mqtt", ZIGBEE2MQTT),
        ("homeassistant", "homeassistant", "homeassistant", HOMEASSISTANT),
        ("homie", "homie", "homie", HOMIE_4),
        ("homie", "homie", "homie", HOMIE_5),
    ],
)
def test_recordings_below_other_base_topics_have_the_same_values(
    name: str, field: str, old: str, recording: list[Message]
) -> None:
    (usual,) = dialects_with(name)
    (other,) = dialects_with(name, **{field: ("home/x",)})
    expected = values(usual, recording)
    found = values(other, moved(recording, old, "home/x"))
    assert list(found.values()) == list(expected.values()) != []
    assert all(other.filters[0].startswith("home/x/") for _ in other.filters)
    assert values(other, [it for it in recording if it[0].startswith(f"{old}/")]) == {}


def test_homie_devices_below_two_base_topics_are_two_nodes() -> None:
    first, second = dialects_with("homie", homie=("homie", "house"))
    (usual,) = {uid for uid, _ in values(first, HOMIE_5)}
    (other,) = {uid for uid, _ in values(second, moved(HOMIE_5, "homie", "house"))}
    name = usual.removeprefix("homie5-")
    assert other == f"homie5-house.{name}"


def test_commands_go_below_the_base_topic() -> None:
    (bridge,) = dialects_with("zigbee2mqtt", zigbee2mqtt=("home/z",))
    found = values(bridge, moved(ZIGBEE2MQTT, "zigbee2mqtt", "home/z"))
    written = [
        (uid, name)
        for uid, name in found
        if bridge.describe(uid).types[name].kind == "boolean"
        and bridge.describe(uid).types[name].writable
    ]
    assert written
    for uid, name in written:
        topic = bridge.command(uid, name, "true").topic
        assert topic.startswith("home/z/")
        assert topic.endswith("/set")


def test_only_named_groups_of_sparkplug_are_received() -> None:
    (dialect,) = dialects_with("sparkplug", sparkplug=("plant", "office"))
    assert dialect.filters == ("spBv1.0/plant/#", "spBv1.0/office/#")
    (every,) = dialects_with("sparkplug")
    assert values(every, SPARKPLUG)


@pytest.mark.parametrize(
    ("topics", "problem"),
    [
        ({"zigbee2mqtt": ("z/#",)}, "mqtt.zigbee2mqtt_base_topics: 'z/#' is not a base topic"),
        ({"homie": ("",)}, "'' is not a base topic"),
        ({"homie": ("node",)}, "'node' is not a base topic"),
        ({"homie": ("$SYS",)}, "is not a base topic"),
        ({"homeassistant": ("a/",)}, "is not a base topic"),
        ({"homie": ("zigbee2mqtt/x",)}, "zigbee2mqtt/x and zigbee2mqtt are topics of two dialects"),
        ({"homie": ("tele",)}, "tele and tele are topics of two dialects"),
        ({"homie": ("a", "a")}, "topics of two dialects"),
        ({"homie": tuple("abcdefghi")}, "at most 8 base topics"),
        ({"sparkplug": ("a/b",)}, "'a/b' is not a group id"),
        ({"tasmota": ("%prefix%/",)}, "is not a FullTopic of"),
        ({"tasmota": ("%topic%/%prefix%/%hostname%/",)}, "is not a FullTopic"),
        ({"tasmota": ("+/%prefix%/%topic%/",)}, "is not a FullTopic"),
        ({"tasmota": ("node/%prefix%/%topic%/",)}, "begins with a reserved level"),
    ],
)
def test_base_topics_that_are_not_valid_are_one_sentence(
    topics: dict[str, tuple[str, ...]], problem: str
) -> None:
    with pytest.raises(OperatorError, match=r"^mqtt") as refused:
        new_dialects(DIALECTS, lambda: 0.0, (), BaseTopics(**topics))
    assert problem in str(refused.value)


def test_settings_have_the_base_topics() -> None:
    section = Config().of(MqttSection)
    assert section.base_topics == DEFAULT_TOPICS


def test_devices_at_the_embedded_broker_may_use_other_base_topics() -> None:
    text = foreign_permissions(("home/zigbee",), ("ha",))
    allowed, _, readable = text.partition(" subscribe: ")
    assert '"home.zigbee.>"' in readable
    assert '"home.zigbee.>"' not in allowed
    assert '"ha.status"' in readable
    assert '"*.cmnd.>"' in readable
    assert '"*.cmnd.>"' in allowed


def test_dialect_with_wildcards_reads_only_topics_that_its_filters_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign_filters, "TOPICS_MAX", 2)
    dialects = new_dialects(["shelly-rpc", "homeassistant"], lambda: 0.0)
    mapping, shelly, home_assistant = dialects
    filters = ForeignFilters(dialects)
    for _ in range(2):  # the second time some are remembered, but not all
        assert filters.readers("plug/status/switch:0") == (shelly,)
        assert filters.readers("plug/events/rpc") == (shelly,)
        assert filters.readers("plug/state") == ()
        assert filters.readers("homeassistant/sensor/a/config") == (home_assistant,)
    filters.add("plug/state", home_assistant)
    assert filters.readers("plug/state") == (home_assistant,)
    assert filters.readers("plug/online") == (shelly, home_assistant)
    assert mapping not in filters.readers("plug/online")


def test_message_for_two_filters_is_read_once() -> None:
    dialects = new_dialects(["shelly-rpc", "homeassistant"], lambda: 0.0)
    filters = ForeignFilters(dialects)
    assert filters.add("garden/status/temperature", dialects[-1]) == "garden/#"
    copies = [filters.is_copy("garden/status/temperature", b"5") for _ in range(4)]
    assert copies == [False, True, False, True]
    assert not any(filters.is_copy("garden/temperature", b"5") for _ in range(4))
