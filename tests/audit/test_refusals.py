# SPDX-License-Identifier: BSD-3-Clause
"""Refused attempts have a share of the audit log."""

from pyaiot.audit.refusals import PRINCIPALS_MAX, RefusalShares


def test_one_principal_is_recorded_ten_times_and_then_counted() -> None:
    shares = RefusalShares(0.0)
    assert [shares.take("a", 0.0) for _ in range(12)] == [0] * 10 + [None, None]
    assert shares.take("b", 0.0) == 0
    assert shares.take("a", 6.0) == 2
    assert shares.suppressed == 2


def test_all_principals_together_are_recorded_a_hundred_times() -> None:
    shares = RefusalShares(0.0)
    assert sum(shares.take(f"a{n}", 0.0) is not None for n in range(500)) == 100


def test_table_of_principals_does_not_grow() -> None:
    shares = RefusalShares(0.0)
    for n in range(3 * PRINCIPALS_MAX):
        shares.take(f"a{n}", float(n))
    assert len(shares._shares) == PRINCIPALS_MAX
