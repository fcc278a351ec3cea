# SPDX-License-Identifier: BSD-3-Clause
"""A clock that is wrong for a while removes no session and no invitation."""

from pathlib import Path

import pytest

from pyaiot.accounts import store
from pyaiot.accounts.records import Invitation, UserSession
from pyaiot.accounts.store import AccountsFile
from pyaiot.errors import OperatorError

NOW = 1_000_000.0
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S


def session(digest: bytes, expires_at: float) -> UserSession:
    return UserSession(digest, "ada", "viewer", expires_at)


def invitation(digest: bytes, expires_at: float) -> Invitation:
    return Invitation(digest, "viewer", expires_at)


def test_session_outlives_a_sign_in_while_the_clock_is_a_year_ahead(tmp_path: Path) -> None:
    accounts = AccountsFile(tmp_path / "accounts.db")
    accounts.add_session(session(b"old", NOW + 7 * DAY_S), NOW)
    ahead = NOW + YEAR_S
    accounts.add_session(session(b"new", ahead + 7 * DAY_S), ahead)
    assert accounts.session(b"old", ahead) is None
    assert [found.digest for found in accounts.sessions(ahead)] == [b"new"]
    assert accounts.session(b"old", NOW + 60) is not None


def test_invitation_outlives_another_one_while_the_clock_is_a_year_ahead(tmp_path: Path) -> None:
    accounts = AccountsFile(tmp_path / "accounts.db")
    accounts.add_invitation(invitation(b"old", NOW + DAY_S), NOW)
    ahead = NOW + YEAR_S
    accounts.add_invitation(invitation(b"new", ahead + DAY_S), ahead)
    assert accounts.use_invitation(b"old", ahead) is None
    assert accounts.use_invitation(b"old", NOW + 60) is not None


def test_expired_sessions_give_way_before_valid_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SESSIONS_MAX", 3)
    accounts = AccountsFile(tmp_path / "accounts.db")
    accounts.add_session(session(b"valid", NOW + 7 * DAY_S), NOW)
    for number in range(5):
        accounts.add_session(session(b"short%d" % number, NOW + 2 + number), NOW + 1 + number)
    assert accounts.session(b"valid", NOW + 10) is not None
    assert len(accounts.valid_until(NOW)) == 3


def test_expired_invitations_give_way_when_the_table_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "INVITATIONS_MAX", 2)
    accounts = AccountsFile(tmp_path / "accounts.db")
    for name in (b"a", b"b"):
        accounts.add_invitation(invitation(name, NOW + DAY_S), NOW)
    with pytest.raises(OperatorError, match="open already"):
        accounts.add_invitation(invitation(b"c", NOW + 2 * DAY_S), NOW)
    accounts.add_invitation(invitation(b"c", NOW + 3 * DAY_S), NOW + 2 * DAY_S)
    assert accounts.use_invitation(b"c", NOW + 2 * DAY_S) is not None
