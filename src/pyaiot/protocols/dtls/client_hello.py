# SPDX-License-Identifier: BSD-3-Clause
"""The ClientHello, with which a handshake begins (RFC 6347 section 4.2.1). Pure."""

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError
from pyaiot.protocols.dtls.numbers import CLIENT_HELLO, DTLS_1_2, ContentType
from pyaiot.protocols.dtls.records import DtlsRecord

_HANDSHAKE_HEADER_BYTES = 12
_RANDOM_BYTES = 32
_SESSION_ID_BYTES_MAX = 32


class ClientHello(msgspec.Struct, frozen=True, gc=False):
    """A ClientHello, as far as the cookie exchange needs it."""

    record_version: int
    record_sequence: int
    """The sequence number of its record. The answer uses the same."""
    message_sequence: int
    """0, or 1 after a HelloVerifyRequest. RFC 6347 section 4.2.2."""
    version: int
    random: bytes
    session_id: bytes
    cookie: bytes
    """Empty in the first ClientHello."""
    cipher_suites: bytes
    compression_methods: bytes

    @classmethod
    def from_bytes(cls, datagram: bytes) -> "ClientHello":
        """The ClientHello in the first record of a datagram.

        Raises `ProtocolError` if it is malformed, for a version before DTLS 1.2, and if the message
        is fragmented: fragments cannot be reassembled without state.
        """
        record = DtlsRecord.from_bytes(datagram)
        data = record.fragment
        if record.content_type != ContentType.HANDSHAKE or record.epoch != 0:
            raise ProtocolError("the record is not the beginning of a handshake")
        if len(data) < _HANDSHAKE_HEADER_BYTES:
            raise NotEnoughBytes("the header of the handshake message ends too early")
        if data[0] != CLIENT_HELLO:
            raise ProtocolError("the handshake message is not a ClientHello")
        length = int.from_bytes(data[1:4])
        offset, size = int.from_bytes(data[6:9]), int.from_bytes(data[9:12])
        if offset or size != length:
            raise ProtocolError("the ClientHello is fragmented")
        if len(data) != _HANDSHAKE_HEADER_BYTES + length:
            raise ProtocolError("the length of the record is not that of the ClientHello")
        body = _Body(data, _HANDSHAKE_HEADER_BYTES)
        version = int.from_bytes(body.take(2))
        if version > DTLS_1_2:  # a newer version has a lower number
            raise ProtocolError("the client does not offer DTLS 1.2")
        random = body.take(_RANDOM_BYTES)
        session_id = body.take_vector(1)
        if len(session_id) > _SESSION_ID_BYTES_MAX:
            raise ProtocolError(f"more than {_SESSION_ID_BYTES_MAX} bytes of session id")
        return cls(
            record.version,
            record.sequence_number,
            int.from_bytes(data[4:6]),
            version,
            random,
            session_id,
            body.take_vector(1),
            body.take_vector(2),
            body.take_vector(1),
        )

    @property
    def parameters(self) -> bytes:
        """The part that the second ClientHello must repeat (RFC 6347 section 4.2.1). Each field is
        preceded by its length, so that different hellos never give the same bytes."""
        parts = (self.random, self.session_id, self.cipher_suites, self.compression_methods)
        return self.version.to_bytes(2) + b"".join(len(part).to_bytes(2) + part for part in parts)


def is_client_hello(datagram: bytes) -> bool:
    """Whether a datagram begins with a ClientHello. It may be malformed."""
    return (
        len(datagram) > _TYPE_AT
        and datagram[0] == ContentType.HANDSHAKE
        and datagram[3:5] == b"\0\0"
        and datagram[_TYPE_AT] == CLIENT_HELLO
    )


_TYPE_AT = 13
"""Position of the type of the first handshake message."""


class _Body:
    """Reads the fields of a message in sequence."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def take(self, length: int) -> bytes:
        end = self._offset + length
        if end > len(self._data):
            raise NotEnoughBytes("the ClientHello ends too early")
        part = self._data[self._offset : end]
        self._offset = end
        return part

    def take_vector(self, length_bytes: int) -> bytes:
        """A field that is preceded by its length."""
        return self.take(int.from_bytes(self.take(length_bytes)))
