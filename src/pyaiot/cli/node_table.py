# SPDX-License-Identifier: BSD-3-Clause
"""The nodes of a broker as tables: one for online nodes, and one for each other state."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from pyaiot.cli.formatting import age, state, values
from pyaiot.cli.terminal import Paint, plain, table
from pyaiot.client import RegistryEntry

WIDE: Final = 100
"""Columns of a terminal below which a table omits what is the same in each of its rows."""
_DIGITS: Final = "0123456789"
_TITLES: Final = {
    "offline": "Offline ({count}), with their last values:",
    "waiting": "Waiting for approval ({count}); aiot node accept UID accepts one:",
    "banned": "Banned ({count}); aiot node accept UID lifts the ban:",
}
"""Titles of the tables after the first one, in their order."""


def in_order(nodes: Iterable[RegistryEntry]) -> list[RegistryEntry]:
    """Nodes by name, with numbers by value: `board 2` before `board 10`."""
    return sorted(nodes, key=lambda it: (_order(it.name), it.uid))


def _order(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]{1,30}|[^0-9]+", name.casefold())
    return [(0, int(part), "") if part[0] in _DIGITS else (1, 0, part) for part in parts]


def tables(nodes: Sequence[RegistryEntry], paint: Paint) -> str:
    """A table for each state that a node has, those of online nodes first."""
    nodes = in_order(nodes)
    parts = []
    if online := [node for node in nodes if node.state == "online"]:
        parts.append(_table(online, paint))
    for state_, title in _TITLES.items():
        if found := [node for node in nodes if node.state == state_]:
            parts.append(f"{title.format(count=len(found))}\n{_table(found, paint)}")
    return "\n\n".join(parts)


def _table(nodes: Sequence[RegistryEntry], paint: Paint) -> str:
    """One table of nodes in the same state, without the columns of people that are empty."""
    is_offline = nodes[0].state == "offline"
    columns: dict[str, list[str]] = {
        "UID": [plain(it.uid) for it in nodes],
        "NAME": [plain(it.name) if it.name != it.uid else "" for it in nodes],
        "ROOM": [it.room for it in nodes],
        "TAGS": [", ".join(it.tags) for it in nodes],
        "GATEWAY": [plain(it.gateway) for it in nodes],
        "STATE" if is_offline else "LAST SEEN": [
            state(it) if is_offline else age(it.seen_at) for it in nodes
        ],
        "LAST VALUES" if is_offline else "VALUES": [values(it) for it in nodes],
    }
    for name in ("ROOM", "TAGS"):
        if not any(columns[name]):
            del columns[name]
    if paint.width is not None and paint.width < WIDE and len(nodes) > 1:
        # Values need the room more than what is the same in each row.
        for name in ("ROOM", "TAGS", "GATEWAY"):
            if len(set(columns.get(name, ("", "")))) == 1:
                columns.pop(name, None)
    rows = list(zip(*columns.values(), strict=True))
    lines = table(list(columns), rows, paint, whole=("STATE", "LAST SEEN")).splitlines()
    if is_offline:
        lines[1:] = [paint("dim", line) for line in lines[1:]]
    return "\n".join(lines)


def summary(it: RegistryEntry) -> str:
    """What people added to a node, on one line."""
    position = None if it.latitude is None else f"{it.latitude:g}, {it.longitude:g}"
    parts = {
        "label": it.label,
        "room": it.room,
        "tags": ", ".join(it.tags),
        "position": position,
        "interval": f"{it.interval_s:g} s" if it.interval_s else "",
        "offline after": f"{it.offline_after_s:g} s" if it.offline_after_s else "",
        "notes": it.notes,
    }
    shown = "; ".join(f"{name}: {plain(text)}" for name, text in parts.items() if text)
    return f"{plain(it.uid)}  {shown or 'nothing added'}"
