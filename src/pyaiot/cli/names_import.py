# SPDX-License-Identifier: BSD-3-Clause
"""`aiot nodes --import`: registers and edits the nodes of a CSV file."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pyaiot.cli import names_file
from pyaiot.cli.client_command import Options
from pyaiot.cli.formatting import as_json
from pyaiot.cli.names_file import Change, NodeLine
from pyaiot.cli.terminal import plain, print_error, print_line, table
from pyaiot.client import OperatorError
from pyaiot.errors import reason_of

ERRORS_SHOWN_MAX: Final = 20
"""Wrong lines of a file that are printed."""
_DONE: Final = {
    "new": "registered {}",
    "accept": "accepted {}",
    "edit": "edited {}",
    "same": "left {} unchanged",
}
_TO_DO: Final = {
    "new": "register {}",
    "accept": "accept {}",
    "edit": "edit {}",
    "same": "leave {} unchanged",
}


async def import_names(options: Options, source: Path, *, dry_run: bool) -> int:
    """Register and edit the nodes of a file: all of its lines, or none. Returns the exit code."""
    lines = _lines(source)
    async with options.client(live=False) as client:
        known = await client.find_uids(line.uid for line in lines)
        changes = names_file.changes(lines, known)
        wanted = [change for change in changes if change.action != "same"]
        if not dry_run and wanted:
            await client.register({"uid": it.uid, **it.fields} for it in wanted)
    if options.json:
        forms = [{"uid": it.uid, "action": it.action, "changes": it.fields} for it in changes]
        print_line(as_json(forms))
    elif dry_run and wanted:
        rows = [(plain(it.uid), it.action, plain("; ".join(it.texts))) for it in wanted]
        print_line(table(("UID", "ACTION", "CHANGES"), rows, options.paint))
    _warn_of_same_labels(lines)
    summary = _summary(changes, _TO_DO if dry_run else _DONE)
    print_error(f"dry run: it would {summary}." if dry_run else f"{summary}.")
    return 0


def _lines(source: Path) -> list[NodeLine]:
    """Raises `OperatorError`."""
    name = "standard input" if str(source) == "-" else str(source)
    try:
        data = sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()
    except OSError as error:
        raise OperatorError(f"{name} cannot be read: {reason_of(error)}.") from error
    try:
        lines, errors = names_file.parse(names_file.decode(data))
    except OperatorError as error:
        raise OperatorError(f"{name}: {plain(str(error))}.") from error
    if not errors:
        return lines
    if len(errors) == 1:
        raise OperatorError(f"{name}: {plain(str(errors[0]))}; nothing was changed.")
    for wrong in errors[:ERRORS_SHOWN_MAX]:
        print_error(f"{name}: {plain(str(wrong))}.")
    raise OperatorError(f"{name}: {len(errors)} lines are wrong; nothing was changed.")


def _warn_of_same_labels(lines: Sequence[NodeLine]) -> None:
    labels = Counter(line.fields["label"] for line in lines if line.fields.get("label"))
    twice = [label for label, count in labels.items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        print_error(f"several nodes have the label {twice[0]}{more}: commands need their uid.")


def _summary(changes: Sequence[Change], texts: Mapping[str, str]) -> str:
    counts = Counter(change.action for change in changes)
    parts = [text.format(counts[action]) for action, text in texts.items() if counts[action]]
    return ", ".join(parts) or texts["same"].format(0)
