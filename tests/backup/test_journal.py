# SPDX-License-Identifier: BSD-3-Clause
"""The renames of a restore: carried out whole, or undone, wherever they are interrupted."""

from pathlib import Path

import pytest

from pyaiot.backup import journal
from pyaiot.backup.journal import Step, carry_out, check_not_restoring, finish
from pyaiot.errors import OperatorError

RENAMES = 7
"""Of the steps below."""


class PowerCut(BaseException):
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".restoring").mkdir()
    for name in ("registry.db", "accounts.db", "registry.db-wal"):
        (tmp_path / name).write_text(f"old {name}", "utf-8")
    for name in ("registry.db", "accounts.db", "new.db"):
        (tmp_path / ".restoring" / name).write_text(f"new {name}", "utf-8")
    return tmp_path


def steps(folder: Path) -> list[Step]:
    kept = folder / "before"
    return [
        Step(str(folder / "registry.db-wal"), str(kept / "registry.db-wal")),
        *(
            Step(str(folder / name), str(kept / name), str(folder / ".restoring" / name))
            for name in ("registry.db", "accounts.db", "new.db")
        ),
    ]


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


OLD = {name: f"old {name}" for name in ("registry.db", "accounts.db", "registry.db-wal")}
RESTORED = {
    **{f"before/{name}": content for name, content in OLD.items()},
    **{name: f"new {name}" for name in ("registry.db", "accounts.db", "new.db")},
}


def test_new_files_take_the_places_of_the_old_which_are_kept(folder: Path) -> None:
    carry_out(folder, steps(folder))
    assert state(folder) == RESTORED
    check_not_restoring(folder)


@pytest.mark.parametrize("failing", range(RENAMES - 1))
def test_rename_that_fails_undoes_those_before(
    failing: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(folder)
    count = 0
    rename = Path.rename

    def renamed(path: Path, target: str | Path) -> Path:
        nonlocal count
        count += 1
        if count == failing + 1:
            raise OSError(28, "No space left on device", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(OperatorError, match=r"Nothing was restored: .*No space left"):
        carry_out(folder, steps(folder))
    assert state(folder) == before
    check_not_restoring(folder)


@pytest.mark.parametrize("failing", range(RENAMES - 1))
def test_power_cut_between_two_renames_is_reported_and_can_be_finished(
    failing: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    rename = Path.rename

    def renamed(path: Path, target: str | Path) -> Path:
        nonlocal count
        count += 1
        if count == failing + 1:
            raise PowerCut
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", renamed)
        with pytest.raises(PowerCut):
            carry_out(folder, steps(folder))
    with pytest.raises(OperatorError, match="aiot restore --finish"):
        check_not_restoring(folder)
    assert finish(folder) == 3
    assert state(folder) == RESTORED
    check_not_restoring(folder)


def test_journal_that_was_cut_means_that_nothing_was_renamed(folder: Path) -> None:
    before = state(folder)
    (folder / journal.FILE_NAME).write_bytes(b'{"steps":[')
    with pytest.raises(OperatorError, match="Nothing was restored: run aiot restore FILE again"):
        finish(folder)
    assert state(folder) == before


def test_there_is_nothing_to_finish(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"No restore of .* was interrupted"):
        finish(tmp_path)
