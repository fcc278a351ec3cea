# SPDX-License-Identifier: BSD-3-Clause
"""Words of a command line that are wrong or look like flags, and standard streams that are closed:
a value is used, and an error is one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from pyaiot.cli.app import build, program
from tests.end_to_end.test_command_line import Aiot, aiot

__all__ = ["aiot"]  # a fixture

CLOSED_PORT = ("--broker-port", "1")


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["heater", "target", "-5"], ["heater", "target", "-5"]),
        (["heater", "target", "-.5", "--timeout", "2"], ["heater", "target", "-.5"]),
        (["--tag", "-1", "--online", "target", "-1"], ["target", "-1"]),
        (["--timeout=3", "-1", "target", "-2"], ["-1", "target", "-2"]),
        (["a", "b", "--", "-x"], ["a", "b", "-x"]),
        (["a", "b", "c"], ["a", "b", "c"]),
    ],
)
def test_a_negative_number_is_a_value(words: list[str], values: list[str]) -> None:
    command = program(["set"]).commands["set"]
    context = command.make_context("set", list(words))
    assert list(context.params["words"]) == values


def test_an_unknown_flag_beside_a_negative_number_is_refused(aiot: Aiot) -> None:
    result = aiot("set", "heater", "target", "-5", "--timeut", "2")
    assert result.code == 2
    assert "No such option: --timeut" in result.err


@pytest.mark.parametrize("change", ["", "+", "spare"])
def test_a_tag_without_a_sign_is_one_sentence(aiot: Aiot, change: str) -> None:
    assert "Put + before a tag" in aiot("node", "tag", "a", change, *CLOSED_PORT).error


@pytest.mark.parametrize(
    "words", [("token", "remove", "\udcff"), ("mapping", "add", "\udcff", "x")]
)
def test_a_word_that_is_not_utf_8_is_one_sentence(aiot: Aiot, words: tuple[str, ...]) -> None:
    assert "a word of this command is not UTF-8" in aiot(*words).error


@pytest.mark.parametrize(
    "words", [("backup",), ("upgrade-check", "--registry"), ("tls", "self-signed", "--folder")]
)
def test_a_path_that_is_too_long_is_one_sentence(aiot: Aiot, words: tuple[str, ...]) -> None:
    assert "name of a file or folder is too long" in aiot(*words, "x" * 5000).error


def test_a_mapping_that_is_too_long_is_described_in_plain_words(aiot: Aiot) -> None:
    error = aiot("mapping", "add", "a", "x" * 300, *CLOSED_PORT).error
    assert "topic must be at most 256 characters long" in error


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--agg", "mean"), "--agg requires --every or --tz."),
        (("--tz", "Europe/Paris", "--every", "7"), "omit --every, or set it to 86400."),
        (("--every", "60", "--limit", "3"), "--limit cannot be combined with --every or --tz."),
        (("--tz", "Europe/Paris", "--limit", "3"), "--limit cannot be combined with --every or"),
    ],
)
def test_errors_of_the_history_name_the_flags(
    aiot: Aiot, flags: tuple[str, ...], sentence: str
) -> None:
    assert sentence in aiot("history", "a", "t", *flags, *CLOSED_PORT).error


@pytest.mark.parametrize("group", sorted(get_group(build()).commands))
def test_help_of_a_group_shows_each_summary_completely(aiot: Aiot, group: str) -> None:
    assert "..." not in aiot(group, "--help").out.partition("ommands:")[2]


@pytest.mark.parametrize(
    "words",
    [
        ("nodes", "--broker-host", "192.168..1"),
        ("health", "http://192.168..1/"),
        ("node", "coap", "--gateway-host", "192.168..1"),
        ("broker", "--key-file", "off", "--host", "192.168..1", "--insecure"),
        ("run", "--mqtt-listen", "192.168..1", "--web-port", "0"),
    ],
)
@pytest.mark.sockets
def test_a_host_that_cannot_be_a_name_is_one_sentence(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyaiot", *words],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "idna" not in done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("aiot: ")
    assert "192.168..1" in sentence


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.sockets
def test_closed_standard_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    words = [sys.executable, "-m", "pyaiot", "watch", *CLOSED_PORT]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    expected = "" if "2>&-" in closed else "aiot: No broker answers at localhost port 1"
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == bool(expected)


@pytest.mark.parametrize("home", ["", "data"])
def test_a_home_that_is_relative_is_ignored(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """Otherwise keys and data would be in the current folder."""
    monkeypatch.setenv("HOME", home)
    assert aiot("config").code == 0
    assert "HOME" not in os.environ


@pytest.mark.sockets
def test_a_home_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    ports = ("--web-port", "0", "--coap-port", "0", "--ws-port", "0", "--mqtt-port", "0")
    done = subprocess.run(
        [sys.executable, "-m", "pyaiot", "run", *ports, "--mqttsn-port", "0"],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("aiot: ")
