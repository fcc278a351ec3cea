# SPDX-License-Identifier: BSD-3-Clause
"""The last values of offline nodes, as JSON, within limits of memory and disk. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pyaiot.messages import LastValue, Reading, encode

VALUES_OF_NODE_MAX: Final = 32 * 1024
"""Bytes of the last values of one node, as JSON. Beyond that, the largest are left out."""
VALUES_SMALL: Final = 1024
"""Last values of up to this many bytes are kept of every offline node."""
VALUES_MAX: Final = 64 * 1024 * 1024
"""Bytes of all last values of nodes with more. Beyond that: those of the node that has been offline
for longest are dropped; the node stays."""
NO_VALUES: Final = b"[]"

_OVERHEAD: Final = 200
"""Bytes of a value in JSON besides its texts: names of fields, time, number."""
_LETTER_SIZE: Final = 6
"""Most bytes of a character in JSON: `\\u0000`."""

_decode: Final = msgspec.json.Decoder(list[LastValue]).decode


def decode_values(values: bytes) -> list[LastValue]:
    """The values that `encode_values` encoded.

    None if the store returned something else, as it may after damage on its disk: a node without
    last values is worth more than an error for every list that contains it.
    """
    try:
        return _decode(values)
    except msgspec.MsgspecError:
        return []


def encode_values(readings: Sequence[Reading]) -> bytes:
    """Latest readings of one node, as a JSON array of `LastValue`.

    A value that JSON cannot express is left out, and so are the largest beyond the limit.
    """
    values = [LastValue.of(reading) for reading in readings]
    if size_of(readings) > VALUES_OF_NODE_MAX:
        return _encode_small_ones(values)
    try:
        return encode(values)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, OverflowError):
        return _encode_small_ones(values)


def size_of(readings: Iterable[Reading]) -> int:
    """An upper bound of the bytes of these readings as JSON. Cheap for text and numbers."""
    size = 2
    for reading in readings:
        data = reading.data
        size += _OVERHEAD + _LETTER_SIZE * (len(reading.resource) + len(reading.unit))
        if isinstance(data, str):
            size += _LETTER_SIZE * len(data)
        elif isinstance(data, list | dict):
            size += len(_encoded(data) or b"")
    return size


def _encode_small_ones(values: Sequence[LastValue]) -> bytes:
    """The values that fit, in their order; the smallest are taken first."""
    parts = [(_encoded(value), index) for index, value in enumerate(values)]
    taken = []
    size = 2
    for part, index in sorted((len(part), index) for part, index in parts if part is not None):
        size += part + 1
        if size > VALUES_OF_NODE_MAX:
            break
        taken.append(index)
    return b"[%b]" % b",".join(parts[index][0] or b"" for index in sorted(taken))


def _encoded(value: object) -> bytes | None:
    """None if JSON cannot express it."""
    try:
        return encode(value)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, OverflowError):
        return None


class ValuesBudget:
    """The sizes of the last values that are kept, the longest offline node first."""

    def __init__(self) -> None:
        self.used = 0
        """Bytes of values of nodes with more than `VALUES_SMALL`."""
        self._sizes: dict[str, int] = {}

    def keep(self, uid: str, size: int) -> list[str]:
        """Record the size of the values of a node. Returns nodes whose values must be dropped."""
        self.used -= self._sizes.pop(uid, 0)
        if size <= VALUES_SMALL:
            return []
        self._sizes[uid] = size
        self.used += size
        dropped = []
        while self.used > VALUES_MAX:
            oldest = next(iter(self._sizes))
            self.used -= self._sizes.pop(oldest)
            dropped.append(oldest)
        return dropped
