# SPDX-License-Identifier: BSD-3-Clause
"""The ids that a store gave to resources and units, and the order of readings. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from pyaiot.history.rows import MICROSECONDS, NewReading, Value

MINUTE: Final = 60 * MICROSECONDS
"""In microseconds."""
SERIES_KNOWN_MAX: Final = 200_000
"""Resources whose id is remembered. Beyond that: all are forgotten and looked up again."""


LateRow: TypeAlias = tuple[int, int, Value, int]
"""Series, time, value and unit."""


class KnownSeries:
    """The id of a resource, its latest reading and the minute that was marked last."""

    __slots__ = ("at", "id", "key", "latest", "minute", "stamp", "value")

    def __init__(self, series_id: int, key: tuple[str, str], at: int, value: Value) -> None:
        self.id = series_id
        self.key = key
        self.at = at
        self.latest = at
        """The latest time of all its readings."""
        self.stamp = at
        """Its latest timestamp. Readings with the same one are stored one microsecond apart."""
        self.value = value
        self.minute = 0


def candidate_times(at: int) -> Iterator[int]:
    """Times to try for a reading if another one has its time."""
    yield at
    step = 1
    while True:
        at += step
        yield at
        step *= 2


class SeriesIndex:
    """A cache of the ids in a store, so that a writer need not look them up for each reading."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], KnownSeries] = {}
        self.units: dict[str, int] = {}
        self._by_id: dict[int, KnownSeries] = {}

    def missing(self, readings: list[NewReading]) -> tuple[set[tuple[str, str]], set[str]]:
        """Resources and units that must be looked up in the store before `rows`."""
        known, units = self.known, self.units
        keys = {reading[0] for reading in readings if reading[0] not in known}
        if keys and len(known) + len(keys) > SERIES_KNOWN_MAX:
            self.known.clear()
            self._by_id.clear()
            keys = {reading[0] for reading in readings}
        return keys, {reading[3] for reading in readings if reading[3] not in units}

    def learn(self, series_id: int, key: tuple[str, str], at: int, value: Value) -> None:
        """Remember the id of a resource and its latest reading; time 0 if it has none."""
        self.known[key] = self._by_id[series_id] = KnownSeries(series_id, key, at, value)

    def rows(
        self, readings: list[NewReading], oldest: int
    ) -> tuple[list[int | Value], list[LateRow], list[tuple[int, int]]]:
        """The rows to write, in one flat list of series, time, value and unit; the late rows; and
        the minutes that both change.

        A late row is not later than all earlier ones: its time may be taken. Readings that are
        older than `oldest` are left out, because retention would delete them at once.
        """
        late: list[LateRow] = []
        known, units = self.known, self.units
        rows: list[int | Value] = []
        marks: list[tuple[int, int]] = []
        for key, at, value, unit in readings:
            if at < oldest:
                continue
            series = known[key]
            if at != series.stamp:
                follows = series.stamp < at <= series.at
                series.stamp = at
                if follows:
                    at = series.at + 1  # noqa: PLW2901 - its time was given away
            elif value == series.value:
                continue  # a gateway that reconnected repeats its latest readings
            else:
                at = series.at + 1  # noqa: PLW2901 - its clock is coarse
            series.at, series.value = at, value
            minute = at // MINUTE
            if minute != series.minute:
                series.minute = minute
                marks.append((series.id, minute))
            if at > series.latest:
                series.latest = at
                rows += (series.id, at, value, units[unit])
            else:
                late.append((series.id, at, value, units[unit]))
        return rows, late, marks

    def key_of(self, series_id: object) -> tuple[str, str]:
        """Node and resource of an id in `rows`."""
        return self._by_id[series_id].key  # type: ignore[index]

    def minutes_built(self, series_ids: Sequence[int]) -> None:
        """These minutes were downsampled: late readings mark them again."""
        for series_id in series_ids:
            if series_id in self._by_id:
                self._by_id[series_id].minute = 0

    def forget(self, series_ids: Sequence[int]) -> None:
        """These series were deleted: their ids may be given to others."""
        for series_id in series_ids:
            if series_id in self._by_id:
                del self.known[self._by_id.pop(series_id).key]

    def clear(self) -> None:
        """Forget everything: ids given in a failed transaction are not valid."""
        self.known.clear()
        self.units.clear()
        self._by_id.clear()
