# SPDX-License-Identifier: BSD-3-Clause
"""The order of notifications (RFC 7641), and their freshness. Pure."""

from typing import Final, NamedTuple, Self

from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import CoapMessage, decode_uint
from pyaiot.protocols.coap.numbers import OptionNumber

SEQUENCE_LIFE_S: Final = 128.0
"""RFC 7641 section 3.4: a notification that arrives this much later is newer, regardless of its
number."""
MAX_AGE_DEFAULT_S: Final = 60.0
"""RFC 7252 section 5.10.5: the freshness of a response without Max-Age."""
_HALF: Final = 1 << 23


class NotificationNumber(NamedTuple):
    """The number of a notification, and the loop's time at which it was received."""

    number: int
    at: float

    def is_followed_by(self, other: Self) -> bool:
        """Whether `other`, which was received later, is newer: RFC 7641 section 3.4."""
        first, second = self.number, other.number
        return (
            (first < second and second - first < _HALF)
            or (first > second and first - second > _HALF)
            or other.at > self.at + SEQUENCE_LIFE_S
        )


def observe_number(message: CoapMessage) -> int | None:
    """The number of a notification; None: not a notification. Raises `ProtocolError`."""
    option = message.option(OptionNumber.OBSERVE)
    if option is None:
        return None
    if len(option) > 3:  # section 2
        raise ProtocolError("Observe has at most 3 bytes")
    return decode_uint(option)


def max_age_s(message: CoapMessage) -> float:
    """The freshness of a response in seconds. Raises `ProtocolError`."""
    option = message.option(OptionNumber.MAX_AGE)
    if option is None:
        return MAX_AGE_DEFAULT_S
    if len(option) > 4:  # RFC 7252 section 5.10, table 4
        raise ProtocolError("Max-Age has at most 4 bytes")
    return float(decode_uint(option))
