# SPDX-License-Identifier: BSD-3-Clause
"""Installing and removing units, in a file system of the test and with a systemctl that records.

`tests/machines` does it on real machines.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyaiot.errors import OperatorError
from pyaiot.systemd.manager import Manager, service_environment
from pyaiot.systemd.units import Service

PROGRAM = ("/bin/true",)
ALL = Service("run", "Pyaiot", {"AIOT_COAP_HOST": "::"})


class Recorder:
    """Takes the place of the programs of systemd."""

    def __init__(self, *failing: str, reason: str = "") -> None:
        self.commands: list[str] = []
        self._failing = failing
        self._reason = reason

    def __call__(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        line = " ".join(command)
        self.commands.append(line)
        code = int(any(word in line for word in self._failing))
        return subprocess.CompletedProcess(list(command), code, "", self._reason if code else "")


def booted(root: Path) -> Path:
    (root / "run" / "systemd" / "system").mkdir(parents=True)
    return root


def test_install_writes_the_unit_the_user_and_empty_settings(tmp_path: Path) -> None:
    recorder = Recorder()
    manager = Manager(root=booted(tmp_path), run=recorder)
    (unit,) = manager.install([ALL], PROGRAM)
    assert unit == tmp_path / "etc/systemd/system/pyaiot.service"
    assert "ExecStart=/bin/true run\n" in unit.read_text()
    assert (tmp_path / "etc/sysusers.d/pyaiot.conf").read_text().startswith("u pyaiot ")
    settings = tmp_path / "etc/pyaiot/config.toml"
    assert settings.stat().st_mode & 0o777 == 0o640
    assert recorder.commands[-2:] == ["systemctl daemon-reload", "systemctl enable pyaiot.service"]


def test_settings_file_of_the_operator_is_kept(tmp_path: Path) -> None:
    settings = tmp_path / "etc/pyaiot/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[broker]\nport = 80\n")
    Manager(root=tmp_path, run=Recorder()).install([ALL], PROGRAM)
    assert settings.read_text() == "[broker]\nport = 80\n"


def test_second_install_removes_the_units_of_the_first(tmp_path: Path) -> None:
    recorder = Recorder()
    manager = Manager(root=booted(tmp_path), run=recorder)
    manager.install([Service("broker", "x"), Service("coap-gateway", "y")], PROGRAM)
    assert manager.installed() == [
        *("pyaiot.target", "pyaiot-broker.service", "pyaiot-coap-gateway.service")
    ]
    manager.install([ALL], PROGRAM)
    assert manager.installed() == ["pyaiot.service"]
    apart = "pyaiot.target pyaiot-broker.service pyaiot-coap-gateway.service"
    assert f"systemctl stop {apart}" in recorder.commands
    assert f"systemctl disable {apart}" in recorder.commands


def test_without_a_running_systemd_nothing_is_started_or_reloaded(tmp_path: Path) -> None:
    recorder = Recorder()
    Manager(root=tmp_path, run=recorder).install([ALL], PROGRAM)
    assert [it for it in recorder.commands if "systemctl" in it] == [
        "systemctl enable pyaiot.service"
    ]


def test_commands_of_the_operator_have_the_settings_of_the_unit(tmp_path: Path) -> None:
    manager = Manager(root=tmp_path, run=Recorder())
    manager.install([ALL], PROGRAM)
    found = service_environment(manager, {"PATH": "/bin", "AIOT_TOKEN": "no", "HOME": "/"})
    assert found == {
        "PATH": "/bin",
        "AIOT_COAP_HOST": "::",
        "HOME": str(tmp_path / "var/lib/pyaiot"),
        "STATE_DIRECTORY": str(tmp_path / "var/lib/pyaiot"),
        "CONFIGURATION_DIRECTORY": str(tmp_path / "etc/pyaiot"),
    }


@pytest.mark.parametrize("purge", [False, True])
def test_uninstall_keeps_data_unless_they_are_to_be_deleted(tmp_path: Path, *, purge: bool) -> None:
    recorder = Recorder()
    manager = Manager(root=booted(tmp_path), run=recorder)
    manager.install([ALL], PROGRAM)
    manager.state_folder.mkdir(parents=True)
    assert manager.uninstall(purge=purge) == ["pyaiot.service"]
    assert manager.installed() == []
    assert manager.state_folder.exists() is not purge
    assert manager.settings_folder.exists() is not purge
    assert ("userdel pyaiot" in recorder.commands) is purge


def test_unit_of_a_package_is_removed_by_the_package_manager(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    (folder / "pyaiot.service").touch()
    with pytest.raises(OperatorError, match="apt remove pyaiot"):
        Manager(root=tmp_path, run=Recorder()).uninstall(purge=False)


def test_uninstall_without_a_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="No service is installed"):
        Manager(root=tmp_path, run=Recorder()).uninstall(purge=False)


def test_service_that_does_not_start_is_reported(tmp_path: Path) -> None:
    manager = Manager(root=booted(tmp_path), run=Recorder("restart"))
    with pytest.raises(OperatorError, match="aiot service logs"):
        manager.restart(["pyaiot.service"])


def test_refusal_of_systemd_is_reported_as_missing_root(tmp_path: Path) -> None:
    recorder = Recorder("enable", reason="Failed to enable unit: Access denied")
    with pytest.raises(OperatorError, match="needs root"):
        Manager(root=tmp_path, run=recorder).install([ALL], PROGRAM)


def test_program_that_the_user_of_the_service_cannot_reach_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    with pytest.raises(OperatorError, match="cannot enter"):
        Manager(root=tmp_path, run=Recorder()).install([ALL], [str(closed / "aiot")])


def test_units_of_a_user_are_in_the_folder_of_that_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    recorder = Recorder()
    manager = Manager(user=True, home=tmp_path, run=recorder)
    (unit,) = manager.install([ALL], PROGRAM)
    assert unit == tmp_path / ".config/systemd/user/pyaiot.service"
    assert "systemctl --user enable pyaiot.service" in recorder.commands
