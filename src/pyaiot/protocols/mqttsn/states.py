# SPDX-License-Identifier: BSD-3-Clause
"""The states of a client as its gateway sees them (6.14, figure 4)."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    """Figure 4, and the way there."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    ACTIVE = "active"
    ASLEEP = "asleep"
    AWAKE = "awake"
    LOST = "lost"


class Cause(Enum):
    """What makes a session change its state."""

    CONNECT = "CONNECT came"
    RETURN = "CONNECT came from a client that slept"
    ACCEPTED = "CONNACK is sent"
    REFUSED = "CONNACK with an error is sent"
    WENT = "DISCONNECT came"
    SLEEP = "DISCONNECT with a duration came"
    WAKE = "PINGREQ with a client id came"
    SERVED = "PINGRESP is sent, or the client does not answer"
    SILENT = "nothing came for too long"


_S: Final = State
TRANSITIONS: Final[Mapping[tuple[State, Cause], State]] = MappingProxyType(
    {
        **{(state, Cause.CONNECT): _S.CONNECTING for state in State},
        (_S.ACTIVE, Cause.RETURN): _S.ACTIVE,
        (_S.ASLEEP, Cause.RETURN): _S.ACTIVE,
        (_S.AWAKE, Cause.RETURN): _S.ACTIVE,
        (_S.CONNECTING, Cause.ACCEPTED): _S.ACTIVE,
        (_S.CONNECTING, Cause.REFUSED): _S.DISCONNECTED,
        (_S.CONNECTING, Cause.WENT): _S.DISCONNECTED,
        (_S.CONNECTING, Cause.SILENT): _S.DISCONNECTED,
        (_S.ACTIVE, Cause.WENT): _S.DISCONNECTED,
        (_S.ASLEEP, Cause.WENT): _S.DISCONNECTED,
        (_S.AWAKE, Cause.WENT): _S.DISCONNECTED,
        (_S.ACTIVE, Cause.SLEEP): _S.ASLEEP,
        (_S.ASLEEP, Cause.SLEEP): _S.ASLEEP,
        (_S.AWAKE, Cause.SLEEP): _S.ASLEEP,
        (_S.ASLEEP, Cause.WAKE): _S.AWAKE,
        (_S.AWAKE, Cause.SERVED): _S.ASLEEP,
        (_S.ACTIVE, Cause.SILENT): _S.LOST,
        (_S.ASLEEP, Cause.SILENT): _S.LOST,
        (_S.AWAKE, Cause.SILENT): _S.LOST,
    }
)
"""Figure 4 of 6.14. What is not here does not happen."""
HERE: Final = frozenset((_S.ACTIVE, _S.ASLEEP, _S.AWAKE))
