# SPDX-License-Identifier: BSD-3-Clause
"""The rate limit of unknown peers."""

from pyaiot.transport.host_rate_limit import HostRateLimit, Rate


def test_host_has_a_burst_then_its_rate_and_gets_the_time_to_wait() -> None:
    it = HostRateLimit(Rate(per_s=2.0, burst=3.0), Rate(per_s=100.0, burst=100.0))
    assert [it.take("a", now=0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert it.take("b", now=0.0) == 0.0
    assert it.take("a", now=0.5) == 0.0
    assert it.refused == 1


def test_all_together_have_a_limit_that_no_number_of_addresses_gets_around() -> None:
    it = HostRateLimit(Rate(per_s=1.0, burst=10.0), Rate(per_s=5.0, burst=20.0))
    taken = [it.take(f"host {number}", now=0.0) for number in range(1000)]
    assert taken.count(0.0) == 20
    assert taken.count(None) == 980
    assert it.take("another", now=1.0) == 0.0


def test_remembered_hosts_are_bounded_and_the_oldest_is_forgotten() -> None:
    it = HostRateLimit(Rate(per_s=1.0, burst=1.0), Rate(per_s=1e6, burst=1e6), hosts_max=10)
    for number in range(100):
        it.take(f"host {number}", now=0.0)
    assert len(it) == 10
    assert it.take("host 99", now=0.0) == 1.0
    assert it.take("host 0", now=0.0) == 0.0


def test_hosts_whose_bucket_is_full_are_forgotten() -> None:
    it = HostRateLimit(Rate(per_s=1.0, burst=5.0), Rate(per_s=1e6, burst=1e6))
    for number in range(1000):
        it.take(f"host {number}", now=float(number) * 0.1)
    assert len(it) <= 11
    assert it.take("host 999", now=100.0) == 0.0


def test_host_that_keeps_sending_is_not_forgotten_before_idle_ones() -> None:
    it = HostRateLimit(Rate(per_s=1.0, burst=2.0), Rate(per_s=1e6, burst=1e6), hosts_max=10)
    it.take("busy", now=0.0)
    for number in range(100):
        it.take(f"host {number}", now=0.0)
        it.take("busy", now=0.0)
    assert it.take("busy", now=0.0) > 0.0  # type: ignore[operator]
