# SPDX-License-Identifier: BSD-3-Clause
"""The values and states of nodes at a past time, and what a node did, by its index."""

from pathlib import Path
from typing import Any

import pytest

from pyaiot.history.rows import NewEvent, WriteBatch
from pyaiot.history.sqlite import schema
from pyaiot.history.store import StateAt, StateRow
from pyaiot.messages import NodeAppeared, NodeLeft, NodeReset, Reading
from tests.history.files import HOUR, history_file, query_store


def test_the_state_at_a_time_has_the_last_reading_and_the_last_event_before(tmp_path: Path) -> None:
    def state(at: float, **options: Any) -> StateAt:
        moment: StateAt = query_store(file.path, lambda h: h.state_at(HOUR + at, **options))
        return moment

    with history_file(tmp_path) as file:
        file.readings("t", [(0, "1°C"), (10, "2°C"), (20, "hot")])
        file.write(
            NodeAppeared(uid="n", ts=HOUR + 1, gateway="coap"),
            Reading(uid="m", resource="led", data="1", ts=HOUR + 12),
            NodeReset(uid="n", ts=HOUR + 14),
            NodeLeft(uid="n", ts=HOUR + 15, reason="silent"),
        )
        assert state(-1).values.rows == []
        early, middle, late = state(0), state(14.5), state(1e6)
        page = state(1e6, limit=1)
        second = state(1e6, limit=1, cursor=page.values.cursor)
        one = state(1e6, uid="n")
    assert [(row.reading.number, row.reading.unit) for row in early.values.rows] == [(1.0, "Cel")]
    assert early.states == [StateRow("n", None, 0.0, "")]
    assert [row.reading.data or row.reading.number for row in middle.values.rows] == ["1", 2.0]
    assert middle.states[1] == StateRow("n", "reset", HOUR + 14, "")
    assert late.states == [StateRow("m", None, 0.0, ""), StateRow("n", "left", HOUR + 15, "silent")]
    assert late.values.rows[1].reading.data == "hot"
    assert [row.uid for row in (*page.states, *second.states)] == ["m", "n"]
    assert second.values.cursor is None
    assert one.states == late.states[1:]


def test_the_state_at_a_time_includes_whether_anything_was_recorded(tmp_path: Path) -> None:
    with history_file(tmp_path) as file:
        file.writer.write(
            WriteBatch(
                events=[
                    NewEvent(round((HOUR + at) * 1e6), kind)
                    for at, kind in ((10, "started"), (20, "stopped"), (30, "started"))
                ]
            ),
            HOUR + 40,
        )
        recorded = {
            at: query_store(file.path, lambda h, at=at: h.state_at(HOUR + at)).was_recorded
            for at in (5, 15, 25, 35)
        }
    assert recorded == {5: False, 15: True, 25: False, 35: True}


def test_a_file_from_before_indexes_by_node_keeps_its_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        with history_file(tmp_path) as file:
            file.writer._db.execute(
                "INSERT INTO command (at, run, number, uid, resource, payload, client, client_id,"
                " state, detail, elapsed_ms) VALUES (1, 'r', 1, 'n', 'led', '1', 'c', 'i',"
                " 'confirmed', '', 2.5)"
            )
    with history_file(tmp_path) as file:
        (row,) = query_store(file.path, lambda h: h.commands()).whole()
        plans = [
            str(file.writer._db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
            for sql in (
                "SELECT * FROM command WHERE uid = 'n' AND at >= 0 AND at < 9 ORDER BY at DESC",
                "SELECT * FROM event WHERE uid = 'n' AND at <= 9 ORDER BY at DESC LIMIT 1",
            )
        ]
    assert (row.who, row.state, row.elapsed_ms) == ("", "confirmed", 2.5)
    assert "command_uid" in plans[0]
    assert "event_uid" in plans[1]
