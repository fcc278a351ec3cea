# SPDX-License-Identifier: BSD-3-Clause
"""Messages become rows: what is kept of each, and which time is believed. Pure."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from pyaiot.messages import (
    Command,
    GatewayState,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ReadingsDropped,
    Receipt,
    ToClient,
)

MICROSECONDS: Final = 1_000_000
FUTURE_MAX_S: Final = 60.0
"""The clock of a gateway may be ahead of ours by so much. Beyond, the time of arrival counts."""
CLOCK_SET_S: Final = 1_577_836_800.0
"""Unix time of 2020. A clock that says less was never set: the time of arrival counts."""

Value: TypeAlias = float | str | bytes
"""A number, a text, or the JSON of anything else."""
NewReading: TypeAlias = tuple[tuple[str, str], int, Value, str]
"""Uid and resource, microseconds, value, unit. A plain tuple: there are very many."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """A row of `event`. Times in microseconds."""

    at: int
    kind: str
    uid: str = ""
    gateway: str = ""
    detail: str = ""
    until: int | None = None
    lost: int = 0


class NewCommand(msgspec.Struct, frozen=True, gc=False):
    """A row of `command`: written when it is given, and again, with its receipt, when it ends."""

    at: int
    number: int | None
    """Of the broker, since its start; None: refused before it got one."""
    uid: str
    resource: str
    payload: str
    client: str
    client_id: str = ""
    state: str | None = None
    detail: str = ""
    elapsed_ms: float | None = None


class CommandGiven(msgspec.Struct, frozen=True, gc=False):
    """A command is on its way to its gateway."""

    command: Command
    """As it was sent: with the id and the client of the broker."""
    ts: float


class CommandEnded(msgspec.Struct, frozen=True, gc=False):
    """A command has its receipt."""

    command: Command
    """As it was sent, or with an empty id if it never was."""
    receipt: Receipt
    ts: float
    """When the receipt came."""


class GapOfGateway(msgspec.Struct, frozen=True, gc=False):
    """Readings that a gateway could not hand on."""

    gateway: str
    gap: ReadingsDropped


Item: TypeAlias = ToClient | CommandGiven | CommandEnded | GapOfGateway
"""What a recorder hears."""


@dataclass(slots=True)
class Batch:
    """Rows that are kept together or not at all."""

    readings: list[NewReading] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    commands: list[NewCommand] = field(default_factory=list)
    messages: int = 0
    """Messages that it stands for; some leave no row."""


def batch_of(
    items: Iterable[Item],
    *,
    now: float,
    sure_since: float = CLOCK_SET_S,
    moment: Callable[[float], float] | None = None,
) -> Batch:
    """The rows of what was heard. `now` is Unix time, and that of arrival.

    `moment` gives the believed time of a stamp; from `sure_since` to `FUTURE_MAX_S` after `now` it
    is the stamp itself.
    """
    believe = (lambda ts: believed(ts, now)) if moment is None else moment
    batch = Batch()
    readings = batch.readings
    latest = now + FUTURE_MAX_S
    for item in items:
        batch.messages += 1
        if type(item) is Reading:
            # The hot line of the recorder: written out rather than called.
            if item.retained:
                continue  # it was measured at a time that nobody knows
            ts = item.ts
            at = int((ts if sure_since <= ts <= latest else believe(ts)) * MICROSECONDS + 0.5)
            number = item.number
            value = _value(item.data) if number is None else number
            readings.append(((item.uid, item.resource), at, value, item.unit))
        else:
            _add_rare(batch, item, believe)
    return batch


def believed(ts: float, now: float) -> float:
    """A time that somebody else says; `now`, where that cannot be."""
    return ts if CLOCK_SET_S <= ts <= now + FUTURE_MAX_S else now


def _microseconds(ts: float) -> int:
    return int(ts * MICROSECONDS + 0.5)


def clean(text: str) -> str:
    """Text that every store takes: no lone surrogates, and no U+0000."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def data_of(value: Value) -> object:
    """What was sent, of a value that is no number."""
    return msgspec.json.decode(value) if isinstance(value, bytes) else value


def _value(data: object) -> Value:
    if isinstance(data, str):
        return clean(data)
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)  # JSON has no word for it
    try:
        return msgspec.json.encode(data)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError):
        return clean(repr(data))


def _add_rare(batch: Batch, item: Item, believe: Callable[[float], float]) -> None:
    match item:
        case NodeAppeared():
            gateway = clean(item.gateway)
            batch.events.append(
                NewEvent(_microseconds(believe(item.ts)), "appeared", item.uid, gateway)
            )
        case NodeReset():
            batch.events.append(NewEvent(_microseconds(believe(item.ts)), "reset", item.uid))
        case NodeLeft():
            at = _microseconds(believe(item.ts))
            batch.events.append(NewEvent(at, "left", item.uid, detail=item.reason))
        case GatewayState():
            at, kind = _microseconds(believe(item.ts)), f"gateway {item.state}"
            detail = clean(item.protocol)
            batch.events.append(NewEvent(at, kind, gateway=clean(item.name), detail=detail))
        case CommandGiven(command=command, ts=ts):
            batch.commands.append(_command(command, _microseconds(believe(ts))))
        case CommandEnded(command=command, receipt=receipt, ts=ts):
            at = _microseconds(believe(ts) - receipt.elapsed_ms / 1000)
            batch.commands.append(
                msgspec.structs.replace(
                    _command(command, at),
                    client_id=clean(receipt.id),
                    state=receipt.state,
                    detail=clean(receipt.detail),
                    elapsed_ms=receipt.elapsed_ms,
                )
            )
        case GapOfGateway(gateway=name, gap=gap):
            batch.events.append(
                NewEvent(
                    _microseconds(believe(gap.ts)),
                    "gap",
                    gateway=clean(name),
                    detail="the gateway had no broker, and more readings than room for them",
                    until=_microseconds(believe(gap.until)),
                    lost=gap.lost,
                )
            )
        case _:
            pass  # hello, joined, a problem: said to one, about nothing that is kept


def _command(command: Command, at: int) -> NewCommand:
    return NewCommand(
        at,
        int(command.id) if command.id else None,
        command.uid,
        command.resource,
        clean(command.payload),
        command.client,
    )
