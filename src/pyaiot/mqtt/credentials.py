# SPDX-License-Identifier: BSD-3-Clause
"""The credentials of a client of an MQTT broker: password and certificate."""

import os
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from pyaiot.errors import OperatorError, reason_of

PASSWORD_LENGTH_MAX: Final = 1024
"""Characters of a password. The rest of the line is ignored."""


def read_password(path: Path) -> str:
    """The first line of a file. Raises `OperatorError`, also if every user can read the file."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise OperatorError(
                    f"Every user can read the password file {path}: run chmod 600 {path}."
                )
            return file.readline(PASSWORD_LENGTH_MAX).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"The password file {path} cannot be read: {reason_of(error)}."
        ) from error


def password_reader(file: str) -> Callable[[], str] | None:
    """A function that reads the password from a file; None if `file` is empty.

    Raises `OperatorError` if the file cannot be read now.
    """
    if not file:
        return None
    path = Path(file).expanduser()
    read_password(path)
    return partial(read_password, path)


def tls_context(*, ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer. Raises `OperatorError`.

    Empty names mean the certificate authorities of the system and no client certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate_file:
            context.load_cert_chain(certificate_file, key_file or None)
    except OSError as error:
        raise OperatorError(
            f"The certificates for the MQTT broker cannot be loaded: {reason_of(error)}."
        ) from error
    return context
