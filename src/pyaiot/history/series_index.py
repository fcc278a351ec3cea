# SPDX-License-Identifier: BSD-3-Clause
"""Caches the ids of resources and units in a store, and orders readings. Pure."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, TypeAlias

from pyaiot.history.rows import MICROSECONDS, NewReading, Value

MINUTE: Final = 60 * MICROSECONDS
"""In microseconds."""
SERIES_KNOWN_MAX: Final = 200_000
"""Largest number of resources whose id is cached. Beyond it all are forgotten and looked up
again."""
SERIES_IDLE_S: Final = 600.0
"""A node that sent nothing for between once and twice this time uses no memory here: the ids of its
resources are forgotten, and looked up when it sends again."""
SHARED_NAMES_MAX: Final = 16
"""Largest number of resources of a node whose names are shared with nodes that have the same
ones."""
BUILT_MAX: Final = 4096
"""Largest number of series with computed minutes whose marks have not been removed yet."""
_LAYOUTS_MAX: Final = 1024

LateRow: TypeAlias = tuple[int, int, Value, int]
"""Series, time, value and unit."""

_Layout: TypeAlias = dict[str, int]
"""The names of the resources of a node, and where the numbers of each begin. Often shared."""

# The numbers of a resource, from its position in `_NodeSeries.numbers`.
_ID: Final = 0
_LATEST: Final = 1
"""The latest time of all its rows."""
_MINUTE: Final = 2
"""The minute that was marked last; 0 if none."""
_NUMBERS: Final = 3


class _NodeSeries:
    """The resources of a node: ids and times as packed numbers, and the latest value of each.

    Packed because there may be many: an object for each resource takes three times as much memory.
    """

    __slots__ = ("layout", "numbers", "others", "values")

    def __init__(self) -> None:
        self.layout: _Layout = {}
        self.numbers = array("q")
        self.values: list[Value] = []
        self.others: dict[int, tuple[int, int]] | None = None
        """The time of the last row, and the latest timestamp, by the position of a resource, where
        these differ from its latest time, which is rare.

        Readings with the same timestamp are stored one microsecond apart.
        """

    def time_of(self, place: int, at: int, value: Value) -> int | None:
        """The time of the row of a reading with the timestamp `at`; None if the reading is a
        duplicate."""
        latest = self.numbers[place + _LATEST]
        others = self.others or {}
        last_at, stamp = others.get(place, (latest, latest))
        if at != stamp:
            follows = stamp < at <= last_at
            stamp = at
            if follows:
                at = last_at + 1  # its time was used for another reading
        elif value == self.values[place // _NUMBERS]:
            return None  # a gateway that reconnected repeats its latest readings
        else:
            at = last_at + 1  # its clock is coarse
        if stamp == at >= latest:
            others.pop(place, None)
        else:
            others[place] = at, stamp
        self.others = others or None
        return at


def candidate_times(at: int) -> Iterator[int]:
    """Times to try for a reading if another reading has its time."""
    yield at
    step = 1
    while True:
        at += step
        yield at
        step *= 2


class SeriesIndex:
    """A cache of the ids in a store, so that a writer need not look them up for each reading."""

    def __init__(self) -> None:
        self.units: dict[str, int] = {}
        self.last_key = ("", "")
        """Node and resource of the last row of the last `rows`."""
        self._recent: dict[str, _NodeSeries] = {}
        """By uid: nodes with a reading since the generation began."""
        self._earlier: dict[str, _NodeSeries] = {}
        """Nodes with a reading in the previous generation, and none since."""
        self._count = 0
        """Number of resources of all these nodes."""
        self._changed_at = 0.0
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        self._built: set[int] = set()
        """Series whose minutes were computed: their `_MINUTE` is invalid."""

    def __len__(self) -> int:
        """The number of resources whose id is cached."""
        return self._count

    def missing(self, readings: list[NewReading]) -> tuple[set[tuple[str, str]], set[str]]:
        """Resources and units that must be learnt before `rows`."""
        recent, units = self._recent, self.units
        keys = set()
        for key, _, _, _ in readings:
            node = recent.get(key[0]) or self._again(key[0])
            if node is None or key[1] not in node.layout:
                keys.add(key)
        if keys and self._count + len(keys) > SERIES_KNOWN_MAX:
            self._forget_all()
            keys = {reading[0] for reading in readings}
        return keys, {reading[3] for reading in readings if reading[3] not in units}

    def learn(self, series_id: int, key: tuple[str, str], at: int, value: Value) -> None:
        """Remember the id of a resource and its latest reading; time 0 if it has none."""
        uid, resource = key
        node = self._recent.get(uid)
        if node is None:
            node = self._recent[uid] = _NodeSeries()
        node.layout = self._layout_with(node.layout, resource, len(node.numbers))
        node.numbers.extend((series_id, at, 0))
        node.values.append(value)
        self._count += 1

    def rows(
        self, readings: list[NewReading], oldest: int
    ) -> tuple[list[int | Value], list[LateRow], list[tuple[int, int]]]:
        """The rows to write, as one flat list of series, time, value and unit; the late rows; and
        the minutes that both change.

        A late row is not later than all earlier ones: its time may be used already. Readings older
        than `oldest` are left out, because retention would delete them at once.
        """
        late: list[LateRow] = []
        recent, units, built = self._recent, self.units, self._built
        rows: list[int | Value] = []
        last_key = self.last_key
        marks: list[tuple[int, int]] = []
        for key, at, value, unit in readings:
            if at < oldest:
                continue
            node = recent[key[0]]
            place = node.layout[key[1]]
            numbers = node.numbers
            latest = numbers[place + _LATEST]
            if at <= latest or node.others:
                found = node.time_of(place, at, value)
                if found is None:
                    continue
                at = found  # noqa: PLW2901
            series = numbers[place]
            node.values[place // _NUMBERS] = value
            minute = at // MINUTE
            if minute != numbers[place + _MINUTE] or series in built:
                built.discard(series)
                numbers[place + _MINUTE] = minute
                marks.append((series, minute))
            if at > latest:
                numbers[place + _LATEST] = at
                rows += (series, at, value, units[unit])
                last_key = key
            else:
                late.append((series, at, value, units[unit]))
        self.last_key = last_key
        return rows, late, marks

    def minutes_built(self, series_ids: Sequence[int]) -> None:
        """These minutes were downsampled: late readings must mark them again."""
        self._built.update(series_ids)
        if len(self._built) > BUILT_MAX:
            for node in chain(self._recent.values(), self._earlier.values()):
                for place in range(0, len(node.numbers), _NUMBERS):
                    if node.numbers[place + _ID] in self._built:
                        node.numbers[place + _MINUTE] = 0
            self._built.clear()

    def forget(self, series_ids: Sequence[int]) -> None:
        """These series were deleted: their ids may be used again."""
        deleted = set(series_ids)
        if not deleted:
            return
        self._built -= deleted
        for nodes in (self._recent, self._earlier):
            for uid, node in list(nodes.items()):
                if not deleted.isdisjoint(node.numbers[_ID::_NUMBERS]):
                    del nodes[uid]
                    self._count -= len(node.values)

    def forget_idle(self, now: float) -> None:
        """Forget nodes that have sent nothing for `SERIES_IDLE_S`. `now` in seconds, by a clock
        that may be set."""
        if abs(now - self._changed_at) >= SERIES_IDLE_S:
            self._changed_at = now
            self._count -= sum(len(node.values) for node in self._earlier.values())
            self._earlier, self._recent = self._recent, {}
            self._layouts.clear()

    def clear(self) -> None:
        """Forget everything: ids from a failed transaction are invalid."""
        self.units.clear()
        self._forget_all()

    def _forget_all(self) -> None:
        self._recent.clear()
        self._earlier.clear()
        self._count = 0
        self._built.clear()

    def _again(self, uid: str) -> _NodeSeries | None:
        """A node of the previous generation sends again."""
        node = self._earlier.pop(uid, None)
        if node is not None:
            self._recent[uid] = node
        return node

    def _layout_with(self, layout: _Layout, resource: str, place: int) -> _Layout:
        """A layout with one more name. A long layout belongs to one node alone and is extended."""
        if len(layout) >= SHARED_NAMES_MAX:
            own = dict(layout) if len(layout) == SHARED_NAMES_MAX else layout
            own[resource] = place
            return own
        names = (*layout, resource)
        shared = self._layouts.get(names)
        if shared is None:
            if len(self._layouts) >= _LAYOUTS_MAX:
                self._layouts.clear()
            shared = self._layouts[names] = {**layout, resource: place}
        return shared
