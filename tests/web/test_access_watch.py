# SPDX-License-Identifier: BSD-3-Clause
"""Access that is removed or expires ends what is open; the file may be changed by others."""

import logging
from pathlib import Path

import pytest

from pyaiot.accounts.records import GatewayToken, UserSession
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.web.access_watch import AccessWatch


class Watched:
    """A broker's watch of a file, and the command line that writes the same file."""

    def __init__(self, folder: Path, *, creates: bool = True) -> None:
        self.path = folder / "accounts.db"
        self.now = 0.0
        self.names: frozenset[str] = frozenset()
        self.watch = AccessWatch(
            AccountsFile(self.path, creates=creates),
            gateways_changed=self._changed,
            unix_time=lambda: self.now,
        )
        self.ended: list[str] = []

    def _changed(self, names: frozenset[str]) -> None:
        self.names = names

    def command_line(self) -> AccountsFile:
        return AccountsFile(self.path)

    def open(self, name: str, digest: bytes) -> None:
        self.watch.opened(digest, lambda _reason: self.ended.append(name))
        self.watch.check()


def test_removed_token_ends_its_connections_and_no_others(tmp_path: Path) -> None:
    it = Watched(tmp_path)
    token, _ = new_token("a", "viewer", now=0.0, life_s=None)
    other, _ = new_token("b", "viewer", now=0.0, life_s=None)
    it.command_line().add_token(token)
    it.command_line().add_token(other)
    it.open("first", token.digest)
    it.open("second", token.digest)
    it.open("other", other.digest)
    assert it.ended == []
    it.command_line().remove_token("a")
    it.watch.check()
    it.watch.check()
    assert it.ended == ["first", "second"]
    assert it.watch.ended == 2


def test_expired_token_ends_its_connections(tmp_path: Path) -> None:
    it = Watched(tmp_path)
    token, _ = new_token("a", "viewer", now=0.0, life_s=60.0)
    it.command_line().add_token(token)
    it.open("it", token.digest)
    it.now = 59.0
    it.watch.check()
    assert it.ended == []
    it.now = 60.0
    it.watch.check()
    assert it.ended == ["it"]


def test_sign_out_in_this_process_ends_the_other_connections_of_the_session(
    tmp_path: Path,
) -> None:
    it = Watched(tmp_path)
    session = UserSession(b"1", "ada", "viewer", 100.0)
    it.watch.accounts.add_session(session, 0.0)
    it.open("it", session.digest)
    it.watch.accounts.end_session(session, everywhere=False)
    it.watch.check()
    assert it.ended == ["it"]


def test_token_removed_between_the_request_and_the_connection_ends_it(tmp_path: Path) -> None:
    it = Watched(tmp_path)
    it.watch.check()
    it.open("it", b"removed meanwhile")
    assert it.ended == ["it"]


def test_closed_connection_is_not_ended(tmp_path: Path) -> None:
    it = Watched(tmp_path)
    closed = it.watch.opened(b"1", lambda _reason: it.ended.append("it"))
    closed()
    closed()
    it.watch.check()
    assert it.ended == []


def test_gateways_with_tokens_are_known_by_name(tmp_path: Path) -> None:
    it = Watched(tmp_path, creates=False)
    it.watch.check()
    assert it.names == frozenset()
    assert not it.path.exists()
    it.command_line().add_gateway_token(GatewayToken("roof", 0.0, None, b"1"), is_new=True)
    it.watch.check()
    assert it.names == frozenset({"roof"})
    it.command_line().remove_gateway_tokens("roof", keeps_latest=False)
    it.watch.check()
    assert it.names == frozenset()


def test_deleted_file_signs_everybody_out(tmp_path: Path) -> None:
    it = Watched(tmp_path)
    token, _ = new_token("a", "admin", now=0.0, life_s=None)
    it.command_line().add_token(token)
    it.open("it", token.digest)
    for file in tmp_path.iterdir():
        file.unlink()
    it.watch.check()
    assert it.ended == ["it"]
    assert it.watch.accounts.token_with(token.digest) is None


def test_replaced_file_that_others_can_read_opens_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    it = Watched(tmp_path)
    token, _ = new_token("a", "admin", now=0.0, life_s=None)
    it.command_line().add_token(token)
    it.watch.check()
    for file in tmp_path.iterdir():
        file.unlink()
    it.command_line().add_token(token)
    it.path.chmod(0o644)
    it.watch.check()
    it.watch.check()
    assert it.watch.accounts.token_with(token.digest) is None
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "chmod 600" in errors[0].getMessage()
    it.path.chmod(0o600)
    it.watch.check()
    assert it.watch.accounts.token_with(token.digest) == token


def test_rotation_keeps_the_old_token_for_the_overlap(tmp_path: Path) -> None:
    it = Watched(tmp_path)
    file = it.command_line()
    file.add_gateway_token(GatewayToken("roof", 0.0, 1000.0, b"old"), is_new=True)
    file.add_gateway_token(
        GatewayToken("roof", 10.0, None, b"new"), is_new=False, others_expire_at=110.0
    )
    for digest in (b"old", b"new"):
        it.open(digest.decode(), digest)
    it.now = 109.0
    it.watch.check()
    assert it.ended == []
    it.now = 110.0
    it.watch.check()
    assert it.ended == ["old"]
    assert file.gateway_token_with(b"old", 110.0) is None
    assert file.gateway_token_with(b"new", 110.0) is not None
