# SPDX-License-Identifier: BSD-3-Clause
"""What a client shows an MQTT broker: a password, a certificate."""

import os
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of

PASSWORD_LENGTH_MAX: Final = 1024
"""Characters of a password. What follows in the line is not read."""


def read_password(path: Path) -> str:
    """The first line of a file that only its owner reads. Raises `OperatorError`."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise OperatorError(
                    f"The password file {path} is open to every user: mend it with"
                    f" chmod 600 {path}."
                )
            return file.readline(PASSWORD_LENGTH_MAX).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"The password file {path} cannot be read: {reason_of(error)}."
        ) from error


def password_reader(file: str) -> Callable[[], str] | None:
    """What reads a password at each attempt to connect; None without a file's name.

    Raises `OperatorError` for what is wrong with the file now.
    """
    if not file:
        return None
    path = Path(file).expanduser()
    read_password(path)
    return partial(read_password, path)


def tls_context(*, ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    """TLS from 1.2 on. Empty names: the system's authorities, no certificate of our own.

    Raises `OperatorError`.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate_file:
            context.load_cert_chain(certificate_file, key_file or None)
    except OSError as error:
        raise OperatorError(
            f"A certificate for the MQTT broker cannot be used: {reason_of(error)}."
        ) from error
    return context
