# SPDX-License-Identifier: BSD-3-Clause
"""Help texts in sections: commands by purpose, flags by the settings that they set."""

from collections.abc import Iterable
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

RUN: Final = "Run it"
LOOK: Final = "Look at it"
MANAGE: Final = "Manage it"
RUNNING: Final = ("services", "service", "simulated")
"""The modules of the commands in `RUN`."""
LOOKING: Final = ("nodes", "client", "history", "alerts", "audit", "cluster", "doctor", "health")
"""Those in `LOOK`; all others are in `MANAGE`."""
_OTHER: Final = "Options"

TITLES: Final = {
    "broker": "Web listener and dashboard",
    "dashboard": "Web listener and dashboard",
    "gateway": "Broker of the gateway",
    "client": "Broker",
    "history": "Data",
    "registry": "Data",
    "devices": "Data",
    "audit": "Data",
    "alerts": "Data",
    "homeassistant": "Home Assistant",
    "tls": "TLS",
    "metrics": "Log and metrics",
    "log": "Log and metrics",
}
"""The section of the flags that set the settings of a table of the settings file."""


class SectionedGroup(TyperGroup):
    """Lists its commands in sections, each command by its `rich_help_panel`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        known = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        width = formatter.width - 6 - max((len(name) for name, _ in known), default=0)
        for title in (RUN, LOOK, MANAGE):
            rows = [
                (name, command.get_short_help_str(width))
                for name, command in known
                if getattr(command, "rich_help_panel", None) == title and not command.hidden
            ]
            _write(formatter, title, rows)


class SectionedCommand(TyperCommand):
    """Lists its flags in sections, each flag by its `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments: list[tuple[str, str]] = []
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append(row)
            else:
                title = getattr(parameter, "rich_help_panel", None) or _OTHER
                sections.setdefault(title, []).append(row)
        _write(formatter, "Arguments", arguments)
        # Those of no listener, such as --help, are last.
        other = sections.pop(_OTHER, [])
        for title, rows in sections.items():
            _write(formatter, title, rows)
        _write(formatter, _OTHER, other)


def _write(formatter: Any, title: str, rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)
