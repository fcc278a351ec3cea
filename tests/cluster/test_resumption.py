# SPDX-License-Identifier: BSD-3-Clause
"""Event ids of another broker are answered from the shared history only where that is complete."""

import pytest

from pyaiot.cluster.packets import Beacon
from pyaiot.cluster.resumption import (
    ID_AGE_MAX_S,
    MARGIN_S,
    RUNS_MAX,
    SKEW_MAX_S,
    RecordedByAll,
    Resumption,
)

TS = 1_800_000_000.0
OWN, OTHER = "0000000a", "0000000b"


def beacon(
    *, run: str = OTHER, ahead_s: float = 0.0, recorded: float = 5.0, late_s: float = 0.0
) -> Beacon:
    return Beacon(
        sender="0" * 8,
        name="other",
        events_run=run,
        time=TS + ahead_s,
        recorded=recorded,
        late_s=late_s,
    )


def start(known: Resumption, *, run: str = OTHER, id_ts: float = TS - 10) -> float | str:
    return known.start(run, id_ts, TS, own=OWN, late_s=0.0)


@pytest.fixture
def known() -> Resumption:
    return Resumption(TS - 7200)


def test_the_history_is_read_from_before_the_id_by_lateness_and_difference_of_clocks(
    known: Resumption,
) -> None:
    known.beacon_received(beacon(late_s=40.0, ahead_s=-3.0), TS)
    known.beacon_received(beacon(run="0000000c", ahead_s=2.0, late_s=7.0), TS)
    assert start(known) == TS - 10 - 40 - 5 - MARGIN_S


def test_an_id_of_this_broker_is_answered_likewise(known: Resumption) -> None:
    assert start(known, run=OWN) == TS - 10 - MARGIN_S


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"run": "0000000c"}, "the id is not from a broker of this cluster"),
        ({"run": ""}, "the id is not from a broker of this cluster"),  # an earlier version
        ({"recorded": 0.0}, "a broker of the cluster has no complete history"),
        ({"ahead_s": SKEW_MAX_S + 1}, "the clocks of the brokers differ"),
        ({"ahead_s": -SKEW_MAX_S - 1}, "the clocks of the brokers differ"),
    ],
)
def test_what_is_not_known_is_a_gap(
    known: Resumption, changed: dict[str, object], reason: str
) -> None:
    known.beacon_received(beacon(**changed), TS)  # type: ignore[arg-type]
    assert start(known) == reason


def test_a_wrong_clock_of_a_third_broker_is_a_gap(known: Resumption) -> None:
    known.beacon_received(beacon(), TS)
    known.beacon_received(beacon(run="0000000c", ahead_s=-60.0), TS)
    assert start(known) == "the clocks of the brokers differ"


def test_a_broker_that_was_gone_before_the_id_does_not_matter(known: Resumption) -> None:
    known.beacon_received(beacon(run="0000000c", recorded=0.0, ahead_s=99.0), TS - 100)
    known.beacon_received(beacon(), TS)
    assert start(known) == TS - 10 - MARGIN_S


def test_an_id_that_is_too_old_or_from_the_future_is_a_gap(known: Resumption) -> None:
    known.beacon_received(beacon(), TS)
    assert start(known, id_ts=TS - ID_AGE_MAX_S - MARGIN_S - 1) == "the id is too old"
    assert start(known, id_ts=TS + MARGIN_S + 1) == "the id is too old"
    assert not isinstance(start(known, id_ts=TS - ID_AGE_MAX_S), str)


def test_a_broker_that_started_later_does_not_know_who_left() -> None:
    for ran_s, is_answered in ((34.9, False), (35.1, True)):
        known = Resumption(TS - ran_s)
        known.beacon_received(beacon(), TS)
        found = start(known)
        assert (found != "this broker has not run long enough") is is_answered


def test_nodes_that_left_with_their_broker_are_a_gap(known: Resumption) -> None:
    known.beacon_received(beacon(), TS)
    known.nodes_left(TS - 36)
    assert not isinstance(start(known), str)
    known.nodes_left(TS - 34)
    assert start(known) == "nodes went offline with their broker meanwhile"


def test_the_run_that_has_been_silent_longest_is_forgotten(known: Resumption) -> None:
    for number in range(RUNS_MAX + 1):
        known.beacon_received(beacon(run=f"{number:08x}"), TS)
    assert start(known, run=f"{0:08x}") == "the id is not from a broker of this cluster"
    assert not isinstance(start(known, run=f"{1:08x}"), str)


def beacons(clock: float, recorded: float) -> dict[str, Beacon]:
    return {"b": Beacon(sender="0" * 8, name="b", clock=clock, recorded=recorded)}


def test_a_broker_has_recorded_all_once_it_reports_a_time_after_the_request() -> None:
    waiting = RecordedByAll()
    assert not waiting.is_reached(beacons(10.0, 10.0))  # sent before the values perhaps
    assert not waiting.is_reached(beacons(11.0, 10.9))
    assert not waiting.is_reached(beacons(12.0, 10.9))
    assert waiting.is_reached(beacons(13.0, 11.0))


def test_lost_brokers_are_not_waited_for() -> None:
    waiting = RecordedByAll()
    assert not waiting.is_reached(beacons(10.0, 10.0))
    assert waiting.is_reached({})
