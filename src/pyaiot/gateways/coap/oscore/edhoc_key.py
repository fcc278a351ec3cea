# SPDX-License-Identifier: BSD-3-Clause
"""The file with the private key of the gateway for EDHOC: 64 hexadecimal digits."""

import os
import secrets
from pathlib import Path

from pyaiot.errors import OperatorError, reason_of
from pyaiot.protocols.edhoc.credentials import new_private_key, public_key_of


def read_key(path: Path) -> bytes:
    """The private key. Raises `OperatorError`, also if there is no file."""
    try:
        key = bytes.fromhex(path.read_text("ascii"))
        public_key_of(key)
    except OSError as error:
        raise OperatorError(
            f"The key file {path} cannot be read: {reason_of(error)}. Devices with EDHOC cannot"
            " connect without it."
        ) from error
    except ValueError as error:
        raise OperatorError(
            f"The key file {path} must contain 64 hexadecimal digits: restore it from a backup, or"
            " delete it and add all devices with EDHOC again."
        ) from error
    return key


def make_key(path: Path) -> bytes:
    """The private key. If the file does not exist, it is created with a new key; only its owner can
    read it. Raises `OperatorError`."""
    if not path.exists():
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{new_private_key().hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            # Another process may have created one in the meantime: its key is used.
            os.link(beside, path)
        except FileExistsError:
            pass
        except OSError as error:
            raise OperatorError(
                f"The key file {path} cannot be written: {reason_of(error)}."
            ) from error
        finally:
            beside.unlink(missing_ok=True)
    return read_key(path)
