# SPDX-License-Identifier: BSD-3-Clause
"""Readings become numbers: of their resource and unit, as a store keeps them. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from pyaiot.history.rows import MICROSECONDS, NewReading, Value

MINUTE: Final = 60 * MICROSECONDS
"""Microseconds of one."""
SERIES_KNOWN_MAX: Final = 200_000
"""Resources whose number is remembered. Beyond, all are looked up anew."""


LateRow: TypeAlias = tuple[int, int, Value, int]
"""Series, time, value and unit."""


class Series:
    """What is remembered of a resource: its number, its latest reading, its marked minute."""

    __slots__ = ("at", "id", "key", "latest", "minute", "said", "value")

    def __init__(self, series_id: int, key: tuple[str, str], at: int, value: Value) -> None:
        self.id = series_id
        self.key = key
        self.at = at
        self.latest = at
        """The latest time of all its readings."""
        self.said = at
        """The time that its gateway said; several readings of one time follow each other."""
        self.value = value
        self.minute = 0


def next_moments(at: int) -> Iterator[int]:
    """Times at which to try to keep a reading, where another one stands at its own."""
    yield at
    step = 1
    while True:
        at += step
        yield at
        step *= 2


class Numbering:
    """What a writer remembers of its store, so that it need not ask for each reading."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Series] = {}
        self.units: dict[str, int] = {}
        self._by_id: dict[int, Series] = {}

    def missing(self, readings: list[NewReading]) -> tuple[set[tuple[str, str]], set[str]]:
        """Resources and units that are to be learnt before `rows`."""
        known, units = self.known, self.units
        keys = {reading[0] for reading in readings if reading[0] not in known}
        if keys and len(known) + len(keys) > SERIES_KNOWN_MAX:
            self.known.clear()
            self._by_id.clear()
            keys = {reading[0] for reading in readings}
        return keys, {reading[3] for reading in readings if reading[3] not in units}

    def learn(self, series_id: int, key: tuple[str, str], at: int, value: Value) -> None:
        """The number of a resource, and its latest reading; time 0 if it has none."""
        self.known[key] = self._by_id[series_id] = Series(series_id, key, at, value)

    def rows(
        self, readings: list[NewReading], oldest: int
    ) -> tuple[list[int | Value], list[LateRow], list[tuple[int, int]]]:
        """Series, time, value and unit of what is to be kept, one after the other; the same of
        what is not later than all before, so that a reading may stand at its time already; and the
        minutes that both change. What is older than `oldest` would be trimmed at once, and is left
        out.
        """
        late: list[LateRow] = []
        known, units = self.known, self.units
        rows: list[int | Value] = []
        marks: list[tuple[int, int]] = []
        for key, at, value, unit in readings:
            if at < oldest:
                continue
            series = known[key]
            if at != series.said:
                follows = series.said < at <= series.at
                series.said = at
                if follows:
                    at = series.at + 1  # noqa: PLW2901 - those of one time took its place
            elif value == series.value:
                continue  # a gateway that came back announces what it said before
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
        """Node and resource of a number in `rows`."""
        return self._by_id[series_id].key  # type: ignore[index]

    def minutes_made(self, series_ids: Sequence[int]) -> None:
        """Late readings of minutes that were made mark them anew."""
        for series_id in series_ids:
            if series_id in self._by_id:
                self._by_id[series_id].minute = 0

    def forget(self, series_ids: Sequence[int]) -> None:
        """Nothing is left of these: their numbers may be given anew."""
        for series_id in series_ids:
            if series_id in self._by_id:
                del self.known[self._by_id.pop(series_id).key]

    def forget_all(self) -> None:
        """Numbers that were given in a transaction that failed are none."""
        self.known.clear()
        self.units.clear()
        self._by_id.clear()
