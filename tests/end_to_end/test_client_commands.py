# SPDX-License-Identifier: BSD-3-Clause
"""`aiot nodes`, `get`, `set`, `watch`, `history` and `export` against a running system."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import pytest

from pyaiot.cli import entry
from pyaiot.cli.terminal import Paint, fit, plain, table
from pyaiot.client import Client
from pyaiot.messages import Receipt
from pyaiot.model import READ_ONLY
from tests.programs import Programs, fleet_flags
from tests.terminals import on_terminal

pytestmark = pytest.mark.sockets

ANY_PORTS = (
    *("--web-port", "0", "--coap-port", "0", "--ws-port", "0", "--mqtt-port", "0"),
    *("--mqttsn-port", "0"),
)


class Result:
    """The exit code and the output of a command."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.returncode = code
        self.stdout = stdout
        self.stderr = stderr


Aiot: TypeAlias = Callable[..., Result]


@pytest.fixture
def aiot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Aiot:
    """Calls the command line as its script does, with its own home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("AIOT_", "XDG_"))]:
        monkeypatch.delenv(name)

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["aiot", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Programs, str]]:
    """Somebody's home, and the port of a broker with the node `board`."""
    programs = Programs(tmp_path_factory.mktemp("home"))
    sentence = programs.aiot("run", *ANY_PORTS).startup_text()
    ports = fleet_flags(sentence)
    port, ws = (
        ports[ports.index("--broker-port") + 1],
        ports[ports.index("--ws-port") + 1],
    )
    node = programs.aiot(
        *("node", "ws", "--uid", "board", "--name", "My board", "--temperature", "--led"),
        *("--gateway-port", ws, "--period-s", "0.1"),
    )
    node.line()
    # A real process once; further commands are called.
    flags = ("--broker-port", port, "--resource", "led", "--count", "1")
    assert programs.run("watch", "board", *flags).stdout.endswith("board  led  0\n")
    yield programs, port
    programs.close()


def test_nodes_are_a_table_and_json(aiot: Aiot, system: tuple[Programs, str]) -> None:
    _, port = system
    result = aiot("nodes", "--broker-port", port)
    header, row = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "")
    assert re.split(r"  +", header) == ["UID", "NAME", "GATEWAY", "LAST SEEN", "VALUES"]
    assert re.match(r"board  My board  websocket  (now|\d s)  ", row)
    assert "led 0" in row
    (node,) = json.loads(aiot("nodes", "--json", "--broker-port", port).stdout)
    assert node["uid"] == "board"
    (led,) = [item for item in node["resources"] if item["name"] == "led"]
    assert led["data"] == "0"


def test_get_prints_one_value_alone(aiot: Aiot, system: tuple[Programs, str]) -> None:
    _, port = system
    result = aiot("get", "board", "temperature", "--broker-port", port)
    assert re.fullmatch(r"-?\d+\.\d°C\n", result.stdout)
    result = aiot("get", "board", "wobble", "--broker-port", port)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(
        r"aiot: board has no resource wobble; its resources: .*led.*\.\n", result.stderr
    )
    result = aiot("get", "nobody", "--broker-port", port)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "aiot: there is no node nobody: aiot nodes lists all nodes.\n"


def test_set_prints_the_receipt(aiot: Aiot, system: tuple[Programs, str]) -> None:
    _, port = system
    result = aiot("set", "board", "led", "1", "--broker-port", port)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.match(r"confirmed in \d+ ms", result.stdout)
    assert aiot("get", "board", "led", "--broker-port", port).stdout == "1\n"
    result = aiot("set", "nobody", "led", "1", "--json", "--broker-port", port)
    assert result.returncode == 1
    assert json.loads(result.stdout)["state"] == "unknown"
    result = aiot("set", "board", "led", "1", "--timeout", "99", "--broker-port", port)
    assert result.returncode == 2
    assert result.stderr == "aiot: the timeout of a command is more than 0 and at most 60 s.\n"


@pytest.mark.parametrize(("value", "hint"), [("True", "1"), ("on", "1"), ("off", "0")])
def test_a_refused_word_gets_a_hint_with_a_number(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch, value: str, hint: str
) -> None:
    class Refusing:
        nodes: Final = ("board",)

        def __init__(self, **_: object) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def set(self, *_: object, **__: object) -> Receipt:
            return Receipt(id="", state="refused", detail=self.detail)

        detail = "4.00 Bad Request"

    monkeypatch.setattr("pyaiot.cli.client_command.Client", Refusing)
    result = aiot("set", "board", "led", value)
    assert result.returncode == 1
    assert f"many nodes expect 1 or 0: aiot set board led {hint}" in result.stderr
    result = aiot("set", "board", "led", "7")
    assert "many nodes" not in result.stderr
    Refusing.detail = READ_ONLY
    result = aiot("set", "board", "led", value)
    assert result.stderr == "aiot: refused: the resource is read-only\n"


