# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes a command is for: a name, or filters; and suggestions for names that do not exist."""

import difflib
from collections.abc import Iterable
from typing import Any, Final

from pyaiot.cli.client_command import flag
from pyaiot.cli.terminal import plain, print_error
from pyaiot.client import ApiProblem, Client, Conditions, RegistryEntry
from pyaiot.client.records import ALL_STATES

SUGGESTIONS_OF_MAX: Final = 1000
"""Nodes whose names are compared with a wrong one."""
_CUTOFF: Final = 0.7

FLAGS: Final = (
    flag("tag", list[str] | None, "Only nodes with this tag (may be repeated)."),
    flag("room", list[str] | None, "Only nodes in this room (may be repeated)."),
    flag("gateway", list[str] | None, "Only nodes of this gateway (may be repeated)."),
    flag("protocol", list[str] | None, "Only nodes of this protocol (may be repeated)."),
    flag("text", str | None, "Only nodes with these words in uid, label, room, tags or notes."),
)
"""The filters."""


def conditions(**filters: list[str] | str | None) -> Conditions:
    """The conditions of the given flags; empty if none is given."""
    given: Conditions = {}
    for name, value in filters.items():
        if value:
            given[name] = value  # type: ignore[literal-required]  # a name of `FLAGS`
    return given


async def find_node(client: Client, name: str) -> RegistryEntry | None:
    """The node with this uid or label. If there is none, the reason is printed.

    Raises `AmbiguousLabel`.
    """
    try:
        return await client.node(name)
    except ApiProblem as problem:
        if problem.kind != "unknown-node":
            raise
    nodes = await client.find_nodes(state=ALL_STATES, limit=SUGGESTIONS_OF_MAX)
    # The name that a device reports is not a label: another device may report the same one.
    reported = [node.uid for node in nodes if node.name.casefold() == name.casefold()]
    if reported:
        uid = plain(reported[0])
        print_error(
            f"no node has the label {plain(name)}, but {uid} reports this name: use its uid, or"
            f" aiot node rename {uid}."
        )
        return None
    names = [name for node in nodes for name in (node.uid, node.label) if name]
    hint = _did_you_mean(name, names) or ": aiot nodes lists all nodes"
    print_error(f"there is no node {plain(name)}{hint}.")
    return None


async def nothing_found(client: Client, wanted: Conditions) -> str:
    """A sentence about conditions that no node fulfils, with a similar value if one is wrong."""
    nodes = await client.find_nodes(state=ALL_STATES, limit=SUGGESTIONS_OF_MAX)
    values: dict[str, set[str]] = {
        "tag": {tag for node in nodes for tag in node.tags},
        "room": {node.room for node in nodes},
        "gateway": {node.gateway for node in nodes},
        "protocol": {node.protocol for node in nodes},
    }
    for name, known in values.items():
        given: Any = wanted.get(name) or ()
        for value in given:
            if value not in known and (hint := _did_you_mean(value, known)):
                return f"no node matches: there is no {name} {plain(value)}{hint}."
    return "no node matches."


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at a similar name; empty if there is none."""
    by_casefolded = {it.casefold(): it for it in known if it and it != name}
    close = difflib.get_close_matches(name.casefold(), by_casefolded, n=1, cutoff=_CUTOFF)
    return f" (did you mean {plain(by_casefolded[close[0]])}?)" if close else ""
