# SPDX-License-Identifier: BSD-3-Clause
"""Tables of nodes and receipts on terminals of different widths."""

import io
import re
import time

import pytest

from pyaiot.cli import formatting
from pyaiot.cli.client import DONE
from pyaiot.cli.node_table import in_order, summary, tables
from pyaiot.cli.terminal import Paint, table
from pyaiot.client import Reading, Receipt, RegistryEntry
from pyaiot.client.records import EntryState

DAY_S = 86_400.0


class Terminal(Paint):
    """A terminal without colours."""

    def __init__(self, columns: int | None = None) -> None:
        super().__init__(io.StringIO())
        self._columns = columns

    @property
    def width(self) -> int | None:
        return self._columns


def node(uid: str, state: EntryState, *, days: float = 0.0, room: str = "Lab") -> RegistryEntry:
    ts = time.time() - days * DAY_S - 1
    return RegistryEntry(
        uid=uid,
        state=state,
        label=f"Desk {uid}",
        room=room,
        tags=("class-3b",),
        gateway="mqtt",
        first_seen=ts,
        last_seen=ts,
        resources={
            name: Reading(uid=uid, resource=name, data=data, ts=ts)
            for name, data in (("temperature", "21.5°C"), ("os", "linux"), ("led", "0"))
        },
    )


def columns(line: str) -> list[str]:
    return re.split(r"  +", line)


def test_each_state_has_a_table_of_its_own() -> None:
    states: list[EntryState] = ["banned", "offline", "waiting", "online"]
    nodes = [node(f"{number}", state, days=3) for number, state in enumerate(states)]
    online, offline, waiting, banned = tables(nodes, Terminal()).split("\n\n")
    assert columns(online.splitlines()[0]) == (
        ["UID", "NAME", "ROOM", "TAGS", "GATEWAY", "LAST SEEN", "VALUES"]
    )
    assert online.splitlines()[1].endswith("3 d        temperature 21.5°C  led 0")
    title, header, row = offline.splitlines()
    assert title == "Offline (1), with their last values:"
    assert columns(header)[-2:] == ["STATE", "LAST VALUES"]
    assert row.endswith("offline since 3 d  temperature 21.5°C  led 0")
    assert waiting.startswith("Waiting for approval (1); aiot node accept UID accepts one:\n")
    assert banned.startswith("Banned (1); aiot node accept UID lifts the ban:\n")


def test_a_registered_node_that_never_sent_anything_is_never_seen() -> None:
    assert formatting.state(RegistryEntry(uid="b1", state="offline")) == "never seen"
    assert columns(
        tables([RegistryEntry(uid="b1", state="offline")], Terminal()).splitlines()[1]
    ) == [*("UID", "NAME", "GATEWAY", "STATE", "LAST VALUES")]


def test_the_time_since_a_node_is_offline_is_never_cut() -> None:
    rooms = ("Laboratory on the left", "Laboratory on the right")
    nodes = [node(f"{n}" * 20, "offline", days=12, room=rooms[n]) for n in range(2)]
    for width in (60, 80, 120):
        lines = tables(nodes, Terminal(width)).splitlines()
        assert max(map(len, lines)) <= width
        assert all("offline since 12 d" in line for line in lines[2:])


def test_a_narrow_terminal_omits_what_all_rows_have_in_common() -> None:
    nodes = [node("1", "online"), node("2", "online", room="Attic")]
    assert columns(tables(nodes, Terminal(80)).splitlines()[0]) == (
        ["UID", "NAME", "ROOM", "LAST SEEN", "VALUES"]
    )
    for width, shown in ((120, nodes), (None, nodes), (80, nodes[:1])):
        assert "TAGS" in tables(shown, Terminal(width)).splitlines()[0]


def test_columns_that_stay_whole_are_cut_last() -> None:
    rows = [("a" * 20, "b" * 20, "c" * 20)]
    assert columns(table(("A", "B", "C"), rows, Terminal(44), whole=("B",)).splitlines()[1]) == [
        *("a" * 9 + "…", "b" * 20, "c" * 9 + "…")
    ]
    line = table(("A", "B", "C"), rows, Terminal(20), whole=("B",)).splitlines()[1]
    assert columns(line) == ["aaaaa…", "bbbbb…", "ccccc…"]


def test_names_with_numbers_are_in_the_order_of_the_numbers() -> None:
    labels = ["Desk 10", "desk 2", "Desk 1", "", "10", "2", "Desk ²", "9" * 40]
    nodes = [RegistryEntry(uid=f"u{number}", label=label) for number, label in enumerate(labels)]
    assert [it.name for it in in_order(nodes)] == [
        *("2", "10", "9" * 40, "Desk 1", "desk 2", "Desk 10", "Desk ²", "u3")
    ]


def test_a_summary_has_what_people_added() -> None:
    assert summary(RegistryEntry(uid="b1")) == "b1  nothing added"
    record = RegistryEntry(uid="b1", label="Lamp", latitude=0.0, longitude=2.5, interval_s=90.0)
    assert summary(record) == "b1  label: Lamp; position: 0, 2.5; interval: 90 s"


@pytest.mark.parametrize(
    ("state", "colour"), [("confirmed", "32"), ("sent", "33"), ("timeout", "31")]
)
def test_receipts_have_the_colour_of_their_outcome(
    state: str, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    receipt = Receipt(id="", state=state, elapsed_ms=12.0)  # type: ignore[arg-type]
    shown = formatting.receipts({"b1": receipt}, [node("b1", "online")], Paint(stream), done=DONE)
    line = shown.splitlines()[1]
    assert line.startswith(f"\x1b[{colour}mb1   Desk b1  {state} in 12 ms")
