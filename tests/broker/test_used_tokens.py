# SPDX-License-Identifier: BSD-3-Clause
"""Used gateway tokens are recognised, also after a restart of the broker."""

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pyaiot.broker.keys import Keys, TokenCheck, generate_keys
from pyaiot.broker.used_tokens import UsedTokens, UsedTokensFile

NOW = 1_700_000_000.0
AGE_S = 3600.0


def token_at(keys: Keys, time_s: float) -> str:
    return Fernet(keys.private).encrypt_at_time(keys.secret.encode(), int(time_s)).decode()


@pytest.fixture
def keys() -> Keys:
    return generate_keys()


def started(keys: Keys, path: Path, now: float = NOW) -> TokenCheck:
    """The check of a broker that starts now."""
    return TokenCheck(keys, lambda: now, UsedTokensFile.open(path, now))


def test_a_used_token_is_refused_after_a_restart(keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "data" / "used-tokens"
    token, unused = token_at(keys, NOW - AGE_S), token_at(keys, NOW - AGE_S)
    assert started(keys, path).accept(token)
    for _ in range(3):
        again = started(keys, path)
        assert not again.accept(token)
        assert not again.accept(token + "=")
    assert started(keys, path).accept(unused)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert token not in path.read_text()


def test_a_used_token_is_refused_after_a_restart_with_another_clock(
    keys: Keys, tmp_path: Path
) -> None:
    path = tmp_path / "used-tokens"
    token = token_at(keys, NOW)
    assert started(keys, path).accept(token)
    year_s = 365 * 86_400
    assert started(keys, path, NOW + year_s).accept(token_at(keys, NOW + year_s))
    assert not started(keys, path).accept(token)


def test_a_record_cut_by_a_crash_keeps_its_other_entries(keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "used-tokens"
    tokens = [token_at(keys, NOW) for _ in range(3)]
    check = started(keys, path)
    assert all(map(check.accept, tokens))
    path.write_bytes(path.read_bytes()[:-10])
    again = started(keys, path)
    assert [again.accept(token) for token in tokens[:2]] == [False, False]
    # What is written after the cut line is read again, too.
    new = token_at(keys, NOW)
    assert again.accept(new)
    assert not started(keys, path).accept(new)


def test_without_a_readable_record_tokens_older_than_the_start_are_refused(
    keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "used-tokens"
    path.mkdir()
    check = started(keys, path)
    assert not check.accept(token_at(keys, NOW - 1))
    assert check.accept(token_at(keys, NOW + 1))
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(path) in line
    assert "tokens made before this start are refused" in line


def test_a_foreign_file_is_left_unchanged_and_is_no_record(keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "used-tokens"
    path.write_bytes(b"\xff\xfe not ours\n")
    check = started(keys, path)
    assert not check.accept(token_at(keys, NOW - 1))
    assert check.accept(token_at(keys, NOW + 1))
    assert path.read_bytes() == b"\xff\xfe not ours\n"


def test_a_token_that_cannot_be_written_now_is_written_with_the_next(
    keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    path = folder / "used-tokens"
    check = started(keys, path)
    first, second = token_at(keys, NOW), token_at(keys, NOW)
    away = tmp_path / "away"
    folder.rename(away)
    assert check.accept(first)
    assert not check.accept(first)
    assert any("cannot be written" in record.getMessage() for record in caplog.records)
    away.rename(folder)
    assert check.accept(second)
    again = started(keys, path)
    assert not again.accept(first)
    assert not again.accept(second)


def test_beyond_its_limit_the_record_forgets_the_oldest_which_stays_refused() -> None:
    used = UsedTokens(tokens_max=3)
    for made_at in (50, 20, 40, 30):
        used.add(bytes([made_at]) * 32, made_at)
    assert len(used) == 3
    assert used.refuses(bytes([20]) * 32, 20)
    assert used.refuses(bytes([19]) * 32, 19), "older than what was forgotten"
    assert used.refuses(bytes([50]) * 32, 50)
    assert not used.refuses(bytes([21]) * 32, 21)


def test_the_file_of_a_broker_that_ran_for_years_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "used-tokens"
    for number in range(40):
        record = UsedTokensFile.open(path, NOW, tokens_max=5)
        record.add(os.urandom(32), int(NOW) + number)
    assert len(path.read_text().splitlines()) <= 12
    last = UsedTokensFile.open(path, NOW, tokens_max=5)
    assert len(last) == 5
    assert last.refuses(b"x" * 32, int(NOW) + 30), "older than what was forgotten"
    assert not last.refuses(b"x" * 32, int(NOW) + 41)


def test_two_brokers_of_one_user_lose_none_of_each_others_entries(
    keys: Keys, tmp_path: Path
) -> None:
    path = tmp_path / "used-tokens"
    here, there = started(keys, path), started(keys, path)
    tokens = [token_at(keys, NOW) for _ in range(4)]
    assert here.accept(tokens[0])
    assert there.accept(tokens[1])
    assert here.accept(tokens[2])
    assert there.accept(tokens[3])
    again = started(keys, path)
    assert not any(map(again.accept, tokens))


def test_a_token_that_one_process_accepted_is_refused_by_the_others(
    keys: Keys, tmp_path: Path
) -> None:
    path = tmp_path / "used-tokens"
    checks = [started(keys, path) for _ in range(3)]
    first, second = token_at(keys, NOW), token_at(keys, NOW)
    assert checks[0].accept(first)
    assert [check.accept(first) for check in checks] == [False] * 3
    assert checks[2].accept(second)
    assert [check.accept(second) for check in checks] == [False] * 3
    path.unlink()
    assert checks[1].accept(token_at(keys, NOW))
    assert not checks[1].accept(first)
