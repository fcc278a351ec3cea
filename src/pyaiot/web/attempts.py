# SPDX-License-Identifier: BSD-3-Clause
"""The rate limit of attempts to sign in, by address and by name of the user. Pure.

A class of thirty behind one router signs in at the same time, with some typing errors: an address
may fail more often the more users signed in from it. And nobody keeps a user out by trying that
name from elsewhere: an address from which the user signed in before has attempts of its own. The
addresses of one IPv6 network of 64 bits count as one.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from pyaiot.transport.connection_table import principal_of

ATTEMPTS_PER_MINUTE: Final = 5
"""Failed attempts of one address, and for one name, at once and in a minute. Further attempts are
answered 429. Links that are not valid count on their own; valid ones are not limited."""
USERS_OF_ADDRESS_MAX: Final = 95
"""An address may fail once more in a minute for each user who signed in from it since the start of
the broker. Users beyond this number do not count."""
ATTEMPTS_REMEMBERED_MAX: Final = 10_000
"""Addresses and names with attempts, and users with an address, that are remembered. Beyond that,
the oldest is forgotten."""

_MINUTE_S: Final = 60.0
_Key: TypeAlias = tuple[str, ...]


class _Failures:
    """Failed attempts of one address or name, those of long ago forgotten."""

    __slots__ = ("_at", "_count")

    def __init__(self, now: float) -> None:
        self._count = 0.0
        self._at = now

    def has_room(self, most: int, now: float) -> bool:
        """Whether one more is within `most` in a minute."""
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
        """Addresses with the names of the users who signed in from them."""
        self._users_of: Counter[str] = Counter()
        """Such users of each address."""

    def take(self, address: str, name: str) -> bool:
        """Count an attempt with a password. False: it is one too many, and must be refused.

        Call `succeeded` if the password is right: then it does not count.
        """
        now = self._clock()
        found = []
        for key, most in self._limits(address, name):
            # The address first: what it may not try is not remembered.
            failures = self._of(key)
            if not failures.has_room(most, now):
                return False
            found.append(failures)
        for failures in found:
            failures.add(1)
        return True

    def take_link(self, address: str) -> bool:
        """Count a link that is not valid. False: it is one too many."""
        failures = self._of(("link", _network(address)))
        has_room = failures.has_room(ATTEMPTS_PER_MINUTE, self._clock())
        failures.add(int(has_room))
        return has_room

    def succeeded(self, address: str, name: str) -> None:
        """The user signed in with the password: the attempt that was taken does not count."""
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
        """What an attempt counts for, and how many of each may fail in a minute."""
        network = _network(address)
        name = name[:64]  # a longer one belongs to no user
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
    """An address, or a network of IPv6."""
    return principal_of(address) or address
