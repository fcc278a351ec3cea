# SPDX-License-Identifier: BSD-3-Clause
"""`aiot nodes`: lists nodes, and reads and writes what people added to them as CSV."""

from pathlib import Path

import typer

from pyaiot.cli import formatting, node_table, selection
from pyaiot.cli.client_command import Options, add_command, flag
from pyaiot.cli.terminal import print_error, print_line, write_bytes
from pyaiot.client import Client, Conditions, OperatorError, RegistryEntry


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    add_command(
        app,
        "nodes",
        _nodes,
        flag("online", bool, "Only nodes that are online.", default=False),
        flag("offline", bool, "Only nodes that are offline.", default=False),
        flag("waiting", bool, "Only new nodes that wait for approval.", default=False),
        flag("banned", bool, "Only banned nodes.", default=False),
        *selection.FLAGS,
        flag(
            "source",
            Path | None,
            "Register and edit the nodes in this CSV file; - is standard input. An empty cell"
            " clears, an absent column changes nothing. If a line is wrong, nothing is changed.",
            "--import",
        ),
        flag("dry_run", bool, "With --import: only show what would change.", default=False),
        flag("export", bool, "Print the nodes as CSV, as --import reads it.", default=False),
        short_lived=True,
    )


async def _nodes(
    options: Options,
    source: Path | None,
    *,
    online: bool,
    offline: bool,
    waiting: bool,
    banned: bool,
    dry_run: bool,
    export: bool,
    **filters: list[str] | str | None,
) -> int:
    """Show the nodes with their latest values: online ones, then those that are offline.

    Several of --online, --offline, --waiting and --banned may be combined. --import and --export
    have the columns uid, label, room, tags, latitude, longitude, notes, interval, offline_after.
    """
    chosen = {"online": online, "offline": offline, "waiting": waiting, "banned": banned}
    states = [state for state, is_chosen in chosen.items() if is_chosen]
    conditions = selection.conditions(**filters)
    if source is not None:
        if states or conditions or export:
            raise OperatorError("--import cannot be combined with --export or filters.")
        from pyaiot.cli.names_import import import_names  # noqa: PLC0415 - rarely needed

        return await import_names(options, source, dry_run=dry_run)
    if dry_run:
        raise OperatorError("--dry-run requires --import.")
    if export and options.json:
        raise OperatorError("--export cannot be combined with --json.")
    async with options.client(live=False) as client:
        shown, waiting_count = await _found(client, conditions, states)
        hint = await selection.nothing_found(client, conditions) if conditions and not shown else ""
    if export:
        from pyaiot.cli import names_file  # noqa: PLC0415 - rarely needed

        write_bytes(names_file.render(node_table.in_order(shown)).encode())
    elif options.json:
        print_line(formatting.as_json([formatting.node(node) for node in shown]))
    elif shown:
        print_line(node_table.tables(shown, options.paint))
    if not shown and not options.json:
        print_error(hint or _nothing_there(states))
    if waiting_count:
        nodes = "new node waits" if waiting_count == 1 else "new nodes wait"
        print_error(f"{waiting_count} {nodes} for approval: aiot nodes --waiting")
    return 0


async def _found(
    client: Client, conditions: Conditions, states: list[str]
) -> tuple[list[RegistryEntry], int]:
    """The nodes to show, and the number of nodes that wait for approval if those are not shown."""
    wanted = conditions.copy()
    wanted["state"] = states or ["online", "offline", "waiting"]
    nodes = await client.find_nodes(**wanted)
    if states:
        return nodes, 0
    shown = [node for node in nodes if node.state != "waiting"]
    return shown, len(nodes) - len(shown)


def _nothing_there(states: list[str]) -> str:
    if states and states != ["online"]:
        return f"no nodes are {' or '.join(states)}."
    return "no nodes are online. aiot demo starts simulated ones."
