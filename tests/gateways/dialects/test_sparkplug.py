# SPDX-License-Identifier: BSD-3-Clause
"""Edge nodes and devices of Sparkplug B, from its specification."""

import pytest

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.sparkplug_payload import read_payload
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import SPARKPLUG, metric, payload, recorded

EDGE = "spb-plant.line-1"
PUMP = "spb-plant.line-1.pump"
REBIRTH = "spBv1.0/plant/NCMD/line-1"


def test_birth_messages_make_typed_nodes() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG)
    assert plant.uids() == {EDGE, PUMP}
    assert plant.values(EDGE) == {"supply_voltage": (23.9, "V")}
    assert plant.values(PUMP) == {
        "inlet_temperature": (19.25, "Cel"),
        "running": False,
        "speed": -20,
        "serial": "P-77",
    }
    assert plant.messages() == []


def test_death_of_an_edge_node_puts_its_devices_offline() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG)
    plant.read(recorded(("spBv1.0/plant/NDEATH/line-1", payload(None, metric("bdSeq", 8, 3)))))
    assert (plant.online(EDGE), plant.online(PUMP)) == (False, False)


def test_death_of_a_device_is_its_own() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG)
    plant.read(recorded(("spBv1.0/plant/DDEATH/line-1/pump", payload(3))))
    assert (plant.online(EDGE), plant.online(PUMP)) == (True, False)


def test_lost_message_leads_to_one_request_for_birth_messages() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG)
    plant.read(recorded(("spBv1.0/plant/DDATA/line-1/pump", payload(4, metric("", 9, 1.0, 2)))))
    plant.read(recorded(("spBv1.0/plant/DDATA/line-1/pump", payload(9, metric("", 9, 2.0, 2)))))
    assert [topic for topic, _ in plant.messages()] == [REBIRTH]
    plant.now += 31.0
    plant.read(recorded(("spBv1.0/plant/DDATA/line-1/pump", payload(1, metric("", 9, 3.0, 2)))))
    assert [topic for topic, _ in plant.messages()] == [REBIRTH, REBIRTH]
    (request,) = read_payload(plant.messages()[0][1]).metrics
    assert (request.name, request.value) == ("Node Control/Rebirth", True)


def test_data_before_a_birth_leads_to_a_request_and_is_not_reported() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG[2:])
    assert [topic for topic, _ in plant.messages()] == [REBIRTH]
    assert plant.values(PUMP) == {}


def test_sequence_number_after_255_is_0() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG)
    for number in range(3, 260):
        data = payload(number % 256, metric("", 9, float(number), 2))
        plant.read(recorded(("spBv1.0/plant/DDATA/line-1/pump", data)))
    assert plant.messages() == []


def test_metrics_are_written_with_their_type() -> None:
    plant = Reader("sparkplug").read(SPARKPLUG)
    for resource, text, expected in (
        ("running", "on", True),
        ("speed", "-5", -5),
        ("inlet_temperature", "20.5", 20.5),
        ("serial", "P-78", "P-78"),
    ):
        message = plant.dialect.command(PUMP, resource, text)
        assert message.topic == "spBv1.0/plant/DCMD/line-1/pump"
        (written,) = read_payload(message.payload).metrics
        assert written.value == expected, resource
    message = plant.dialect.command(EDGE, "supply_voltage", "24")
    assert message.topic == "spBv1.0/plant/NCMD/line-1"

    with pytest.raises(ProtocolError):
        plant.dialect.command(PUMP, "speed", "99999999999")
    with pytest.raises(ProtocolError):
        plant.dialect.command(PUMP, "speed", "x")


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("spBv1.0/plant/NBIRTH/line-1", b"\xff"),
        ("spBv1.0/plant/NBIRTH/line-1", b"\x12\x7f"),
        ("spBv1.0/plant/NBIRTH/line-1", b"\x12\x02\x0a\x05"),
        ("spBv1.0/plant/NBIRTH/line-1", b"\x80" * 11),
        ("spBv1.0/plant/NBIRTH/line-1", b"\x03"),
        ("spBv1.0/plant/NBIRTH/line-1", b"\x0b\x0c"),
        ("spBv1.0/plant/XBIRTH/line-1", b""),
        ("spBv1.0/plant/NBIRTH", b""),
        ("spBv1.0/plant/DBIRTH/line-1", b""),
        ("spBv1.0//NBIRTH/line-1", b""),
    ],
)
def test_what_is_no_message_of_sparkplug_is_refused(topic: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader("sparkplug").dialect.receive(topic, data, retained=False, now=0.0)


def test_names_with_dots_do_not_collide() -> None:
    births = [
        ("spBv1.0/a.b/NBIRTH/c", payload(0, metric("x", 3, 1)), False),
        ("spBv1.0/a/NBIRTH/b.c", payload(0, metric("x", 3, 1)), False),
        ("spBv1.0/a/DBIRTH/b/c", payload(1, metric("x", 3, 1)), False),
    ]
    assert len(Reader("sparkplug").read(births).uids()) == 3


def test_metrics_with_one_name_are_one() -> None:
    birth = payload(0, metric("a/b", 3, 1), metric("a_b", 3, 2), metric("c", 3, 3))
    plant = Reader("sparkplug").read([("spBv1.0/g/NBIRTH/e", birth, False)])
    assert list(plant.dialect.describe("spb-g.e").types) == ["a_b", "c"]
    assert list(plant.problems()) == ["spb-g.e a_b"]


def test_last_will_of_an_earlier_connection_is_no_death() -> None:
    plant = Reader("sparkplug").read(
        [
            ("spBv1.0/g/NBIRTH/e", payload(0, metric("bdSeq", 8, 4), metric("x", 3, 1)), False),
            ("spBv1.0/g/NDEATH/e", payload(None, metric("bdSeq", 8, 3)), False),
        ]
    )
    assert plant.online("spb-g.e") is True
    plant.read([("spBv1.0/g/NDEATH/e", payload(None, metric("bdSeq", 8, 4)), False)])
    assert plant.online("spb-g.e") is False
