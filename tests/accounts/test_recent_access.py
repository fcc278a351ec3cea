# SPDX-License-Identifier: BSD-3-Clause
"""What was looked up recently is remembered, and never longer than it is valid."""

from pathlib import Path

import pytest

from pyaiot.accounts.recent_access import (
    LOOK_INTERVAL_S,
    REMEMBERED_MAX,
    REMEMBERED_S,
    RecentAccess,
)
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import Token, new_token


class Moment:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> AccountsFile:
    return AccountsFile(tmp_path / "accounts.db")


def added(file: AccountsFile, name: str = "a") -> Token:
    token, _ = new_token(name, "viewer", now=0.0, life_s=None)
    file.add_token(token)
    return token


def remembered(file: AccountsFile, moment: Moment) -> RecentAccess[str]:
    recent: RecentAccess[str] = RecentAccess(file, moment)
    assert recent.get("header", 0.0) is None
    recent.put("header", "ada", 10.0)
    assert recent.get("header", 0.0) == "ada"
    return recent


def test_a_client_is_remembered_for_a_while(file: AccountsFile) -> None:
    moment = Moment()
    recent = remembered(file, moment)
    moment.now = 0.99 * REMEMBERED_S
    assert recent.get("header", 0.0) == "ada"
    moment.now = REMEMBERED_S
    assert recent.get("header", 0.0) is None


def test_a_client_is_not_remembered_longer_than_it_is_valid(file: AccountsFile) -> None:
    recent = remembered(file, Moment())
    assert recent.get("header", 9.9) == "ada"
    assert recent.get("header", 10.0) is None


def test_what_another_process_changes_counts_at_the_next_look(
    file: AccountsFile, tmp_path: Path
) -> None:
    moment = Moment()
    recent = remembered(file, moment)
    other = AccountsFile(tmp_path / "accounts.db")
    added(other)
    other.close()
    assert recent.get("header", 0.0) == "ada"
    moment.now = LOOK_INTERVAL_S
    assert recent.get("header", 0.0) is None


def test_what_this_process_changes_counts_at_once(file: AccountsFile) -> None:
    recent = remembered(file, Moment())
    added(file)
    assert recent.get("header", 0.0) is None


def test_the_number_of_clients_is_limited(file: AccountsFile) -> None:
    recent = remembered(file, Moment())
    for number in range(REMEMBERED_MAX):
        recent.put(number, "x", 10.0)
    assert recent.get("header", 0.0) is None
    assert recent._found == {}
