# SPDX-License-Identifier: BSD-3-Clause
"""Secret client ids of the own clients of the embedded MQTT broker.

A client that connects with the id of another client replaces it (MQTT 3.1.1 section 3.1.4-2), and
with a clean session deletes its stored messages. Devices choose their ids freely, so the own ids
must not be guessable.
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
"""Letters and digits of a secret client id: 131 bits. MQTT 3.1.1 allows 23."""
_ALPHABET: Final = string.ascii_letters + string.digits
_ID: Final = re.compile(rf"[A-Za-z0-9]{{{ID_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ClientIds:
    """The secret client ids. The repr hides them."""

    gateway: str = field(repr=False)
    mqttsn_prefix: str = field(repr=False)
    """Prefix of the client id of each MQTT-SN client."""
    health: str = field(repr=False)


def client_ids(path: Path) -> ClientIds:
    """Read the ids from a file, which is created if it is missing. Raises `OperatorError`."""
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
            f"Other users can read the file {path} and replace the gateway at the MQTT broker: run"
            f" chmod 600 {path}."
        )
    if len(lines) != 3 or len(set(lines)) != 3 or not all(map(_ID.fullmatch, lines)):
        raise OperatorError(
            f"The file {path} does not contain the client ids of this MQTT broker: remove it; new"
            " ids are created."
        )
    return ClientIds(*lines)


def _new(path: Path) -> ClientIds:
    lines = ["".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH)) for _ in range(3)]
    # A partly written file must not be read at the next start.
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
