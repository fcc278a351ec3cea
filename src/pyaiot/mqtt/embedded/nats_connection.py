# SPDX-License-Identifier: BSD-3-Clause
"""Requests to the child nats-server, over one connection of one user. Answers are JSON."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from pyaiot.errors import LinkLost, ProtocolError, Refused
from pyaiot.protocols import nats

REQUEST_LIMIT_S: Final = 5.0
"""How long nats-server may take for one answer. Then the connection is opened again."""
PIPELINED_MAX: Final = 256
"""Requests that are sent before their answers are read."""
_READ_SIZE: Final = 256 * 1024
_SUBSCRIPTION: Final = 1
_SERVED: Final = 2


class NatsConnection:
    """A connection. Use it from one task only."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self._writer = writer
        self._reader = nats.NatsReader()
        self._events: list[nats.NatsEvent] = []
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._number = 0
        self.server_id = ""
        """That of the server of this connection, which may be one of a cluster."""

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int, user: str, password: str) -> AsyncIterator["NatsConnection"]:
        """Connect to this port of loopback. Raises `LinkLost`."""
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, TimeoutError) as error:
            raise LinkLost(f"nats-server does not answer: {error}") from error
        connection = cls(reader, writer)
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await connection._log_in(user, password)
            yield connection
        except (OSError, TimeoutError, ProtocolError) as error:
            raise LinkLost(f"nats-server does not answer: {error}") from error
        finally:
            writer.close()

    async def request(self, subject: str, body: object = None) -> Any:
        """The answer. Raises `LinkLost`, and `Refused` if nats-server answers with an error."""
        (answer,) = await self.request_all([(subject, body)])
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def request_all(self, requests: Sequence[tuple[str, object]]) -> list[Any]:
        """For each request its answer or a `Refused`. Raises `LinkLost`."""
        answers: list[Any] = []
        for start in range(0, len(requests), PIPELINED_MAX):
            part = requests[start : start + PIPELINED_MAX]
            async with asyncio.timeout(REQUEST_LIMIT_S):
                answers += await self._request_part(part)
        return answers

    async def request_of_server(self, what: str, body: object = None) -> Any:
        """The answer of the server of this connection, for a user of the system account. In a
        cluster, others would answer `PING` as well."""
        return await self.request(f"$SYS.REQ.SERVER.{self.server_id}.{what}", body)

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes | None]]) -> None:
        """Answer the requests to a subject until the connection is lost. Raises `LinkLost`.

        `answer` returns None for a request that gets no answer.
        """
        self._writer.write(nats.subscribe(subject, _SERVED))
        while True:
            event = await self._event()
            if isinstance(event, nats.NatsMessage) and event.reply:
                reply = await answer(event.payload)
                if reply is not None:
                    self._writer.write(nats.publish(event.reply, "", reply))
                    await self._writer.drain()

    async def _request_part(self, requests: Sequence[tuple[str, object]]) -> list[Any]:
        indexes: dict[str, int] = {}
        for index, (subject, body) in enumerate(requests):
            self._number += 1
            reply = f"{self._inbox}.{self._number}"
            indexes[reply] = index
            payload = b"" if body is None else msgspec.json.encode(body)
            self._writer.write(nats.publish(subject, reply, payload))
        await self._writer.drain()
        answers: list[Any] = [None] * len(requests)
        while indexes:
            event = await self._event()
            if isinstance(event, nats.NatsMessage) and event.subject in indexes:
                answers[indexes.pop(event.subject)] = _answer(event)
        return answers

    async def _log_in(self, user: str, password: str) -> None:
        self._writer.write(nats.connect(user, password))
        self._writer.write(nats.subscribe(f"{self._inbox}.*", _SUBSCRIPTION))
        while not isinstance(event := await self._event(), nats.NatsPong):
            if isinstance(event, nats.NatsInfo):
                self.server_id = event.server_id

    async def _event(self) -> nats.NatsEvent:
        while True:
            while not self._events:
                data = await self._stream.read(_READ_SIZE)
                if not data:
                    raise LinkLost("nats-server closed the connection")
                self._events = list(self._reader.receive_bytes(data))
            event = self._events.pop(0)
            if isinstance(event, nats.NatsError):
                raise LinkLost(f"nats-server refuses: {event.text}")
            if not isinstance(event, nats.NatsPing):
                return event
            self._writer.write(nats.PONG)


def _answer(message: nats.NatsMessage) -> Any:
    if message.status:
        return Refused(f"nats-server answers with status {message.status}")
    try:
        answer = msgspec.json.decode(message.payload)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise ProtocolError("not an object")
    failure = answer.get("error")
    if failure:
        text = failure.get("description", failure) if isinstance(failure, dict) else failure
        return Refused(str(text))
    return answer
