# SPDX-License-Identifier: BSD-3-Clause
"""Tokens and sessions that were looked up recently: a program sends many requests with one.

A lookup in the file costs a request a third of its time. What is remembered is dropped when the
file changed, which a call of `stat` shows, and after `REMEMBERED_S` in any case.
"""

import time
from collections.abc import Callable
from typing import Final

from pyaiot.accounts.records import UserSession
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import Token

REMEMBERED_S: Final = 0.5
"""How long a token or a session is remembered. Access that was removed ends within this time, as
that of open connections."""
LOOK_INTERVAL_S: Final = 0.02
"""Between two looks whether another process changed the file. Changes by this process count at
once."""
REMEMBERED_MAX: Final = 1000
"""Tokens and sessions that are remembered. With one more, all are looked up again."""


class RecentAccess:
    """Remembers what was found; what was not found is looked up each time."""

    def __init__(self, accounts: AccountsFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = accounts
        self._clock = clock
        self._found: dict[bytes, Token | UserSession] = {}
        self._stamp: object = None
        self._changes: object = None
        self._until = 0.0
        self._look_at = 0.0

    def token_with(self, digest: bytes) -> Token | None:
        """See `AccountsFile.token_with`."""
        self._drop_old()
        known = self._found.get(digest)
        if isinstance(known, Token):
            return known
        token = self._accounts.token_with(digest)
        if token is not None:
            self._found[digest] = token
        return token

    def session(self, digest: bytes, now: float) -> UserSession | None:
        """See `AccountsFile.session`."""
        self._drop_old()
        known = self._found.get(digest)
        if isinstance(known, UserSession) and now < known.expires_at:
            return known
        session = self._accounts.session(digest, now)
        if session is not None:
            self._found[digest] = session
        return session

    def _drop_old(self) -> None:
        now, changes = self._clock(), self._accounts.own_changes
        stamp = self._stamp if now < self._look_at else self._accounts.stamp()
        if (
            now >= self._until
            or stamp != self._stamp
            or changes != self._changes
            or len(self._found) >= REMEMBERED_MAX
        ):
            self._found.clear()
            self._stamp, self._changes = self._accounts.stamp(), changes
            self._until, self._look_at = now + REMEMBERED_S, now + LOOK_INTERVAL_S
        elif now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL_S
