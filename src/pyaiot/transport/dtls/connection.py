# SPDX-License-Identifier: BSD-3-Clause
"""One end of a DTLS session: OpenSSL without a socket. Pure.

`now` is the loop's time in seconds. Flights of the handshake are retransmitted on that clock, and
not on that of OpenSSL; their records get new sequence numbers, as RFC 6347 section 4.2.4 requires.
"""

from collections.abc import Sequence
from typing import Final

from OpenSSL import SSL

from pyaiot.protocols.dtls.client_hello import ClientHello
from pyaiot.protocols.dtls.numbers import ContentType
from pyaiot.protocols.dtls.records import HEADER_BYTES, DtlsRecord, datagrams_of, read_records
from pyaiot.transport.dtls.psk_context import MTU, PskContext

RETRANSMIT_S: Final = 1.0
"""Delay of the first retransmission of a flight (RFC 6347 section 4.2.4.1). It is doubled each
time."""
HANDSHAKE_LIMIT_S: Final = 30.0
"""Longest time of a handshake. After that it is abandoned."""
EARLY_MAX: Final = 4
"""Largest number of datagrams that overtook the ClientKeyExchange and are held until it arrives.
Further ones are lost."""
_READ_BYTES: Final = 65_536


class DtlsConnection:
    """A handshake, then a session. `failure` is set when either ends."""

    __slots__ = (
        *(
            "_context",
            "_early",
            "_flight",
            "_interval_s",
            "_outgoing",
            "_retransmit_at",
            "_sequence",
            "_ssl",
        ),
        *("abandon_at", "failure", "identity", "is_established", "is_known"),
    )

    def __init__(self, context: PskContext, *, now: float, sequence: int = 0) -> None:
        """Private: use `accept` or `connect`."""
        self._context = context
        self._ssl = SSL.Connection(context.context, None)
        self._ssl.set_ciphertext_mtu(MTU)
        self._sequence = sequence
        """Sequence number of the next record in epoch 0."""
        self._flight: list[DtlsRecord] = []
        self._early: list[bytes] = []
        self._outgoing: list[bytes] = []
        self._interval_s = RETRANSMIT_S
        self._retransmit_at = now + RETRANSMIT_S
        self.abandon_at = now + HANDSHAKE_LIMIT_S
        self.is_established = False
        self.failure: str | None = None
        """Why the handshake or session ended."""
        self.identity: str | None = None
        """The identity that the client sent. It is verified when the session is established."""
        self.is_known = False
        """Whether this identity has a key."""

    @classmethod
    def accept(
        cls, context: PskContext, datagram: bytes, hello: ClientHello, *, now: float
    ) -> "DtlsConnection":
        """The server's end. `datagram` contains `hello`, whose cookie is valid."""
        self = cls(context, now=now, sequence=hello.record_sequence)
        ssl = self._ssl
        ssl.set_accept_state()
        ssl.bio_write(datagram)
        try:
            # OpenSSL then expects message sequence number 1, as after a HelloVerifyRequest.
            ssl.DTLSv1_listen()
        except SSL.WantReadError:
            self.failure = "not a ClientHello that OpenSSL accepts"
            return self
        except SSL.Error as error:
            self.failure = _reason(error)
            return self
        self._shake_hands()
        return self

    @classmethod
    def connect(cls, context: PskContext, *, now: float) -> "DtlsConnection":
        """The client's end."""
        self = cls(context, now=now)
        self._ssl.set_connect_state()
        self._shake_hands()
        return self

    @property
    def cipher_suite(self) -> str:
        return self._ssl.get_cipher_name() or ""

    def receive_datagram(self, datagram: bytes) -> Sequence[bytes]:
        """Process a datagram. Returns the plaintexts in it. Records that are malformed, not
        authentic or replayed are ignored, as RFC 6347 sections 4.1.2.6 and 4.1.2.7 require."""
        if self.failure is not None:
            return ()
        ssl = self._ssl
        if not self.is_established:
            if not self._continue_handshake(datagram):
                return ()
        else:
            ssl.bio_write(datagram)
            if int.from_bytes(datagram[11:13]) + HEADER_BYTES == len(datagram):
                try:
                    return (ssl.recv(len(datagram)),)
                except SSL.Error as error:
                    self._ended(error)
                    return ()
        plaintexts = []
        try:
            while True:
                plaintexts.append(ssl.recv(len(datagram)))
        except SSL.Error as error:
            self._ended(error)
        return plaintexts

    def encrypt(self, plaintext: bytes) -> bytes:
        """The datagram that contains this plaintext, which must not be empty."""
        self._ssl.send(plaintext)
        return self._ssl.bio_read(_READ_BYTES)

    def close(self) -> None:
        """End the session. `datagrams_to_send` then has a close_notify."""
        if self.failure is None:
            self.failure = "closed here"
            if self.is_established:
                self._shut_down()

    def datagrams_to_send(self) -> list[bytes]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # -- timers, during the handshake -----------------------------------------------------------

    def get_timer(self) -> float:
        """Time of the next `handle_timer`; None once the session is established."""
        return min(self._retransmit_at, self.abandon_at)

    def handle_timer(self, *, now: float) -> None:
        if self.is_established or self.failure is not None:
            return
        if now >= self.abandon_at:
            self.failure = f"not completed in {HANDSHAKE_LIMIT_S:.0f} s"
        elif now >= self._retransmit_at:
            self._interval_s *= 2
            self._retransmit_at = now + self._interval_s
            self.retransmit()

    def retransmit(self) -> None:
        """Send the last flight again."""
        self._flight = [self._numbered(record) for record in self._flight]
        self._outgoing.extend(datagrams_of(self._flight, MTU))

    # -- OpenSSL --------------------------------------------------------------------------------

    def _continue_handshake(self, datagram: bytes) -> bool:
        """Process a datagram of the handshake. Returns whether the session is established.

        OpenSSL drops a ChangeCipherSpec that overtakes the ClientKeyExchange, and some clients do
        not repeat it.
        """
        if self._context.is_server and self.identity is None and _is_early(datagram):
            if len(self._early) < EARLY_MAX:
                self._early.append(datagram)
            return False
        self._ssl.bio_write(datagram)
        self._shake_hands()
        if self.identity is not None and self._early:
            early, self._early = self._early, []
            for held in sorted(early, key=_content_type):
                if not self.is_established and self.failure is None:
                    self._ssl.bio_write(held)
                    self._shake_hands()
        return self.is_established

    def _shake_hands(self) -> bool:
        """Continue the handshake. Returns whether the session is established."""
        context = self._context
        context.identity, context.is_known = None, False
        try:
            self._ssl.do_handshake()
            self.is_established = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.failure = _reason(error)
        context.raise_if_failed()
        if context.identity is not None:
            self.identity, self.is_known = context.identity, context.is_known
        self._take_output()
        if self.is_established:
            self._flight = []
        return self.is_established

    def _ended(self, error: SSL.Error) -> None:
        """Handle the error that ended reading: usually it means that there is nothing more to
        read."""
        match error:
            case SSL.WantReadError():
                pass
            case SSL.ZeroReturnError():
                self.failure = "closed by the peer"
                self._shut_down()
            case _:
                self.failure = _reason(error)
        self._take_output()

    def _shut_down(self) -> None:
        try:
            self._ssl.shutdown()
        except SSL.Error as error:
            self.failure = self.failure or _reason(error)
        self._take_output()

    def _take_output(self) -> None:
        try:
            data = self._ssl.bio_read(_READ_BYTES)
        except SSL.WantReadError:
            return
        self._flight = [self._numbered(record) for record in read_records(data)]
        self._outgoing.extend(datagrams_of(self._flight, MTU))

    def _numbered(self, record: DtlsRecord) -> DtlsRecord:
        """A record with the next sequence number, if its epoch does not protect it."""
        if record.epoch:
            return record
        self._sequence += 1
        return record.numbered(self._sequence - 1)


def _content_type(datagram: bytes) -> int:
    return datagram[0]


def _is_early(datagram: bytes) -> bool:
    """Whether a datagram begins with a message that follows the ClientKeyExchange."""
    return datagram[0] == ContentType.CHANGE_CIPHER_SPEC or datagram[3:5] != b"\0\0"


def _reason(error: SSL.Error) -> str:
    """The reasons in an error of OpenSSL, such as `no shared cipher`."""
    found = error.args[0] if error.args else None
    if isinstance(found, list):
        return ", ".join(str(entry[-1]) for entry in found) or "failed"
    return str(error) or type(error).__name__
