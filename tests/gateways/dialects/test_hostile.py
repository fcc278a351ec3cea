# SPDX-License-Identifier: BSD-3-Clause
"""Hostile discovery: floods, collisions and names that reach for other topics."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects import DIALECTS, devices, homeassistant
from pyaiot.gateways.mqtt.dialects.dialect import (
    DEVICES_MAX,
    RESOURCES_PER_DEVICE_MAX,
    DeviceChanged,
    leaves,
    resource_of,
    shortened,
    uid_of,
)
from pyaiot.messages.checks import check_uid
from tests.gateways.dialects.reading import Reader, dialect_named
from tests.gateways.dialects.recordings import (
    HOMEASSISTANT,
    HOMIE_4,
    HOMIE_5,
    SHELLY,
    SHELLY_RPC,
    TASMOTA,
    ZIGBEE2MQTT,
    metric,
    payload,
    recorded,
)

RECORDINGS = {
    "tasmota": TASMOTA,
    "zigbee2mqtt": ZIGBEE2MQTT,
    "shelly": SHELLY,
    "shelly-rpc": SHELLY_RPC,
    "homie": HOMIE_4 + HOMIE_5,
    "homeassistant": HOMEASSISTANT,
}
FIRST_MESSAGES = {
    "tasmota": ("tele/{}/LWT", b"Online"),
    "shelly": ("shellies/{}/online", b"true"),
    "shelly-rpc": ("shellyplus1-{}/online", b"true"),
    "homie": ("homie/{}/$state", b"ready"),
    "sparkplug": ("spBv1.0/g/NBIRTH/{}", payload(0, metric("x", 3, 1))),
    "homeassistant": ("homeassistant/sensor/{}/config", b'{"stat_t":"d/s"}'),
}


@pytest.mark.parametrize("name", [name for name in FIRST_MESSAGES if name != "homeassistant"])
def test_each_dialect_has_a_limited_number_of_devices(name: str) -> None:
    dialect = dialect_named(name)
    topic, message = FIRST_MESSAGES[name]
    uids = set()
    for number in range(DEVICES_MAX):
        events = dialect.receive(topic.format(f"{number:06x}"), message, retained=False, now=0.0)
        assert events is not None
        uids |= {event.uid for event in events if isinstance(event, DeviceChanged)}
    assert len(uids) == DEVICES_MAX
    with pytest.raises(ProtocolError, match=f"{DEVICES_MAX} devices"):
        dialect.receive(topic.format("ffffff"), message, retained=False, now=1.0)
    # A device that was quiet for an hour makes room.
    assert dialect.receive(topic.format("ffffff"), message, retained=False, now=3601.0)


def test_ten_thousand_entities_of_hostile_discovery_are_limited() -> None:
    reader = Reader("homeassistant")
    components = {f"e{number}": {"p": "sensor", "stat_t": f"d/{number}"} for number in range(2_000)}
    config = {"dev": {"ids": "d"}, "cmps": components}
    reader.read(recorded(("homeassistant/device/d/config", config)))
    assert len(reader.dialect.describe("ha-d").types) == RESOURCES_PER_DEVICE_MAX
    reader = Reader("homeassistant")
    for number in range(10_000):
        each = {"stat_t": f"d/{number}", "dev": {"ids": "d"}}
        reader.read(recorded((f"homeassistant/sensor/e{number}/config", each)))
    assert len(reader.dialect.describe("ha-d").types) == RESOURCES_PER_DEVICE_MAX
    assert len(reader.problems()) == 10_000 - RESOURCES_PER_DEVICE_MAX


def test_configurations_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homeassistant, "CONFIGS_MAX", 3)
    reader = Reader("homeassistant")
    for number in range(3):
        each = {"stat_t": f"d/{number}", "dev": {"ids": f"d{number}"}}
        reader.read(recorded((f"homeassistant/sensor/e{number}/config", each)))
    with pytest.raises(ProtocolError, match="3 configurations"):
        reader.read(recorded(("homeassistant/sensor/more/config", {"stat_t": "x"})))


def test_entities_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homeassistant, "ENTITIES_MAX", 2)
    reader = Reader("homeassistant")
    for number in range(3):
        each = {"stat_t": f"d/{number}", "dev": {"ids": "d"}}
        reader.read(recorded((f"homeassistant/sensor/e{number}/config", each)))
    assert list(reader.problems().values()) == ["there are 2 entities already"]
    reader.read(recorded(("homeassistant/sensor/e0/config", "")))
    reader.read(recorded(("homeassistant/sensor/e2/config", each)))
    assert len(reader.dialect.describe("ha-d").types) == 2


def test_states_of_one_topic_are_limited() -> None:
    reader = Reader("homeassistant")
    for number in range(RESOURCES_PER_DEVICE_MAX + 1):
        each = {"stat_t": "shared/s", "dev": {"ids": f"d{number % 4}"}}
        reader.read(recorded((f"homeassistant/sensor/e{number}/config", each)))
    assert list(reader.problems().values()) == ["a topic has at most 200 states"]


def test_resources_of_all_devices_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "RESOURCES_MAX", 3)
    reader = Reader("tasmota")
    reader.read(recorded(("tele/a/SENSOR", {"x": 1, "y": 2}), ("tele/b/SENSOR", {"x": 1, "y": 2})))
    assert [len(reader.values(f"tasmota-{name}")) for name in "ab"] == [2, 1]


def test_resources_of_one_device_are_limited() -> None:
    sensors = {f"s{number}": number for number in range(500)}
    reader = Reader("tasmota").read(recorded(("tele/a/SENSOR", sensors)))
    assert len(reader.values("tasmota-a")) == RESOURCES_PER_DEVICE_MAX
    birth = payload(0, *(metric(f"m{number}", 3, number) for number in range(400)))
    reader = Reader("sparkplug").read([("spBv1.0/g/NBIRTH/e", birth, False)])
    assert len(reader.values("spb-g.e")) == RESOURCES_PER_DEVICE_MAX


def test_deep_json_is_not_followed() -> None:
    value: dict[str, object] = {"x": 1}
    for _ in range(100):
        value = {"a": value}
    assert list(leaves(value)) == []
    assert Reader("tasmota").read(recorded(("tele/a/SENSOR", value))).values("tasmota-a") == {}


def test_same_names_in_different_dialects_are_different_uids() -> None:
    uids = set()
    for name, (topic, message) in FIRST_MESSAGES.items():
        dialect = dialect_named(name)
        for event in (
            dialect.receive(topic.format("aabbcc"), message, retained=False, now=0.0) or ()
        ):
            if isinstance(event, DeviceChanged):
                uids.add(event.uid)
    assert len(uids) == len(FIRST_MESSAGES)
    prefixes = {uid.partition("-")[0] for uid in uids}
    assert len(prefixes) == len(FIRST_MESSAGES)


def test_every_dialect_has_a_flood_test_or_describes_all_its_devices_at_once() -> None:
    assert set(DIALECTS) - set(FIRST_MESSAGES) == {"zigbee2mqtt"}


def test_device_list_of_zigbee2mqtt_is_limited_by_its_size() -> None:
    entries = [
        {"ieee_address": f"0x{number:08x}", "friendly_name": f"d{number}"}
        for number in range(2_000)
    ]
    reader = Reader("zigbee2mqtt").read(recorded(("zigbee2mqtt/bridge/devices", entries)))
    assert len(reader.uids()) == 2_000
    with pytest.raises(ProtocolError, match="bytes"):
        reader.read(recorded(("zigbee2mqtt/bridge/devices", entries * 12)))


@pytest.mark.parametrize("name", ["a/b", "a.b", "ä", "+", "#", " ", "\x7f", "x" * 200, "%2F", "~"])
def test_any_name_gives_a_valid_uid_of_its_own(name: str) -> None:
    uid = uid_of("spb", name)
    check_uid(uid)
    assert uid.isascii()
    assert uid_of("spb", name, "") != uid
    others = ["a-b", "a_b", "a", "b", "%", "%25", "x" * 199, "x" * 201]
    assert uid not in {uid_of("spb", other) for other in others}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a.b", "c"), ("a", "b.c")),
        (("a", "b"), ("a.b",)),
        (("a%2E", "b"), ("a.", "b")),
        (("x" * 70 + "1",), ("x" * 70 + "2",)),
    ],
)
def test_uids_of_different_names_differ(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert uid_of("p", *one) != uid_of("p", *other)


def test_long_resource_is_shortened_to_one_of_its_own() -> None:
    one, other = (resource_of("x" * 100, end) for end in "ab")
    assert len(one) == 64
    assert one != other
    assert shortened("short", 64) == "short"


def test_five_thousand_entities_have_a_place() -> None:
    reader = Reader("homeassistant")
    for device in range(100):
        for number in range(50):
            config = {"dev": {"ids": f"d{device}"}, "stat_t": f"d{device}/{number}"}
            topic = f"homeassistant/sensor/d{device}/e{number}/config"
            reader.dialect.receive(topic, json.dumps(config).encode(), retained=True, now=0.0)
    assert all(len(reader.dialect.describe(f"ha-d{device}").types) == 50 for device in range(100))


WRONG_VALUES: tuple[object, ...] = (
    [],
    [{"": 5}],
    {},
    {"a": [1]},
    None,
    True,
    1e308,
    -1,
    10**30,
    "",
    "x" * 300,
    "\x00",
)


@pytest.mark.parametrize("value", WRONG_VALUES, ids=lambda it: repr(it)[:20])
def test_value_of_the_wrong_type_in_any_place_is_no_error_of_ours(value: object) -> None:
    for name, recording in RECORDINGS.items():
        for index, (topic, message, _retained) in enumerate(recording):
            if message[:1] not in (b"{", b"["):
                continue
            document = json.loads(message)
            for replaced in replacements(document, value):
                dialect = dialect_named(name)
                changed = (topic, json.dumps(replaced).encode(), False)
                for each, payload_, retained in [*recording[:index], changed, *recording[index:]]:
                    with contextlib.suppress(ProtocolError):
                        dialect.receive(each, payload_, retained=retained, now=0.0)


def replacements(document: Any, value: object) -> Iterator[Any]:
    """The document with the value in the place of each of its members."""
    yield value
    if isinstance(document, dict):
        for key, inner in document.items():
            for replaced in replacements(inner, value):
                yield {**document, key: replaced}
    elif isinstance(document, list):
        for index, inner in enumerate(document):
            for replaced in replacements(inner, value):
                yield [*document[:index], replaced, *document[index + 1 :]]
