# SPDX-License-Identifier: BSD-3-Clause
"""Steps of local days, with and without a change of daylight saving time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.history.store import BucketRow, RetentionPolicy
from pyaiot.web.api.local_days import days_of, part_step_s, time_zone
from tests.web.serving import serving

PARIS = ZoneInfo("Europe/Paris")
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=PARIS), datetime(2026, 10, 25, tzinfo=PARIS)
"""Days of 23 and of 25 hours."""


def hours(first: datetime, count: int) -> list[BucketRow]:
    """One number for each hour: the hours since the first one."""
    begin = first.timestamp()
    return [BucketRow(begin + n * 3600, "Cel", n, n, n, 1, n) for n in range(count)]


@pytest.mark.parametrize(
    ("day", "length"), [(SPRING, 23), (AUTUMN, 25), (SPRING - timedelta(days=1), 24)]
)
def test_days_have_23_24_or_25_hours(day: datetime, length: int) -> None:
    whole, rest = days_of(hours(day, length + 3), PARIS)
    assert datetime.fromtimestamp(whole.ts, PARIS) == day
    assert (whole.count, whole.min, whole.max, whole.last) == (length, 0, length - 1, length - 1)
    assert whole.mean == pytest.approx((length - 1) / 2)
    assert (rest.count, rest.ts - whole.ts) == (3, length * 3600)


@given(
    st.sampled_from(["Europe/Paris", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]),
    st.integers(946_684_800, 2_051_222_400),
    st.integers(1, 500),
)
def test_nothing_is_lost_or_moved_to_another_day(name: str, begin: int, count: int) -> None:
    tz = ZoneInfo(name)
    start = begin // 900 * 900
    step = part_step_s(start, start + count * 900, tz)
    first = start // step * step
    parts = [BucketRow(first + n * step, "", n, n, n, 1, n) for n in range(count)]
    days = days_of(parts, tz)
    assert sum(day.count for day in days) == count
    for day in days:
        local = datetime.fromtimestamp(day.ts, tz)
        assert (local.hour, local.minute, local.second) == (0, 0, 0)
    dates = [datetime.fromtimestamp(day.ts, tz).date() for day in days]
    assert dates == sorted({datetime.fromtimestamp(part.ts, tz).date() for part in parts})


@pytest.mark.parametrize(
    ("name", "seconds"), [("Europe/Paris", 3600), ("UTC", 3600), ("Asia/Kathmandu", 900)]
)
def test_parts_are_as_fine_as_the_zone_needs(name: str, seconds: int) -> None:
    assert part_step_s(0.0, 86_400.0, ZoneInfo(name)) == seconds


def test_a_zone_that_is_off_by_half_an_hour_for_a_part_of_the_year_has_fine_parts() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    winter, summer = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert part_step_s(winter.timestamp(), summer.timestamp(), lord_howe) == 900


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../../etc/passwd", "", "a" * 64, "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="unknown time zone"):
        time_zone(name)


@pytest.mark.sockets
@pytest.mark.parametrize(("day", "length"), [(SPRING, 23), (AUTUMN, 25)])
async def test_history_is_aggregated_by_local_days(
    tmp_path: Path, day: datetime, length: int
) -> None:
    async with serving(tmp_path, keep=RetentionPolicy(readings_days=None)) as served:
        begin = day.timestamp()
        for hour in range(length + 1):
            served.gateway.send("n", "temperature", f"{hour}°C", begin + hour * 3600)
        await served.known("n")
        await served.until(length + 2)
        query = f"from={begin:.0f}&to={begin + 2 * 86_400:.0f}&every=86400&agg=count,mean,max"
        path = "/api/nodes/n/resources/temperature/history"
        body = await served.json(f"{path}?{query}&tz=Europe/Paris")
        assert [(it["ts"], it["count"], it["max"]) for it in body["readings"]] == [
            (begin, length, length - 1),
            (begin + length * 3600, 1, length),
        ]
        for wrong in ("tz=Europe/Atlantis", "tz=../x", "tz=Europe/Paris&every=3600"):
            other = query.replace("&every=86400", "") if "every" in wrong else query
            body = await served.json(f"{path}?{other}&{wrong}", status=400)
            assert body["type"].endswith("bad-request")
        body = await served.json(f"{path}?{query}&tz=Europe/Paris&limit=1", status=413)
        assert body["type"].endswith("too-many-rows")
