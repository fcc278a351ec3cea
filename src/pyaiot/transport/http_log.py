# SPDX-License-Identifier: BSD-3-Clause
"""Counts and logs what clients of one HTTP listener cause, at a limited rate."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from pyaiot.transport.rate_limit import RateLimitedLog


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The logger of aiohttp's server, without a traceback for each invalid request."""

    def __init__(self, refused: Callable[[HttpProcessingError], None]) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self.refused_connections = 0
        """Connections that were refused or closed at the limit of open connections."""
        self.timed_out_connections = 0
        """Connections that were closed because their request did not arrive in time."""
        self.refused_responses = 0
        """Responses that were refused or aborted because clients did not read them."""
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
        self._warn("refused a connection from %s: %s", address, reason)

    def connection_timed_out(self, address: str, missing: str, limit_s: float) -> None:
        self.timed_out_connections += 1
        self._warn("closed a connection from %s: %s in %s s", address, missing, round(limit_s))

    def response_refused(self, address: str, reason: object) -> None:
        self.refused_responses += 1
        self._warn("refused or aborted a response to %s: %s", address, reason)

    def _warn(self, text: str, *details: object) -> None:
        self._limited.warning(text, *details, now=asyncio.get_running_loop().time())
