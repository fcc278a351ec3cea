# SPDX-License-Identifier: BSD-3-Clause
"""The audit log of a broker process: after `kill -9`, on a full disk, and by the command line."""

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import ANY_PORTS, Program, Programs

pytestmark = pytest.mark.sockets


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    started.close()


def started(programs: Programs, **environment: str) -> tuple[Program, str]:
    """A broker and its port."""
    broker = programs.aiot("run", *ANY_PORTS, **environment)
    port = re.search(r"http://[^ /]*:(\d+)/", broker.startup_text())
    assert port is not None
    return broker, port[1]


def register(port: str, uid: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/nodes",
        data=json.dumps({"nodes": [{"uid": uid}]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_entries_survive_kill_9_and_the_command_line_shows_them(programs: Programs) -> None:
    broker, port = started(programs)
    register(port, "board")
    shown = programs.run("audit", "--broker-port", port)
    assert shown.returncode == 0, shown.stderr
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  local from 127\.0\.0\.1  register  board  ok\n",
        shown.stdout,
    )
    broker.send(signal.SIGKILL)
    broker.exit_code(10)
    token = programs.run("token", "add", "backup", "--role", "viewer")
    assert token.stdout.startswith("aiot_")
    _, port = started(programs)
    shown = programs.run("audit", "--broker-port", port, "--json")
    entries = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(entry["action"], entry["from"]) for entry in entries] == [
        ("register", "127.0.0.1"),
        ("token-add", "command line"),
    ]
    assert entries[1]["detail"] == "token:backup, viewer"
    assert programs.run("audit", "--broker-port", port, "--uid", "nobody").returncode == 1
    for path in (programs.home / ".local/share/pyaiot/audit").iterdir():
        assert token.stdout.strip() not in path.read_text()


def test_log_that_cannot_be_written_stops_nothing_and_is_reported(programs: Programs) -> None:
    blocked = programs.home / "file"
    blocked.write_text("not a folder")
    broker, port = started(programs, AIOT_AUDIT_FOLDER=str(blocked))
    register(port, "board")
    with pytest.raises(urllib.error.HTTPError) as unready:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10)
    parts = json.loads(unready.value.read())["parts"]
    assert parts["audit"].startswith("cannot be written: ")
    assert broker.stderr.count("the audit log cannot be written") == 1
    added = programs.run("token", "add", "backup", AIOT_AUDIT_FOLDER=str(blocked))
    assert (added.returncode, added.stdout[:5]) == (0, "aiot_")
    assert added.stderr.startswith("aiot: The change is not in the audit log")


def test_log_can_be_off(programs: Programs) -> None:
    _, port = started(programs, AIOT_AUDIT_FOLDER="off")
    register(port, "board")
    refused = programs.run("audit", "--broker-port", port)
    assert refused.returncode == 2
    assert "has no audit log" in refused.stderr
    assert not (programs.home / ".local/share/pyaiot/audit").exists()
