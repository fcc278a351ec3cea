# SPDX-License-Identifier: BSD-3-Clause
"""Client ids at the embedded MQTT broker that no device can guess.

A client that connects under the id of another takes its place (MQTT 3.1.1 section 3.1.4-2), and
with a clean session it deletes what the broker kept for it. Devices choose their ids freely.
"""

import os
import re
import secrets
import stat
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError

ID_LENGTH: Final = 22
"""Letters and digits of a client id of ours: 131 bits. It fits the 23 of MQTT 3.1.1."""
_ALPHABET: Final = string.ascii_letters + string.digits
_ID: Final = re.compile(rf"[A-Za-z0-9]{{{ID_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ClientIds:
    """Never logged: the repr shows none."""

    gateway: str = field(repr=False)
    mqttsn_prefix: str = field(repr=False)
    """Stands before the client id of each MQTT-SN client."""
    health: str = field(repr=False)


def client_ids(path: Path) -> ClientIds:
    """Those of the file, which is made if it is not there. Raises `OperatorError`."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            lines = file.read(1024).split()
    except FileNotFoundError:
        return _new(path)
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"The file {path} cannot be read: {error}.") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OperatorError(
            f"The file {path} is open to other users, who could take the place of the gateway at"
            f" the MQTT broker: mend it with chmod 600 {path}."
        )
    if len(lines) != 3 or len(set(lines)) != 3 or not all(map(_ID.fullmatch, lines)):
        raise OperatorError(
            f"The file {path} does not hold the client ids of this MQTT broker: remove it, and new"
            " ones are made."
        )
    return ClientIds(*lines)


def _new(path: Path) -> ClientIds:
    lines = ["".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH)) for _ in range(3)]
    # A file that is not written to its end must not be read at the next start.
    beside = path.with_name(path.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise OperatorError(f"The file {path} cannot be written: {error}.") from error
    return ClientIds(*lines)
