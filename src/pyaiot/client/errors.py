# SPDX-License-Identifier: BSD-3-Clause
"""Errors that the client library raises."""

from pyaiot.errors import OperatorError, PyaiotError


class NoBroker(OperatorError):
    """No broker answers at the address. Start one, or set another address."""


class LoginNeeded(OperatorError):
    """The broker requires a sign-in: pass its sign-in link."""


class Behind(PyaiotError):
    """A watch was read too slowly and lost events. Start another one."""


class TooManyRows(OperatorError):
    """The result has too many rows. Narrow the range, increase the step, or export."""


class ApiProblem(OperatorError):
    """The broker refused a request.

    `kind` is the fragment of the problem type (RFC 9457), without `problem-`.
    """

    def __init__(self, sentence: str, *, status: int, kind: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.kind = kind
