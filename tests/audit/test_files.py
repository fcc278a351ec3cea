# SPDX-License-Identifier: BSD-3-Clause
"""The files of the audit log: what is appended, found again, removed, and survives damage."""

import os
import random
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.audit import files as audit_files
from pyaiot.audit.entry import COMMAND_LINE, UIDS_MAX, AuditEntry, Principal, entries, from_line
from pyaiot.audit.files import CURSOR, AuditFiles, AuditFilter

DAY_S = 86_400.0
ADA = Principal("user:ada", "192.0.2.1")


def log_at(folder: Path, *, megabytes: float = 3, days: float = 365) -> AuditFiles:
    return AuditFiles(folder / "audit", bytes_max=int(megabytes * 1e6), days=days)


def entry(number: int, action: str = "edit", result: str = "ok") -> AuditEntry:
    (made,) = entries(ADA, action, result, ts=1000.0 + number, uids=[f"n{number % 7}"])
    return made


def everything(log: AuditFiles, wanted: AuditFilter | None = None, limit: int = 7) -> list[float]:
    return [it.ts for it in pages(log, wanted or AuditFilter(), limit)]


def pages(log: AuditFiles, wanted: AuditFilter, limit: int) -> Iterator[AuditEntry]:
    cursor: str | None = ""
    while cursor is not None:
        found, cursor = log.page(wanted, limit, cursor)
        assert cursor is None or re.match(CURSOR, cursor)
        assert len(found) <= limit
        yield from found


def test_files_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    log_at(tmp_path).append([entry(1)])
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700
    for path in (tmp_path / "audit").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pages_have_every_entry_once_the_newest_first(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    mixed = [
        entry(n, ("edit", "command", "sign-in")[n % 3], ("ok", "confirmed", "refused")[n % 3])
        for n in range(100)
    ]
    for start in range(0, 100, 9):
        log.append(mixed[start : start + 9])
    assert everything(log) == [it.ts for it in reversed(mixed)]
    names = sorted(path.name for path in log.folder.glob("*.jsonl"))
    assert names == [f"{it}-000001.jsonl" for it in ("changes", "commands", "connections")]


def test_filters_by_principal_node_action_and_time(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.append(entry(n) for n in range(20))
    log.append(entries(COMMAND_LINE, "token-add", ts=1030.0, detail="token:x, viewer"))
    assert everything(log, AuditFilter(uid="n3")) == [1017.0, 1010.0, 1003.0]
    assert everything(log, AuditFilter(who="local")) == [1030.0]
    assert len(everything(log, AuditFilter(who="user:ada"))) == 20
    assert len(everything(log, AuditFilter(who="ada"))) == 20
    assert everything(log, AuditFilter(who="ad")) == []
    assert everything(log, AuditFilter(action="token-add")) == [1030.0]
    assert everything(log, AuditFilter(start=1005.0, end=1007.0)) == [1006.0, 1005.0]


def test_an_action_on_many_nodes_is_several_entries() -> None:
    uids = [f"n{n}" for n in range(2 * UIDS_MAX + 1)]
    made = list(entries(ADA, "edit-nodes", ts=1.0, uids=uids))
    assert [len(it.uids) for it in made] == [UIDS_MAX, UIDS_MAX, 1]
    assert [uid for it in made for uid in it.uids] == uids


def test_text_that_no_file_can_store_is_replaced() -> None:
    (made,) = entries(Principal("user:\ud800", "a" * 999), "edit", ts=1.0, uids=["\udfff"])
    assert (made.who, len(made.address), made.uids) == ("user:?", 200, ("?",))


def test_size_is_limited_per_series(tmp_path: Path) -> None:
    log = log_at(tmp_path, megabytes=0.2)
    log.append([entry(-1)])
    for start in range(0, 3000, 20):
        log.append(entry(n, "command", "confirmed") for n in range(start, start + 20))
    kept = everything(log, AuditFilter(action="command"), limit=1000)
    assert sum(path.stat().st_size for path in log.folder.iterdir()) < 0.2e6
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 3999.0
    assert 200 < len(kept) < 3000
    assert everything(log, AuditFilter(action="edit")) == [999.0], "commands push out no change"


def test_a_removed_segment_does_not_disturb_a_query(tmp_path: Path) -> None:
    log = log_at(tmp_path, megabytes=0.2)
    for start in range(0, 300, 10):
        log.append(entry(n) for n in range(start, start + 10))
    found, cursor = log.page(AuditFilter(), 5)
    assert cursor
    for path in sorted(log.folder.glob("changes-*.jsonl"))[:-1]:
        path.unlink()
    rest, _ = log.page(AuditFilter(), 1000, cursor)
    assert [it.ts for it in found + rest] == [1299.0 - n for n in range(len(found + rest))]


def test_old_segments_are_removed_after_two_checks(tmp_path: Path) -> None:
    log = log_at(tmp_path, days=30)
    log.append([entry(1)])
    (segment,) = log.folder.glob("*.jsonl")
    os.utime(segment, (1000.0, 1000.0))
    now = 1000.0 + 31 * DAY_S
    log.remove_expired(now, 0.0, pause_s=3000.0)
    assert segment.exists()
    log.remove_expired(1000.0, 3000.0, pause_s=3000.0)  # the clock was wrong, and is right again
    log.remove_expired(now, 6000.0, pause_s=3000.0)
    assert segment.exists(), "a clock that is ahead once removes nothing"
    log.remove_expired(now, 9000.0, pause_s=3000.0)
    assert not segment.exists()


def test_a_segment_ends_after_a_week(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    for day in range(15):
        log.append(entries(ADA, "edit", ts=1000.0 + day * DAY_S, uids=["n"]))
    assert len(list(log.folder.glob("changes-*.jsonl"))) == 2
    assert len(everything(log)) == 15


def test_a_line_that_a_crash_cut_off_costs_that_line_only(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.append([entry(1), entry(2)])
    (segment,) = log.folder.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes()[:-9])
    log.append([entry(3)])
    assert everything(log) == [1003.0, 1001.0]


def test_damaged_files_are_no_error(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.append([entry(1)])
    (segment,) = log.folder.glob("*.jsonl")
    chance = random.Random(1)
    for _ in range(200):
        segment.write_bytes(bytes(chance.choices(b'{"ts":1,}\n\r\xff\x00ab', k=300)))
        everything(log)


def test_a_query_reads_a_limited_part_and_the_next_page_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_at(tmp_path)
    log.append(entry(n) for n in range(500))
    monkeypatch.setattr(audit_files, "SCAN_BYTES_MAX", 2000)
    found, cursor = log.page(AuditFilter(uid="n1", end=1010.0), 5)
    assert (found, bool(cursor)) == ([], True)
    assert everything(log, AuditFilter(uid="n1", end=1010.0)) == [1008.0, 1001.0]


POSITION = st.tuples(st.integers(0, 10**9 - 1), st.integers(0, 10**12 - 1))


@given(st.tuples(POSITION, POSITION, POSITION))
def test_any_cursor_is_a_place_or_the_end(positions: tuple[tuple[int, int], ...]) -> None:
    cursor = ",".join(f"{number}:{offset}" for number, offset in positions)
    assert re.match(CURSOR, cursor)
    found, following = AuditFiles(Path("/nonexistent"), bytes_max=10**6, days=1).page(
        AuditFilter(), 5, cursor
    )
    assert (found, following) == ([], None)


@given(st.binary(max_size=200))
def test_any_line_is_an_entry_or_none(line: bytes) -> None:
    from_line(line)
