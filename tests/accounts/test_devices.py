# SPDX-License-Identifier: BSD-3-Clause
"""The file with the credentials of devices."""

import sqlite3
import stat
from pathlib import Path

import pytest

from pyaiot.accounts import device_file
from pyaiot.accounts.device_credential import CredentialChanges, DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.accounts.store import AccountsFile
from pyaiot.errors import OperatorError

LAMP = DeviceCredential("lamp", "psk", b"k" * 16, 1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "devices.db"


def test_a_credential_is_kept_in_a_file_of_its_owner(path: Path) -> None:
    DeviceStore(path).add(LAMP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store = DeviceStore(path)
    assert store.credential("lamp", "psk") == LAMP
    assert store.credential("lamp", "token") is None
    assert store.credential("desk", "psk") is None
    assert store.with_secret("psk", b"k" * 16) == LAMP
    assert store.with_secret("token", b"k" * 16) is None
    assert store.is_secured("lamp")
    assert not store.is_secured("desk")


def test_a_secret_is_not_in_the_repr() -> None:
    assert "kkkk" not in repr(LAMP)


def test_a_store_without_a_file_creates_none(path: Path) -> None:
    store = DeviceStore(path)
    assert store.credentials() == []
    assert store.refresh() == CredentialChanges()
    assert store.remove("lamp") == 0
    assert not path.exists()


def test_what_another_process_wrote_is_taken_over(path: Path) -> None:
    gateway, command = DeviceStore(path), DeviceStore(path)
    command.add(LAMP)
    assert not gateway.is_secured("lamp")
    assert gateway.refresh() == CredentialChanges(added=(LAMP,))
    assert gateway.is_secured("lamp")
    assert gateway.refresh() == CredentialChanges()
    assert command.remove("lamp", "other") == 0
    assert command.remove("lamp", "psk") == 1
    assert gateway.refresh() == CredentialChanges(removed=(LAMP,))
    assert not gateway.is_secured("lamp")


def test_a_replaced_credential_was_removed_and_added(path: Path) -> None:
    gateway, command = DeviceStore(path), DeviceStore(path)
    command.add(LAMP)
    gateway.refresh()
    command.remove("lamp")
    new = DeviceCredential("lamp", "psk", b"n" * 16, 2.0)
    command.add(new)
    assert gateway.refresh() == CredentialChanges(added=(new,), removed=(LAMP,))
    assert gateway.credential("lamp", "psk") == new


def test_a_device_is_secured_until_its_last_credential_is_removed(path: Path) -> None:
    store = DeviceStore(path)
    store.add(LAMP)
    store.add(DeviceCredential("lamp", "token", b"t" * 32, 1.0))
    store.remove("lamp", "psk")
    store.refresh()
    assert store.is_secured("lamp")
    assert store.remove("lamp") == 1
    store.refresh()
    assert not store.is_secured("lamp")


def test_a_uid_is_released_with_its_last_credential_until_it_has_one_again(path: Path) -> None:
    command = DeviceStore(path)
    command.add(LAMP)
    command.add(DeviceCredential("lamp", "token", b"t" * 32, 1.0))
    command.remove("lamp", "psk")
    assert DeviceStore(path).released == ()
    command.remove("desk")
    command.remove("lamp")
    command.remove("lamp")
    assert DeviceStore(path).released == ("lamp",)
    command.add(LAMP)
    gateway = DeviceStore(path)
    assert not gateway.released
    command.remove("lamp")
    gateway.refresh()
    assert list(gateway.released) == ["lamp"]


def test_released_uids_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_file, "RELEASED_MAX", 2)
    command = DeviceStore(path)
    for uid in ("a", "b", "c", "a"):
        command.add(DeviceCredential(uid, "psk", b"k" * 16, 1.0))
        command.remove(uid)
    assert DeviceStore(path).released == ("c", "a")


def test_a_file_of_the_first_version_is_migrated(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        for statement in device_file.MIGRATIONS[0]:
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {device_file.APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")
        database.execute("INSERT INTO credential VALUES (1, 'lamp', 'psk', ?, 1.0)", (b"k" * 16,))
    database.close()
    path.chmod(0o600)
    store = DeviceStore(path)
    assert store.credentials() == [LAMP]
    store.remove("lamp")
    assert DeviceStore(path).released == ("lamp",)


def test_a_lost_file_does_not_open_the_gateway(path: Path) -> None:
    store = DeviceStore(path)
    store.add(LAMP)
    store.refresh()
    path.unlink()
    assert store.refresh() == CredentialChanges()
    assert store.is_secured("lamp")


def test_a_replaced_file_is_read_again(path: Path, tmp_path: Path) -> None:
    store = DeviceStore(path)
    store.add(LAMP)
    store.refresh()
    other = tmp_path / "other.db"
    desk = DeviceCredential("desk", "psk", b"d" * 16, 3.0)
    written = DeviceStore(other)
    written.add(desk)
    written.close()
    other.replace(path)
    assert store.refresh() == CredentialChanges(added=(desk,), removed=(LAMP,))


def test_a_credential_is_added_once(path: Path) -> None:
    store = DeviceStore(path)
    store.add(LAMP)
    with pytest.raises(OperatorError, match="The device lamp has this credential already"):
        store.add(LAMP)


def test_there_is_a_limit_of_credentials(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_file, "CREDENTIALS_MAX", 2)
    store = DeviceStore(path)
    for number in range(2):
        store.add(DeviceCredential(f"d{number}", "psk", b"k" * 16, 1.0))
    with pytest.raises(OperatorError, match="There are 2 credentials of devices already"):
        store.add(LAMP)
    store.refresh()
    assert len(store.credentials()) == 2


@pytest.mark.parametrize(
    "uid", ["", "a/b", "a b", "#", "+", "*", "a>", "-a", "a\n", "é", "x" * 65, 'a"b', "$a", "a=b"]
)
def test_a_name_that_is_not_safe_everywhere_is_refused(path: Path, uid: str) -> None:
    with pytest.raises(OperatorError, match="The name of a device has 1 to 64"):
        DeviceStore(path).add(DeviceCredential(uid, "psk", b"k" * 16, 1.0))


def test_nothing_is_added_where_credentials_are_off() -> None:
    store = DeviceStore(None)
    assert store.refresh() == CredentialChanges()
    with pytest.raises(OperatorError, match="Credentials of devices are off"):
        store.add(LAMP)


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    DeviceStore(path).add(LAMP)
    path.chmod(0o640)
    with pytest.raises(OperatorError, match=f"run chmod 600 {path}"):
        DeviceStore(path)


def test_another_database_is_refused(path: Path) -> None:
    AccountsFile(path).close()
    with pytest.raises(OperatorError, match="is a database of another program"):
        DeviceStore(path)


def test_a_damaged_file_is_one_sentence(path: Path) -> None:
    DeviceStore(path).add(LAMP)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(OperatorError, match="cannot be used"):
        DeviceStore(path)


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    DeviceStore(path).add(LAMP)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(OperatorError, match="was written by a newer Pyaiot"):
        DeviceStore(path)
