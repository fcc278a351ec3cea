# SPDX-License-Identifier: BSD-3-Clause
"""The last values of offline nodes as JSON, within memory and disk limits. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pyaiot.messages import LastValue, Reading, encode

VALUES_OF_NODE_MAX: Final = 32 * 1024
"""Largest size of the last values of one node, in bytes of JSON. The largest values beyond it are
omitted.
"""
VALUES_SMALL: Final = 1024
"""Last values up to this many bytes are kept for every offline node."""
VALUES_MAX: Final = 64 * 1024 * 1024
"""Total size of the last values of nodes that have more than that. Beyond it, the values of the
node that has been offline longest are dropped; the node itself is kept.
"""
NO_VALUES: Final = b"[]"

_OVERHEAD: Final = 200
"""Bytes of a value in JSON besides its text: field names, time, number."""
_LETTER_SIZE: Final = 6
"""Largest number of bytes of one character in JSON: `\u0000`."""

_decode: Final = msgspec.json.Decoder(list[LastValue]).decode


def decode_values(values: bytes) -> list[LastValue]:
    """Decode what `encode_values` encoded. Returns None for other input, as a damaged store may
    contain: a node without last values is better than an error in every list that contains the
    node.
    """
    try:
        return _decode(values)
    except msgspec.MsgspecError:
        return []


def encode_values(readings: Sequence[Reading]) -> bytes:
    """Encode the latest readings of one node as a JSON array of `LastValue`. Values that JSON
    cannot express are omitted, as are the largest ones beyond the limit.
    """
    values = [LastValue.of(reading) for reading in readings]
    if size_of(readings) > VALUES_OF_NODE_MAX:
        return _encode_small_ones(values)
    try:
        return encode(values)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, OverflowError):
        return _encode_small_ones(values)


def size_of(readings: Iterable[Reading]) -> int:
    """An upper bound of the size of these readings as JSON. Fast for text and numbers."""
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
    """Encode the values that fit, in their order; smaller ones take precedence."""
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
    """Tracks the size of the stored last values, longest offline node first."""

    def __init__(self) -> None:
        self.used = 0
        """Bytes of values of nodes with more than `VALUES_SMALL`."""
        self._sizes: dict[str, int] = {}

    def keep(self, uid: str, size: int) -> list[str]:
        """Record the size of a node's values. Returns the nodes whose values must be dropped."""
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
