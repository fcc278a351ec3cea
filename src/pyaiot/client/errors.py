# SPDX-License-Identifier: BSD-3-Clause
"""Errors that the client library raises."""

from collections.abc import Sequence
from typing import Final

from pyaiot.errors import OperatorError, PyaiotError

CANDIDATES_SHOWN_MAX: Final = 10
"""Uids that the text of `AmbiguousLabel` lists."""


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

    `kind` is the fragment of the problem type (RFC 9457), without `problem-`: `unknown-node`,
    `edited-meanwhile`, `online`. `detail` explains this occurrence; it may be empty.
    """

    def __init__(self, sentence: str, *, status: int, kind: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.kind = kind
        self.detail = detail


class AmbiguousLabel(OperatorError):
    """Several nodes have the label. `uids` are their uids: use one of them."""

    def __init__(self, label: str, uids: Sequence[str]) -> None:
        shown = ", ".join(uids[:CANDIDATES_SHOWN_MAX])
        rest = len(uids) - CANDIDATES_SHOWN_MAX
        more = f" and {rest} more" if rest > 0 else ""
        super().__init__(
            f"{len(uids)} nodes have the label {label}: use the uid of one of them ({shown}{more})."
        )
        self.label = label
        self.uids = tuple(uids)
