# SPDX-License-Identifier: BSD-3-Clause
"""One Confirmable request and its response (RFC 7252 sections 4.2 and 5.2). Pure.

`now` is the loop's time in seconds.
"""

from random import Random
from typing import Final, NamedTuple

from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import (
    ACK_RANDOM_FACTOR,
    ACK_TIMEOUT_S,
    MAX_RETRANSMIT,
    Code,
    MessageType,
)

READ_ACK_TIMEOUT_MIN_S: Final = 1.0
"""The shortest ACK_TIMEOUT of a read. RFC 7252 section 4.8.1 warns against less: a slow network
would carry copies of messages that are still in transit."""
COMMAND_ACK_TIMEOUT_MIN_S: Final = 0.4
"""The shortest ACK_TIMEOUT of a command, whose user waits. It is below 1 s only if fewer than
`COMMAND_TRANSMISSIONS` would fit before the deadline otherwise."""
COMMAND_TRANSMISSIONS: Final = 4
"""Transmissions that a command should have: with 20 % loss in both directions, all 4 fail in 1.7 %
of cases, all 3 in 4.7 %."""
LAST_RESPONSE_S: Final = 0.5
"""Time reserved for the response to the last transmission, or a tenth of the limit if that is
less."""


class Spacing(NamedTuple):
    """The retransmission parameters of a request (RFC 7252 section 4.8)."""

    ack_timeout_s: float
    retransmissions: int


def read_spacing(limit_s: float) -> Spacing:
    """As many transmissions as fit into `limit_s` with an ACK_TIMEOUT of at least 1 s."""
    return _spacing(limit_s, READ_ACK_TIMEOUT_MIN_S, MAX_RETRANSMIT)


def command_spacing(limit_s: float) -> Spacing:
    """As `read_spacing`, but with a shorter ACK_TIMEOUT if fewer than `COMMAND_TRANSMISSIONS`
    fit."""
    spacing = read_spacing(limit_s)
    enough = COMMAND_TRANSMISSIONS - 1
    if spacing.retransmissions >= enough:
        return spacing
    return _spacing(limit_s, COMMAND_ACK_TIMEOUT_MIN_S, enough)


def _spacing(limit_s: float, ack_timeout_min_s: float, retransmissions: int) -> Spacing:
    """The last transmission, not the wait after it, fits into `limit_s`. At least one
    retransmission.

    Transmission n + 1 leaves after ACK_TIMEOUT * (2 ** n - 1) * ACK_RANDOM_FACTOR at the latest.
    """
    usable_s = limit_s - min(LAST_RESPONSE_S, limit_s / 10)
    while True:
        ack_timeout_s = usable_s / (((1 << retransmissions) - 1) * ACK_RANDOM_FACTOR)
        if retransmissions == 1 or ack_timeout_s >= ack_timeout_min_s:
            return Spacing(min(ACK_TIMEOUT_S, ack_timeout_s), retransmissions)
        retransmissions -= 1


class Exchange:
    """A request until its response, a reset, or its deadline.

    Call `datagrams_to_send` at once and at the time of `get_timer`, and `receive_message` with each
    message that has its token, or is empty and has its message ID.
    """

    def __init__(
        self,
        request: CoapMessage,
        spacing: Spacing,
        *,
        deadline: float,
        now: float,
        random: Random,
    ) -> None:
        self.response: CoapMessage | None = None
        self.is_reset = False
        """The peer rejected the request. It may have carried it out before."""
        self.transmissions = 0
        self._datagram = request.to_bytes()
        self._deadline = deadline
        self._left = spacing.retransmissions + 1
        self._wait_s = spacing.ack_timeout_s * random.uniform(1.0, ACK_RANDOM_FACTOR)
        self._due_at: float | None = now

    def datagrams_to_send(self, *, now: float) -> list[bytes]:
        """The datagrams that are due; none from the deadline on."""
        if self._due_at is None or now < self._due_at:
            return []
        if now >= self._deadline:
            self._due_at = None
            return []
        self.transmissions += 1
        self._left -= 1
        self._due_at = now + self._wait_s if self._left else None
        self._wait_s *= 2
        return [self._datagram]

    def get_timer(self) -> float:
        """When to call `datagrams_to_send` next. The exchange ends at the deadline."""
        return self._deadline if self._due_at is None else min(self._due_at, self._deadline)

    def receive_message(self, message: CoapMessage) -> CoapMessage | None:
        """Take a message of the peer. Returns the acknowledgement to send, if any."""
        if message.code == Code.EMPTY:
            # RFC 7252 section 4.2: an acknowledgement or a reset ends retransmission.
            self._due_at = None
            self.is_reset = self.is_reset or message.mtype is MessageType.RST
            return None
        # Section 5.2.2: a response of any message type implies the acknowledgement.
        self._due_at = None
        if self.response is None:
            self.response = message
        return acknowledgement(message)


def acknowledgement(message: CoapMessage) -> CoapMessage | None:
    """The acknowledgement of a Confirmable message; None for another one."""
    if message.mtype is not MessageType.CON:
        return None
    return CoapMessage(MessageType.ACK, Code.EMPTY, message.message_id)
