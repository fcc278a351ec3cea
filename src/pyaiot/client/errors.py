# SPDX-License-Identifier: BSD-3-Clause
"""What a program is told when it cannot have what it asked for."""

from pyaiot.errors import OperatorError, PyaiotError


class NoBroker(OperatorError):
    """Nothing that answers there is a broker. Start one, or name another place."""


class LoginNeeded(OperatorError):
    """The broker lets nobody in who has not opened its link."""


class Behind(PyaiotError):
    """A watch was read too slowly. Its reader missed something: begin another one."""


class TooManyRows(OperatorError):
    """More rows than one answer may have. Narrow the range, widen the step, or export."""


class ApiProblem(OperatorError):
    """The broker refused a question. `kind` is the end of the problem's type (RFC 9457)."""

    def __init__(self, sentence: str, *, status: int, kind: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.kind = kind
