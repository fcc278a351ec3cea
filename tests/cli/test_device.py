# SPDX-License-Identifier: BSD-3-Clause
"""`aiot device`, as an operator types it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_accounts import aiot


def device(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return aiot(home, "device", *words)


def test_a_protocol_without_credentials_gets_none_and_is_explained(tmp_path: Path) -> None:
    added = device(tmp_path, "add", "lamp", "--protocol", "mqttsn", "--host", "192.0.2.7")
    assert added.returncode == 0
    assert added.stdout.startswith("MQTT-SN 1.2 has no credentials: every device that reaches UDP")
    assert '-DEMCUTE_ID=\\"lamp\\"' in added.stdout
    assert "accepts only devices on this machine" in added.stderr
    listed = device(tmp_path, "list")
    assert listed.stdout == "No device has a credential. aiot device add NAME adds one.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "lamp", "--protocol", "pigeon"), "There is no protocol 'pigeon': choose "),
        (("add", "#", "--protocol", "mqttsn"), "The name of a device has 1 to 64"),
        (("add", "all", "--protocol", "mqttsn"), "The uid 'all' is reserved: choose another name"),
        (("add", "a.b", "--protocol", "mqtt"), "With mqtt, the name of a device has no .: choose"),
        (("remove", "lamp"), "There is no such credential of 'lamp': see aiot device list."),
        (("remove", "lamp", "--protocol", "x"), "There is no protocol 'x': choose "),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    failed = device(tmp_path, *words)
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"aiot: {sentence}")
    assert failed.stderr.count("\n") == 1


def test_a_key_for_coap_is_shown_once_in_the_forms_of_boards_and_shells(tmp_path: Path) -> None:
    added = device(tmp_path, "add", "lamp", "--protocol", "coap", "--host", "192.0.2.7")
    assert added.returncode == 0
    assert added.stdout.startswith("lamp connects with CoAP over DTLS to coaps://192.0.2.7:5684")
    (key,) = set(re.findall(r"\b[0-9a-f]{32}\b", added.stdout))
    assert ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(key)) in added.stdout
    assert '.s = "lamp", .len = 4' in added.stdout
    escaped = re.search(r"printf '([^']*)'", added.stdout)
    assert escaped is not None
    printed = subprocess.run(["printf", escaped[1]], capture_output=True, check=True)
    assert printed.stdout == bytes.fromhex(key)
    listed = device(tmp_path, "list")
    assert listed.stdout.startswith("lamp  coap  since ")
    assert key not in listed.stdout
