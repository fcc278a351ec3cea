# SPDX-License-Identifier: BSD-3-Clause
"""The cache of ids: what it forgets, what it shares, and that this changes no row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.history import series_index
from pyaiot.history.rows import NewReading, Value
from pyaiot.history.series_index import (
    MINUTE,
    SERIES_IDLE_S,
    SHARED_NAMES_MAX,
    LateRow,
    SeriesIndex,
)


class Store:
    """Gives ids to series as a store does, and remembers their latest row."""

    def __init__(self) -> None:
        self.index = SeriesIndex()
        self.index.units[""] = 1
        self.looked_up = 0
        self._ids: dict[tuple[str, str], int] = {}
        self.rows: dict[int, dict[int, Value]] = {}
        self.late: dict[int, set[Value]] = {}
        """The values of late rows, whose times the store chooses."""
        self.marks: list[tuple[int, int]] = []

    def id_of(self, uid: str, resource: str = "t") -> int:
        return self._ids[uid, resource]

    def write(self, *readings: tuple[str, str, int, Value]) -> list[LateRow]:
        given_: list[NewReading] = [
            ((uid, name), at, value, "") for uid, name, at, value in readings
        ]
        keys, _ = self.index.missing(given_)
        for key in sorted(keys):
            self.looked_up += 1
            known = self._ids.setdefault(key, len(self._ids) + 1)
            rows = self.rows.setdefault(known, {})
            latest = max(rows, default=0)
            self.index.learn(known, key, latest, rows.get(latest, ""))
        flat, late, marks = self.index.rows(given_, oldest=1)
        self.marks += marks
        for series, at, value in zip(flat[::4], flat[1::4], flat[2::4], strict=True):
            assert isinstance(series, int)
            assert isinstance(at, int)
            assert at not in self.rows[series]
            self.rows[series][at] = value
        for series_id, _, late_value, _ in late:
            self.late.setdefault(series_id, set()).add(late_value)
        return late


def test_node_that_is_idle_is_forgotten_and_one_that_sends_is_not() -> None:
    store = Store()
    store.index.forget_idle(1e9)
    for turn in range(1, 4):
        if turn == 1:
            store.write(("idle", "t", turn, 1.0))
        store.write(("active", "t", turn, 1.0))
        store.index.forget_idle(1e9 + turn * SERIES_IDLE_S)
    assert len(store.index) == 1
    store.write(("active", "t", 10, 1.0))
    assert store.looked_up == 2
    store.write(("idle", "t", 10, 1.0))
    assert store.looked_up == 3
    assert store.rows[store.id_of("idle")] == {1: 1.0, 10: 1.0}


def test_idle_nodes_are_forgotten_although_the_clock_was_set_back() -> None:
    store = Store()
    store.index.forget_idle(2e9)
    store.write(("idle", "t", 1, 1.0))
    for turn in range(2):
        store.index.forget_idle(1e9 + turn * SERIES_IDLE_S)
    assert len(store.index) == 0


def test_nodes_with_the_same_resources_share_their_names() -> None:
    store = Store()
    for uid in ("A", "B"):
        store.write(*((uid, f"r{number}", 1, 1.0) for number in range(SHARED_NAMES_MAX)))
    nodes = store.index._recent
    assert nodes["A"].layout is nodes["B"].layout
    store.write(("A", "more", 1, 1.0))
    store.write(("A", "yet more", 1, 1.0))
    assert len(nodes["A"].layout) == SHARED_NAMES_MAX + 2
    assert len(nodes["B"].layout) == SHARED_NAMES_MAX
    store.write(("B", "r3", 2, 2.0), ("A", "r3", 2, 3.0))
    assert store.rows[store.id_of("B", "r3")] == {1: 1.0, 2: 2.0}


def test_layouts_that_are_shared_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_index, "_LAYOUTS_MAX", 10)
    store = Store()
    for number in range(50):
        store.write(("A", f"r{number}", 1, 1.0), (f"N{number}", f"own{number}", 1, 1.0))
        assert len(store.index._layouts) <= 10
    assert len(store.index) == 100


@pytest.mark.parametrize("built_max", [0, 1000])
def test_minute_that_was_built_is_marked_again(
    monkeypatch: pytest.MonkeyPatch, built_max: int
) -> None:
    monkeypatch.setattr(series_index, "BUILT_MAX", built_max)
    store = Store()
    store.write(("A", "t", MINUTE, 1.0), ("B", "t", MINUTE, 1.0))
    store.write(("A", "t", MINUTE + 1, 2.0))
    first, second = store.id_of("A"), store.id_of("B")
    assert store.marks == [(first, 1), (second, 1)]
    store.index.minutes_built([first])
    store.write(
        ("A", "t", MINUTE + 2, 3.0), ("A", "t", MINUTE + 3, 4.0), ("B", "t", MINUTE + 2, 3.0)
    )
    assert store.marks == [(first, 1), (second, 1), (first, 1)]


def test_series_that_was_deleted_is_looked_up_again() -> None:
    store = Store()
    store.write(("A", "t", 1, 1.0), ("A", "h", 1, 1.0), ("B", "t", 1, 1.0))
    store.index.forget([store.id_of("A")])
    assert len(store.index) == 1
    store.write(("A", "h", 2, 1.0), ("B", "t", 2, 1.0))
    assert store.looked_up == 4
    assert store.index.last_key == ("B", "t")


@given(
    st.lists(
        st.tuples(
            st.sampled_from("AB"),
            st.sampled_from(("t", "h")),
            st.integers(1, 5 * MINUTE),
            st.sampled_from((1.0, 2.0, "x")),
            st.sampled_from(("", "", "", "idle", "built", "deleted")),
        )
    )
)
def test_whatever_is_forgotten_rows_of_a_series_grow_and_nothing_is_lost(
    steps: list[tuple[str, str, int, Value, str]],
) -> None:
    store, now = Store(), 1e9
    for uid, name, at, value, event in steps:
        match event:
            case "idle":
                now += SERIES_IDLE_S
                store.index.forget_idle(now)
            case "built" if (uid, name) in store._ids:
                store.index.minutes_built([store.id_of(uid, name)])
            case "deleted" if (uid, name) in store._ids:
                store.index.forget([store.id_of(uid, name)])
        before = max(store.rows.get(store._ids.get((uid, name), 0), {}), default=0)
        late = store.write((uid, name, at, value))
        series = store.id_of(uid, name)
        rows = store.rows[series]
        latest = max(rows, default=0)
        # A new latest row, a late one, or the same reading again.
        assert latest > before or late or value in {*rows.values(), *store.late.get(series, ())}
        assert latest == before or rows[latest] == value
        assert len(store.index) <= 4
