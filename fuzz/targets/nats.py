# SPDX-License-Identifier: BSD-3-Clause
"""What a nats-server sends to a client of it."""

from pyaiot.errors import ProtocolError
from pyaiot.protocols.nats import Message, Reader

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
    """Wrong bytes are one error; however they are cut, the same is read."""
    assert _read(data, len(data) or 1) == _read(data, 3)


def _read(data: bytes, step: int) -> list[object]:
    reader = Reader()
    events: list[object] = []
    try:
        for start in range(0, len(data), step):
            for event in reader.feed(data[start : start + step]):
                assert not isinstance(event, Message) or 0 <= event.status <= 999
                events.append(event)
    except ProtocolError:
        events.append(ProtocolError)
    return events
