# SPDX-License-Identifier: BSD-3-Clause
"""Errors, by the party that has to act: the operator, the peer, or the network."""


class PyaiotError(Exception):
    """Base class of the errors that this package raises on purpose."""


class OperatorError(PyaiotError):
    """The operator must change something. The text is one sentence that names it.

    The command line prints it and exits with code 2.
    """


def reason_of(error: Exception) -> str:
    """The reason of an error, without the `errno` and without the path."""
    return getattr(error, "strerror", None) or str(error)


class ProtocolError(PyaiotError):
    """The peer sent invalid bytes: answer or drop them, and go on. Retrying does not help."""


class NotEnoughBytes(ProtocolError):
    """The bytes end too early. On a stream, wait for more; a datagram is invalid."""


class LinkLost(PyaiotError):
    """The connection was lost or could not be made. Reconnect with backoff."""


class Refused(PyaiotError):
    """Well-formed, but not allowed: a foreign uid, a reserved name, a limit. Report it."""


class TooFast(Refused):
    """The peer exceeds its rate limit. It may try again in `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
