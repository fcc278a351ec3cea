# SPDX-License-Identifier: BSD-3-Clause
"""The RIOT example, compiled for this machine: what it posts, and how it answers."""

from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.examples.compilers import compiled, output_of

EXAMPLE = ROOT / "examples" / "riot-gcoap"
HEADERS = Path(__file__).parent / "riot"
UID = "AB" * 8
POST = "to port 5683 on 7: POST"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(
        "gcc",
        tmp_path_factory.mktemp("riot"),
        *("-std=gnu11", f"-I{HEADERS}", '-DGATEWAY="fe80::1"'),
        *('-DRIOT_BOARD="native64"', '-DRIOT_CPU="native"'),
        *(HEADERS / "host.c", EXAMPLE / "main.c"),
    )


def test_node_sends_reset_and_alive(node: Path) -> None:
    assert output_of(node, "at 3", "at 4", "sensor 235", "at 9", "sensor -235", "at 34") == [
        "LED off",
        f"I am {UID}, my gateway is fe80::1",
        "> at 3",
        "> at 4",
        f"{POST} /alive reset:{UID}",
        f"{POST} /alive alive:{UID}",
        "> sensor 235",
        "> at 9",
        f"{POST} /server temperature:23.5°C",
        "> sensor -235",
        "> at 34",
        *[f"{POST} /server temperature:-23.5°C"] * 4,
        f"{POST} /alive alive:{UID}",
        f"{POST} /server temperature:-23.5°C",
    ]


def test_led_is_switched_and_other_payloads_are_refused(node: Path) -> None:
    requests = {
        "GET /led": ["205 0"],
        "PUT /led 1": ["LED on", "204 led:1"],
        "GET /led ": ["205 1"],
        "PUT /led 2": ["400 "],
        "PUT /led 10": ["400 "],
        "PUT /led": ["400 "],
        "PUT /led 0": ["LED off", "204 led:0"],
        "PUT /name x": ["no such resource or method"],
        "GET /nothing": ["no such resource or method"],
    }
    expected = [line for request, answer in requests.items() for line in (f"> {request}", *answer)]
    assert output_of(node, *requests)[2:] == expected


def test_node_describes_itself(node: Path) -> None:
    answers = output_of(node, "GET /name", "GET /board", "GET /mcu", "GET /os")
    assert answers[3::2] == ["205 My RIOT board", "205 native64", "205 native", "205 riot"]
