# SPDX-License-Identifier: BSD-3-Clause
"""Steps of local days, which have 23 or 25 hours when daylight saving time begins or ends. Pure.

Stores have steps in UTC. A local day is combined from steps of one hour, or of a quarter of an hour
if the offset of the zone is not a whole number of hours. In every zone, midnight is the start of
such a step.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Final

from pyaiot.errors import ProtocolError
from pyaiot.history.store import BucketRow

DAY_S: Final = 86_400
"""The only value of `every` that can be combined with a time zone."""
_HOUR_S: Final = 3600
_QUARTER_S: Final = 900


def time_zone(name: str) -> tzinfo:
    """The zone with this IANA name. Raises `ProtocolError` if this system does not know it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - few queries need it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ProtocolError(f"unknown time zone {name!r}") from error


def part_step_s(start: float, end: float, tz: tzinfo) -> int:
    """Length, in seconds, of the steps that are combined to the days from `start` to `end`."""
    at = datetime.fromtimestamp(start, tz)
    last = datetime.fromtimestamp(end, tz) + timedelta(days=1)
    while at <= last:
        offset = at.utcoffset()
        if offset is not None and offset.total_seconds() % _HOUR_S:
            return _QUARTER_S
        at += timedelta(days=1)
    return _HOUR_S


def days_of(parts: Iterable[BucketRow], tz: tzinfo) -> list[BucketRow]:
    """Combine steps, ordered by time, into local days. `ts` of a day is its midnight."""
    days: dict[tuple[float, str], BucketRow] = {}
    for part in parts:
        key = _midnight(part.ts, tz), part.unit
        day = days.get(key)
        if day is None:
            day = BucketRow(key[0], part.unit, part.min, part.mean, part.max, part.count, part.last)
        else:
            count = day.count + part.count
            day = BucketRow(
                day.ts,
                day.unit,
                min(day.min, part.min),
                (day.mean * day.count + part.mean * part.count) / count,
                max(day.max, part.max),
                count,
                part.last,
            )
        days[key] = day
    return list(days.values())


def _midnight(ts: float, tz: tzinfo) -> float:
    day = datetime.fromtimestamp(ts, tz).date()
    return datetime(day.year, day.month, day.day, tzinfo=tz).timestamp()
