# SPDX-License-Identifier: BSD-3-Clause
"""Homie devices of versions 4 and 5, from the convention."""

import contextlib
import random

import pytest

from pyaiot.errors import ProtocolError
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import HOMIE_4, HOMIE_5, recorded

KETTLE = "homie4-kettle"
BLIND = "homie5-blind-1"


def test_device_of_version_4_has_types() -> None:
    kettle = Reader("homie").read(HOMIE_4)
    assert kettle.values(KETTLE) == {
        "temperature": (64.5, "Cel"),
        "power": "false",
        "mode": "tea",
    }
    assert kettle.type(KETTLE, "mode").choices == ("tea", "coffee", "boil")
    assert kettle.type(KETTLE, "temperature").label == "Water temperature"
    assert kettle.online(KETTLE) is True


def test_retained_messages_of_version_4_may_come_in_any_order() -> None:
    rng = random.Random(4)
    expected = Reader("homie").read(HOMIE_4)
    for _ in range(20):
        shuffled = HOMIE_4.copy()
        rng.shuffle(shuffled)
        kettle = Reader("homie").read(shuffled)
        assert kettle.values(KETTLE) == expected.values(KETTLE)
        assert kettle.dialect.describe(KETTLE).details == {"name": "Kettle"}


def test_settable_properties_are_set() -> None:
    kettle = Reader("homie").read(HOMIE_4)
    assert kettle.command(KETTLE, "power", "on") == ("homie/kettle/boiler/power/set", "true")
    assert kettle.command(KETTLE, "mode", "boil") == ("homie/kettle/boiler/mode/set", "boil")
    with pytest.raises(ProtocolError):
        kettle.command(KETTLE, "temperature", "3")
    with pytest.raises(ProtocolError, match="tea"):
        kettle.command(KETTLE, "mode", "soup")


def test_device_of_version_5_is_described_by_one_document() -> None:
    blind = Reader("homie").read(HOMIE_5)
    assert blind.values(BLIND) == {"position": (40, "/100"), "tint": "255,128,0"}
    position = blind.type(BLIND, "position")
    assert (position.minimum, position.maximum, position.step) == (0, 100, 5)
    assert blind.command(BLIND, "position", "55") == ("homie/5/blind-1/motor/position/set", "55")
    assert blind.command(BLIND, "tint", "#ff0000") == (
        "homie/5/blind-1/motor/tint/set",
        "rgb,255,0,0",
    )
    assert blind.dialect.describe(BLIND).details == {"name": "South blind"}


@pytest.mark.parametrize("state", ["lost", "disconnected"])
def test_state_puts_a_device_offline(state: str) -> None:
    devices = Reader("homie").read(HOMIE_4 + HOMIE_5)
    devices.read(recorded(("homie/kettle/$state", state), ("homie/5/blind-1/$state", state)))
    assert (devices.online(KETTLE), devices.online(BLIND)) == (False, False)


def test_device_whose_state_is_deleted_is_removed() -> None:
    blind = Reader("homie").read(HOMIE_5).read(recorded(("homie/5/blind-1/$state", "")))
    assert blind.removed() == {BLIND}


def test_description_without_a_property_removes_it() -> None:
    blind = Reader("homie").read(HOMIE_5)
    description = {"homie": "5.0", "nodes": {"motor": {"properties": {"action": {}}}}}
    blind.read(recorded(("homie/5/blind-1/$description", description)))
    assert list(blind.dialect.describe(BLIND).types) == ["action"]


def test_same_property_of_two_nodes_has_two_names() -> None:
    description = {
        "nodes": {
            name: {"properties": {"power": {"datatype": "boolean", "settable": True}}}
            for name in ("left", "right")
        }
    }
    device = Reader("homie").read(recorded(("homie/5/pair/$description", description)))
    assert list(device.dialect.describe("homie5-pair").types) == ["power", "right_power"]
    assert device.command("homie5-pair", "right_power", "1")[0] == "homie/5/pair/right/power/set"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("homie/x", b""),
        ("homie//$state", b"ready"),
        ("homie/5/d/$description", b"[]"),
        ("homie/5/d/$description", b"{" * 9000),
        ("homie/d/n/p/$format", 3000 * b"x"),
        ("homie/d/n/p/$datatype", b"\xff\xfe"),
    ],
)
def test_what_is_no_message_of_homie_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader("homie").dialect.receive(topic, payload, retained=False, now=0.0)


@pytest.mark.parametrize("payload", ["nan", "1e999", "x", ""])
def test_value_that_is_no_number_is_not_reported(payload: str) -> None:
    device = Reader("homie").read(recorded(("homie/d/n/p/$datatype", "float")))
    count = len(device.events)
    with contextlib.suppress(ProtocolError):
        device.read(recorded(("homie/d/n/p", payload)))
    assert len(device.events) == count


def test_device_has_a_limited_number_of_properties() -> None:
    device = Reader("homie")
    device.read((f"homie/d/n/p{number}/$datatype", b"integer", True) for number in range(200))
    with pytest.raises(ProtocolError, match="at most 200"):
        device.read(recorded(("homie/d/n/more/$datatype", "integer")))
