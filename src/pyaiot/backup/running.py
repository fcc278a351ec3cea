# SPDX-License-Identifier: BSD-3-Clause
"""Detects a running system by the locks that it holds."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyaiot.backup.parts import Part
from pyaiot.errors import OperatorError, reason_of


def lock_files(found: Iterable[Part]) -> list[Path]:
    """The files that services lock while they use these parts."""
    databases = [part.path for part in found if part.kind == "database"]
    return [path.with_name(path.name + ".lock") for path in databases]


@contextlib.contextmanager
def stopped(locks: Iterable[Path], what: str) -> Iterator[None]:
    """Context manager: prevent the services of these files from starting. Raises `OperatorError`
    if one runs. `what` completes the sentence "stop it before …", for example "the restore".
    """
    with contextlib.ExitStack() as stack:
        for path in locks:
            if not path.exists():
                continue
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OperatorError(
                    f"Pyaiot is running and uses {str(path).removesuffix('.lock')}: stop it before"
                    f" {what}."
                ) from error
            except OSError as error:
                raise OperatorError(f"{path} cannot be used: {reason_of(error)}.") from error
        yield
