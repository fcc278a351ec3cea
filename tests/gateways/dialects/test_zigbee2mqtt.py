# SPDX-License-Identifier: BSD-3-Clause
"""Devices behind Zigbee2MQTT, from what its documentation shows."""

import json

import pytest

from pyaiot.errors import ProtocolError
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import ZIGBEE2MQTT, recorded

CLIMATE = "z2m-0x00158d0001a2b3c4"
LAMP = "z2m-0x0017880102030405"


def test_devices_have_types_and_units() -> None:
    bridge = Reader("zigbee2mqtt").read(ZIGBEE2MQTT)
    assert bridge.uids() == {CLIMATE, LAMP}
    assert bridge.values(CLIMATE) == {
        "temperature": (20.7, "Cel"),
        "humidity": (51.3, "%RH"),
        "pressure": (1003, "hPa"),
        "linkquality": 120,
    }
    assert bridge.values(LAMP) == {
        "state": "OFF",
        "brightness": 100,
        "color": {"x": 0.3, "y": 0.4},
    }
    assert (bridge.type(LAMP, "brightness").minimum, bridge.type(LAMP, "brightness").maximum) == (
        *(0, 254),
    )
    assert bridge.type(LAMP, "effect").kind == "command"
    assert bridge.type(CLIMATE, "temperature").writable is False


def test_values_are_set_as_json_with_the_words_of_the_device() -> None:
    bridge = Reader("zigbee2mqtt").read(ZIGBEE2MQTT)
    topic = "zigbee2mqtt/hall_lamp/set"
    assert bridge.command(LAMP, "state", "on") == (topic, '{"state": "ON"}')
    assert bridge.command(LAMP, "brightness", "200") == (topic, '{"brightness": 200}')
    assert bridge.command(LAMP, "color", '{"hex":"#ff0000"}') == (
        topic,
        '{"color": {"hex": "#ff0000"}}',
    )
    assert bridge.command(LAMP, "power_on_behavior", "Previous") == (
        topic,
        '{"power_on_behavior": "previous"}',
    )
    with pytest.raises(ProtocolError, match="254"):
        bridge.command(LAMP, "brightness", "300")
    with pytest.raises(ProtocolError):
        bridge.command(CLIMATE, "temperature", "3")


def test_last_will_of_the_bridge_puts_all_devices_offline() -> None:
    bridge = Reader("zigbee2mqtt").read(ZIGBEE2MQTT)
    assert bridge.online(LAMP) is True
    bridge.read(recorded(("zigbee2mqtt/bridge/state", "offline")))
    assert (bridge.online(LAMP), bridge.online(CLIMATE)) == (False, False)


def test_availability_of_both_forms() -> None:
    bridge = Reader("zigbee2mqtt").read(ZIGBEE2MQTT)
    bridge.read(recorded(("zigbee2mqtt/kitchen/climate/availability", "offline")))
    assert bridge.online(CLIMATE) is False
    bridge.read(recorded(("zigbee2mqtt/kitchen/climate/availability", {"state": "online"})))
    assert bridge.online(CLIMATE) is True


def test_device_that_left_the_network_is_removed_and_a_renamed_one_keeps_its_uid() -> None:
    bridge = Reader("zigbee2mqtt").read(ZIGBEE2MQTT)
    devices = json.loads(ZIGBEE2MQTT[1][1])
    devices[2]["friendly_name"] = "porch lamp"
    bridge.read(recorded(("zigbee2mqtt/bridge/devices", [devices[2]])))
    assert bridge.removed() == {CLIMATE}
    bridge.read(recorded(("zigbee2mqtt/porch lamp", {"state": "ON"})))
    assert bridge.value(LAMP, "state") == "ON"
    assert bridge.dialect.describe(LAMP).details["name"] == "porch lamp"


@pytest.mark.parametrize("name", ["#", "a/+/b", "$SYS/x", "node/a", "gateway/x", "", 7, None])
def test_name_that_could_reach_other_topics_is_refused(name: object) -> None:
    entry = {"ieee_address": "0x01", "friendly_name": name, "type": "Router"}
    bridge = Reader("zigbee2mqtt").read(recorded(("zigbee2mqtt/bridge/devices", [entry])))
    assert bridge.uids() == set()
    assert len(bridge.problems()) == 1


def test_two_devices_with_one_name_are_one_and_the_other_is_not_understood() -> None:
    entries = [
        {"ieee_address": f"0x0{number}", "friendly_name": "lamp", "type": "Router"}
        for number in (1, 2)
    ]
    bridge = Reader("zigbee2mqtt").read(recorded(("zigbee2mqtt/bridge/devices", entries)))
    assert bridge.uids() == {"z2m-0x01"}
    assert bridge.problems() == {"Zigbee2MQTT device lamp": "another one has the same name"}


def test_state_of_an_unknown_device_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no device"):
        Reader("zigbee2mqtt").read(recorded(("zigbee2mqtt/ghost", {"state": "ON"})))


def test_exposes_of_the_wrong_types_and_too_deep_are_left_out() -> None:
    deep: dict[str, object] = {"type": "numeric", "property": "deep", "access": 1}
    for _ in range(6):
        deep = {"type": "light", "features": [deep]}
    exposes = [3, None, {"property": 5}, {"features": "x"}, deep, {"property": "ok", "access": "x"}]
    entry = {"ieee_address": "0x01", "friendly_name": "odd", "definition": {"exposes": exposes}}
    bridge = Reader("zigbee2mqtt").read(recorded(("zigbee2mqtt/bridge/devices", [entry])))
    assert list(bridge.dialect.describe("z2m-0x01").types) == ["ok"]
