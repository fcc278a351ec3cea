# SPDX-License-Identifier: BSD-3-Clause
"""Which settings files `aiot setup` replaces."""

import os
from pathlib import Path

import pytest

from pyaiot.cli.setup import write_settings
from pyaiot.errors import OperatorError
from pyaiot.systemd.manager import SETTINGS

NEW = '[broker]\ntitle = "New"\n'


def test_comments_of_the_package_are_replaced_and_its_mode_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(SETTINGS)
    path.chmod(0o640)
    write_settings(path, NEW, force=False)
    assert path.read_text() == NEW
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ['[broker]\ntitle = "Mine"\n', "not TOML", "\0"])
def test_settings_and_what_cannot_be_read_are_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(OperatorError, match="was not changed"):
        write_settings(path, NEW, force=False)
    assert path.read_text() == text
    write_settings(path, NEW, force=True)
    assert path.read_text() == NEW


def test_new_file_can_be_read_by_everybody(tmp_path: Path) -> None:
    write_settings(tmp_path / "new" / "config.toml", NEW, force=False)
    assert (tmp_path / "new" / "config.toml").stat().st_mode & 0o777 == 0o644


def test_a_device_or_named_pipe_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OperatorError, match="is not a file: name another one"):
        write_settings(path, NEW, force=True)
    assert path.is_fifo()


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    target = tmp_path / "kept.toml"
    target.write_text(SETTINGS)
    link = tmp_path / "config.toml"
    link.symlink_to(target)
    write_settings(link, NEW, force=False)
    assert link.is_symlink()
    assert target.read_text() == NEW
