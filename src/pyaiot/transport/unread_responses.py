# SPDX-License-Identifier: BSD-3-Clause
"""Limits the memory that responses hold which their clients have not read yet. Pure."""

from collections import Counter
from typing import Final, Protocol

from pyaiot.errors import Refused

UNREAD_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of unread responses of one listener. At the limit, the oldest response is aborted if it is
older than `UNREAD_GRACE_S`; else the new request is answered 503."""
UNREAD_SHARE: Final = 0.5
"""The share of these that one address may hold. More: 503. Loopback is exempt."""
SMALL_RESPONSE_BYTES_MAX: Final = 64 * 1024
"""Responses up to this size have a reserve of as many bytes, which larger ones cannot use."""
TINY_RESPONSE_BYTES_MAX: Final = 4 * 1024
"""Responses up to this size, such as that of `/healthz`, are never refused."""
UNREAD_GRACE_S: Final = 10.0
"""A response that is younger is never aborted in favour of another one."""
UNREAD_LIMIT_S: Final = 30.0
"""A client that reads nothing of its response for this time is disconnected."""


class Receiver(Protocol):
    """The connection that a response is written to."""

    def unread(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        ...


class _Response:
    __slots__ = ("principal", "since", "size", "writing")

    def __init__(self, principal: str, size: int, since: float) -> None:
        self.principal = principal
        self.size = size
        self.since = since
        self.writing = True


class UnreadResponses:
    """At most one response per connection. `now` is the time of the loop in seconds."""

    def __init__(self, total_max: int = UNREAD_BYTES_MAX) -> None:
        self.size = 0
        """Bytes, at the last update."""
        self._total_max = total_max
        self._share = int(total_max * UNREAD_SHARE)
        self._responses: dict[Receiver, _Response] = {}
        self._held: Counter[str] = Counter()

    def admit(self, receiver: Receiver, principal: str, size: int, now: float) -> list[Receiver]:
        """Reserve memory for a response. Returns the receivers that the caller must disconnect.

        Raises `Refused` at the limit.
        """
        self.remove(receiver)
        if self._lacks_room(principal, size):
            self._refresh()
        cut_off: list[Receiver] = []
        while self._lacks_room(principal, size):
            oldest = self._oldest(principal if self._over_share(principal, size) else "")
            if oldest is None or now - self._responses[oldest].since < UNREAD_GRACE_S:
                raise Refused("too many responses are unread")
            self.remove(oldest)
            cut_off.append(oldest)
        self._responses[receiver] = _Response(principal, size, now)
        self._count(principal, size)
        return cut_off

    def written(self, receiver: Receiver) -> None:
        """The complete response was written to the socket."""
        response = self._responses.get(receiver)
        if response is not None:
            response.writing = False
            self._update(receiver, response)

    def remove(self, receiver: Receiver) -> None:
        """The connection was closed, or its response was read."""
        response = self._responses.pop(receiver, None)
        if response is not None:
            self._count(response.principal, -response.size)

    def _lacks_room(self, principal: str, size: int) -> bool:
        """A single response may have any size."""
        if size <= TINY_RESPONSE_BYTES_MAX:
            return False
        room = self._total_max * _factor(size)
        return (self.size > 0 and self.size + size > room) or self._over_share(principal, size)

    def _over_share(self, principal: str, size: int) -> bool:
        held = self._held[principal] if principal else 0
        return held > 0 and held + size > self._share * _factor(size)

    def _refresh(self) -> None:
        for receiver, response in list(self._responses.items()):
            self._update(receiver, response)

    def _update(self, receiver: Receiver, response: _Response) -> None:
        unread = receiver.unread()
        if response.writing and not unread:
            return  # nothing was written yet
        self._count(response.principal, unread - response.size)
        response.size = unread
        if not unread:
            del self._responses[receiver]

    def _oldest(self, principal: str) -> Receiver | None:
        for receiver, response in self._responses.items():
            if not principal or response.principal == principal:
                return receiver
        return None

    def _count(self, principal: str, size: int) -> None:
        self.size += size
        if principal:
            self._held[principal] += size
            if not self._held[principal]:
                del self._held[principal]


def _factor(size: int) -> int:
    return 2 if size <= SMALL_RESPONSE_BYTES_MAX else 1
