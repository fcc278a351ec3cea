# SPDX-License-Identifier: BSD-3-Clause
"""The last step of a restore: renames files, all of them or none.

The renames are first written to a journal file. While it exists, services refuse to start, and the
restore can be finished, even after a power failure.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from pyaiot.errors import OperatorError, reason_of

FILE_NAME: Final = "restore.journal"
"""Name of the journal file in the data folder."""


class Step(msgspec.Struct, frozen=True):
    """One file: `target` is renamed to `kept`, and `staged` to `target`."""

    target: str
    kept: str
    staged: str = ""
    """Empty if `target` is only moved away."""


class _Journal(msgspec.Struct):
    steps: list[Step]


def check_not_restoring(folder: Path) -> None:
    """Raises `OperatorError` if a restore of this data folder was interrupted."""
    if (folder / FILE_NAME).exists():
        raise OperatorError(
            f"A restore of {folder} was interrupted: run aiot restore --finish first."
        )


def carry_out(folder: Path, steps: Sequence[Step]) -> None:
    """Carry out all steps. On an error none is carried out, and `OperatorError` is raised."""
    journal = folder / FILE_NAME
    text = msgspec.json.encode(_Journal(list(steps)))
    try:
        for parent in {str(Path(step.staged).parent) for step in steps if step.staged}:
            _sync(Path(parent))
        descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _sync(folder)
        done: list[Step] = []
        try:
            for step in steps:
                done.append(step)
                _do(step)
        except OSError:
            for step in reversed(done):
                _undo(step)
            journal.unlink()
            raise
        _end(folder, steps)
    except OSError as error:
        raise OperatorError(
            f"Nothing was restored: {error.filename or journal}: {reason_of(error)}."
        ) from error


def finish(folder: Path) -> int:
    """Finish an interrupted restore; return the number of files. Raises `OperatorError`, also if
    no restore was interrupted.
    """
    journal = folder / FILE_NAME
    try:
        steps = msgspec.json.decode(journal.read_bytes(), type=_Journal).steps
    except FileNotFoundError as error:
        raise OperatorError(f"No restore of {folder} was interrupted.") from error
    except msgspec.DecodeError:
        # The journal is incomplete, so nothing was renamed.
        journal.unlink()
        raise OperatorError("Nothing was restored: run aiot restore FILE again.") from None
    try:
        for step in steps:
            _do(step)
        _end(folder, steps)
    except OSError as error:
        raise OperatorError(
            f"The restore cannot be finished: {error.filename}: {reason_of(error)}."
        ) from error
    return sum(bool(step.staged) for step in steps)


def _do(step: Step) -> None:
    """Carry out the rest of a step. May be repeated."""
    target, kept = Path(step.target), Path(step.kept)
    if step.staged and not Path(step.staged).exists():
        return
    if target.exists() and not kept.exists():
        _make_folder(kept.parent)
        target.rename(kept)
    if step.staged:
        Path(step.staged).rename(target)


def _make_folder(folder: Path) -> None:
    if folder.exists():
        return
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)


def _undo(step: Step) -> None:
    """Undo a step, however much of it was done."""
    target, kept = Path(step.target), Path(step.kept)
    if step.staged and not Path(step.staged).exists() and target.exists():
        target.rename(step.staged)
    if kept.exists() and not target.exists():
        kept.rename(target)


def _end(folder: Path, steps: Sequence[Step]) -> None:
    for parent in {Path(step.target).parent for step in steps}:
        _sync(parent)
    (folder / FILE_NAME).unlink()
    _sync(folder)
    for parent in {Path(step.staged).parent for step in steps if step.staged}:
        with contextlib.suppress(OSError):
            parent.rmdir()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
