# SPDX-License-Identifier: BSD-3-Clause
"""The C++ example, compiled for this machine: all its messages with their times."""

from pathlib import Path

import pytest

from pyaiot.protocols.mqtt.node_topics import NodeValue, parse_publication
from tests.documents import ROOT
from tests.examples.compilers import compiled, output_of

EXAMPLE = ROOT / "examples" / "esp-arduino-mqtt"
HEADERS = Path(__file__).parent / "arduino"
UID = "esp-240AC4000110"
CHECK = f'node/check {{"id":"{UID}"}}'
RESOURCES = f'node/{UID}/resources ["name","os","led","signal"]'
SIGNAL = f'node/{UID}/signal {{"value":"-61dBm"}}'
HELLO = [
    f"connects as {UID}",
    f"Connected as {UID}",
    "subscribes gateway/check",
    f"subscribes gateway/{UID}/#",
    CHECK,
    RESOURCES,
]


@pytest.mark.parametrize(("chip", "off", "on"), [("ESP32", 0, 1), ("ESP8266", 1, 0)])
def test_board_sends_what_a_node_sends(chip: str, off: int, on: int, tmp_path: Path) -> None:
    program = compiled(
        "g++",
        tmp_path,
        *("-std=c++17", f"-D{chip}", f"-I{HEADERS}", f"-I{EXAMPLE}/include"),
        *(HEADERS / "host.cpp", EXAMPLE / "src" / "main.cpp"),
    )
    first = ["pin 2 mode 1", f"pin 2 is {off}", "joins my-network", "server 192.168.1.10 1886"]
    steps: list[tuple[str, list[str]]] = [
        ("", first),
        ("at 10000", []),  # no Wi-Fi yet
        ("wifi 1", []),
        ("at 10010", HELLO),
        ("gateway/check", [CHECK]),
        (f"gateway/{UID}/discover resources", [RESOURCES]),
        (
            f"gateway/{UID}/discover values",
            [
                f'node/{UID}/name {{"value":"My ESP board"}}',
                f'node/{UID}/os {{"value":"arduino"}}',
                f'node/{UID}/led {{"value":"0"}}',
                SIGNAL,
            ],
        ),
        (f"gateway/{UID}/led/set 1", [f"pin 2 is {on}", f'node/{UID}/led {{"value":"1"}}']),
        (f"gateway/{UID}/led/set 2", []),
        (f"gateway/{UID}/name/set other", []),
        (f"gateway/{UID}/led/set 0", [f"pin 2 is {off}", f'node/{UID}/led {{"value":"0"}}']),
        ("at 15000", []),
        ("at 15010", [SIGNAL]),
        ("at 40000", [SIGNAL] * 4),
        ("at 40010", [CHECK, SIGNAL]),
        ("server 0", []),
        ("at 40020", [f"connects as {UID}", "No MQTT broker, state -2"]),
        ("server 1", []),
        ("at 42010", []),
        ("at 42020", HELLO),
        ("wifi 0", []),
        ("at 60000", []),
        ("wifi 1", []),
        ("at 60010", HELLO),
    ]
    expected = []
    for line, answers in steps:
        expected += [f"> {line}"] if line else []
        expected += answers
    assert output_of(program, *(line for line, _ in steps if line)) == expected

    for line in (SIGNAL, CHECK, RESOURCES):
        topic, _, payload = line.partition(" ")
        parse_publication(topic, payload.encode())
    topic, _, payload = SIGNAL.partition(" ")
    assert parse_publication(topic, payload.encode()) == NodeValue(UID, "signal", "-61dBm")
