# SPDX-License-Identifier: BSD-3-Clause
"""`aiot audit`: who did what to which node."""

from typing import Any

import typer

from pyaiot.cli import formatting
from pyaiot.cli.client_command import Options, add_command, flag
from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.client import AuditRow


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    add_command(
        app,
        "audit",
        _audit,
        flag("who", str | None, "Only this principal: user:ada, or its name."),
        flag("uid", str | None, "Only entries about the node with this uid."),
        flag("action", str | None, "Only this action, such as command or edit."),
        flag("result", str | None, "Only this result, such as refused, failed or confirmed."),
        flag("start", str | None, "Start: -1h, or a time.", "--from"),
        flag("end", str | None, "End, exclusive. (default: now)", "--to"),
        flag(
            "limit",
            int,
            "Maximum number of entries; the newest ones.",
            min=1,
            max=100_000,
            default=100,
        ),
    )


async def _audit(
    options: Options,
    who: str | None,
    uid: str | None,
    action: str | None,
    result: str | None,
    start: str | None,
    end: str | None,
    limit: int,
) -> int:
    """Show who did what to which node, when, from where, and with what result.

    It requires the role admin. The exit code is 1 if there is no such entry.
    """
    async with options.client(live=False) as client:
        rows = await client.audit(
            who=who, uid=uid, action=action, result=result, start=start, end=end, limit=limit
        )
    for row in rows:
        print_line(formatting.as_json(_form(row)) if options.json else _line(row))
    if not rows and not options.json:
        print_error("there is no such entry in the audit log.")
    return 0 if rows else EXIT_NO


def _form(row: AuditRow) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    fields["from"] = fields.pop("address")
    return {name: value for name, value in fields.items() if value not in ("", (), 0)}


def _line(row: AuditRow) -> str:
    """The texts may come from a device or from a person."""
    uids = ", ".join(row.uids[:3]) + (f" and {len(row.uids) - 3} more" if row.uids[3:] else "")
    about = "/".join(filter(None, (uids, row.resource)))
    detail = f"({row.detail})" if row.detail else ""
    more = f"and {row.suppressed} more before" if row.suppressed else ""
    source = f"{row.who} from {row.address}" if row.address else row.who
    words = (formatting.moment(row.ts), source, row.action, about, row.result, detail, more)
    return plain("  ".join(filter(None, words)))
