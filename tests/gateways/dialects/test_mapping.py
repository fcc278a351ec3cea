# SPDX-License-Identifier: BSD-3-Clause
"""Plain topics that an operator maps to nodes."""

from pathlib import Path
from typing import Any

import pytest

from pyaiot.app import protocols  # noqa: F401 - registers the section
from pyaiot.config import load
from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.gateways.mqtt.dialects import new_dialects
from pyaiot.gateways.mqtt.dialects.mapping import MappingDialect
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.model.topic_mapping import MAPPINGS_MAX, TopicMapping
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import recorded


def mapped(*mappings: dict[str, Any]) -> Reader:
    reader = Reader.__new__(Reader)
    reader.dialect = MappingDialect([TopicMapping(**it) for it in mappings])
    reader.events = []
    reader.now = 0.0
    return reader


def test_levels_of_the_topic_name_node_and_resource() -> None:
    reader = mapped({"topic": "sensors/{node}/{resource}", "units": {"temperature": "°C"}})
    assert reader.dialect.filters == ("sensors/+/+",)
    reader.read(recorded(("sensors/attic/temperature", "21.5"), ("sensors/attic/mode", " eco \n")))
    assert reader.values("map-attic") == {"temperature": (21.5, "Cel"), "mode": "eco"}
    assert reader.dialect.describe("map-attic").details == {"name": "attic"}


def test_json_is_taken_as_a_whole_or_by_paths() -> None:
    whole = mapped({"topic": "w/{node}", "payload": "json"})
    whole.read(recorded(("w/a", {"air": {"t": 20, "rh": 50}, "list": [1, 2], "none": None})))
    assert whole.values("map-a") == {"air_t": 20, "air_rh": 50, "list": [1, 2]}
    fields = {"temperature": "$.air.t", "first": "list[0]", "missing": "$.x.y"}
    some = mapped({"topic": "w/{node}", "payload": "json", "fields": fields})
    some.read(recorded(("w/a", {"air": {"t": 20}, "list": [1, 2]})))
    assert some.values("map-a") == {"temperature": 20, "first": 1}
    one = mapped({"topic": "w/{node}/{resource}", "payload": "json"})
    one.read(recorded(("w/a/on", True), ("w/a/p", {"x": 1})))
    assert one.values("map-a") == {"on": True, "p_x": 1}


def test_columns_of_csv_are_resources() -> None:
    reader = mapped(
        {
            "topic": "csv/{node}",
            "payload": "csv",
            "columns": ["", "temperature", "humidity", "text"],
            "units": {"temperature": "°F", "humidity": "%"},
        }
    )
    reader.read(recorded(("csv/a", '2026-01-01,70.7,50,"a,b",more')))
    assert reader.values("map-a") == {
        "temperature": "70.7°F",
        "humidity": (50, "%RH"),
        "text": "a,b",
    }


def test_node_may_be_fixed_and_a_level_may_be_any() -> None:
    reader = mapped({"topic": "house/+/{resource}", "node": "house"})
    reader.read(recorded(("house/kitchen/power", "5")))
    assert reader.values("map-house") == {"power": 5}
    assert reader.dialect.receive("house/power", b"5", retained=False, now=0.0) is None


def test_command_goes_to_the_topic_of_the_mapping() -> None:
    reader = mapped({"topic": "io/{node}/{resource}", "command": "{topic}/set"})
    reader.read(recorded(("io/relay/out1", "0")))
    assert reader.command("map-relay", "out1", "1") == ("io/relay/out1/set", "1")
    named = mapped({"topic": "io/{node}", "payload": "json", "command": "do/{node}/{resource}"})
    named.read(recorded(("io/relay", {"out2": 0})))
    assert named.command("map-relay", "out2", "1") == ("do/relay/out2", "1")
    plain = mapped({"topic": "io/{node}/{resource}"}).read(recorded(("io/relay/out1", "0")))
    with pytest.raises(ProtocolError, match="cannot be written"):
        plain.command("map-relay", "out1", "1")


@pytest.mark.parametrize(
    "mapping",
    [
        {"topic": "sensors/{resource}"},
        {"topic": "sensors/{node}", "node": "x"},
        {"topic": "{node}/{node}"},
        {"topic": "a/#/{node}"},
        {"topic": "a//{node}"},
        {"topic": "node/{node}/{resource}"},
        {"topic": "$SYS/{node}"},
        {"topic": "a/{node}", "payload": "csv"},
        {"topic": "a/{node}", "payload": "json", "fields": {"x": "$.a[b]"}},
        {"topic": "a/{node}", "fields": {f"f{number}": "$.a" for number in range(65)}},
    ],
)
def test_mapping_that_is_not_valid_is_one_sentence(mapping: dict[str, Any]) -> None:
    with pytest.raises(OperatorError, match=r"^mqtt\.mapping: the topic .*\.$"):
        mapped(mapping)


def test_mappings_are_limited() -> None:
    with pytest.raises(OperatorError, match="more than 50"):
        mapped(*[{"topic": f"t{number}/{{node}}"} for number in range(MAPPINGS_MAX + 1)])


@pytest.mark.parametrize(
    ("mapping", "topic", "payload"),
    [
        ({"topic": "a/{node}"}, "a/x", b"\xff"),
        ({"topic": "a/{node}"}, "a/x", 70_000 * b"x"),
        ({"topic": "a/{node}"}, "a/" + "x" * 200, b"1"),
        ({"topic": "a/{node}", "payload": "json"}, "a/x", b"{"),
        ({"topic": "a/{node}", "payload": "json"}, "a/x", b"[" * 9000),
        ({"topic": "a/{node}", "payload": "csv", "columns": ["x"]}, "a/x", b'a"\r\0' * 9),
    ],
)
def test_payload_that_cannot_be_read_is_refused_or_text(
    mapping: dict[str, Any], topic: str, payload: bytes
) -> None:
    reader = mapped(mapping)
    try:
        reader.read([(topic, payload, False)])
    except ProtocolError:
        assert reader.events == []
    else:
        assert mapping.get("payload") == "csv"


def test_mappings_are_read_from_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        """
[mqtt]
dialects = []

[[mqtt.mapping]]
topic = "sensors/{node}/{resource}"
units = { temperature = "°C" }

[[mqtt.mapping]]
topic = "weather/{node}"
payload = "csv"
columns = ["temperature", "humidity"]
""",
        "utf-8",
    )
    config, _ = load(path, {}, {})
    first, second = config.of(MqttSection).mapping
    assert first.units == {"temperature": "°C"}
    assert second.columns == ("temperature", "humidity")
    (dialect,) = new_dialects((), lambda: 0.0, config.of(MqttSection).mapping)
    assert dialect.filters == ("sensors/+/+", "weather/+")


def test_unknown_key_of_a_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[[mqtt.mapping]]\ntopic = "a/{node}"\ncolums = ["x"]\n', "utf-8")
    with pytest.raises(OperatorError, match="colums"):
        load(path, {}, {})
