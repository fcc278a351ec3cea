# SPDX-License-Identifier: BSD-3-Clause
"""The rate limit of commands of each client. Pure: `now` is the loop's time in seconds."""

from typing import Final

from pyaiot.transport.rate_limit import RateLimit

COMMANDS_PER_S: Final = 20.0
COMMANDS_BURST: Final = 40.0
"""Rate limit and burst of commands of one client. Further commands are answered `forbidden` and not
sent."""


class ClientRates:
    """The rates of the connected clients."""

    def __init__(self) -> None:
        self._rates: dict[str, RateLimit] = {}

    def take(self, client: str, now: float) -> bool:
        """Count a command. Returns False if it exceeds the limit."""
        rate = self._rates.get(client)
        if rate is None:
            rate = self._rates[client] = RateLimit(
                per_s=COMMANDS_PER_S, burst=COMMANDS_BURST, now=now
            )
        return not rate.take(now)

    def forget(self, client: str) -> None:
        """Forget a client that has left."""
        self._rates.pop(client, None)
