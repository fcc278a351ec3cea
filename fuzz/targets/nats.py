# SPDX-License-Identifier: BSD-3-Clause
"""Bytes that a client of nats-server receives."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.nats import NatsMessage, NatsReader

CORPUS: list[bytes] = [
    b'INFO {"server_id":"x","max_payload":262144}\r\nPONG\r\n',
    b"MSG _INBOX.a.1 1 5\r\nhello\r\nPING\r\n",
    b"MSG _INBOX.a.1 1 reply 2\r\n{}\r\n+OK\r\n",
    b"HMSG _INBOX.a.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
    b"HMSG _INBOX.a.1 1 r 16 18\r\nNATS/1.0 100\r\n\r\n{}\r\n",
    b"-ERR 'Authorization Violation'\r\n",
    b"MSG a 1 99999999999\r\n",
    b"MSG a 1 2\r\nabcd",
    b"HMSG a 1 9 2\r\nab\r\n",
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise one error; events do not depend on how the bytes are split."""
    assert _read(data, len(data) or 1) == _read(data, 3)


def _read(data: bytes, step: int) -> list[object]:
    reader = NatsReader()
    events: list[object] = []
    try:
        for start in range(0, len(data), step):
            for event in reader.receive_bytes(data[start : start + step]):
                assert not isinstance(event, NatsMessage) or 0 <= event.status <= 999
                events.append(event)
    except ProtocolError:
        events.append(ProtocolError)
    return events
