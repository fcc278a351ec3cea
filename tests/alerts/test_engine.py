# SPDX-License-Identifier: BSD-3-Clause
"""What raises and clears alerts. `now` and the Unix time are the same number here."""

from collections.abc import Mapping
from typing import Any

import pytest

from pyaiot.alerts import watches
from pyaiot.alerts.alert import Alert
from pyaiot.alerts.engine import RETURN_GRACE_S, AlertEngine
from pyaiot.alerts.rule import Rule, rule_of
from pyaiot.alerts.watches import Subject
from pyaiot.messages import Reading


class Room:
    """An engine, the nodes that the registry knows, and a clock."""

    def __init__(self, offline: tuple[str, ...] = (), **rules: dict[str, Any]) -> None:
        self.now = 1000.0
        self.nodes = {uid: Subject(uid, ("lab",), "East", "roof") for uid in ("a", "b", "c")}
        self.engine = AlertEngine(self.nodes.get)
        self.engine.started(_rules(rules), offline, now=self.now, ts=self.now)

    def set_rules(self, offline: tuple[str, ...] = (), **rules: dict[str, Any]) -> None:
        self.engine.set_rules(_rules(rules), offline, now=self.now, ts=self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, with every timer in it."""
        end = self.now + seconds
        while (timer := self.engine.get_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.engine.handle_timer(now=self.now, ts=self.now)
        self.now = end

    def read(self, data: object, uid: str = "a", resource: str = "temperature") -> None:
        reading = Reading.received(uid, resource, data, self.now)
        self.engine.receive_reading(reading, now=self.now, ts=self.now)

    def online(self, uid: str) -> None:
        self.engine.node_online(uid, now=self.now, ts=self.now)

    def offline(self, uid: str, reason: str = "silent") -> None:
        self.engine.node_offline(uid, reason, "roof", now=self.now)

    def receipt(self, state: str, uid: str = "a", resource: str = "led") -> None:
        self.engine.command_ended(uid, resource, state, "", now=self.now, ts=self.now)

    @property
    def changes(self) -> list[str]:
        """`raised a` and the like, since the last call."""
        found = []
        while (change := self.engine.next_change()) is not None:
            found.append(f"{change.phase} {change.alert.uid or change.alert.gateway}")
        return found


def _rules(tables: Mapping[str, dict[str, Any]]) -> dict[str, Rule]:
    return {name: rule_of({"title": name, **table}) for name, table in tables.items()}


WARM = {"when": "above", "resource": "temperature", "limit": 30, "hysteresis": 1}
OFFLINE = {"when": "offline", "for": 60}
SILENT = {"when": "no data", "resource": "temperature", "for": 600}
LOST = {"when": "gateway lost"}


# -- numbers ------------------------------------------------------------------------------------


def test_a_value_above_the_limit_raises_one_alert_with_the_value() -> None:
    room = Room(warm=WARM)
    room.read("30 °C")
    assert room.changes == []

    room.read("30.5 °C")
    room.read("31 °C")

    assert room.changes == ["raised a"]
    (alert,) = room.engine.watches.active.values()
    assert (alert.rule, alert.uid, alert.resource, alert.value) == (
        "warm",
        "a",
        "temperature",
        "30.5 °C",
    )
    assert alert.raised == 1000.0


def test_it_clears_when_the_value_is_back_beyond_the_hysteresis() -> None:
    room = Room(warm=WARM)
    room.read(31)
    room.read(29.5)
    assert room.changes == ["raised a"]

    room.read(29)

    assert room.changes == ["cleared a"]
    assert not room.engine.watches.active
    assert [alert.uid for alert in room.engine.watches.cleared] == ["a"]


def test_below_is_the_mirror_of_above() -> None:
    room = Room(cold={**WARM, "when": "below", "limit": 5})
    for number in (5, 4, 5.5, 6):
        room.read(number)

    assert room.changes == ["raised a", "cleared a"]


def test_the_condition_must_hold_for_the_duration_of_the_rule() -> None:
    room = Room(warm={**WARM, "for": 300})
    room.read(31)
    room.wait(200)
    room.read(25)
    room.wait(50)
    room.read(31)
    room.wait(299)
    assert room.changes == []

    room.wait(1)

    assert room.changes == ["raised a"]


def test_a_value_within_the_hysteresis_ends_what_is_not_raised_yet() -> None:
    room = Room(warm={**WARM, "for": 300})
    room.read(31)
    room.read(29.5)
    room.wait(400)

    assert room.changes == []


def test_a_text_a_retained_value_and_another_resource_raise_nothing() -> None:
    room = Room(warm=WARM)
    room.read("hot")
    room.read(99, resource="humidity")
    old = Reading(uid="a", resource="temperature", data="99", number=99.0, retained=True)
    room.engine.receive_reading(old, now=room.now, ts=room.now)

    assert room.changes == []


def test_a_change_within_the_time_raises_and_its_absence_clears() -> None:
    room = Room(jump={"when": "change", "resource": "temperature", "limit": 5, "within": 60})
    for number in (20, 22, 24):
        room.read(number)
        room.wait(40)
    assert room.changes == []

    room.read(29)
    assert room.changes == ["raised a"]
    room.wait(61)
    room.read(29)

    assert room.changes == ["cleared a"]


def test_the_samples_of_a_change_are_bounded() -> None:
    room = Room(jump={"when": "change", "resource": "temperature", "limit": 5, "within": 60})
    for _ in range(1000):
        room.read(20)
        room.wait(0.01)

    watch = room.engine.watches.find("jump", "a", "temperature")
    assert watch is not None
    assert len(watch.samples) <= 64


def test_nodes_that_a_rule_does_not_name_are_left_alone() -> None:
    room = Room(warm={**WARM, "uids": ["b"]})
    room.read(31, uid="a")
    room.read(31, uid="b")

    assert room.changes == ["raised b"]


# -- silence ------------------------------------------------------------------------------------


def test_no_data_for_the_duration_raises_and_data_clears() -> None:
    room = Room(silent=SILENT)
    room.read(20)
    room.wait(500)
    room.read(21)
    room.wait(599)
    assert room.changes == []
    room.wait(1)
    assert room.changes == ["raised a"]
    (alert,) = room.engine.watches.active.values()
    assert alert.value == "nothing for 10 min"

    room.read(21)

    assert room.changes == ["cleared a"]


def test_a_node_that_never_sends_the_resource_is_reported() -> None:
    room = Room(silent=SILENT)
    room.online("a")
    room.read("x", resource="name")
    room.wait(600)

    assert room.changes == ["raised a"]


def test_any_resource_counts_if_the_rule_names_none() -> None:
    room = Room(silent={"when": "no data", "for": 600})
    room.read("x", resource="name")
    room.wait(500)
    room.read("x", resource="led")
    room.wait(500)

    assert room.changes == []


# -- offline ------------------------------------------------------------------------------------


def test_an_offline_node_is_reported_after_the_duration() -> None:
    room = Room(off=OFFLINE)
    room.offline("a")
    room.wait(59)
    assert room.changes == []
    room.wait(1)
    assert room.changes == ["raised a"]

    room.online("a")

    assert room.changes == ["cleared a"]


def test_a_node_that_comes_back_in_time_is_not_reported() -> None:
    room = Room(off=OFFLINE)
    room.offline("a")
    room.wait(30)
    room.online("a")
    room.wait(100)

    assert room.changes == []


def test_a_lost_gateway_raises_one_alert_and_none_for_its_nodes() -> None:
    room = Room(off=OFFLINE, lost=LOST)
    for uid in ("a", "b", "c"):
        room.offline(uid, "gateway lost")
    room.engine.gateway_lost("roof", now=room.now, ts=room.now)
    room.wait(3600)

    assert room.changes == ["raised roof"]


def test_nodes_that_do_not_come_back_with_their_gateway_are_reported_after_a_grace() -> None:
    room = Room(off=OFFLINE, lost=LOST)
    for uid in ("a", "b"):
        room.offline(uid, "gateway lost")
    room.engine.gateway_lost("roof", now=room.now, ts=room.now)
    room.wait(60)
    room.engine.gateway_connected("roof", now=room.now, ts=room.now)
    room.online("a")
    room.wait(RETURN_GRACE_S + 59)
    assert room.changes == ["raised roof", "cleared roof"]

    room.wait(1)

    assert room.changes == ["raised b"]


def test_a_node_that_was_about_to_be_reported_is_not_when_its_gateway_is_lost() -> None:
    room = Room(off=OFFLINE)
    room.offline("a")
    room.offline("a", "gateway lost")
    room.wait(3600)

    assert room.changes == []


def test_a_gateway_that_comes_back_in_time_is_not_reported() -> None:
    room = Room(lost={**LOST, "for": 30})
    room.engine.gateway_lost("roof", now=room.now, ts=room.now)
    room.wait(20)
    room.engine.gateway_connected("roof", now=room.now, ts=room.now)
    room.wait(60)

    assert room.changes == []


# -- restart ------------------------------------------------------------------------------------


def test_a_restart_raises_no_alert_for_nodes_that_come_back() -> None:
    room = Room(offline=("a", "b"), off=OFFLINE)
    room.wait(30)
    room.online("a")
    room.wait(RETURN_GRACE_S + 29)
    assert room.changes == []

    room.wait(1)

    assert room.changes == ["raised b"]


def test_an_alert_that_was_stored_is_not_raised_again_and_clears() -> None:
    first = Room(off=OFFLINE)
    first.offline("a")
    first.wait(60)
    stored = list(first.engine.watches.active.values())

    room = Room()
    room.engine.watches.load(stored)
    room.engine.started(_rules({"off": OFFLINE}), ["a"], now=room.now, ts=room.now)
    room.wait(3600)
    assert room.changes == []
    assert len(room.engine.watches.active) == 1
    room.online("a")

    assert room.changes == ["cleared a"]


def test_a_stored_alert_whose_rule_or_node_is_gone_is_cleared() -> None:
    room = Room()
    room.engine.watches.load(
        [
            Alert(id="off a", rule="off", title="t", severity="info", uid="a", raised=1.0),
            Alert(id="off x", rule="off", title="t", severity="info", uid="x", raised=1.0),
            Alert(id="gone a", rule="gone", title="t", severity="info", uid="a", raised=1.0),
        ]
    )
    room.engine.started(_rules({"off": OFFLINE}), ["a"], now=room.now, ts=room.now)

    assert [it.key for it in room.engine.watches.active.values()] == ["off a"]


# -- firmware and commands ----------------------------------------------------------------------


def test_a_failed_update_is_reported_until_the_next_one_begins() -> None:
    room = Room(update={"when": "update failed"})
    for state in ("1", "2", "3"):
        room.read(state, resource="suit_state")
    assert room.changes == ["raised a"]

    room.read("1", resource="suit_state")

    assert room.changes == ["cleared a"]


def test_a_failed_command_is_reported_until_one_succeeds() -> None:
    room = Room(command={"when": "command failed", "resource": "led"})
    room.receipt("timeout", resource="robot")
    assert room.changes == []
    room.receipt("timeout")
    room.receipt("refused")
    assert room.changes == ["raised a"]

    room.receipt("confirmed")

    assert room.changes == ["cleared a"]


def test_a_failed_command_is_old_news_after_five_minutes() -> None:
    room = Room(command={"when": "command failed"})
    room.receipt("timeout")
    room.wait(300)

    assert room.changes == ["raised a", "cleared a"]


# -- edits and limits ---------------------------------------------------------------------------


def test_a_changed_rule_clears_its_alerts_and_begins_anew() -> None:
    room = Room(warm=WARM)
    room.read(31)
    room.set_rules(warm={**WARM, "limit": 40})
    room.read(35)
    room.read(41)

    assert room.changes == ["raised a", "cleared a", "raised a"]


def test_a_rule_that_stays_keeps_its_alerts() -> None:
    room = Room(warm=WARM)
    room.read(31)
    room.set_rules(warm=WARM, cold={**WARM, "when": "below", "limit": 5})

    assert room.changes == ["raised a"]


def test_a_disabled_rule_clears_its_alerts_and_watches_nothing() -> None:
    room = Room(warm=WARM)
    room.read(31)
    room.set_rules(warm={**WARM, "enabled": False})
    room.read(32)

    assert room.changes == ["raised a", "cleared a"]


def test_a_new_rule_applies_to_nodes_that_are_offline_already() -> None:
    room = Room()
    room.set_rules(("b",), off=OFFLINE)
    room.wait(60)

    assert room.changes == ["raised b"]


def test_a_node_that_loses_its_tag_is_no_longer_watched() -> None:
    room = Room(warm={**WARM, "tags": ["lab"]})
    room.read(31)
    room.nodes["a"] = Subject("a", ())
    room.engine.node_edited("a", is_offline=False, now=room.now, ts=room.now)

    assert room.changes == ["raised a", "cleared a"]


def test_the_alerts_of_a_forgotten_node_are_cleared() -> None:
    room = Room(off=OFFLINE)
    room.offline("a")
    room.wait(60)
    room.engine.node_forgotten("a", ts=room.now)

    assert room.changes == ["raised a", "cleared a"]
    assert len(room.engine.watches) == 0


def test_alerts_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "ACTIVE_MAX", 2)
    room = Room(warm=WARM)
    for uid in ("a", "b", "c"):
        room.read(31, uid=uid)

    assert room.changes == ["raised a", "raised b"]
    assert room.engine.watches.dropped == 1


def test_watches_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "WATCHES_MAX", 1)
    room = Room(warm=WARM)
    room.read(31, uid="a")
    room.read(31, uid="b")

    assert room.changes == ["raised a"]
    assert room.engine.watches.dropped == 1


def test_cleared_alerts_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "CLEARED_MAX", 3)
    room = Room(warm=WARM)
    for _ in range(5):
        room.read(31)
        room.read(20)
        room.wait(1)

    assert len(list(room.engine.watches.cleared)) == 3


def test_timers_do_not_pile_up_while_data_arrives() -> None:
    room = Room(silent=SILENT)
    for _ in range(1000):
        room.read(20)
        room.wait(1)

    assert len(room.engine.watches._timers) <= 2
