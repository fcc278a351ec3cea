# SPDX-License-Identifier: BSD-3-Clause
"""The part of the NATS client protocol that Pyaiot needs. Pure.

Lines end with CR LF; MSG and HMSG contain the length of the payload that follows.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError

LINE_LENGTH_MAX: Final = 64 * 1024
"""Bytes of a line from nats-server. A longer one closes the connection."""
PAYLOAD_SIZE_MAX: Final = 64 * 1024 * 1024
"""Bytes of one reply from nats-server, such as a list of sessions. More closes the connection."""
_END: Final = b"\r\n"


class NatsInfo(msgspec.Struct, frozen=True):
    """INFO: the first line of the server, and later ones when the cluster changes."""

    nonce: str = ""
    """To be signed by a user with a key."""
    tls_required: bool = False
    max_payload: int = 1024 * 1024
    server_id: str = ""


class NatsMessage(msgspec.Struct, frozen=True):
    """MSG or HMSG. `status` is the status in its header; 503: no responders for the subject."""

    subject: str
    payload: bytes
    status: int = 0
    reply: str = ""
    """Subject for the answer; empty: none is expected."""


class NatsPing(msgspec.Struct, frozen=True):
    """PING: answer with PONG."""


class NatsPong(msgspec.Struct, frozen=True):
    """PONG: the answer to PING."""


class NatsError(msgspec.Struct, frozen=True):
    """-ERR: an error of the server."""

    text: str


NatsEvent: TypeAlias = NatsInfo | NatsMessage | NatsPing | NatsPong | NatsError


_decode_info: Final = msgspec.json.Decoder(NatsInfo).decode


class NatsReader:
    """Parses the bytes from the server into events."""

    def __init__(self) -> None:
        self._data = bytearray()

    def receive_bytes(self, data: bytes) -> Iterator[NatsEvent]:
        """Yield the complete events. Raises `ProtocolError`: close the connection."""
        self._data += data
        while (event := self._next()) is not None:
            if not isinstance(event, tuple):
                yield event

    def _next(self) -> "NatsEvent | tuple[()] | None":
        """The next event; () for a line without one; None: more bytes are needed."""
        end = self._data.find(_END, 0, LINE_LENGTH_MAX)
        if end < 0:
            if len(self._data) >= LINE_LENGTH_MAX:
                raise ProtocolError(f"a line of more than {LINE_LENGTH_MAX} bytes")
            return None
        line = bytes(self._data[:end])
        word, _, rest = line.partition(b" ")
        size = 0
        event: NatsEvent | tuple[()] = ()
        match word.upper():
            case b"MSG" | b"HMSG":
                message = _message(word.upper() == b"HMSG", rest, self._data, end + len(_END))
                if message is None:
                    return None
                event, size = message
            case b"INFO":
                event = _info(rest)
            case b"PING":
                event = NatsPing()
            case b"PONG":
                event = NatsPong()
            case b"-ERR":
                event = NatsError(rest.decode(errors="replace").strip(" '"))
            case b"+OK":
                pass
            case _:
                raise ProtocolError(f"not a line of nats-server: {word[:32]!r}")
        del self._data[: end + len(_END) + size]
        return event


def _message(
    has_header: bool, arguments: bytes, data: bytearray, start: int
) -> tuple[NatsMessage, int] | None:
    """The message at `start`, and its size with the line end; None if it is incomplete."""
    words = arguments.split()
    if not (4 if has_header else 3) <= len(words) <= (5 if has_header else 4):
        raise ProtocolError("a message with an invalid number of arguments")
    size = _number(words[-1])
    header_size = _number(words[-2]) if has_header else 0
    if size > PAYLOAD_SIZE_MAX or header_size > size:
        raise ProtocolError("a message with an invalid length")
    end = start + size
    if len(data) < end + len(_END):
        return None
    if data[end : end + len(_END)] != _END:
        raise ProtocolError("a message without a line end")
    status = _status(bytes(data[start : start + header_size])) if has_header else 0
    payload = bytes(data[start + header_size : end])
    subject = words[0].decode(errors="replace")
    has_reply = len(words) == (5 if has_header else 4)
    reply = words[2].decode(errors="replace") if has_reply else ""
    return NatsMessage(subject, payload, status, reply), size + len(_END)


def _info(text: bytes) -> NatsInfo:
    try:
        return _decode_info(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"an invalid INFO: {error}") from error


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 10:
        raise ProtocolError(f"not a length: {text[:32]!r}")
    return int(text)


def _status(header: bytes) -> int:
    """The status of a header such as `NATS/1.0 503`; 0 if it has none."""
    words = header.partition(_END)[0].split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() and len(words[1]) == 3 else 0


def connect(user: str, password: str) -> bytes:
    """CONNECT and PING. A server that accepts the user answers PONG."""
    return connect_with({"user": user, "pass": password})


def connect_with(credentials: Mapping[str, object]) -> bytes:
    """CONNECT with fields that authenticate, and PING."""
    options: dict[str, object] = {**credentials, "lang": "python", "version": "1"}
    options |= {"protocol": 1, "verbose": False, "headers": True, "no_responders": True}
    return b"CONNECT " + msgspec.json.encode(options) + b"\r\nPING\r\n"


def subscribe(subject: str, number: int) -> bytes:
    """SUB."""
    return f"SUB {subject} {number}\r\n".encode()


def publish(subject: str, reply: str, payload: bytes) -> bytes:
    """PUB, with the subject for the reply; empty: none is expected."""
    to = f"{subject} {reply}" if reply else subject
    return f"PUB {to} {len(payload)}\r\n".encode() + payload + _END


PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"
