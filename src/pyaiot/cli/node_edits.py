# SPDX-License-Identifier: BSD-3-Clause
"""`aiot node rename`, `tag`, `edit`, `accept`, `ban`, `forget` and `restore`: edits of nodes."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias, TypeVar

import typer
from typer.core import TyperCommand

from pyaiot.cli import node_table, selection
from pyaiot.cli.client_command import (
    NEGATIVE_RESULTS,
    NODE,
    Options,
    add_command,
    argument,
    flag,
)
from pyaiot.cli.formatting import as_json, node
from pyaiot.cli.node_group import node_group
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.client import ApiProblem, Client, NodeEdit, OperatorError, RegistryEntry
from pyaiot.client.records import ALL_STATES

_NODES: Final = argument("nodes", "The nodes, by uid or label.", kind=list[str])


class _TagCommand(TyperCommand):
    """Words such as `-spare` are tags to remove, not flags."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" not in args:
            removed = [it for it in args if re.match("-[^-]", it) and it != "-h"]
            args = [*(it for it in args if it not in removed), "--", *removed]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = node_group(app)
    label = argument("label", "The new label; '' removes it.")
    add_command(group, "rename", _rename, NODE, label, short_lived=True)
    changes = argument(
        "changes", "+TAG adds a tag, -TAG removes it.", kind=list[str], metavar="+TAG -TAG..."
    )
    add_command(group, "tag", _tag, NODE, changes, short_lived=True, cls=_TagCommand)
    add_command(
        group,
        "edit",
        _edit,
        NODE,
        flag("label", str | None, "Its label, the name that people see."),
        flag("room", str | None, "The room it is in."),
        flag("latitude", float | None, "Degrees north."),
        flag("longitude", float | None, "Degrees east."),
        flag("notes", str | None, "Notes."),
        flag(
            "interval_s",
            float | None,
            "Expected seconds between two readings: values are stale after two and a half"
            " intervals. 0: unknown.",
            "--interval",
        ),
        flag(
            "offline_after_s",
            float | None,
            "Its offline timeout in seconds. 0: that of its gateway.",
            "--offline-after",
        ),
        flag("no_position", bool, "Remove its latitude and longitude.", default=False),
        short_lived=True,
    )
    for name, run in (("accept", _accept), ("ban", _ban), ("forget", _forget)):
        add_command(group, name, run, _NODES, short_lived=True)
    uids = argument("uids", "The nodes, by uid.", kind=list[str])
    add_command(group, "restore", _restore, uids, short_lived=True)


async def _rename(options: Options, node: str, label: str) -> int:
    """Give a node a label. Commands accept it in place of the uid."""
    async with options.client(live=False) as client:
        code = await _edited(options, client, node, {"label": label})
        wanted = label.strip()
        found = await client.find_nodes(text=wanted, state=ALL_STATES) if wanted else []
    same = [it for it in found if it.label.casefold() == wanted.casefold()]
    if code == 0 and len(same) > 1:
        print_error(f"{len(same)} nodes have the label {plain(label)}: commands need their uid.")
    return code


async def _tag(options: Options, node: str, changes: list[str]) -> int:
    """Add tags to a node, or remove some: aiot node tag NODE +spare -class-3b."""
    added = [word[1:] for word in changes if word.startswith("+")]
    removed = [word[1:] for word in changes if word.startswith("-")]
    for word in changes:
        if not word.startswith(("+", "-")) or not word[1:].strip():
            tag = plain(word.strip("+-")) or "tag"
            raise OperatorError(f"Put + before a tag to add it, or - to remove it: +{tag}.")
    async with options.client(live=False) as client:
        return await _edited(options, client, node, {"add_tags": added, "remove_tags": removed})


async def _edit(
    options: Options, node: str, *, no_position: bool, **given: str | float | None
) -> int:
    """Change the label, room, position, notes or intervals of a node. An empty text clears."""
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if no_position:
        changes |= {"latitude": None, "longitude": None}
    if not changes:
        raise OperatorError("There is nothing to change: set --room, --notes or another flag.")
    async with options.client(live=False) as client:
        return await _edited(options, client, node, changes)  # type: ignore[arg-type]


