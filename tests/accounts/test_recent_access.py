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
from pyaiot.accounts.store import AccountsFile, UserSession
from pyaiot.accounts.tokens import Token, new_token


class Counted(AccountsFile):
    lookups = 0

    def token_with(self, digest: bytes) -> Token | None:
        self.lookups += 1
        return super().token_with(digest)


class Moment:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "accounts.db")


def added(file: AccountsFile, name: str = "a") -> Token:
    token, _ = new_token(name, "viewer", now=0.0, life_s=None)
    file.add_token(token)
    return token


def test_many_requests_with_one_token_are_one_lookup(file: Counted) -> None:
    token, moment = added(file), Moment()
    recent = RecentAccess(file, moment)
    assert [recent.token_with(token.digest) for _ in range(9)] == [token] * 9
    assert file.lookups == 1
    moment.now = REMEMBERED_S
    assert recent.token_with(token.digest) == token
    assert file.lookups == 2


def test_token_that_another_process_removes_is_refused_at_the_next_look(
    file: Counted, tmp_path: Path
) -> None:
    token, moment = added(file), Moment()
    recent = RecentAccess(file, moment)
    assert recent.token_with(token.digest) == token
    other = AccountsFile(tmp_path / "accounts.db")
    other.remove_token("a")
    other.close()
    moment.now = LOOK_INTERVAL_S
    assert recent.token_with(token.digest) is None


def test_session_that_ends_or_expires_is_not_remembered(file: Counted) -> None:
    session = UserSession(b"d" * 32, "ada", "viewer", 10.0)
    file.add_session(session, 0.0)
    recent = RecentAccess(file, Moment())
    assert recent.session(session.digest, 1.0) == session
    assert recent.session(session.digest, 10.0) is None
    assert recent.session(session.digest, 1.0) == session
    file.end_session(session, everywhere=False)
    assert recent.session(session.digest, 1.0) is None


def test_unknown_secrets_take_no_room_and_known_ones_are_limited(file: Counted) -> None:
    recent = RecentAccess(file, Moment())
    for number in range(5):
        assert recent.token_with(bytes([number])) is None
    assert recent._found == {}
    recent._found = {bytes([0, *divmod(n, 256)]): added(file, str(n)) for n in range(3)}
    recent._found |= {n.to_bytes(4): recent._found[b"\0\0\0"] for n in range(REMEMBERED_MAX)}
    assert recent.token_with(b"x") is None
    assert recent._found == {}
