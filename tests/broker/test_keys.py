# SPDX-License-Identifier: BSD-3-Clause
"""The key file, and the tokens that it makes and accepts."""

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pyaiot.broker.keys import (
    CLOCK_SKEW_MAX_S,
    TOKEN_AGE_MAX_S,
    Keys,
    TokenCheck,
    generate_keys,
    load_keys,
    mint_token,
    write_keys,
)
from pyaiot.errors import OperatorError

NOW = 1_700_000_000.0


def token_at(keys: Keys, time_s: float, text: str | None = None) -> str:
    plain = keys.secret if text is None else text
    return Fernet(keys.private).encrypt_at_time(plain.encode(), int(time_s)).decode()


@pytest.fixture
def keys() -> Keys:
    return generate_keys()


@pytest.fixture
def check(keys: Keys) -> TokenCheck:
    return TokenCheck(keys, lambda: NOW)


def test_keys_survive_their_file(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "new folder" / "keys"
    write_keys(path, keys)
    assert load_keys(path) == keys
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_legacy_key_file_is_read(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "keys"
    path.write_text(f"[keys]\nprivate={keys.private}\nsecret={keys.secret}\n\n")
    path.chmod(0o600)
    assert load_keys(path) == keys


def test_existing_keys_are_replaced_only_on_request(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "keys"
    write_keys(path, keys)
    with pytest.raises(OperatorError, match="--force"):
        write_keys(path, generate_keys())
    assert load_keys(path) == keys
    other = generate_keys()
    write_keys(path, other, replace=True)
    assert load_keys(path) == other


def test_a_device_or_named_pipe_is_never_replaced(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OperatorError, match="is not a file: name another one"):
        write_keys(path, keys, replace=True)
    assert path.is_fifo()


@pytest.mark.parametrize(
    "text",
    ["", "keys", "[keys]\n", "[keys]\nsecret=abc\n", "[keys]\nsecret=a\nprivate=short\n", "\0"],
)
def test_invalid_key_file_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(OperatorError, match="is not a key file") as caught:
        load_keys(path)
    assert "short" not in str(caught.value)


def test_missing_key_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="aiot generate-keys --key-file"):
        load_keys(tmp_path / "keys")


def test_key_file_open_to_every_user_is_refused_with_the_remedy(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "keys"
    write_keys(path, keys)
    path.chmod(0o644)
    with pytest.raises(OperatorError, match=f"chmod 600 {path}"):
        load_keys(path)


def test_new_token_is_accepted(keys: Keys) -> None:
    import time

    assert TokenCheck(keys, time.time).accept(mint_token(keys))


def test_token_works_once(keys: Keys, check: TokenCheck) -> None:
    token = token_at(keys, NOW)
    assert check.accept(token)
    assert not check.accept(token)


@pytest.mark.parametrize("tail", ["=", "\n", "~", "!"])
def test_token_written_differently_is_the_same_token(
    keys: Keys, check: TokenCheck, tail: str
) -> None:
    token = token_at(keys, NOW)
    assert check.accept(token)
    assert not check.accept(token + tail)
    assert not check.accept(token[:10] + tail + token[10:])


def test_token_is_valid_for_a_day_and_the_clock_skew(keys: Keys, check: TokenCheck) -> None:
    # A day and ten minutes: gateways of the older system make a token once.
    assert check.accept(token_at(keys, NOW - 24 * 3600 - 600))
    assert not check.accept(token_at(keys, NOW - TOKEN_AGE_MAX_S - CLOCK_SKEW_MAX_S - 1))


def test_token_from_the_future_is_refused_beyond_the_clock_skew(
    keys: Keys, check: TokenCheck
) -> None:
    assert check.accept(token_at(keys, NOW + 600))
    assert not check.accept(token_at(keys, NOW + CLOCK_SKEW_MAX_S + 1))


@pytest.mark.parametrize("off_s", [-NOW, -25 * 3600, 3600, 400 * 86_400])
def test_refusal_of_a_token_of_a_wrong_clock_names_the_clock(
    keys: Keys, check: TokenCheck, off_s: float
) -> None:
    refusal = check.judge(token_at(keys, NOW + off_s))
    assert refusal is not None
    assert refusal.error == "clock"
    assert "clock" in refusal.text
    made = "1970-01-01" if off_s == -NOW else "20"
    assert f"made at {made}" in refusal.text


def test_other_refusals_name_their_reason(keys: Keys, check: TokenCheck) -> None:
    token = token_at(keys, NOW)
    assert check.judge(token) is None
    used, foreign = check.judge(token), check.judge("x")
    assert used is not None
    assert foreign is not None
    assert (used.error, foreign.error) == ("used", "key")
    assert "used before" in used.text
    assert "key file" in foreign.text


def test_token_of_other_keys_or_another_secret_is_refused(keys: Keys, check: TokenCheck) -> None:
    assert not check.accept(token_at(generate_keys(), NOW))
    assert not check.accept(token_at(keys, NOW, "another secret"))


@pytest.mark.parametrize("token", ["", "x", "é", "gAAAA", "=" * 10_000, "\0", "\udc80"])
def test_garbage_is_refused_without_an_exception(check: TokenCheck, token: str) -> None:
    assert not check.accept(token)


def test_keys_do_not_show_in_their_repr(keys: Keys) -> None:
    assert keys.secret not in repr(keys)
    assert keys.private not in repr(keys)


def test_a_byte_order_mark_in_the_key_file_is_ignored(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "keys"
    write_keys(path, keys)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_keys(path) == keys