async def _edited(options: Options, client: Client, name: str, changes: NodeEdit) -> int:
    record = await selection.find_node(client, name)
    if record is None:
        return EXIT_NO
    try:
        record = await client.edit(record.uid, **changes)
    except ApiProblem as problem:
        if problem.kind != "bad-request":
            raise
        raise OperatorError(_requirement(problem.detail)) from problem
    print_line(as_json(node(record)) if options.json else node_table.summary(record))
    return 0


def _requirement(detail: str) -> str:
    """The sentence for a value that the broker refuses."""
    found = re.fullmatch(r"(\w+?)(_s)?(\[\d+\])? must be (.+)", detail)
    if found is None:
        return f"{detail[:1].upper()}{detail[1:]}."
    name = "A tag" if found[1].endswith("tags") else f"--{found[1].replace('_', '-')}"
    return f"{name} must be {found[4]}."


async def _accept(options: Options, nodes: list[str]) -> int:
    """Accept new nodes that wait for approval, or lift bans."""

    async def accept(client: Client, record: RegistryEntry) -> tuple[RegistryEntry, str]:
        if record.state in ("online", "offline"):
            return record, "accepted already"
        return await client.accept(record.uid), "accepted"

    return await _each(options, nodes, accept)


async def _ban(options: Options, nodes: list[str]) -> int:
    """Refuse all messages of nodes from now on. aiot node accept lifts the ban."""

    async def ban(client: Client, record: RegistryEntry) -> tuple[RegistryEntry, str]:
        return await client.ban(record.uid), "banned"

    return await _each(options, nodes, ban)


async def _forget(options: Options, nodes: list[str]) -> int:
    """Remove offline nodes with all that people added. The history keeps their readings.

    aiot node restore brings them back within 10 minutes. A new node that waits is removed.
    """

    async def forget(client: Client, record: RegistryEntry) -> tuple[RegistryEntry, str]:
        await client.forget(record.uid)
        undo = f" (undo: aiot node restore {plain(record.uid)})"
        return record, "removed" if record.state == "waiting" else f"forgotten{undo}"

    return await _each(options, nodes, forget)


async def _restore(options: Options, uids: list[str]) -> int:
    """Bring back forgotten nodes, within 10 minutes."""

    async def restore(client: Client, uid: str) -> tuple[RegistryEntry, str]:
        return await client.restore(uid), "restored"

    async with options.client(live=False) as client:
        return await _all(options, client, uids, restore)


async def _each(options: Options, names: list[str], act: "Action[RegistryEntry]") -> int:
    """Change each of the nodes; none if one of the names is unknown."""
    async with options.client(live=False) as client:
        found = [await selection.find_node(client, name) for name in names]
        records = [record for record in found if record is not None]
        if len(records) < len(names):
            if len(names) > 1:
                print_error("nothing was changed.")
            return EXIT_NO
        return await _all(options, client, records, act)


T = TypeVar("T")
Action: TypeAlias = Callable[[Client, T], Awaitable[tuple[RegistryEntry, str]]]
"""Changes one node. Returns it, and what was done."""


async def _all(options: Options, client: Client, targets: Iterable[T], act: Action[T]) -> int:
    """Change each target, and print what was done. The exit code is 1 if one was refused."""
    code = 0
    changed = []
    for target in targets:
        try:
            record, done = await act(client, target)
        except ApiProblem as problem:
            if problem.kind not in NEGATIVE_RESULTS:
                raise
            print_error(plain(f"{problem.detail}."))
            code = EXIT_NO
            continue
        changed.append(record)
        if not options.json:
            name = f" ({plain(record.name)})" if record.name != record.uid else ""
            print_line(f"{plain(record.uid)}{name}: {done}")
    if options.json:
        print_line(as_json([node(record) for record in changed]))
    return code
