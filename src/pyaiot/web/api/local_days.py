# SPDX-License-Identifier: BSD-3-Clause
"""Steps of local days, which have 23 hours in spring and 25 in autumn where clocks are set. Pure.

Stores know steps of UTC. A local day is made of those of an hour, or of a quarter where the zone is
off by less: midnight is at the begin of one of them in every zone there is.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pyaiot.errors import ProtocolError
from pyaiot.history.store import BucketRow

DAY_S: Final = 86_400
"""What `every` is where a zone is named."""
_HOUR_S: Final = 3600
_QUARTER_S: Final = 900


def zone(name: str) -> ZoneInfo:
    """The zone of this name (IANA). Raises `ProtocolError` if there is none here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ProtocolError(f"there is no time zone {name!r} here") from error


def part_s(start: float, end: float, tz: ZoneInfo) -> int:
    """Seconds of the steps that the days from `start` to `end` are to be made of."""
    at = datetime.fromtimestamp(start, tz)
    last = datetime.fromtimestamp(end, tz) + timedelta(days=1)
    while at <= last:
        offset = at.utcoffset()
        if offset is not None and offset.total_seconds() % _HOUR_S:
            return _QUARTER_S
        at += timedelta(days=1)
    return _HOUR_S


def days_of(parts: Iterable[BucketRow], tz: ZoneInfo) -> list[BucketRow]:
    """The parts, which come by time, brought together by local day. `ts` is its midnight."""
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


def _midnight(ts: float, tz: ZoneInfo) -> float:
    day = datetime.fromtimestamp(ts, tz).date()
    return datetime(day.year, day.month, day.day, tzinfo=tz).timestamp()
