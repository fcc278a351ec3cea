# SPDX-License-Identifier: BSD-3-Clause
"""The rows of a message, and their times."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.history.rows import (
    CommandEnded,
    CommandIssued,
    GatewayGap,
    Item,
    batch_of,
    clean,
    data_of,
)
from pyaiot.messages import (
    Command,
    GatewayState,
    Hello,
    Joined,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ReadingsDropped,
    Receipt,
)

NOW = 1_800_000_000.0


def kept(data: object, resource: str = "temperature") -> tuple[object, str]:
    """Value and unit of a reading's row."""
    batch = batch_of([Reading.received("n", resource, data, NOW)], now=NOW)
    ((key, at, value, unit),) = batch.readings
    assert (key, at) == (("n", resource), int(NOW * 1_000_000))
    return value, unit


@pytest.mark.parametrize(
    ("data", "value", "unit"),
    [
        ("23.5°C", 23.5, "Cel"),
        ("1007.7hPa", 1007.7, "hPa"),
        (7, 7.0, ""),
        ("warm", "warm", ""),
        ("", "", ""),
        (True, b"true", ""),
        (None, b"null", ""),
        ({"x": [1, "°"]}, '{"x":[1,"°"]}'.encode(), ""),
        (math.nan, "nan", ""),
        (-math.inf, "-inf", ""),
        (2**80, str(2**80), ""),
        (2**53, float(2**53), ""),
        (2**53 + 1, str(2**53 + 1), ""),
        ("000012300007", "000012300007", ""),
        (10**400, str(10**400).encode(), ""),
        ("nan", "nan", ""),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b", ""),
        ("\ud800", "?", ""),
        ({"\ud800": 1}, "{'\\ud800': 1}", ""),
    ],
)
def test_a_value_is_number_text_or_json(data: object, value: object, unit: str) -> None:
    assert kept(data) == (value, unit)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    )
)
def test_values_other_than_numbers_are_returned_as_sent(data: object) -> None:
    (row,) = batch_of([Reading(uid="n", resource="r", data=data, ts=NOW)], now=NOW).readings
    assert data_of(row[2]) == data


@given(st.text())
def test_clean_text_can_be_encoded_and_has_no_zero(text: str) -> None:
    assert b"\0" not in clean(text).encode()


@pytest.mark.parametrize(
    ("ts", "plausible_time"),
    [
        (NOW - 3600, NOW - 3600),  # a value of an hour ago that is repeated
        (NOW + 30, NOW + 30),
        (NOW + 3600, NOW),  # a clock that is an hour ahead
        (0.0, NOW),  # unknown
        (300.0, NOW),  # a clock that was never set
        (-5.0, NOW),
        (1e308, NOW),
        (math.inf, NOW),
        (math.nan, NOW),
    ],
)
def test_an_impossible_time_is_replaced_by_the_arrival_time(
    ts: float, plausible_time: float
) -> None:
    messages: list[Item] = [
        Reading(uid="n", resource="r", data="x", ts=ts),
        NodeAppeared(uid="n", ts=ts),
        NodeReset(uid="n", ts=ts),
        NodeLeft(uid="n", ts=ts),
        GatewayState(name="g", state="lost", ts=ts),
    ]
    batch = batch_of(messages, now=NOW)
    times = [batch.readings[0][1], *(event.at for event in batch.events)]
    assert times == [int(plausible_time * 1_000_000)] * 5


def test_a_retained_value_is_not_recorded() -> None:
    retained = Reading(uid="n", resource="r", data="1", retained=True)
    live = Reading(uid="n", resource="r", data="2", ts=NOW)
    batch = batch_of([retained, live], now=NOW)
    assert [row[2] for row in batch.readings] == ["2"]
    assert batch.messages == 2


def test_online_and_offline_are_events() -> None:
    batch = batch_of(
        [
            NodeAppeared(uid="n", ts=NOW, gateway="coap"),
            NodeReset(uid="n", ts=NOW),
            NodeLeft(uid="n", ts=NOW, reason="silent"),
            GatewayState(name="coap", protocol="CoAP", state="connected", ts=NOW),
            Hello(name="broker", protocol="pyaiot.v2"),
            Joined(nodes=3),
        ],
        now=NOW,
    )
    assert [(e.kind, e.uid, e.gateway, e.detail) for e in batch.events] == [
        ("appeared", "n", "coap", ""),
        ("reset", "n", "", ""),
        ("left", "n", "", "silent"),
        ("gateway connected", "", "coap", "CoAP"),
    ]
    assert batch.messages == 6


def test_a_gap_of_a_gateway_is_an_event_with_its_count() -> None:
    gap = ReadingsDropped(ts=NOW - 60, until=NOW - 10, lost=250)
    (event,) = batch_of([GatewayGap("green\0house", gap)], now=NOW).events
    assert (event.kind, event.gateway, event.lost) == (
        "gap",
        "green\N{REPLACEMENT CHARACTER}house",
        250,
    )
    assert (event.at, event.until) == (int((NOW - 60) * 1e6), int((NOW - 10) * 1e6))
    assert "disconnected" in event.detail


def test_a_command_is_written_when_it_is_issued_and_when_it_ends() -> None:
    command = Command(id="7", uid="n", resource="led", payload="1", client="c")
    receipt = Receipt(id="mine", state="refused", detail="4.05", elapsed_ms=250.0)
    given, ended = batch_of(
        [CommandIssued(command, NOW), CommandEnded(command, receipt, NOW + 0.25)], now=NOW + 1
    ).commands
    assert (given.at, given.number, given.state) == (int(NOW * 1_000_000), 7, None)
    assert (ended.at, ended.number, ended.client, ended.client_id) == (given.at, 7, "c", "mine")
    assert (ended.state, ended.detail, ended.elapsed_ms) == ("refused", "4.05", 250.0)


def test_a_command_that_was_never_sent_has_no_number() -> None:
    command = Command(uid="n", resource="led", payload="1", client="c")
    receipt = Receipt(id="x", state="forbidden")
    (row,) = batch_of([CommandEnded(command, receipt, NOW)], now=NOW).commands
    assert row.number is None
