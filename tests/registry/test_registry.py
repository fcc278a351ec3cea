# SPDX-License-Identifier: BSD-3-Clause
"""Admission, eviction, forgetting and undo of nodes, in any order of events."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyaiot.errors import Refused
from pyaiot.messages import Reading
from pyaiot.registry import registry as registry_module
from pyaiot.registry.admission import WAITING_MAX, WAITING_OF_GATEWAY_MAX, AdmissionRule
from pyaiot.registry.forgotten_nodes import FORGOTTEN_LIFE_S, FORGOTTEN_MAX
from pyaiot.registry.last_values import VALUES_SMALL, decode_values
from pyaiot.registry.record import Edit, NodeRecord
from pyaiot.registry.refusals import Banned, RegistryFull, StaleRevision, UnknownNode
from pyaiot.registry.registry import Registry

TS = 1_800_000_000.0
LABEL = Edit(label="Lamp")


def appear(registry: Registry, uid: str, gateway: str = "g", ts: float = TS) -> NodeRecord:
    return registry.appear(uid, gateway, "CoAP", ts)


def leave(registry: Registry, uid: str, *readings: Reading, ts: float = TS) -> None:
    registry.leave(registry.records[uid], "silent", readings, ts)


def edit(registry: Registry, uid: str, change: Edit = LABEL) -> NodeRecord:
    return registry.replace(registry.edited(uid, change))


def offline(registry: Registry, *uids: str, gateway: str = "g") -> None:
    for uid in uids:
        appear(registry, uid, gateway)
        leave(registry, uid)


# -- what was observed ----------------------------------------------------------------------------


def test_node_that_left_keeps_its_values_until_it_comes_back() -> None:
    registry = Registry()
    record = appear(registry, "n")
    leave(registry, "n", Reading.received("n", "t", "21°C", TS + 3), ts=TS + 10)
    assert (record.state, record.reason, record.last_seen) == ("offline", "silent", TS + 3)
    assert [it.data for it in decode_values(registry.values_of(record))] == ["21°C"]
    assert appear(registry, "n", "other", TS + 60) is record
    assert (record.state, record.reason, record.first_seen) == ("online", "", TS)
    assert (record.gateway, record.last_seen) == ("other", TS + 60)
    assert registry.message(record).values == ()


def test_a_time_in_the_future_is_corrected() -> None:
    registry = Registry()
    record = appear(registry, "n", ts=TS + 1e6)
    leave(registry, "n", Reading.received("n", "t", "1", TS + 2e6), ts=TS)
    assert record.last_seen == TS + 1e6
    appear(registry, "n", ts=TS)
    assert record.last_seen == TS
    leave(registry, "n", Reading.received("n", "t", "1", TS + 2e6), ts=TS + 5)
    assert record.last_seen == TS


def test_reboots_are_counted() -> None:
    registry = Registry()
    record = appear(registry, "n")
    registry.reboot(record, TS + 1)
    assert (record.boots, record.last_seen) == (1, TS + 1)


# -- admission ------------------------------------------------------------------------------------


def test_newcomers_are_accepted_wait_or_are_refused_by_protocol() -> None:
    registry = Registry(admission="known", admission_of={"coap": "approve", "MQTT": "open"})
    assert registry.appear("a", "g", "CoAP", TS).state == "waiting"
    assert registry.appear("b", "g", "mqtt", TS).state == "online"
    with pytest.raises(Refused, match="not registered"):
        registry.appear("c", "g", "WebSocket", TS)
    assert (len(registry), registry.waiting, registry.refused) == (2, 1, 1)


def test_known_nodes_are_admitted_by_every_rule() -> None:
    registry = Registry(admission="known")
    registry.replace(registry.provisioned("n", Edit()))
    assert appear(registry, "n").state == "online"


def test_waiting_newcomers_are_limited_in_all_and_by_gateway() -> None:
    registry = Registry(admission="approve")
    for number in range(WAITING_OF_GATEWAY_MAX):
        appear(registry, f"a{number}", "attacker")
    for number in range(10_000):
        with pytest.raises(Refused, match="wait for approval at the gateway attacker"):
            appear(registry, f"more{number}", "attacker")
    assert registry.waiting == WAITING_OF_GATEWAY_MAX
    assert appear(registry, "honest", "other").state == "waiting"
    for number in range(WAITING_MAX):
        try:
            appear(registry, f"b{number}", f"g{number % 7}")
        except Refused:
            continue
    assert registry.waiting == WAITING_MAX == len(registry)
    # Who leaves makes room, and leaves nothing behind.
    leave(registry, "a0")
    assert appear(registry, "late", "other").state == "waiting"
    assert registry.unwritten.take_observed(10_000) == []
    assert registry.unwritten.take_removed(10_000) == []


def test_edited_newcomer_still_waits_after_it_left() -> None:
    registry = Registry(admission="approve")
    appear(registry, "n")
    edit(registry, "n")
    leave(registry, "n", Reading.received("n", "t", "1", TS))
    assert (registry.records["n"].state, registry.waiting) == ("waiting", 1)
    stored = copy.deepcopy(registry.unwritten.take_observed(10))
    again = Registry(admission="approve")
    again.load(stored)
    assert again.waiting == 1
    assert appear(again, "n", "other").state == "waiting"
    edit(again, "n", Edit(admission="accepted"))
    assert (again.records["n"].state, again.waiting) == ("online", 0)


def test_banned_node_is_refused_until_the_ban_is_lifted() -> None:
    registry = Registry()
    offline(registry, "n")
    edit(registry, "n", Edit(admission="banned"))
    with pytest.raises(Banned):
        appear(registry, "n")
    edit(registry, "n", Edit(admission="accepted"))
    assert appear(registry, "n").state == "online"


# -- edits ----------------------------------------------------------------------------------------


def test_edit_counts_when_it_is_replaced_and_not_before() -> None:
    registry = Registry()
    offline(registry, "n")
    changed = registry.edited("n", LABEL)
    assert registry.records["n"].annotations.label == ""
    assert registry.replace(changed) is registry.records["n"]
    assert (registry.records["n"].annotations.label, registry.records["n"].revision) == ("Lamp", 1)


def test_edit_of_an_older_revision_is_refused() -> None:
    registry = Registry()
    offline(registry, "n")
    edit(registry, "n")
    with pytest.raises(StaleRevision):
        registry.edited("n", Edit(room="Hall"), revision=0)
    assert registry.edited("n", Edit(room="Hall"), revision=1).revision == 2
    with pytest.raises(UnknownNode):
        registry.edited("m", LABEL)


def test_edited_nodes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "EDITED_MAX", 3)
    registry = Registry()
    many = [registry.provisioned(f"n{number}", LABEL) for number in range(4)]
    with pytest.raises(RegistryFull):
        registry.check_room(many)
    registry.check_room(many[:3])
    for changed in many[:3]:
        registry.replace(changed)
    # Those that are edited may be edited again.
    registry.check_room([registry.edited("n0", Edit(room="Hall"))])
    with pytest.raises(RegistryFull):
        registry.check_room([many[3]])


def test_label_names_a_node_in_any_case_and_a_uid_comes_first() -> None:
    registry = Registry()
    offline(registry, "a", "b", "lamp")
    edit(registry, "a", Edit(label="Desk lamp"))
    edit(registry, "b", Edit(label="LAMP"))
    assert [it.uid for it in registry.named("desk LAMP")] == ["a"]
    assert [it.uid for it in registry.named("lamp")] == ["lamp"]
    assert registry.named("nobody") == []


# -- forgetting -----------------------------------------------------------------------------------


def test_oldest_offline_node_that_nobody_edited_is_forgotten_to_make_room() -> None:
    registry = Registry(offline_max=4)
    offline(registry, "a", "b", "c", "d")
    edit(registry, "a")
    edit(registry, "b", Edit(admission="accepted"))
    registry.replace(registry.provisioned("bare", Edit()))
    offline(registry, "e", "f", "g")
    assert sorted(registry.records) == ["a", "b", "bare", "d", "e", "f", "g"]
    assert registry.take_evicted() == ["c"]
    assert registry.unwritten.take_removed(10) == ["c"]


def test_one_gateway_may_use_all_the_room_and_then_loses_its_own_nodes() -> None:
    registry = Registry(offline_max=6)
    offline(registry, *(f"a{n}" for n in range(6)), gateway="large")
    assert len(registry) == 6
    offline(registry, "b0", "b1", gateway="small")
    offline(registry, *(f"c{n}" for n in range(50)), gateway="large")
    kept = sorted(registry.records)
    assert kept[:2] == ["b0", "b1"]
    assert len(kept) == 6


def test_node_without_room_is_announced_as_forgotten() -> None:
    registry = Registry(offline_max=0)
    offline(registry, "n")
    assert (len(registry), registry.take_evicted()) == (0, ["n"])


def test_forgotten_node_is_restored_with_everything() -> None:
    registry = Registry()
    appear(registry, "n")
    leave(registry, "n", Reading.received("n", "t", "1", TS))
    edit(registry, "n")
    registry.forget("n", 100.0)
    assert registry.get("n") is None
    record = registry.forgotten("n", 100.0 + FORGOTTEN_LIFE_S)
    assert registry.restore(record) is registry.records["n"]
    assert record.annotations.label == "Lamp"
    assert [it.data for it in registry.message(record).values] == ["1"]
    assert registry.unwritten.take_removed(10) == []
    with pytest.raises(UnknownNode):
        registry.forgotten("n", 100.0)


def test_undo_gives_a_node_that_came_back_what_people_had_added() -> None:
    registry = Registry()
    appear(registry, "n")
    registry.reboot(registry.records["n"], TS)
    leave(registry, "n")
    edit(registry, "n")
    registry.forget("n", 100.0)
    record = appear(registry, "n", ts=TS + 50)
    registry.reboot(record, TS + 51)
    restored = registry.restore(registry.forgotten("n", 101.0))
    assert restored is record
    assert (record.annotations.label, record.state, record.boots) == ("Lamp", "online", 2)
    assert (record.first_seen, record.last_seen, record.revision) == (TS, TS + 51, 2)


def test_undo_does_not_overwrite_newer_edits() -> None:
    registry = Registry()
    offline(registry, "n")
    edit(registry, "n")
    registry.forget("n", 100.0)
    offline(registry, "n")
    edit(registry, "n", Edit(label="Newer"))
    with pytest.raises(UnknownNode):
        registry.forgotten("n", 101.0)


def test_forgotten_nodes_are_kept_for_a_while_and_are_limited() -> None:
    registry = Registry()
    offline(registry, *(f"n{number}" for number in range(FORGOTTEN_MAX + 1)))
    for number in range(FORGOTTEN_MAX + 1):
        registry.forget(f"n{number}", 100.0)
    with pytest.raises(UnknownNode):
        registry.forgotten("n0", 100.0)
    registry.forgotten("n1", 100.0)
    with pytest.raises(UnknownNode):
        registry.forgotten("n1", 101.0 + FORGOTTEN_LIFE_S)


def test_online_node_is_not_forgotten() -> None:
    registry = Registry()
    appear(registry, "n")
    with pytest.raises(Refused, match="ban it instead"):
        registry.forget("n", 0.0)


# -- loading --------------------------------------------------------------------------------------


def stored(uid: str, **fields: object) -> NodeRecord:
    return NodeRecord(uid=uid, gateway="g", **fields)  # type: ignore[arg-type]


def test_nodes_that_came_before_the_registry_was_read() -> None:
    registry = Registry(admission="approve")
    appear(registry, "accepted")
    appear(registry, "banned")
    appear(registry, "new")
    present = registry.load(
        [
            stored("accepted", first_seen=TS - 9, boots=3, revision=4),
            stored("banned", admission="banned", revision=1),
            stored("offline", last_seen=TS - 5),
        ]
    )
    assert [(it.uid, it.state) for it in present] == [
        ("accepted", "online"),
        ("banned", "banned"),
    ]
    accepted = registry.records["accepted"]
    assert (accepted.first_seen, accepted.boots, accepted.revision) == (TS - 9, 3, 4)
    assert (registry.waiting, registry.records["offline"].state) == (1, "offline")


def test_node_that_is_loaded_after_it_was_evicted_stays() -> None:
    registry = Registry(offline_max=1)
    offline(registry, "a", "b")
    assert registry.get("a") is None
    registry.load([stored("a", revision=1, last_seen=TS)])
    assert registry.get("a") is not None
    assert registry.unwritten.take_removed(10) == []


def test_large_values_of_many_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyaiot.registry.last_values.VALUES_MAX", 100_000)
    registry = Registry()
    appear(registry, "small")
    leave(registry, "small", Reading.received("small", "t", "1", TS))
    for number in range(50):
        uid = f"n{number}"
        appear(registry, uid)
        readings = [Reading.received(uid, f"r{n}", "x" * 64_000, TS) for n in range(8)]
        leave(registry, uid, *readings, Reading.received(uid, "r", "x" * 20_000, TS))
    registry.encode_leftover(1000)
    sizes = {uid: len(record.values) for uid, record in registry.records.items()}
    assert sum(size for size in sizes.values() if size > VALUES_SMALL) <= 100_000
    assert len(registry) == 51
    assert sizes["n49"] > 20_000
    assert sizes["small"] > 2
    assert "n0" in {record.uid for record in registry.unwritten.take_observed(100)}


# -- any order of events --------------------------------------------------------------------------

UIDS = st.sampled_from([f"n{number}" for number in range(8)])
GATEWAYS = st.sampled_from(["g", "h"])


class AnyOrder(RuleBasedStateMachine):
    """Compares the registry with a simple model."""

    admission: AdmissionRule = "open"

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(admission=self.admission, offline_max=3)
        self.now = 0.0
        self.edits: dict[str, tuple[int, str, str]] = {}
        """What was answered to people: revision, label and admission of each node."""
        self.disk: dict[str, NodeRecord] = {}
        self.undo: dict[str, tuple[int, str, str]] = {}

    @rule(uid=UIDS, gateway=GATEWAYS)
    def appears(self, uid: str, gateway: str) -> None:
        record = self.registry.get(uid)
        if record is not None and record.is_online:
            return
        try:
            appear(self.registry, uid, gateway, TS + self.now)
        except Banned:
            assert record is not None
            assert record.admission == "banned"
        except Refused:
            assert record is None

    @rule(uid=UIDS, size=st.sampled_from([1, 3000]))
    def leaves(self, uid: str, size: int) -> None:
        record = self.registry.get(uid)
        if record is not None and record.is_online:
            leave(self.registry, uid, Reading.received(uid, "t", "x" * size, TS + self.now))

    @rule(
        uid=UIDS,
        label=st.sampled_from(["", "Lamp"]),
        admission=st.sampled_from([None, "accepted", "banned"]),
    )
    def people_edit(self, uid: str, label: str, admission: str | None) -> None:
        change = Edit(label=label) if admission is None else Edit(label=label, admission=admission)  # type: ignore[arg-type]
        try:
            changed = self.registry.edited(uid, change)
            self.registry.check_room([changed])
        except UnknownNode:
            return
        self.take_over(changed)

    @rule(uid=UIDS)
    def people_register(self, uid: str) -> None:
        self.take_over(self.registry.provisioned(uid, Edit()))

    def take_over(self, changed: NodeRecord) -> None:
        self.disk[changed.uid] = copy.copy(changed)
        record = self.registry.replace(changed)
        if record.admission == "banned" and record.is_online:
            self.registry.leave(record, "left", (), TS)
        self.edits[changed.uid] = (record.revision, record.annotations.label, record.admission)

    @rule(uid=UIDS)
    def people_forget(self, uid: str) -> None:
        record = self.registry.get(uid)
        try:
            self.registry.forget(uid, self.now)
        except Refused:
            assert record is None or record.state == "online"
            return
        self.disk.pop(uid, None)
        if uid in self.edits:
            self.undo[uid] = self.edits.pop(uid)
        else:
            self.undo.pop(uid, None)

    @rule(uid=UIDS)
    def people_undo(self, uid: str) -> None:
        try:
            record = self.registry.forgotten(uid, self.now)
        except UnknownNode:
            return
        self.disk[uid] = copy.copy(record)
        restored = self.registry.restore(record)
        if restored.admission == "banned" and restored.is_online:
            self.registry.leave(restored, "left", (), TS)
        if restored.is_edited:
            self.edits[uid] = (
                restored.revision,
                restored.annotations.label,
                restored.admission,
            )
        if uid in self.undo:
            assert self.edits[uid][1:] == self.undo.pop(uid)[1:]

    @rule()
    def is_written(self) -> None:
        for uid in self.registry.unwritten.take_removed(100):
            assert uid not in self.registry.records
            self.disk.pop(uid, None)
        for record in self.registry.unwritten.take_observed(100):
            assert record.is_stored
            self.registry.values_of(record)
            self.disk[record.uid] = copy.copy(record)

    @precondition(lambda self: self.registry.records)
    @rule()
    def is_killed_and_started(self) -> None:
        self.registry = Registry(admission=self.admission, offline_max=3)
        rows = [copy.copy(record) for record in self.disk.values()]
        for record in rows:
            record.is_online = False
        self.registry.load(rows)
        self.undo.clear()

    @rule()
    def time_passes(self) -> None:
        self.now += 1.0

    @invariant()
    def no_answered_edit_is_lost(self) -> None:
        for uid, (revision, label, admission) in self.edits.items():
            record = self.registry.records[uid]
            assert (record.revision, record.annotations.label) == (revision, label)
            assert record.admission == admission

    @invariant()
    def counts_are_right(self) -> None:
        registry, records = self.registry, self.registry.records.values()
        assert registry.waiting == sum(it.admission == "waiting" for it in records)
        assert registry._edited == sum(it.is_edited for it in records)
        forgettable = [it.uid for it in records if it.state == "offline" and not it.is_edited]
        assert len(forgettable) == len(registry._forgettable) <= 3
        assert sorted(forgettable) == sorted(registry._forgettable)
        assert set(registry._leftover) <= set(registry.records)
        large = [len(it.values) for it in records if len(it.values) > VALUES_SMALL]
        assert registry._budget.used == sum(large)

    @invariant()
    def numbers_grow(self) -> None:
        numbers = [record.number for record in self.registry.records.values()]
        assert numbers == sorted(set(numbers))


class AnyOrderWithApproval(AnyOrder):
    admission: AdmissionRule = "approve"


class AnyOrderOfKnownNodes(AnyOrder):
    admission: AdmissionRule = "known"


for machine in (AnyOrder, AnyOrderWithApproval, AnyOrderOfKnownNodes):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

TestAnyOrder = AnyOrder.TestCase
TestAnyOrderWithApproval = AnyOrderWithApproval.TestCase
TestAnyOrderOfKnownNodes = AnyOrderOfKnownNodes.TestCase