def test_watch_shows_current_then_new_readings_and_ends_with_ctrl_c(
    aiot: Aiot, system: tuple[Programs, str]
) -> None:
    programs, port = system
    flags = ("--resource", "temperature", "--broker-port", port)
    result = aiot("watch", "board", *flags, "--count", "3", "--json")
    readings = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert len(readings) == 3
    assert {(r["type"], r["uid"], r["unit"]) for r in readings} == {("update", "board", "Cel")}
    assert len({r["ts"] for r in readings}) == 3
    program = programs.aiot("watch", *flags)
    assert re.match(r"\d\d:\d\d:\d\d  board  temperature  ", program.line())
    program.send(signal.SIGINT)
    assert program.exit_code(5) == 0
    assert program.stderr == ""


def test_watch_requests_the_nodes_of_a_tag_or_gateway(
    aiot: Aiot, system: tuple[Programs, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[object] = []
    init = Client.__init__

    def spy(client: Client, *arguments: Any, **more: Any) -> None:
        requested.append((more.get("tags"), more.get("gateways")))
        init(client, *arguments, **more)

    monkeypatch.setattr(Client, "__init__", spy)
    flags = ("--broker-port", system[1], "--count", "1", "--json")
    assert json.loads(aiot("watch", *flags).stdout)["uid"] == "board"
    result = aiot("nodes", "--json", *flags[:2])
    (gateway,) = {node["gateway"] for node in json.loads(result.stdout)}
    result = aiot("watch", "--gateway", gateway, *flags)
    assert json.loads(result.stdout)["uid"] == "board"
    assert requested[0] == (None, None)
    assert requested[-1] == (None, [gateway])


@pytest.mark.parametrize("flag", ["--tag", "--gateway"])
def test_watch_prints_why_the_broker_refuses_a_filter(
    aiot: Aiot, system: tuple[Programs, str], flag: str
) -> None:
    result = aiot("watch", flag, "x" * 65, "--broker-port", system[1])
    assert result.returncode == 2
    assert f"{flag[2:]}s[0] must be at most 64 characters long" in result.stderr
    assert "No broker" not in result.stderr


def test_history_is_a_table_json_or_csv(aiot: Aiot, system: tuple[Programs, str]) -> None:
    _, port = system
    command = ("history", "board", "temperature", "--broker-port", port)
    result = aiot(*command, "--limit", "2")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(
        r"TIME +VALUE  UNIT\n(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +-?[\d.]+ +°C\n){2}", result.stdout
    )
    rows = json.loads(aiot(*command, "--json").stdout)["readings"]
    assert len(rows) > 2
    assert {row["unit"] for row in rows} == {"Cel"}
    lines = aiot(*command, "--csv").stdout.splitlines()
    assert lines[0] == "uid,resource,ts,value,unit,data"
    assert len(lines) > 2
    result = aiot(*command, "--every", "3600", "--agg", "min,count")
    assert result.stdout.splitlines()[0].split() == ["TIME", "VALUE", "UNIT", "MIN", "COUNT"]
    for uid, resource in (("board", "wobble"), ("nobody", "temperature")):
        for more in ((), ("--csv",), ("--every", "60"), ("--limit", "3")):
            result = aiot("history", uid, resource, "--broker-port", port, *more)
            assert (result.returncode, result.stdout) == (1, "")
            assert result.stderr == f"aiot: there is no history for {resource} of {uid}.\n"
        result = aiot("history", uid, resource, "--broker-port", port, "--json")
        assert (result.returncode, json.loads(result.stdout)["readings"]) == (1, [])
    result = aiot(*command, "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "aiot: there is no history for temperature of board in this time.\n"
    for moment, hint in (("1h", "-1h"), ("yesterday", "-1d"), ("90 s", "-90s")):
        result = aiot(*command, "--from", moment)
        assert (result.returncode, result.stdout) == (2, "")
        assert f"'{moment}'" in result.stderr
        assert hint in result.stderr
        assert "regex" not in result.stderr
    for wrong in (("--from", "yesterday"), ("--csv", "--limit", "1"), ("--agg", "mean")):
        result = aiot(*command, *wrong)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1


def test_export_is_a_file_that_appears_when_it_is_complete(
    aiot: Aiot, system: tuple[Programs, str], tmp_path: Path
) -> None:
    _, port = system
    output = tmp_path / "all.csv"
    result = aiot("export", "-o", str(output), "--broker-port", port)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == f"aiot: wrote {output.stat().st_size:,} bytes to {output}.\n"
    assert output.read_bytes().startswith(b"uid,resource,ts,value,unit,data\r\nboard,")
    lines = aiot("export", "--json", "--resource", "led", "--broker-port", port).stdout.splitlines()
    assert json.loads(lines[0])["resource"] == "led"
    before = output.read_bytes()
    for wrong in (("--format", "xml"), ("--from", "x"), ("-o", str(tmp_path / "no" / "folder"))):
        result = aiot("export", "-o", str(output), "--broker-port", port, *wrong)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1
    assert output.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("words", [("export",), ("watch",), ("history", "board", "led", "--csv")])
def test_a_closed_pipe_ends_the_command_without_an_error_message(
    system: tuple[Programs, str], words: tuple[str, ...]
) -> None:
    programs, port = system
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        (sys.executable, "-m", "pyaiot", *words, "--broker-port", port),
        env=programs.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        os.close(writing)
        _, stderr = program.communicate(timeout=15)
    assert (program.returncode, stderr) == (1, "")


@pytest.mark.parametrize(
    "words", [("nodes",), ("get", "board"), ("history", "board", "led", "--csv")]
)
def test_full_disk_is_one_sentence(system: tuple[Programs, str], words: tuple[str, ...]) -> None:
    programs, port = system
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            (sys.executable, "-m", "pyaiot", *words, "--broker-port", port),
            check=False,
            env=programs.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=15,
        )
    sentence = "aiot: Standard output cannot be written: No space left on device.\n"
    assert (result.returncode, result.stderr) == (2, sentence)


def test_text_that_the_terminal_cannot_show_is_escaped(system: tuple[Programs, str]) -> None:
    programs, port = system
    result = subprocess.run(
        (sys.executable, "-m", "pyaiot", "nodes", "--broker-port", port),
        check=False,
        env={**programs.environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=15,
    )
    assert b"\\xb0C" in result.stdout
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("host", ["[::1", "[::1]", "a b", "broker/x", "u@broker", "", "a\x1b[0m"])
def test_invalid_host_is_one_sentence(aiot: Aiot, host: str) -> None:
    result = aiot("nodes", "--broker-host", host, "--broker-port", "1")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_error_without_a_broker_is_one_sentence_with_a_remedy(aiot: Aiot) -> None:
    result = aiot("nodes", "--broker-port", "1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "aiot: No broker answers at localhost port 1 (connection refused). Start one with aiot run,"
        " or set its address.\n"
    )


def test_a_sign_in_link_works_once_and_the_session_is_kept(aiot: Aiot, tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    try:
        flags = ("--host", "0.0.0.0", "--insecure", "--history", "off")
        sentence = programs.aiot("run", *ANY_PORTS, *flags).line()
        link = re.search(r"http://\S+", sentence)
        assert link is not None
        url = re.search(r":(\d+)/", link[0])
        assert url is not None
        port = ("--broker-host", "127.0.0.1", "--broker-port", url[1])
        result = aiot("nodes", *port)
        assert (result.returncode, result.stdout) == (2, "")
        assert "--login-link" in result.stderr
        for _ in range(2):
            result = aiot("nodes", *port, "--json", "--login-link", link[0])
            assert result.returncode == (0 if result.stdout else 2)
            again = aiot("nodes", *port, "--json")
            assert (again.returncode, again.stdout) == (0, "[]\n"), again.stderr
        assert "is not valid, or was used" in result.stderr
        kept = tmp_path / ".local" / "state" / "pyaiot" / "logins.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        result = aiot("nodes", *port, "--login-link", "http://x/")
        assert result.returncode == 2
        assert "Invalid sign-in link" in result.stderr
    finally:
        programs.close()


def test_a_terminal_gets_colours_in_80_columns(
    system: tuple[Programs, str],
) -> None:
    programs, port = system
    command = (sys.executable, "-m", "pyaiot", "nodes", "--broker-port", port)
    shown = on_terminal(command, programs.environment(TERM="xterm"), columns=80)
    assert "\x1b[1mUID" in shown
    bare = re.sub(r"\x1b\[\d+m", "", shown)
    assert max(map(len, bare.splitlines())) <= 80


@pytest.mark.parametrize(
    ("terminal", "variables", "colourful"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_used_on_terminals_without_no_color(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, variables: dict[str, str], colourful: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    assert (Paint(stream)("red", "x") == "\x1b[31mx\x1b[0m") is colourful


def test_control_characters_in_text_of_a_device_are_escaped() -> None:
    assert plain("a\x1b[31mb\n\u202e") == r"a\x1b[31mb\n\u202e"
    assert plain("23.5°C é") == "23.5°C é"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abc", "abc  "), ("abcdef", "abcd…"), ("温度計", "温度…"), ("e\u0301", "é    ")],
)
def test_text_is_cut_to_the_cells_of_a_terminal(text: str, shown: str) -> None:
    assert fit(text, 5) == shown.replace("é", "e\u0301")


def test_a_table_without_a_terminal_is_not_cut() -> None:
    shown = table(("A", "B"), [("x" * 100, "y")], Paint(io.StringIO()))
    assert shown.splitlines()[1] == "x" * 100 + "  y"
