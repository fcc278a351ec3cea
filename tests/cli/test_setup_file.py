# SPDX-License-Identifier: BSD-3-Clause
"""Which settings files `aiot setup` replaces."""

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
