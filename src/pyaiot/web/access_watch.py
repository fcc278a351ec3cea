# SPDX-License-Identifier: BSD-3-Clause
"""Ends connections whose access was removed or has expired.

One check twice a second serves all connections. It reads the accounts only if they have changed, if
a connection was opened since the last check, or if access expires.
"""

import itertools
import logging
import math
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from pyaiot.accounts.records import GatewayToken
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import digest_of
from pyaiot.errors import OperatorError
from pyaiot.transport.timer import wait_for_check

CHECK_INTERVAL_S: Final = 0.5
"""Interval between checks. A connection ends within this time after its access expired or was
removed."""
ENDED: Final = "the access of this connection was removed or has expired"

End: TypeAlias = Callable[[str], None]
"""Ends a connection at once, for a reason. Never waits."""

log = logging.getLogger(__name__)


class AccessWatch:
    """Open connections, by the digest of the secret that opened them."""

    def __init__(
        self,
        accounts: AccountsFile,
        *,
        gateways_changed: Callable[[frozenset[str]], None] = lambda _names: None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`gateways_changed` is called with the names of the gateways that have tokens."""
        self.accounts = accounts
        self.ended = 0
        """Number of connections that were ended."""
        self._gateways_changed = gateways_changed
        self._unix_time = unix_time
        self._open: dict[bytes, dict[int, End]] = {}
        self._numbers = itertools.count()
        self._seen: object = None
        """Version of the accounts when they were last read; None: they must be read."""
        self._expires_at = math.inf
        """When the access of an open connection expires next."""
        self._failure = ""

    def gateway_token(self, secret: str) -> GatewayToken | None:
        """The valid token with this secret. Raises `OperatorError` if the file cannot be read."""
        return self.accounts.gateway_token_with(digest_of(secret), self._unix_time())

    def opened(self, digest: bytes, end: End) -> Callable[[], None]:
        """Register a connection that was opened with the secret of this digest. Call the result
        when the connection is closed. `end` is called once, if the access ends first."""
        number = next(self._numbers)
        self._open.setdefault(digest, {})[number] = end
        self._seen = None  # the access may have been removed since the request was checked

        def closed() -> None:
            connections = self._open.get(digest, {})
            connections.pop(number, None)
            if not connections:
                self._open.pop(digest, None)

        return closed

    def check(self) -> None:
        """End connections without valid access. If the accounts cannot be read, nothing is
        ended."""
        now = self._unix_time()
        try:
            self.accounts.refresh()
            version = self.accounts.version
            if version == self._seen and now < self._expires_at:
                return
            valid = self.accounts.valid_until(now)
            names = frozenset(token.gateway for token in self.accounts.gateway_tokens())
        except OperatorError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                log.error("access cannot be checked: %s", error)  # noqa: TRY400 - no traceback
            return
        self._failure = ""
        self._seen = version
        self._gateways_changed(names)
        for digest in self._open.keys() - valid.keys():
            for end in self._open.pop(digest).values():
                self.ended += 1
                end(ENDED)
        self._expires_at = min((valid[digest] for digest in self._open), default=math.inf)

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            self.check()
            await wait_for_check(CHECK_INTERVAL_S)
