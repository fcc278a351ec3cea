# SPDX-License-Identifier: BSD-3-Clause
"""The bytes that may be sent to unverified hosts."""

from pyaiot.transport.anti_amplification import AmplificationLimit


def test_unverified_host_gets_three_times_the_bytes_it_sent() -> None:
    it = AmplificationLimit()
    assert not it.take("a", 1)
    it.received("a", 10)
    assert it.take("a", 20)
    assert it.credit("a") == 10
    assert not it.take("a", 11)
    assert it.take("a", 10)
    assert not it.take("b", 1)
    assert it.held_back == 3


def test_verified_host_has_no_limit() -> None:
    it = AmplificationLimit()
    it.received("a", 1)
    it.verify("a")
    assert it.take("a", 10**6)
    assert it.credit("a") is None


def test_hosts_are_bounded_and_the_oldest_is_forgotten() -> None:
    it = AmplificationLimit(unverified_max=10, verified_max=10)
    for number in range(100):
        it.received(f"unproved {number}", 10)
        it.verify(f"proved {number}")
    assert len(it) == 10
    assert not it.take("unproved 89", 1)
    assert it.take("unproved 99", 1)
    assert not it.take("proved 89", 1)
    assert it.take("proved 99", 10**6)
