# SPDX-License-Identifier: BSD-3-Clause
"""Every error says whose turn it is: the operator's, the peer's, or the network's."""


class PyaiotError(Exception):
    """Root of the errors that this package raises on purpose."""


class OperatorError(PyaiotError):
    """The operator must change something. The text is one sentence that says what.

    The command line prints it and exits with code 2.
    """


def reason_of(error: Exception) -> str:
    """What went wrong, without the number of the system's error and without the path again."""
    return getattr(error, "strerror", None) or str(error)


class ProtocolError(PyaiotError):
    """The peer sent wrong bytes: answer it, drop them, go on. Retrying does not help."""


class NotEnoughBytes(ProtocolError):
    """The bytes end too early. On a stream, wait for more; in a datagram, it is wrong."""


class LinkLost(PyaiotError):
    """The network took the link away. Connect again, later each time."""


class Refused(PyaiotError):
    """Well-formed, but not allowed: a foreign uid, a reserved name, a limit. Tell the peer."""


class TooFast(Refused):
    """The peer is over its rate limit. It may try again in `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
