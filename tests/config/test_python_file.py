# SPDX-License-Identifier: BSD-3-Clause
"""A settings file of the older system is recognised, and the error names the remedy."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot import config
from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.config.python_file import BYTES_MAX, SETTINGS, import_python, is_python_file
from pyaiot.config.toml_text import toml_text
from pyaiot.errors import OperatorError, ProtocolError
from tests.programs import Programs


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


WHOLE = b"""# -*- coding: utf-8 -*-
\"\"\"The lab.\"\"\"
import os
broker_host = 'example.org'
broker_port: int = 8000
broker_ssl = True
coap_port = 5684
max_time = 300
map_api_key = 'xyz'
gateway_port = 1885
logging = 'debug'
title = 'B\xc3\xa2t "A"'
logo = ''
key_file = os.path.expanduser('~/keys')
colour = 'red'
mqtt_port = 'abc'
"""


def test_options_become_settings_and_the_rest_is_named() -> None:
    imported = import_python(WHOLE)
    assert imported.values == {
        **dict.fromkeys(
            ("gateway.broker_host", "dashboard.broker_host", "client.broker_host"), "example.org"
        ),
        **dict.fromkeys(
            ("broker.port", "gateway.broker_port", "dashboard.broker_port", "client.broker_port"),
            8000,
        ),
        **dict.fromkeys(("gateway.broker_ssl", "dashboard.broker_ssl", "client.broker_ssl"), True),
        "coap.port": 5684,
        "coap.silence_limit_s": 300,
        "mqtt.silence_limit_s": 300,
        "mqttsn.port": 1885,
        "log.debug": True,
        "broker.title": 'Bât "A"',
        "mqtt.port": "abc",
    }
    assert imported.notes == [
        "line 3 is not an assignment and is left out.",
        "map_api_key has no counterpart: the map needs no key.",
        "line 14 is not a plain value and is left out.",
        "line 15: colour has no counterpart.",
    ]


def test_every_option_has_settings_that_exist() -> None:
    known = {setting.key for setting in config.settings()}
    assert {key for keys in SETTINGS.values() for key in keys} <= known


def test_file_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"coap_port = 5683\nopen({str(mark)!r}, 'w')\ntitle = open({str(mark)!r}, 'w')\n"
    assert import_python(text.encode()).values == {"coap.port": 5683}
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"colour = 1\n",
        b"broker_host = \n",
        b"\x00",
        b"\xff\xfe",
        b"(" * 5000,
        b"x" * (BYTES_MAX + 1),
        b"title = '\\ud800'\n",
    ],
)
def test_other_file_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        import_python(data)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,4}\.[a-z]{1,4}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"]))
        | st.integers(-(2**63), 2**63 - 1)
        | st.booleans()
        | st.floats(allow_nan=False),
    )
)
def test_written_toml_is_read_as_it_was(values: dict[str, str | int | float | bool]) -> None:
    read = tomllib.loads(toml_text(values))
    assert {f"{a}.{b}": value for a, part in read.items() for b, value in part.items()} == values


@pytest.mark.sockets
def test_command_prints_settings_that_are_valid(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    older, new = tmp_path / "config.py", tmp_path / "new.toml"
    older.write_bytes(WHOLE)
    try:
        assert "aiot config --import" in programs.run("config", "--config", older).stderr
        imported = programs.run("config", "--import", older)
        assert imported.returncode == 0
        assert f"{older}: map_api_key has no counterpart" in imported.stderr
        assert f"{older}: mqtt.port is 'abc', but it must be a whole number." in imported.stderr
        new.write_text(imported.stdout, "utf-8")
        assert programs.run("config", "--config", new).returncode == 0
        refused = programs.run("config", "--import", tmp_path / "none")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"aiot: {tmp_path / 'none'} cannot be read")
    finally:
        programs.close()
