# SPDX-License-Identifier: BSD-3-Clause
"""The common part of retention and downsampling of all stores. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from pyaiot.history.rows import MICROSECONDS
from pyaiot.history.store import RetentionPolicy

DELETION_INTERVAL_S: Final = 600.0
"""Interval between searches for rows that are too old."""
GRACE_S: Final = 60
"""Delay after the end of a minute before it is downsampled. It is doubled for an hour."""


class RetentionStep(msgspec.Struct, frozen=True):
    """The result of one step of downsampling and deletion."""

    more: bool
    """Whether there is more to do now."""
    built: Sequence[int] = ()
    """Series whose minutes were computed."""
    deleted: Sequence[int] = ()
    """Deleted series without rows: their ids may be used again."""
    dropped_partitions: bool = False


class Cutoffs(msgspec.Struct, frozen=True):
    """The times before which rows are deleted, in the units of their tables.

    They are a whole hour earlier than the times at which rows are refused as too old, so that a
    minute or hour that is computed again is computed from complete data.
    """

    readings: int
    minutes: int
    hours: int
    events: int

    @classmethod
    def at(cls, now: float, keep: RetentionPolicy) -> "Cutoffs":
        oldest = keep.oldest(now)
        return cls(
            readings=(int(oldest.readings) // 3600 - 1) * 3600 * MICROSECONDS,
            minutes=(int(oldest.minutes) // 3600 - 1) * 60,
            hours=int(oldest.hours) // 3600 - 1,
            events=int(oldest.events * MICROSECONDS),
        )
