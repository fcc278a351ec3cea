# SPDX-License-Identifier: BSD-3-Clause
"""`aiot alerts`: lists, acknowledges and snoozes alerts."""

from typing import Final

import typer

from pyaiot.cli import formatting
from pyaiot.cli.client_command import Options, add_command, flag
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.client import AlertRow, ApiProblem
from pyaiot.errors import OperatorError

_SNOOZE_MAX_S: Final = 30 * 86_400.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    add_command(
        app,
        "alerts",
        _alerts,
        flag("all_states", bool, "Include alerts that are cleared.", "--all", default=False),
        flag("acknowledge", list[str] | None, "Acknowledge the alert with this id, or all."),
        flag(
            "snooze",
            list[str] | None,
            "Snooze the alert with this id, or all: no notices are sent.",
        ),
        flag(
            "seconds",
            float,
            "How long --snooze lasts, in seconds; 0 ends it.",
            "--for",
            min=0,
            max=_SNOOZE_MAX_S,
            default=3600.0,
        ),
    )


async def _alerts(
    options: Options,
    *,
    all_states: bool,
    acknowledge: list[str] | None,
    snooze: list[str] | None,
    seconds: float,
) -> int:
    """Show the alerts that are not cleared. The exit code is 1 if there is one.

    Rules are defined in the dashboard, or in the file of aiot run --alerts.
    """
    async with options.client(live=False) as client:
        rows = await client.alerts()
        lasting = [row.id for row in rows if row.state != "cleared"]
        try:
            if acknowledge and (ids := _ids(acknowledge, lasting)):
                await client.acknowledge(*ids)
            if snooze and (ids := _ids(snooze, lasting)):
                await client.snooze(*ids, seconds=seconds)
        except ApiProblem as problem:
            if problem.kind != "unknown-alert":
                raise
            raise OperatorError("There is no active alert with this id: see aiot alerts.") from None
        if acknowledge or snooze:
            rows = await client.alerts()
    shown = [row for row in rows if all_states or row.state != "cleared"]
    for row in shown:
        print_line(formatting.as_json(_form(row)) if options.json else _line(row))
    if not shown and not options.json:
        print_error("no alerts.")
    return EXIT_NO if any(row.state == "active" for row in shown) else 0


def _ids(named: list[str], lasting: list[str]) -> list[str]:
    return lasting if "all" in named else named


def _form(row: AlertRow) -> dict[str, object]:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return {name: value for name, value in fields.items() if value not in ("", 0, False)}


def _line(row: AlertRow) -> str:
    """The texts may come from a device or from a person."""
    subject = row.name or row.uid or f"gateway {row.gateway}"
    about = "/".join(filter(None, (subject, row.resource)))
    value = f"({row.value})" if row.value else ""
    state = f"by {row.acknowledged_by}" if row.state == "acknowledged" else row.state
    words = (row.id, formatting.moment(row.raised), row.severity, row.title, about, value, state)
    return plain("  ".join(filter(None, words)))
