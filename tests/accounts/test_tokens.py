# SPDX-License-Identifier: BSD-3-Clause
"""Tokens of programs: what they are, and the file that stores them."""

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.accounts.roles import ROLES, includes
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import bearer_secret, digest_of, new_token, read_duration
from pyaiot.errors import OperatorError


def test_each_role_includes_those_before_it() -> None:
    assert [[includes(role, need) for need in ROLES] for role in ROLES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_secret_is_256_random_bits_and_only_its_hash_is_kept() -> None:
    token, secret = new_token("ci", "viewer", now=0.0, life_s=60.0)
    assert len(secret) == len("aiot_") + 43
    assert secret not in repr(token)
    assert token.digest == digest_of(secret)
    assert secret != new_token("ci", "viewer", now=0.0, life_s=60.0)[1]


def test_token_is_valid_until_it_expires() -> None:
    token, _ = new_token("ci", "viewer", now=100.0, life_s=60.0)
    assert token.is_valid(159.9)
    assert not token.is_valid(160.0)
    assert new_token("ci", "viewer", now=100.0, life_s=None)[0].is_valid(1e12)


@pytest.mark.parametrize("name", ["", " ci", "ci\n", "x" * 65, "a\x00b"])
def test_name_of_a_token_is_printable(name: str) -> None:
    with pytest.raises(OperatorError, match="1 to 64 printable"):
        new_token(name, "viewer", now=0.0, life_s=None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 43_200.0), ("90d", 7_776_000.0), ("4w", 2_419_200.0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds
    assert read_duration("never") is None


@pytest.mark.parametrize("text", ["", "0d", "5y", "-1d", "1.5d", "d", "123456d", "1d "])
def test_wrong_durations_are_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="--expires"):
        read_duration(text)


@given(st.text())
def test_any_header_gives_a_secret_or_nothing(header: str) -> None:
    secret = bearer_secret(header)
    assert secret == "" or (secret.startswith("aiot_") and secret in header)


def test_file_keeps_tokens_for_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "data" / "accounts.db"
    broker, command = AccountsFile(path), AccountsFile(path)
    token, secret = new_token("ci", "operator", now=1.0, life_s=None)
    command.add_token(token)
    assert broker.token_with(digest_of(secret)) == token
    assert broker.tokens() == [token]
    assert command.remove_token("ci")
    assert not command.remove_token("ci")
    assert broker.token_with(digest_of(secret)) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret.encode() not in b"".join(it.read_bytes() for it in path.parent.iterdir())
    broker.close()
    command.close()


def test_name_that_exists_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    accounts = AccountsFile(tmp_path / "accounts.db")
    first, _ = new_token("ci", "viewer", now=1.0, life_s=None)
    accounts.add_token(first)
    with pytest.raises(OperatorError, match="already"):
        accounts.add_token(new_token("ci", "admin", now=2.0, life_s=None)[0])
    assert accounts.tokens() == [first]
    accounts.close()


def test_file_that_others_can_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "accounts.db"
    AccountsFile(path).close()
    path.chmod(0o644)
    with pytest.raises(OperatorError, match="run chmod 600"):
        AccountsFile(path)


def test_file_of_a_newer_version_or_another_program_is_refused(tmp_path: Path) -> None:
    newer, foreign = tmp_path / "newer.db", tmp_path / "foreign.db"
    AccountsFile(newer).close()
    for path, statement in ((newer, "PRAGMA user_version = 99"), (foreign, "CREATE TABLE t (x)")):
        with sqlite3.connect(path) as db:
            db.execute(statement)
        db.close()
        path.chmod(0o600)
    with pytest.raises(OperatorError, match="newer Pyaiot"):
        AccountsFile(newer)
    with pytest.raises(OperatorError, match="another program"):
        AccountsFile(foreign)
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"x" * 5000)
    garbage.chmod(0o600)
    with pytest.raises(OperatorError, match="cannot be used"):
        AccountsFile(garbage)
