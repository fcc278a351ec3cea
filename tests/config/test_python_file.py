# SPDX-License-Identifier: BSD-3-Clause
"""A settings file of the older system is recognised, and the error names the remedy."""

from pathlib import Path

import pytest

from pyaiot import config
from pyaiot.config.python_file import is_python_file
from pyaiot.errors import OperatorError


@pytest.mark.parametrize(
    ("text", "is_python"),
    [
        ("broker_host = 'localhost'\nbroker_port = 8000\n", True),
        ("# -*- coding: utf-8 -*-\nkey_file = '/etc/keys'\nmap_api_key = None\n", True),
        ("[broker]\nport = 8000\n", False),
        ("", False),
        ("wobble = 1\n", False),
    ],
)
def test_a_settings_file_in_python_is_recognised(text: str, is_python: bool) -> None:
    assert is_python_file(text) is is_python


def test_the_error_names_toml(tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text("broker_host = 'localhost'\nbroker_port = 8000\n")
    with pytest.raises(OperatorError, match="is a Python settings file of an older version"):
        config.load(file, {}, {})
