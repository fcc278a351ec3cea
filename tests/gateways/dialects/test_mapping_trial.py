# SPDX-License-Identifier: BSD-3-Clause
"""A mapping that is tried with one message."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import OperatorError, ProtocolError
from pyaiot.gateways.mqtt.dialects.mapping_trial import check_mapping, try_mapping
from pyaiot.model.topic_mapping import TopicMapping


def test_trial_shows_node_values_units_types_and_topics_of_commands() -> None:
    mapping = TopicMapping(
        topic="io/{node}/{resource}", units={"level": "°C"}, command="{topic}/set"
    )
    tried = try_mapping(mapping, "io/boiler/level", "41.5")
    assert (tried.uid, tried.name) == ("map-boiler", "boiler")
    (value,) = tried.values
    assert (value.reading.resource, value.reading.number, value.reading.unit) == (
        *("level", 41.5),
        "Cel",
    )
    assert value.type.kind == "number"
    assert value.command_topic == "io/boiler/level/set"


def test_trial_shows_all_values_of_json() -> None:
    tried = try_mapping(
        TopicMapping(topic="w/{node}", payload="json"), "w/a", '{"t":1,"on":true,"s":"x"}'
    )
    assert [(it.reading.resource, it.reading.data, it.type.kind) for it in tried.values] == [
        ("t", 1, "number"),
        ("on", True, "boolean"),
        ("s", "x", "text"),
    ]


@pytest.mark.parametrize(
    ("mapping", "topic", "payload", "reason"),
    [
        ({"topic": "w/{node}"}, "other/a", "1", "not of the form w/{node}"),
        ({"topic": "w/{node}", "payload": "json"}, "w/a", "{", "invalid JSON"),
        (
            {"topic": "w/{node}", "payload": "json", "fields": {"t": "$.x"}},
            *("w/a", '{"y":1}', "no value"),
        ),
        ({"topic": "w/{node}"}, "w/a", "", "no value"),
        ({"topic": "w/{node}"}, "w/a", "\ud800", "UTF-8"),
    ],
)
def test_trial_that_gives_nothing_has_a_reason(
    mapping: dict[str, Any], topic: str, payload: str, reason: str
) -> None:
    with pytest.raises(ProtocolError, match=reason):
        try_mapping(TopicMapping(**mapping), topic, payload)


def test_mapping_that_is_not_valid_is_refused() -> None:
    with pytest.raises(OperatorError, match="needs one level"):
        check_mapping(TopicMapping(topic="a/b"))


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(["text", "json", "csv"]))
def test_trial_of_any_message_ends_in_values_or_a_reason(
    topic: str, payload: str, form: Any
) -> None:
    mapping = TopicMapping(topic="{node}/+", payload=form, columns=("a", "b"))
    try:
        tried = try_mapping(mapping, topic, payload)
    except ProtocolError:
        return
    assert tried.values
