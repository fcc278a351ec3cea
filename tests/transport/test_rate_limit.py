# SPDX-License-Identifier: BSD-3-Clause
"""Rate limits: the bucket of one number is a bucket like the other."""

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.transport.rate_limit import RateLimit, SharedRate


def test_burst_passes_at_once_then_the_rate() -> None:
    rate = SharedRate(per_s=20.0, burst=100.0)
    full_at, now = 0.0, 1e6
    for _ in range(100):
        full_at, wait_s = rate.take(full_at, now)
        assert wait_s == 0.0
    unchanged, wait_s = rate.take(full_at, now)
    assert unchanged == full_at
    assert round(wait_s, 6) == 0.05
    full_at, wait_s = rate.take(full_at, now + 0.05)
    assert wait_s == 0.0


@given(
    st.sampled_from((0.5, 2.0, 20.0, 1000.0)),
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 100)), max_size=60),
)
def test_bucket_of_one_number_admits_what_a_bucket_admits(
    per_s: float, burst: int, takes: list[tuple[int, int]]
) -> None:
    now = 4096.0
    shared, full_at = SharedRate(per_s=per_s, burst=burst), now
    plain = RateLimit(per_s=per_s, burst=burst, now=now)
    for pause, count in takes:
        now += pause / 128  # exact in binary, so that both round the same way
        one = shared.take_one(full_at, now)
        after_one, wait_for_one_s = shared.take(full_at, now)
        assert one == (None if wait_for_one_s else after_one)
        full_at, wait_s = shared.take(full_at, now, min(count, burst))
        assert abs(wait_s - plain.take(now, min(count, burst))) < 1e-5
