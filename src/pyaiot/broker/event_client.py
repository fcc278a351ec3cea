# SPDX-License-Identifier: BSD-3-Clause
"""A client of server-sent events: the same messages, each an event, with ids to come back by. Pure.

An id stands only where everything before it was told. So whoever comes back with the last id gets
all that came after it, whatever was conflated or left out before.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot import legacy
from pyaiot.backlog import cost
from pyaiot.broker.client import (
    BUFFER_LOW,
    CHUNK_COST_MAX,
    CHUNK_MESSAGES,
    Batch,
    Client,
    Sink,
)
from pyaiot.messages import Joined, ToClient, encode

_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})-([0-9]{1,15})")


class Gap(msgspec.Struct, frozen=True, tag="gap", tag_field="type"):
    """Something is missing that nobody knows any more. Everything that is known now follows."""

    detail: Annotated[str, Meta(description="For people: why.")]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client was told: a broker's run, the number of a message, and a Unix time."""

    run: str
    number: int
    ts: float

    @classmethod
    def from_id(cls, text: str) -> "Position | None":
        """None for an id that is none of ours."""
        found = _ID.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3]) / 1000) if found else None

    @property
    def id(self) -> str:
        return f"{self.run}-{self.number}-{round(self.ts * 1000)}"


class EventClient(Client):
    """One client between two flushes. Begin with `join`, or with `told_before` what it missed."""

    def __init__(self, client_id: str, sink: Sink, *, position: Position, now: float) -> None:
        """`position` of what has been told to everybody."""
        super().__init__(client_id, sink, extended=True, now=now, may_command=False)
        self._position = position
        self._missed: deque[ToClient] = deque()
        self._missed_cost = 0
        self._held = False
        self._whole = False
        """It was told all that came before what comes now."""

    @property
    def waiting(self) -> bool:
        return self._held or bool(self._missed) or super().waiting

    @property
    def held(self) -> int:
        return super().held + self._missed_cost

    @property
    def plain(self) -> bool:
        """Never: what is made for all is made of frames."""
        return False

    def hold(self) -> None:
        """Tell nothing for now; what comes waits."""
        self._held = True

    def told_before(self, missed: Iterable[ToClient]) -> None:
        """What is to be told before everything that has come since. Call `drain` afterwards."""
        wanted = list(filter(self._wants_message, missed))
        self._missed.extend(wanted)
        self._missed_cost += sum(map(cost, wanted))
        self._held = False
        self._whole = True

    def tell_gap(self, detail: str) -> None:
        """Say that something is missing that nobody knows any more."""
        text = msgspec.json.encode(Gap(detail=detail))
        self.sink.write(b"event: gap\ndata: %b\n\n" % text)
        self._held = False

    def beat(self) -> None:
        """Show that the connection lives.

        A comment alone: a block without data is an event to some readers, and its id nothing to
        others.
        """
        if not self.closed and not self.waiting:
            self.sink.write(b":\n")

    def offer(self, batch: Batch, now: float) -> None:
        super().offer(batch, now)
        self._position = Position(self._position.run, batch.number, batch.ts)

    def drain(self, now: float, ts: float) -> bool:
        if self._held:
            return False
        told = False
        while self._missed and not self.closed and self.sink.buffered() <= BUFFER_LOW:
            self._write(self._take_missed())
            self._progress_at = now
            told = True
        return super().drain(now, ts) or told

    def _take_missed(self) -> list[ToClient]:
        messages: list[ToClient] = []
        size = 0
        while self._missed and len(messages) < CHUNK_MESSAGES and size < CHUNK_COST_MAX:
            messages.append(self._missed.popleft())
            size += cost(messages[-1])
        self._missed_cost -= size
        return messages

    def _write(self, messages: Sequence[ToClient], _dst: str = legacy.TO_ALL) -> None:
        if self.closed:
            return
        events = [
            b"event: %b\ndata: %b\n" % (_type_of(message), encode(message)) for message in messages
        ]
        if not events:
            return
        if any(isinstance(message, Joined) for message in messages):
            self._whole = True
        if self._whole and not self.waiting:
            events[-1] += b"id: %b\n" % self._position.id.encode()
        self.sink.write(b"\n".join(events) + b"\n")


def _type_of(message: ToClient) -> bytes:
    return str(message.__struct_config__.tag).encode()
