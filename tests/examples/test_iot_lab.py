# SPDX-License-Identifier: BSD-3-Clause
"""The script for FIT IoT-LAB, with stand-ins of its commands: what they are given, and the end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.documents import ROOT

SCRIPT = ROOT / "examples" / "iot-lab" / "iotlab.py"
BORDER = ROOT / "examples" / "iot-lab" / "border.sh"
LIMIT_S = 20.0
STAND_IN = """#!{python}
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
words = sys.argv[1:]
if os.environ.get("FAILS", "-") in words:
    sys.exit(3)
if "submit" in words:
    print(json.dumps({{"id": 4711}}))
if "get" in words:
    names = os.environ.get("NODES", "a8-12 a8-3").split()
    items = [{{"network_address": name + ".saclay.iot-lab.info"}} for name in names]
    print(json.dumps({{"items": items}}))
"""


class Lab:
    """A folder with the stand-ins, and the files that the script is given."""

    def __init__(self, folder: Path) -> None:
        self.calls_file = folder / "calls"
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name in ("iotlab-experiment", "iotlab-ssh"):
            path = self._bin / name
            path.write_text(STAND_IN.format(python=sys.executable), "utf-8")
            path.chmod(0o755)
        for name in ("border.elf", "node.elf", "token"):
            (folder / name).write_text("x", "utf-8")
        self.words = [
            *(sys.executable, str(SCRIPT), "--border-router", str(folder / "border.elf")),
            *("--firmware", str(folder / "node.elf"), "--token-file", str(folder / "token")),
            *("--broker-host", "pyaiot.example.org"),
        ]

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self._bin}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "CALLS": str(self.calls_file), **more}

    def run(self, *flags: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self.words, *flags],
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def calls(self) -> list[list[str]]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text("utf-8").splitlines()]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def verbs(calls: Sequence[Sequence[str]]) -> list[str]:
    known = {"submit", "wait", "get", "stop", "wait-for-boot", "flash", "copy-file", "run-cmd"}
    return [next(word for word in call if word in known) for call in calls]


ALL = ["submit", "wait", "get", "wait-for-boot", "flash", "flash", "copy-file", "copy-file"]


def test_two_nodes_are_booked_flashed_and_given_back(lab: Lab, tmp_path: Path) -> None:
    done = lab.run("--minutes", "0")
    assert (done.returncode, done.stderr) == (0, "")
    calls = lab.calls()
    assert verbs(calls) == [*ALL, "run-cmd", "stop"]
    wanted = "2,archi=a8:at86rf231+site=saclay"
    assert calls[0] == ["iotlab-experiment", "submit", "-n", "pyaiot", "-d", "0", "-l", wanted]
    first, second = (call for call in calls if "flash" in call)
    assert first[3:] == ["flash", str(tmp_path / "border.elf"), "-l", "saclay,a8,12"]
    assert second[3:] == ["flash", str(tmp_path / "node.elf"), "-l", "saclay,a8,3"]
    start = calls[-2][4]
    assert "border.sh 2001:660:3207:401::/64 pyaiot.example.org 443" in start
    assert start.endswith("&")
    assert calls[-1] == ["iotlab-experiment", "stop", "-i", "4711"]


@pytest.mark.parametrize("fails", ["wait", "get", "wait-for-boot", "flash", "run-cmd"])
def test_experiment_is_stopped_if_a_step_fails(fails: str, lab: Lab) -> None:
    done = lab.run(FAILS=fails)
    assert done.returncode == 1
    assert "failed with exit code 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert verbs(lab.calls())[-1] == "stop"


def test_nothing_is_stopped_if_nothing_was_booked(lab: Lab) -> None:
    assert lab.run(FAILS="submit").returncode == 1
    assert verbs(lab.calls()) == ["submit"]


def test_experiment_with_too_few_nodes_is_stopped(lab: Lab) -> None:
    done = lab.run(NODES="a8-1")
    assert "has 1 nodes instead of 2" in done.stderr
    assert verbs(lab.calls())[-1] == "stop"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_experiment(number: signal.Signals, lab: Lab) -> None:
    with subprocess.Popen(
        lab.words, env=lab.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "Ctrl+C ends" not in process.stdout.readline():
            pass
        process.send_signal(number)
        try:
            process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
        assert process.returncode == 130
    assert verbs(lab.calls())[-1] == "stop"


def test_dry_run_prints_every_command_and_runs_none(lab: Lab) -> None:
    done = lab.run("--dry-run")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert verbs([line.split() for line in lines]) == [*ALL, "run-cmd", "stop"]
    assert lab.calls() == []


def test_missing_firmware_is_reported_before_anything_is_booked(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "node.elf").unlink()
    done = lab.run()
    assert done.returncode == 2
    assert "there is no file" in done.stderr
    assert lab.calls() == []


def test_border_script_starts_the_network_and_our_gateway(tmp_path: Path) -> None:
    tools = tmp_path / "tools" / "ethos"
    tools.mkdir(parents=True)
    network = tools / "start_network.sh"
    network.write_text('#!/bin/sh\necho "$@" >"$HOME/network"\n', "utf-8")
    network.chmod(0o755)
    (tmp_path / "token").write_text("secret", "utf-8")
    aiot = tmp_path / "aiot"
    # It waits until the network has been started.
    aiot.write_text(
        '#!/bin/sh\nuntil [ -s "$HOME/network" ]; do :; done\necho "$@"\n', encoding="utf-8"
    )
    aiot.chmod(0o755)
    done = subprocess.run(
        ["sh", str(BORDER), "2001:db8::/64", "b.example.org", "443", str(tmp_path / "token")],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "RIOT_TOOLS": str(tmp_path / "tools"),
            "AIOT": str(aiot),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout.split() == [
        *("coap-gateway", "--host", "::", "--interface", "tap0", "--name", "iot-lab"),
        *("--broker-host", "b.example.org", "--broker-port", "443", "--broker-ssl"),
        *("--token-file", str(tmp_path / "gateway.token")),
    ]
    assert (tmp_path / "network").read_text("utf-8") == "/dev/ttyA8_M3 tap0 2001:db8::/64 500000\n"
    assert (tmp_path / "gateway.token").stat().st_mode & 0o777 == 0o600
