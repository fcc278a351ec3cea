# SPDX-License-Identifier: BSD-3-Clause
"""The limit of attempts to sign in: guessing is slow, and nobody is kept out by others."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pyaiot.web import attempts
from pyaiot.web.attempts import ATTEMPTS_REMEMBERED_MAX, USERS_OF_ADDRESS_MAX, Attempts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(limit: Attempts, address: str, name: str, tries: int = 100) -> int:
    """How many of these attempts are checked, if all are wrong."""
    return sum(limit.take(address, name) for _ in range(tries))


def test_five_attempts_a_minute_may_fail() -> None:
    clock = Clock()
    limit = Attempts(clock)
    assert allowed(limit, "192.0.2.1", "ada") == 5
    clock.now += 11.9
    assert not limit.take("192.0.2.1", "ada")
    clock.now += 0.2
    assert allowed(limit, "192.0.2.1", "ada") == 1
    clock.now += 3600.0
    assert allowed(limit, "192.0.2.1", "ada") == 5


def test_one_address_tries_five_times_whatever_the_names() -> None:
    limit = Attempts(Clock())
    assert sum(limit.take("192.0.2.1", f"name-{n}") for n in range(100)) == 5


def test_one_name_is_tried_five_times_whatever_the_addresses() -> None:
    limit = Attempts(Clock())
    assert sum(limit.take(f"192.0.2.{n}", "ada") for n in range(100)) == 5


def test_all_addresses_of_one_ipv6_network_count_as_one() -> None:
    limit = Attempts(Clock())
    addresses = [f"2001:db8:1:2::{n:x}" for n in range(1, 100)]
    assert sum(limit.take(address, f"n{address}") for address in addresses) == 5
    assert limit.take("2001:db8:1:3::1", "other")
    assert sum(limit.take(f"::ffff:192.0.2.{n}", f"x{n}") for n in range(1, 100)) > 90
    assert allowed(limit, "::ffff:198.51.100.7", "y", 3) == 3
    assert allowed(limit, "198.51.100.7", "z", 3) == 2, "the same address, in its other form"


def test_class_of_thirty_behind_one_address_signs_in_at_once() -> None:
    limit = Attempts(Clock())
    for n in range(30):
        assert limit.take("192.0.2.1", f"pupil-{n}")
        limit.succeeded("192.0.2.1", f"pupil-{n}")


def test_every_third_of_a_class_makes_a_typing_error() -> None:
    limit = Attempts(Clock())
    for n in range(30):
        if n % 3 == 0:
            assert limit.take("192.0.2.1", f"pupil-{n}")
        assert limit.take("192.0.2.1", f"pupil-{n}")
        limit.succeeded("192.0.2.1", f"pupil-{n}")


def test_user_who_signs_in_again_and_again_gains_one_attempt() -> None:
    limit = Attempts(Clock())
    guesses = 0
    for _ in range(50):
        guesses += sum(limit.take("192.0.2.1", f"victim-{n}") for n in range(4))
        if limit.take("192.0.2.1", "mallory"):
            limit.succeeded("192.0.2.1", "mallory")
    assert guesses <= 6


def test_user_is_not_kept_out_by_somebody_elsewhere() -> None:
    clock = Clock()
    limit = Attempts(clock)
    assert limit.take("192.0.2.1", "ada")
    limit.succeeded("192.0.2.1", "ada")
    for _ in range(100):
        clock.now += 1.0
        limit.take("203.0.113.9", "ada")
        assert limit.take("192.0.2.1", "ada")
        limit.succeeded("192.0.2.1", "ada")
    assert not limit.take("198.51.100.1", "ada"), "elsewhere, the name is limited"


def test_invalid_links_count_on_their_own() -> None:
    limit = Attempts(Clock())
    assert sum(limit.take_link("192.0.2.1") for _ in range(30)) == 5
    assert limit.take("192.0.2.1", "ada")


def test_refused_attempts_push_out_nobody() -> None:
    limit = Attempts(Clock())
    assert allowed(limit, "192.0.2.1", "ada") == 5
    for n in range(2 * ATTEMPTS_REMEMBERED_MAX):
        assert not limit.take("192.0.2.1", f"name-{n}")
    assert not limit.take("192.0.2.2", "ada")


def test_what_is_remembered_is_bounded() -> None:
    limit = Attempts(Clock())
    for n in range(ATTEMPTS_REMEMBERED_MAX + 500):
        address = str(ipaddress.ip_address(0xCB007100 + n))
        assert limit.take(address, f"u{n}")
        limit.succeeded(address, f"u{n}")
    assert len(limit._failures) <= ATTEMPTS_REMEMBERED_MAX
    assert len(limit._known) <= ATTEMPTS_REMEMBERED_MAX
    assert limit._users_of.total() == len(limit._known) == len(limit._users_of)


def test_many_users_of_one_address_give_bounded_attempts() -> None:
    limit = Attempts(Clock())
    for n in range(USERS_OF_ADDRESS_MAX + 200):
        limit.take("192.0.2.1", f"u{n}")
        limit.succeeded("192.0.2.1", f"u{n}")
    failed = sum(limit.take("192.0.2.1", f"v{n}") for n in range(1000))
    assert failed == attempts.ATTEMPTS_PER_MINUTE + USERS_OF_ADDRESS_MAX


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "", "x"]),
            st.sampled_from(["ada", "bob", "", "x" * 100]),
            st.booleans(),
            st.floats(0, 30),
        ),
        max_size=60,
    )
)
def test_no_name_fails_more_than_five_times_in_a_minute_from_new_addresses(
    steps: list[tuple[str, str, bool, float]],
) -> None:
    clock = Clock()
    limit = Attempts(clock)
    failures: dict[str, list[float]] = {}
    known: set[tuple[str, str]] = set()
    for address, name, right, pause in steps:
        clock.now += pause
        if not limit.take(address, name):
            continue
        network = address[:8]
        if right:
            limit.succeeded(address, name)
            known.add((network, name))
        elif (network, name) not in known:
            times = failures.setdefault(name[:64], [])
            times.append(clock.now)
            # A bucket: five at once, and five more while a minute passes.
            assert sum(clock.now - 60.0 < it for it in times) <= 10
