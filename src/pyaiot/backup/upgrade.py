# SPDX-License-Identifier: BSD-3-Clause
"""Checks whether this version can use the data of an earlier one."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.backup.database import check_database, schema_of
from pyaiot.backup.parts import Part
from pyaiot.errors import OperatorError

UpgradeOutcome: TypeAlias = Literal["ok", "migrates", "wrong"]
SPACE_FACTOR: Final = 2
"""Factor of free space: a migration may need the size of its database again, and so does a backup
beside it.
"""


class PartCheck(msgspec.Struct, frozen=True):
    """One part, and what happens to it at the next start."""

    name: str
    outcome: UpgradeOutcome
    text: str


def check_upgrade(found: Sequence[Part], folder: Path) -> Iterator[PartCheck]:
    """Check each existing part, and the space for migrations. Changes nothing."""
    size = 0
    for part in found:
        if part.kind == "server":
            yield PartCheck(part.name, "ok", "in PostgreSQL: the service checks it at its start")
        if part.kind != "database" or not part.path.exists():
            continue
        check = _check(part)
        yield check
        if check.outcome == "migrates":
            size += part.path.stat().st_size
    existing = next((it for it in (folder, *folder.parents) if it.exists()), folder)
    free = shutil.disk_usage(existing).free
    if size * SPACE_FACTOR > free:
        yield PartCheck(
            "disk", "wrong", f"{free / 1e6:,.0f} MB free, {size * SPACE_FACTOR / 1e6:,.0f} needed"
        )


def _check(part: Part) -> PartCheck:
    try:
        check_database(part.path, part)
        version = schema_of(part.path, part)
    except OperatorError as error:
        return PartCheck(part.name, "wrong", f"{part.path}: {error}")
    if version == part.schema:
        return PartCheck(part.name, "ok", f"schema {version}, nothing to do")
    return PartCheck(
        part.name,
        "migrates",
        f"schema {version} becomes {part.schema} at the next start; an older Pyaiot cannot use it"
        " then",
    )
