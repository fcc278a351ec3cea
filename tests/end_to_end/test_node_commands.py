# SPDX-License-Identifier: BSD-3-Clause
"""Registered nodes on the command line: lists, names, tags, CSV files, commands to many."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.test_client_commands import ANY_PORTS, Aiot, Result, aiot
from tests.programs import Program, Programs, fleet_flags
from tests.terminals import on_terminal

pytestmark = pytest.mark.sockets

__all__ = ["aiot"]  # a fixture


EDITED = ("uid", "label", "room", "tags", "notes", "latitude", "longitude", "revision")


class Lab:
    """A broker with the online nodes `b1` and `b2`, and `b3`, which went offline."""

    def __init__(self, programs: Programs, aiot: Aiot, *flags: str) -> None:
        self.programs = programs
        self._aiot = aiot
        ports = fleet_flags(
            programs.aiot("run", *ANY_PORTS, "--history", "off", *flags).startup_text()
        )
        self.port = ports[ports.index("--broker-port") + 1]
        self._ws = ports[ports.index("--ws-port") + 1]

    def switch_on(self, uid: str, *, state: str = "--online") -> Program:
        """Start a node, and wait until it is listed with its values."""
        node = self.programs.aiot(
            *("node", "ws", "--uid", uid, "--temperature", "--led", "--gateway-port", self._ws)
        )
        node.line()
        while not re.search(rf"(?m)^{uid} .*led 0", self("nodes", state).stdout):
            pass
        return node

    def __call__(self, *arguments: str | Path) -> Result:
        return self._aiot(*map(str, arguments), "--broker-port", self.port)

    def lines(self, *arguments: str | Path) -> list[str]:
        """What a command prints that succeeds without a remark."""
        result = self(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout.splitlines()

    def remark(self, code: int, *arguments: str | Path) -> str:
        """The one line on standard error of a command that prints nothing else."""
        result = self(*arguments)
        assert (result.returncode, result.stdout) == (code, ""), result.stderr
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr.removeprefix("aiot: ").removesuffix("\n")

    def edits(self) -> list[dict[str, object]]:
        """What people added to all nodes."""
        nodes: list[dict[str, object]] = json.loads(self("nodes", "--json").stdout)
        return [{name: node[name] for name in EDITED} for node in nodes]


@pytest.fixture
def lab(aiot: Aiot, tmp_path: Path) -> Iterator[Lab]:
    programs = Programs(tmp_path)
    lab = Lab(programs, aiot)
    lab.switch_on("b1")
    lab.switch_on("b2")
    lab.switch_on("b3").close()
    while "offline" not in lab("nodes", "--offline", "--text", "b3").stdout:
        pass
    yield lab
    programs.close()


def test_offline_nodes_have_a_section_with_their_last_values(lab: Lab) -> None:
    text = "\n".join(lab.lines("nodes"))
    online, offline = text.split("\n\n")
    assert [row.split()[0] for row in online.splitlines()] == ["UID", "b1", "b2"]
    title, header, row = offline.splitlines()
    assert title == "Offline (1), with their last values:"
    assert re.split(r"  +", header) == ["UID", "NAME", "GATEWAY", "STATE", "LAST VALUES"]
    assert re.search(r"  offline since (\d+ s|now)  .*led 0", row)
    assert lab.lines("nodes", "--offline")[0] == title
    assert "Offline" not in "".join(lab.lines("nodes", "--online"))
    everything = {"uid", "state", "label", "room", "tags", "notes", "first_seen", "resources"}
    nodes = json.loads(lab("nodes", "--json").stdout)
    assert [(node["uid"], node["state"]) for node in nodes] == [
        ("b1", "online"),
        ("b2", "online"),
        ("b3", "offline"),
    ]
    assert everything <= nodes[2].keys()
    # One value, and all: with a remark and exit code 1, because they are not current.
    result = lab("get", "b3", "led")
    assert (result.returncode, result.stdout) == (1, "0\n")
    assert re.fullmatch(
        r"aiot: .*: offline since .*\. These are its last values\.\n", result.stderr
    )
    assert lab("get", "b3", "--json").returncode == 1
    assert lab.remark(1, "set", "b3", "led", "1") == "unreachable: the node is offline"
    assert lab.remark(0, "nodes", "--banned") == "no nodes are banned."


def test_every_command_that_takes_a_node_takes_its_label(lab: Lab) -> None:
    assert lab.lines("node", "rename", "b1", "Desk lamp") == ["b1  label: Desk lamp"]
    assert lab.lines("get", "desk lamp", "led") == ["0"]
    (line,) = lab.lines("set", "Desk lamp", "led", "1")
    assert line.startswith("confirmed in ")
    assert json.loads(lab("set", "Desk lamp", "led", "1", "--json").stdout)["uid"] == "b1"
    watched = lab.lines("watch", "DESK LAMP", "--resource", "led", "--count", "1")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  b1  led  1", watched[0])
    assert lab.lines("node", "tag", "desk lamp", "+a") == ["b1  label: Desk lamp; tags: a"]
    assert (
        lab.remark(1, "get", "Desk lmp") == "there is no node Desk lmp (did you mean Desk lamp?)."
    )
    assert lab.remark(1, "set", "b11", "led", "1") == "there is no node b11 (did you mean b1?)."
    # The name that a device reports is not a label: another device may report the same name.
    assert lab.remark(1, "get", "simulated node") == (
        "no node has the label simulated node, but b2 reports this name: use its uid, or aiot node"
        " rename b2."
    )
    result = lab("node", "rename", "b2", "desk lamp")
    assert result.stderr == "aiot: 2 nodes have the label desk lamp: commands need their uid.\n"
    for command in (("get", "Desk lamp"), ("set", "Desk lamp", "led", "1"), ("watch", "Desk lamp")):
        assert lab.remark(2, *command).endswith(
            " nodes have the label Desk lamp: use the uid of one of them (b1, b2)."
        )
    assert lab.lines("node", "rename", "b2", "") == ["b2  nothing added"]


def test_people_edit_nodes_and_wrong_values_are_one_sentence(lab: Lab) -> None:
    assert lab.lines("node", "tag", "b3", "+class 3b", "+spare", "-none") == [
        "b3  tags: class 3b, spare"
    ]
    assert lab.lines("node", "tag", "b3", "-spare", "-class 3b", "+home", "--json")
    flags = ("--room", "Lab", "--notes", "two\nlines", "--latitude", "48.7", "--longitude", "2.25")
    times = ("--interval", "900", "--offline-after", "2000")
    (line,) = lab.lines("node", "edit", "b3", *flags, *times)
    assert line == (
        "b3  room: Lab; tags: home; position: 48.7, 2.25; interval: 900 s; offline after: 2000 s;"
        r" notes: two\nlines"
    )
    assert lab.lines("node", "edit", "b3", "--no-position", "--notes", "", "--interval", "0") == [
        "b3  room: Lab; tags: home; offline after: 2000 s"
    ]
    for words, sentence in (
        (("tag", "b3", "home"), "Put + before a tag to add it, or - to remove it: +home."),
        (("tag", "b3", "+a,b"), "A tag has printable characters and no comma."),
        (("tag", "b3", "+" + "x" * 33), "A tag must be at most 32 characters long."),
        (("rename", "b3", "x" * 65), "--label must be at most 64 characters long."),
        (("edit", "b3"), "There is nothing to change: set --room, --notes or another flag."),
        (("edit", "b3", "--latitude", "91"), "--latitude must be at most 90."),
        (("edit", "b3", "--interval", "-1"), "--interval must be at least 0."),
        (("edit", "b3", "--latitude", "1"), "A position has a latitude and a longitude."),
    ):
        assert lab.remark(2, "node", *words) == sentence
    assert lab.remark(1, "node", "edit", "b4", "--room", "x").startswith("there is no node b4")


def test_forgetting_has_an_undo_and_online_nodes_stay(lab: Lab) -> None:
    assert lab.lines("node", "forget", "b3") == [
        "b3 (Simulated node): forgotten (undo: aiot node restore b3)"
    ]
    assert lab.remark(1, "get", "b3").startswith("there is no node b3")
    assert lab.lines("node", "restore", "b3") == ["b3 (Simulated node): restored"]
    assert lab.remark(1, "node", "restore", "b4") == "there is no forgotten node 'b4'."
    result = lab("node", "forget", "b1", "b3")
    assert (result.returncode, result.stdout.split(":")[0]) == (1, "b3 (Simulated node)")
    assert "online" in result.stderr
    result = lab("node", "ban", "b2", "nobody")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("aiot: nothing was changed.\n")
    assert lab.lines("node", "ban", "b2") == ["b2 (Simulated node): banned"]
    assert lab.lines("nodes", "--banned")[0] == ("Banned (1); aiot node accept UID lifts the ban:")
    (accepted,) = json.loads(lab("node", "accept", "b2", "--json").stdout)
    assert accepted["state"] in {"online", "offline"}
    assert lab.lines("node", "accept", "b1") == ["b1 (Simulated node): accepted already"]


def test_new_nodes_wait_for_approval(aiot: Aiot, tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    try:
        lab = Lab(programs, aiot, "--admission", "approve")
        lab.switch_on("b1", state="--waiting")
        assert lab.lines("nodes", "--waiting")[0] == (
            "Waiting for approval (1); aiot node accept UID accepts one:"
        )
        assert lab("nodes").stderr == (
            "aiot: no nodes are online. aiot demo starts simulated ones.\n"
            "aiot: 1 new node waits for approval: aiot nodes --waiting\n"
        )
        assert lab("get", "b1").stderr == (
            "aiot: Simulated node: waiting for approval. These are its last values.\n"
        )
        assert lab.remark(1, "set", "b1", "led", "1").startswith("forbidden")
        assert lab.lines("node", "accept", "b1") == ["b1 (Simulated node): accepted"]
        assert lab.lines("nodes", "--online")[1].startswith("b1 ")
    finally:
        programs.close()


def test_command_to_many_prints_each_receipt(lab: Lab) -> None:
    for uid in ("b1", "b3"):
        lab.lines("node", "tag", uid, "+class-3b")
    lab.lines("node", "rename", "b1", "Desk lamp")
    result = lab("set", "--tag", "class-3b", "led", "1")
    header, confirmed, unreachable = result.stdout.splitlines()
    assert re.split(r"  +", header) == ["UID", "NAME", "RECEIPT"]
    assert re.match(r"b1   Desk lamp +confirmed in \d+ ms", confirmed)
    assert re.match(r"b3   Simulated node +unreachable: the node is offline", unreachable)
    assert (result.returncode, result.stderr) == (1, "aiot: 1 of 2 commands are not confirmed.\n")
    assert len(lab.lines("set", "--tag", "class-3b", "--online", "led", "0")) == 2
    receipts = json.loads(lab("set", "--text", "desk", "led", "1", "--json").stdout)
    assert [(it["uid"], it["state"]) for it in receipts] == [("b1", "confirmed")]
    for code, words, sentence in (
        (
            1,
            ("--tag", "clas-3b", "led", "1"),
            "no node matches: there is no tag clas-3b (did you mean class-3b?).",
        ),
        (1, ("--room", "Moon", "led", "1"), "no node matches."),
        (2, ("b1", "led", "--online", "1"), "--online requires a filter, such as --tag."),
        (2, ("b1", "led"), "aiot set takes NODE RESOURCE VALUE, but 2 arguments were given."),
        (
            2,
            ("--tag", "class-3b", "b1", "led", "1"),
            (
                "aiot set FILTER takes RESOURCE VALUE, but 3 arguments were given"
                " (quote a value with spaces)."
            ),
        ),
    ):
        assert lab.remark(code, "set", *words) == sentence
    assert lab.remark(0, "nodes", "--tag", "Class-3b") == (
        "no node matches: there is no tag Class-3b (did you mean class-3b?)."
    )


def test_a_file_of_names_is_imported_as_a_whole_or_not_at_all(lab: Lab, tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    names.write_text(
        "\ufeffuid;label;room;tags;interval\nb1;Desk 1;Lab;class-3b,lamp;\n"
        "b3;Desk 3;Lab;class-3b;900\nb4;Desk 4;;;\n",
        "utf-8",
    )
    result = lab("nodes", "--import", names, "--dry-run")
    assert (result.returncode, result.stderr) == (
        0,
        "aiot: dry run: it would register 1, edit 2.\n",
    )
    assert [re.split(r"  +", line)[:2] for line in result.stdout.splitlines()] == [
        ["UID", "ACTION"],
        ["b1", "edit"],
        ["b3", "edit"],
        ["b4", "new"],
    ]
    assert "label – → Desk 1; room – → Lab; tags – → class-3b,lamp" in result.stdout
    assert all(node["revision"] == 0 for node in lab.edits())

    assert lab.remark(0, "nodes", "--import", names) == "registered 1, edited 2."
    assert lab.remark(0, "nodes", "--import", names) == "left 3 unchanged."
    assert lab.lines("get", "Desk 1", "led") == ["0"]
    assert "never seen" in lab("nodes", "--text", "desk 4").stdout
    (change,) = json.loads(lab("nodes", "--import", names, "--json", "--dry-run").stdout)[:1]
    assert change == {"uid": "b1", "action": "same", "changes": {}}

    exported = tmp_path / "exported.csv"
    exported.write_bytes("\n".join(lab.lines("nodes", "--export")).encode())
    before = lab.edits()
    assert lab.remark(0, "nodes", "--import", exported) == "left 4 unchanged."
    assert [node["revision"] for node in lab.edits()] == [node["revision"] for node in before]
    assert len(lab.lines("nodes", "--export", "--tag", "lamp")) == 2

    names.write_text("uid,label\nb1,Other\nb2\nb3,x,y\n", "utf-8")
    result = lab("nodes", "--import", names)
    assert (result.returncode, result.stdout) == (2, "")
    assert [line.split(": ")[2][:6] for line in result.stderr.splitlines()[:2]] == [
        "line 3",
        "line 4",
    ]
    assert result.stderr.endswith(f"{names}: 2 lines are wrong; nothing was changed.\n")
    names.write_text("uid,labl\n", "utf-8")
    assert lab.remark(2, "nodes", "--import", names) == (
        f"{names}: line 1: there is no column 'labl' (did you mean label?)."
    )
    assert lab.edits() == before
    names.write_text("uid,label\nb1,Same\nb2,Same\n", "utf-8")
    assert lab("nodes", "--import", names, "--dry-run").stderr.startswith(
        "aiot: several nodes have the label Same: commands need their uid.\n"
    )
    for wrong in (
        ("--import", tmp_path / "none.csv"),
        ("--import", names, "--tag", "x"),
        ("--dry-run",),
        ("--export", "--json"),
    ):
        assert lab.remark(2, "nodes", *wrong)


@pytest.mark.parametrize("columns", [80, 120])
def test_rows_fit_a_terminal_and_offline_ones_are_dim(lab: Lab, columns: int) -> None:
    lab.lines("node", "tag", "b3", "+class-3b", "+a tag that is long")
    lab.lines("node", "edit", "b3", "--room", "Laboratory on the left side")
    command = (sys.executable, "-m", "pyaiot", "nodes", "--broker-port", lab.port)
    environment = lab.programs.environment(TERM="xterm")
    shown = on_terminal(command, environment, columns=columns)
    assert "\x1b[2mb3 " in shown
    assert "\x1b[2mb1 " not in shown
    bare = re.sub(r"\x1b\[\d+m", "", shown)
    assert max(map(len, bare.splitlines())) <= columns


def test_a_token_in_the_environment_signs_in_with_its_role(
    aiot: Aiot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(tmp_path)
    try:
        flags = ("--host", "0.0.0.0", "--insecure", "--history", "off")
        sentence = programs.aiot("run", *ANY_PORTS, *flags).line()
        port = re.search(r":(\d+)/login", sentence)
        assert port is not None
        broker = ("--broker-host", "127.0.0.1", "--broker-port", port[1])
        assert "AIOT_TOKEN" in aiot("nodes", *broker).stderr
        for role, code in (("viewer", 2), ("operator", 1)):
            token = programs.run("token", "add", role, "--role", role).stdout.split()[-1]
            monkeypatch.setenv("AIOT_TOKEN", token)
            assert aiot("nodes", *broker, "--json").stdout == "[]\n"
            # A viewer may not edit; for an operator there is no such node.
            result = aiot("node", "restore", "b1", *broker)
            assert (result.returncode, result.stdout) == (code, ""), result.stderr
            assert result.stderr.count("\n") == 1
    finally:
        programs.close()
