# SPDX-License-Identifier: BSD-3-Clause
"""The states of a client as its gateway sees them (6.14, figure 4)."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    """The states of figure 4, and the one before them."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    ACTIVE = "active"
    ASLEEP = "asleep"
    AWAKE = "awake"
    LOST = "lost"

    # Each state is one object. The hash of an enumeration calls Python, several times a packet.
    __hash__ = object.__hash__


class Cause(Enum):
    """Why a session changes its state."""

    CONNECT = "CONNECT was received"
    RETURN = "CONNECT of a client that slept was received"
    ACCEPTED = "CONNACK is sent"
    REFUSED = "CONNACK with an error is sent"
    DISCONNECT = "DISCONNECT was received"
    SLEEP = "DISCONNECT with a duration was received"
    WAKE = "PINGREQ with a client id was received"
    SERVED = "PINGRESP is sent, or the client does not answer"
    SILENT = "nothing was received for too long"


_S: Final = State
TRANSITIONS: Final[Mapping[tuple[State, Cause], State]] = MappingProxyType(
    {
        **{(state, Cause.CONNECT): _S.CONNECTING for state in State},
        (_S.ACTIVE, Cause.RETURN): _S.ACTIVE,
        (_S.ASLEEP, Cause.RETURN): _S.ACTIVE,
        (_S.AWAKE, Cause.RETURN): _S.ACTIVE,
        (_S.CONNECTING, Cause.ACCEPTED): _S.ACTIVE,
        (_S.CONNECTING, Cause.REFUSED): _S.DISCONNECTED,
        (_S.CONNECTING, Cause.DISCONNECT): _S.DISCONNECTED,
        (_S.CONNECTING, Cause.SILENT): _S.DISCONNECTED,
        (_S.ACTIVE, Cause.DISCONNECT): _S.DISCONNECTED,
        (_S.ASLEEP, Cause.DISCONNECT): _S.DISCONNECTED,
        (_S.AWAKE, Cause.DISCONNECT): _S.DISCONNECTED,
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
"""Figure 4 of 6.14. There are no other transitions."""
CONNECTED_STATES: Final = frozenset((_S.ACTIVE, _S.ASLEEP, _S.AWAKE))
