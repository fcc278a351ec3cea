# SPDX-License-Identifier: BSD-3-Clause
"""The benchmarks still run: every figure, in sizes that measure nothing. And they count right."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.programs import NO_AUTHORITIES
from tests.time_limits import Stopwatch

ROOT = Path(__file__).parents[1]
RUN_LIMIT_S = 120.0
"""The longest takes 25 s alone."""
# What runs side by side; nodes have fixed addresses, so their figures run one after the other.
SIDE_BY_SIDE = (
    ("fan-out", "scopes", "start"),
    ("mqtt-machines", "api", "join", "memory", "websocket", "history", "registry"),
    (
        "latency",
        "posts",
        "commands",
        "coap-posts",
        "coap-discovery",
        "coap-idle",
        "coap-commands",
        "coap-dtls",
        "observe",
        *("registry-kills", "mqtt", "mqttsn"),
    ),
)
AS_TYPED = SIDE_BY_SIDE[0]
"""Here services are started as a user starts them; elsewhere they are forked."""
FORKED = Path(__file__).with_name("forked_benchmarks.py")
FIGURES = [name for names in SIDE_BY_SIDE for name in names]


@pytest.fixture(autouse=True)
def checkout_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    # Imported late below: `benchmarks` is part of the checkout, not of the installed package.
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All figures of a tiny run."""
    folder = tmp_path_factory.mktemp("benchmarks")
    runs = []
    for names in SIDE_BY_SIDE:
        file = folder / f"{names[0]}.json"
        arguments = [argument for name in names for argument in ("--only", name)]
        program = ["-m", "benchmarks"] if names is AS_TYPED else [str(FORKED)]
        run = subprocess.Popen(
            [sys.executable, *program, "--tiny", "--json", str(file), *arguments],
            cwd=ROOT,
            env={**os.environ, **NO_AUTHORITIES},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        runs.append((run, file))
    together: dict[str, Any] = {"figures": [], "fan_out": [], "failures": [], "output": ""}
    for run, file in runs:
        watch = Stopwatch(run.pid)
        while (left_s := RUN_LIMIT_S - watch.elapsed_s) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = run.communicate(timeout=left_s)
                break
        else:
            run.kill()
            output, _ = run.communicate()
            output += f"\nnot done after {RUN_LIMIT_S:.0f} s"
        together["output"] += output
        if file.exists():
            measured = json.loads(file.read_text(encoding="utf-8"))
            for key in ("figures", "fan_out", "failures"):
                together[key] += measured[key]
    return together


@pytest.mark.parametrize("group", FIGURES)
def test_a_figure_is_measured(results: dict[str, Any], group: str) -> None:
    values = [figure["value"] for figure in results["figures"] if figure["group"] == group]
    assert values, results["output"]
    assert not [text for text in results["failures"] if text.startswith(f"{group}: ")]


def test_fan_out_loses_nothing_at_a_pace(results: dict[str, Any]) -> None:
    paced = [row for row in results["fan_out"] if row["load"] != "saturating"]
    assert {row["broker"] for row in paced} == {"pyaiot.v2", "legacy", "plain", "bare write"}
    assert all(row["deliveries_per_s"] > 0 for row in paced)
    assert {row["lost"] for row in paced if row["broker"] != "bare write"} == {0}


def test_counting_marks_counts_what_a_parser_finds() -> None:
    from benchmarks.bare_write import server_frame
    from benchmarks.clients import Client
    from benchmarks.wire import FrameReader

    def text_frame(size: int, marks: int) -> bytes:
        header = server_frame(size + (2 if size < 126 else 4))[: 2 if size < 126 else 4]
        return header + b"\xb0" * marks + b"x" * (size - marks)

    chance = random.Random(6455)
    # 0xB0 = 176 stands in the length of these too, where it must not count.
    sizes = [1, 5, 125, 126, 176, 0xB000, 0xB0B0, 65535, 300]
    frames = [text_frame(size, chance.randint(0, min(size, 50))) for size in sizes * 3]
    stream = b"".join(frames)
    expected = sum(text.count(b"\xb0") for text in FrameReader().feed(stream))
    for _ in range(20):
        client = Client(socket.socket())
        at = 0
        while at < len(stream):
            piece = stream[at : at + chance.choice([1, 2, 3, 7, 1000, 70_000])]
            client.count(piece, len(piece))
            at += len(piece)
        client.socket.close()
        assert client.marks == expected


def test_a_target_is_reached_or_missed() -> None:
    from benchmarks.table import Figure

    assert Figure("g", "n", 2.0, "ms", at_most=2.0).reached == "yes"
    assert Figure("g", "n", 2.1, "ms", at_most=2.0).reached == "no"
    assert Figure("g", "n", 19.9, "x", at_least=20).reached == "no"
    assert Figure("g", "n", 19.9, "x").reached == "-"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    from benchmarks.event_loop import percentile

    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


def test_messages_of_each_dialect_are_those_of_the_dialect() -> None:
    from benchmarks.foreign_messages import DIALECTS
    from pyaiot.gateways.mqtt.dialects import new_dialects
    from pyaiot.gateways.mqtt.dialects.dialect import DeviceValue

    for name, messages in DIALECTS.items():
        if name == "own":
            continue
        word = name.partition(" ")[0]
        (dialect,) = (it for it in new_dialects([word], lambda: 0.0) if it.name == word)
        values = []
        for topic, payload in (*messages.first(1, 3), *messages.first(0, 3)):
            content = payload.encode() if isinstance(payload, str) else payload
            assert dialect.receive(topic, content, retained=False, now=0.0) is not None, topic
        for turn in range(3):
            topic, payload = messages.value(0, turn)
            content = payload.encode() if isinstance(payload, str) else payload
            events = dialect.receive(topic, content, retained=False, now=0.0)
            values += [it.data for it in events or () if isinstance(it, DeviceValue)]
        assert len(values) == 3 * messages.values, name
        if messages.values == 1:
            assert values == [20.5, 21.5, 22.5], name
