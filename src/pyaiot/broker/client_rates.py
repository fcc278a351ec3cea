# SPDX-License-Identifier: BSD-3-Clause
"""How many commands each client may send. Pure: `now` is the loop's time in seconds."""

from typing import Final

from pyaiot.transport.rate_limit import RateLimit

COMMANDS_PER_S: Final = 20.0
COMMANDS_BURST: Final = 40.0
"""Rate of commands of one client. Beyond that, they are answered `forbidden` and not sent."""


class ClientRates:
    """The rates of the connected clients."""

    def __init__(self) -> None:
        self._rates: dict[str, RateLimit] = {}

    def take(self, client: str, now: float) -> bool:
        """Count a command. False: it is one too many."""
        rate = self._rates.get(client)
        if rate is None:
            rate = self._rates[client] = RateLimit(
                per_s=COMMANDS_PER_S, burst=COMMANDS_BURST, now=now
            )
        return not rate.take(now)

    def forget(self, client: str) -> None:
        """The client has left."""
        self._rates.pop(client, None)
