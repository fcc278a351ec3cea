# SPDX-License-Identifier: BSD-3-Clause
"""`aiot history` and `aiot export`."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import typer

from pyaiot.cli import formatting
from pyaiot.cli.client_command import NODE, RESOURCE, Options, add_command, flag
from pyaiot.cli.terminal import EXIT_NO, Escaped, plain, print_error, print_line, write_bytes
from pyaiot.client import Client, OperatorError
from pyaiot.client.client import DAY_S
from pyaiot.messages import check_uid

_START: Final = flag("start", str | None, "Start: -1h, or a time.", "--from")
_END: Final = flag("end", str | None, "End, exclusive. (default: now)", "--to")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    add_command(
        app,
        "history",
        _history,
        NODE,
        RESOURCE,
        flag("start", str, "Start: -1h, or a time.", "--from", default="-1h"),
        _END,
        flag("every_s", int | None, "Length of a step in seconds.", "--every", min=1),
        flag("agg", str | None, "Of each step: mean, min, max, last, count; separated by commas."),
        flag("limit", int | None, "Maximum number of rows; the newest ones.", min=1),
        flag("tz", str | None, "Steps are days of this time zone, such as Europe/Paris."),
        flag("csv", bool, "Print CSV, of any length.", "--csv", default=False),
    )
    add_command(
        app,
        "export",
        _export,
        flag("output", Path | None, "The file to write.", "--output", "-o"),
        _START,
        _END,
        flag("uid", str | None, "Only this node, by its uid or its label."),
        flag("resource", str | None, "Only resources of this name."),
        flag("form", str, "csv, ndjson, senml or arrow.", "--format", default="csv"),
    )


async def _history(
    options: Options,
    node: str,
    resource: str,
    start: str,
    end: str | None,
    every_s: int | None,
    agg: str | None,
    limit: int | None,
    tz: str | None,
    *,
    csv: bool,
) -> int:
    """Show the readings of a resource as a table, or one row per step of time.

    A time is Unix seconds, 2026-11-25T10:00:00Z, or relative to now: -90s, -15m, -1h, -7d.
    The exit code is 1 if there is no history for this node or resource.
    """
    if csv and (options.json or any(it is not None for it in (limit, every_s, tz))):
        raise OperatorError("--csv cannot be combined with --json, --limit, --every or --tz.")
    if tz is not None and every_s not in (None, DAY_S):
        raise OperatorError(f"--tz makes steps of days: omit --every, or set it to {DAY_S}.")
    has_steps = every_s is not None or tz is not None
    if has_steps and limit is not None:
        raise OperatorError("--limit cannot be combined with --every or --tz.")
    if agg is not None and not has_steps:
        raise OperatorError("--agg requires --every or --tz.")
    async with options.client(live=False) as client:
        if csv:
            if not await _has_history(client, node, resource):
                print_error(f"there is no history for {plain(resource)} of {plain(node)}.")
                return EXIT_NO
            await _print(client.export("csv", start=start, end=end, uid=node, resource=resource))
            return 0
        rows = await client.history(
            check_uid(node), resource, start, end, every_s=every_s, agg=agg, limit=limit, tz=tz
        )
        known = bool(rows) or await _has_history(client, node, resource)
    if options.json:
        form = {"uid": rows.uid, "resource": resource, "readings": list(rows)}
        print_line(formatting.as_json(form))
    elif rows:
        print_line(formatting.rows(rows, options.paint, tz))
    if not rows:
        when = " in this time" if known else ""
        print_error(f"there is no history for {plain(resource)} of {plain(node)}{when}.")
    return 0 if known else EXIT_NO


async def _has_history(client: Client, node: str, resource: str) -> bool:
    """Whether the history has any reading of the resource, at any time."""
    return bool(await client.history(check_uid(node), resource, None, limit=1))


async def _export(
    options: Options,
    output: Path | None,
    start: str | None,
    end: str | None,
    uid: str | None,
    resource: str | None,
    form: str,
) -> int:
    """Write all readings of the history, any number of them, to a file or standard output.

    The file appears when it is complete. --json is the same as --format ndjson: one JSON object
    per line.
    """
    form = "ndjson" if options.json else form
    if form not in ("csv", "ndjson", "senml", "arrow"):
        raise OperatorError(f"There is no format {form}: use csv, ndjson, senml or arrow.")
    if form == "arrow" and output is None and sys.stdout.isatty():
        raise OperatorError("Arrow is a binary format: name a file with --output.")
    from pyaiot.cli.download import save  # noqa: PLC0415 - other commands do not need it

    async with options.client(live=False) as client:
        pieces = client.export(
            form,  # type: ignore[arg-type]  # checked above
            start=start,
            end=end,
            uid=uid,
            resource=resource,
        )
        if output is None:
            await _print(pieces)
        else:
            size = await save(pieces, output)
            print_error(f"wrote {size:,} bytes to {output}.")
    return 0


async def _print(pieces: AsyncIterator[bytes]) -> None:
    escaped = Escaped() if sys.stdout.isatty() else None
    async for piece in pieces:
        write_bytes(piece if escaped is None else escaped.encode(piece))
