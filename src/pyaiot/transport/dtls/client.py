# SPDX-License-Identifier: BSD-3-Clause
"""A DTLS client that opens a session when it has something to send or has lost the old one.

It touches no socket, clock or task; `now` is the loop's time in seconds.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.psk_context import PskContext

UNANSWERED_S: Final = 10.0
"""A session in which something was sent, and nothing was received for this long, is replaced by a
new one: the server may have restarted, and does not answer records of its earlier sessions."""
WAITING_MAX: Final = 32
"""Largest number of plaintexts that wait for a session. Beyond it the oldest is dropped."""


class DtlsClient:
    """After each call, send what `datagrams_to_send` returns. Call `handle_timer` when due."""

    def __init__(self, context: PskContext) -> None:
        self.failure = ""
        """Why the last session or handshake ended."""
        self.handshakes = 0
        """Number of handshakes that were begun."""
        self._context = context
        self._connection: DtlsConnection | None = None
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._outgoing: list[bytes] = []
        self._unanswered_since: float | None = None

    @property
    def is_established(self) -> bool:
        return self._connection is not None and self._connection.is_established

    def send(self, plaintext: bytes, *, now: float) -> None:
        """Send in the session, or as soon as there is one."""
        connection = self._connection
        if connection is None:
            self._waiting.append(plaintext)
            self._begin(now)
        elif connection.is_established:
            self._outgoing.append(connection.encrypt(plaintext))
            if self._unanswered_since is None:
                self._unanswered_since = now
        else:
            self._waiting.append(plaintext)

    def receive_datagram(self, datagram: bytes, *, now: float) -> Sequence[bytes]:
        """Process a datagram of the server. Returns the plaintexts in it."""
        connection = self._connection
        if connection is None:
            return ()
        was_established = connection.is_established
        plaintexts = connection.receive_datagram(datagram)
        if plaintexts:
            self._unanswered_since = None
        if connection.is_established and not was_established:
            waiting, self._waiting = self._waiting, deque(maxlen=WAITING_MAX)
            for plaintext in waiting:
                self.send(plaintext, now=now)
        self._check()
        return plaintexts

    def datagrams_to_send(self) -> list[bytes]:
        if self._connection is not None:
            self._outgoing = [*self._connection.datagrams_to_send(), *self._outgoing]
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        connection = self._connection
        if connection is None:
            return None
        if not connection.is_established:
            return connection.get_timer()
        return None if self._unanswered_since is None else self._unanswered_since + UNANSWERED_S

    def handle_timer(self, *, now: float) -> None:
        """Retransmit, or begin again."""
        connection = self._connection
        if connection is None:
            return
        if not connection.is_established:
            connection.handle_timer(now=now)
            self._check()
            if self._connection is None and self._waiting:
                self._begin(now)
        elif self._unanswered_since is not None and now >= self._unanswered_since + UNANSWERED_S:
            self.failure = "the server does not answer"
            self._begin(now)

    def close(self) -> None:
        """End the session, with a close_notify."""
        if self._connection is not None:
            self._connection.close()
            self._check()

    def forget(self) -> None:
        """Drop the session without a close_notify, like a board that reboots."""
        self._connection = None
        self._unanswered_since = None
        self._waiting.clear()

    def _begin(self, now: float) -> None:
        self._unanswered_since = None
        self.handshakes += 1
        self._connection = DtlsConnection.connect(self._context, now=now)

    def _check(self) -> None:
        """Forget a connection that has ended."""
        connection = self._connection
        if connection is not None and connection.failure is not None:
            self.failure = connection.failure
            self._outgoing.extend(connection.datagrams_to_send())
            self._connection = None
            self._unanswered_since = None
