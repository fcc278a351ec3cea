# SPDX-License-Identifier: BSD-3-Clause
"""The rate limit of attempts to sign in, by address and by user name. Pure.

A class of thirty people behind one router signs in at the same time, with some typing errors: the
limit of an address grows with the number of users who signed in from it. Attempts from other
addresses do not lock a user out: an address from which the user signed in before has its own limit.

All addresses of an IPv6 network of 64 bits count as one.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from pyaiot.transport.connection_table import principal_of

ATTEMPTS_PER_MINUTE: Final = 5
"""Largest number of failed attempts per minute of one address, and for one name. Further attempts
are answered 429. Invalid links are counted separately; valid ones are not limited."""
USERS_OF_ADDRESS_MAX: Final = 95
"""Largest number of users by which the limit of an address grows: one more failure per minute for
each user who signed in from it since the start of the broker."""
ATTEMPTS_REMEMBERED_MAX: Final = 10_000
"""Largest number of addresses and names with attempts, and of users with an address. Beyond it the
oldest is forgotten."""

_MINUTE_S: Final = 60.0
_Key: TypeAlias = tuple[str, ...]


class _Failures:
    """Recent failed attempts of one address or name."""

    __slots__ = ("_at", "_count")

    def __init__(self, now: float) -> None:
        self._count = 0.0
        self._at = now

    def has_room(self, most: int, now: float) -> bool:
        """Whether a further attempt is within `most` per minute."""
        self._count = max(0.0, self._count - (now - self._at) * most / _MINUTE_S)
        self._at = now
        return self._count + 1 < most + 1e-6

    def add(self, change: int) -> None:
        self._count = max(0.0, self._count + change)


class Attempts:
    """`clock` is monotonic, in seconds. `address` is an IP address."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[_Key, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The names of the users who signed in from each address."""
        self._users_of: Counter[str] = Counter()
        """The number of such users of each address."""

    def take(self, address: str, name: str) -> bool:
        """Count an attempt with a password. Returns False if it exceeds the limit and must be
        refused. If the password is right, call `succeeded`: the attempt is then not counted."""
        now = self._clock()
        found = []
        for key, most in self._limits(address, name):
            # The address is checked first: a name is not remembered for a refused attempt.
            failures = self._of(key)
            if not failures.has_room(most, now):
                return False
            found.append(failures)
        for failures in found:
            failures.add(1)
        return True

    def take_link(self, address: str) -> bool:
        """Count an invalid link. Returns False if it exceeds the limit."""
        failures = self._of(("link", _network(address)))
        has_room = failures.has_room(ATTEMPTS_PER_MINUTE, self._clock())
        failures.add(int(has_room))
        return has_room

    def succeeded(self, address: str, name: str) -> None:
        """Do not count the attempt: the user signed in with the password."""
        for key, _ in self._limits(address, name):
            self._of(key).add(-1)
        known = (_network(address), name)
        if known not in self._known:
            if len(self._known) >= ATTEMPTS_REMEMBERED_MAX:
                (network, _), _ = self._known.popitem(last=False)
                self._users_of[network] -= 1
                if not self._users_of[network]:
                    del self._users_of[network]
            self._users_of[known[0]] += 1
        self._known[known] = None
        self._known.move_to_end(known)
        self._failures.pop(("name", *known), None)

    def _limits(self, address: str, name: str) -> list[tuple[_Key, int]]:
        """The keys under which an attempt is counted, and the limit of each per minute."""
        network = _network(address)
        name = name[:64]  # no user has a longer name
        own: _Key = ("name", network, name) if (network, name) in self._known else ("name", name)
        users = min(self._users_of[network], USERS_OF_ADDRESS_MAX)
        return [
            (("address", network), ATTEMPTS_PER_MINUTE + users),
            (own, ATTEMPTS_PER_MINUTE),
        ]

    def _of(self, key: _Key) -> _Failures:
        failures = self._failures.get(key)
        if failures is None:
            if len(self._failures) >= ATTEMPTS_REMEMBERED_MAX:
                self._failures.popitem(last=False)
            failures = self._failures[key] = _Failures(self._clock())
        self._failures.move_to_end(key)
        return failures


def _network(address: str) -> str:
    """An IPv4 address, or the network of an IPv6 address."""
    return principal_of(address) or address
