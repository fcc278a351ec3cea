# SPDX-License-Identifier: BSD-3-Clause
"""What one listener tells of strangers: counted, and logged seldom."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from pyaiot.transport.rate_limit import RateLimitedLog


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's server, without a traceback for each stranger's wrong bytes."""

    def __init__(self, refused: Callable[[HttpProcessingError], None]) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self.refused_connections = 0
        """Connections that were refused or closed because too many were open."""
        self.late_connections = 0
        """Connections that were closed because their request did not come in time."""
        self.refused_answers = 0
        """Answers that were refused or cut off because too much waited to be read."""
        self._refused = refused
        self._limited = RateLimitedLog(logging.getLogger(__name__))

    def log(self, level: int, msg: object, *args: object, **details: Any) -> None:
        error = details.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self._refused(error)
        else:
            super().log(level, msg, *args, **details)

    def connection_refused(self, address: str, reason: object) -> None:
        self.refused_connections += 1
        self._warn("a connection of %s was refused: %s", address, reason)

    def connection_late(self, address: str, what: str, limit_s: float) -> None:
        self.late_connections += 1
        self._warn("a connection of %s was closed: %s came in %s s", address, what, round(limit_s))

    def answer_refused(self, address: str, reason: object) -> None:
        self.refused_answers += 1
        self._warn("an answer to %s was refused or cut off: %s", address, reason)

    def _warn(self, text: str, *details: object) -> None:
        self._limited.warning(text, *details, now=asyncio.get_running_loop().time())
