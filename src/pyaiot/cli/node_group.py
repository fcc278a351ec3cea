# SPDX-License-Identifier: BSD-3-Clause
"""The group `aiot node`: edits of registered nodes beside simulated nodes."""

from typing import Any, Final

import typer
from typer.core import TyperGroup

EDITS: Final = ("rename", "tag", "edit", "type", "accept", "ban", "forget", "restore")
"""The commands that edit nodes of a broker. The others run a simulated node."""

_BROKER: Final = "Nodes of a broker"
_SIMULATED: Final = "Simulated nodes"


class _NodeGroup(TyperGroup):
    """Lists its commands in two sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {_BROKER: [], _SIMULATED: []}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                title = _BROKER if name in EDITS else _SIMULATED
                sections[title].append((name, command.short_help or ""))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def node_group(app: typer.Typer) -> typer.Typer:
    """The group `node` of the program, which several modules fill."""
    for group in app.registered_groups:
        if group.name == "node" and group.typer_instance is not None:
            return group.typer_instance
    made = typer.Typer(
        cls=_NodeGroup,
        no_args_is_help=True,
        short_help="Name, tag, accept and forget nodes, or run a simulated one.",
        help="Name, organise and admit the nodes of a broker, or run a simulated node that behaves"
        " like a real device.",
    )
    app.add_typer(made, name="node")
    return made
