# SPDX-License-Identifier: BSD-3-Clause
"""Simulated foreign devices, read by the dialects that they speak."""

import random

import pytest

from pyaiot.devices.foreign import FOREIGN_NODES
from pyaiot.devices.foreign.base import ForeignDevice
from pyaiot.devices.node_config import NodeConfig
from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt.dialects.dialect import DeviceMessage
from tests.gateways.dialects.reading import Reader

DIALECT_OF = {name: "shelly-rpc" if name == "shelly" else name for name in FOREIGN_NODES}
SWITCHES = {
    "tasmota": "power",
    "shelly": "switch_0",
    "zigbee2mqtt": "state",
    "homie": "switch",
    "sparkplug": "switch",
    "homeassistant": "switch",
}
TEMPERATURES = {"tasmota": "bme280_temperature", "shelly": "temperature_0"}


def new_node(name: str, uid: str = "") -> ForeignDevice:
    config = NodeConfig(uid=uid, temperature=True, led=True, name="Simulated", period_s=2.0)
    return FOREIGN_NODES[name](config, random.Random(7))


def exchange(node: ForeignDevice, reader: Reader) -> None:
    """Pass messages between both until none is left."""
    while messages := node.publications_to_send():
        count = len(reader.events)
        reader.read((topic, payload, False) for topic, payload, _ in messages)
        for event in reader.events[count:]:
            if isinstance(event, DeviceMessage):
                node.receive_publication(event.topic, event.payload, now=0.0)


@pytest.mark.parametrize("name", FOREIGN_NODES)
def test_node_is_a_device_with_a_temperature_and_a_switch(name: str) -> None:
    node, reader = new_node(name), Reader(DIALECT_OF[name])
    node.connection_made(now=0.0)
    exchange(node, reader)
    (uid,) = reader.uids()
    assert reader.online(uid) is True
    value, unit = reader.value(uid, TEMPERATURES.get(name, "temperature"))
    assert (value, unit) == (node.values["temperature"], "Cel")
    assert reader.type(uid, SWITCHES[name]).kind == "boolean"
    assert reader.problems() == {}


@pytest.mark.parametrize("name", FOREIGN_NODES)
def test_node_is_switched_and_reports_it(name: str) -> None:
    node, reader = new_node(name), Reader(DIALECT_OF[name])
    node.connection_made(now=0.0)
    exchange(node, reader)
    (uid,) = reader.uids()
    before = reader.value(uid, SWITCHES[name])
    for on in (True, False, True):
        message = reader.dialect.command(uid, SWITCHES[name], "on" if on else "off")
        node.receive_publication(message.topic, message.payload, now=1.0)
        exchange(node, reader)
        assert node.on is on
        assert (reader.value(uid, SWITCHES[name]) != before) is on


@pytest.mark.parametrize("name", FOREIGN_NODES)
def test_its_last_will_puts_it_offline(name: str) -> None:
    node, reader = new_node(name), Reader(DIALECT_OF[name])
    node.connection_made(now=0.0)
    exchange(node, reader)
    (uid,) = reader.uids()
    reader.read([(node.will.topic, node.will.message, False)])
    assert reader.online(uid) is False


@pytest.mark.parametrize("name", FOREIGN_NODES)
def test_it_measures_again_after_its_period(name: str) -> None:
    node, reader = new_node(name), Reader(DIALECT_OF[name])
    node.connection_made(now=0.0)
    exchange(node, reader)
    count = len(reader.events)
    due = node.get_timer()
    assert due is not None
    assert 0.0 <= due <= 2.0
    node.handle_timer(now=due)
    exchange(node, reader)
    assert len(reader.events) > count


@pytest.mark.parametrize("name", FOREIGN_NODES)
def test_what_is_no_command_has_no_effect(name: str) -> None:
    node = new_node(name)
    node.connection_made(now=0.0)
    node.publications_to_send()
    for topic in node.subscriptions:
        for payload in (b"", b"\xff", b"[]", b"{}", b'{"method":3}', b'{"state":1}', b"maybe"):
            node.receive_publication(topic.replace("+", "x").replace("#", "x"), payload, now=0.0)
    assert node.on is False
    assert not node.has_publications


@pytest.mark.parametrize("name", FOREIGN_NODES)
def test_id_with_a_wildcard_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match="--uid"):
        new_node(name, "a/+")


def test_an_id_that_no_shelly_has_is_refused_with_one_that_it_may_have() -> None:
    with pytest.raises(OperatorError, match="shellyplusplugs-a8032abe54dc"):
        new_node("shelly", "plug")
    assert new_node("shelly", "shelly1pm-A8032A").uid == "shelly1pm-A8032A"
