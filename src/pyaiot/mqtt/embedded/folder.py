# SPDX-License-Identifier: BSD-3-Clause
"""The folder of the embedded MQTT broker: one process has it, and only its owner reads it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pyaiot.errors import OperatorError, reason_of


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder: two nats-servers would corrupt the store. Raises `OperatorError`."""
    try:
        _make(folder)
        descriptor = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise OperatorError(
            f"The folder {folder} of the embedded MQTT broker cannot be used: {reason_of(error)}."
        ) from error
    lock = os.fdopen(descriptor, "w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperatorError(
                f"Another Pyaiot runs the MQTT broker of {folder}: stop it, or connect to it with"
                " --mqtt-host."
            ) from error
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, and its folder if it was deleted.

    Raises `OperatorError`.
    """
    try:
        _make(path.parent)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
    except OSError as error:
        raise OperatorError(f"The file {path} cannot be written: {reason_of(error)}.") from error


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
