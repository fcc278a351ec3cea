# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add` prints for Arduino and RIOT compiles, with headers of the tests in place
of theirs: syntax, names, and types of arguments."""

import re
from pathlib import Path

import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import add_device
from pyaiot.config import Config
from tests.examples.compilers import compiled

HEADERS = Path(__file__).parent
NAME = "lamp-1_x:y"
"""Every character that a uid may have with all protocols."""


def snippet(folder: Path, protocol: str, board: str) -> str:
    store = DeviceStore(folder / "devices.db")
    added = add_device(store, Config(), NAME, protocol, host="192.0.2.7", now=1.0)
    store.close()
    return next(it.text for it in added.snippets if it.board == board)


@pytest.mark.parametrize("protocol", ["mqtt", "ws"])
def test_arduino_snippet_compiles(tmp_path: Path, protocol: str) -> None:
    source = tmp_path / "sketch.cpp"
    # The Arduino IDE includes Arduino.h; the sketch has the network of its board.
    source.write_text(f"#include <WiFi.h>\n{snippet(tmp_path, protocol, 'arduino')}")
    flags = ("-c", "-std=c++17", f"-I{HEADERS / 'arduino'}")
    assert compiled("g++", tmp_path, *flags, source).exists()


@pytest.mark.parametrize("protocol", ["coap", "oscore"])
def test_riot_snippet_compiles(tmp_path: Path, protocol: str) -> None:
    _makefile, begin, code = snippet(tmp_path, protocol, "riot").partition("/*")
    declarations, call, statements = code.partition("credman_add(")
    source = tmp_path / "main.c"
    source.write_text(
        f"#include <stdint.h>\n{begin}{declarations}\n"
        f"void add_credential(void);\nvoid add_credential(void)\n{{\n{call}{statements}}}\n"
    )
    flags = ("-c", "-std=gnu11", "-Wno-unused-const-variable", f"-I{HEADERS / 'riot'}")
    assert compiled("gcc", tmp_path, *flags, source).exists()


def test_riot_snippet_has_the_key_and_the_length_of_the_name(tmp_path: Path) -> None:
    text = snippet(tmp_path, "coap", "riot")
    assert f'.id = {{ .s = "{NAME}", .len = {len(NAME)} }}' in text
    key = re.search(r"key\[\] = \{([^}]+)\}", text)
    assert key is not None
    assert len(key[1].split(",")) == 16
