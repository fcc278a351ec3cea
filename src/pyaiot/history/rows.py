# SPDX-License-Identifier: BSD-3-Clause
"""Converts messages to rows of the history, with plausible times. Pure."""

import math
from collections.abc import Callable, Iterable
from functools import partial
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
"""How far the clock of a gateway may be ahead of ours. Beyond it, the time of arrival is
recorded."""
CLOCK_SET_S: Final = 1_577_836_800.0
"""The Unix time of 2020. A clock before it was never set: the time of arrival is recorded."""

Value: TypeAlias = float | str | bytes
"""A number, a text, or the JSON of anything else."""
NewReading: TypeAlias = tuple[tuple[str, str], int, Value, str]
"""Uid and resource, microseconds, value, unit. A plain tuple, for speed."""


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
    """A row of `command`: written when the command is issued, and again with its receipt."""

    at: int
    number: int | None
    """The broker's number of the command in this run; None if it was refused before it got one."""
    uid: str
    resource: str
    payload: str
    client: str
    who: str = ""
    """The issuer, as in the audit log; empty if unknown."""
    client_id: str = ""
    state: str | None = None
    detail: str = ""
    elapsed_ms: float | None = None


class CommandIssued(msgspec.Struct, frozen=True, gc=False):
    """A command was sent to its gateway."""

    command: Command
    """The command as it was sent: with the id and the client that the broker set."""
    ts: float
    who: str = ""


class CommandEnded(msgspec.Struct, frozen=True, gc=False):
    """A command has its receipt."""

    command: Command
    """The command as it was sent; its id is empty if it was not sent."""
    receipt: Receipt
    ts: float
    """When the receipt arrived."""
    who: str = ""


class GatewayGap(msgspec.Struct, frozen=True, gc=False):
    """Readings that a gateway had to drop."""

    gateway: str
    gap: ReadingsDropped


Item: TypeAlias = ToClient | CommandIssued | CommandEnded | GatewayGap
"""What a recorder receives."""


class WriteBatch(msgspec.Struct):
    """Rows that are committed in one transaction."""

    readings: list[NewReading] = msgspec.field(default_factory=list)
    events: list[NewEvent] = msgspec.field(default_factory=list)
    commands: list[NewCommand] = msgspec.field(default_factory=list)
    messages: int = 0
    """Number of messages from which it was made; some make no row."""


def batch_of(
    items: Iterable[Item],
    *,
    now: float,
    exact_since: float = CLOCK_SET_S,
    correct: Callable[[float], float] | None = None,
) -> WriteBatch:
    """The rows of messages that arrived at the Unix time `now`.

    `correct` returns the time to record for a timestamp. It is not called for timestamps from
    `exact_since` to `FUTURE_MAX_S` after `now`, which are recorded unchanged.
    """
    if correct is None:
        correct = partial(plausible_time, now=now)
    batch = WriteBatch()
    readings = batch.readings
    latest = now + FUTURE_MAX_S
    for item in items:
        batch.messages += 1
        if type(item) is Reading:
            # The hot line of the recorder, inlined.
            if item.retained:
                continue  # the time of the measurement is unknown
            ts = item.ts
            at = int((ts if exact_since <= ts <= latest else correct(ts)) * MICROSECONDS + 0.5)
            number = item.number
            value = _value(item.data) if number is None else number
            readings.append(((item.uid, item.resource), at, value, item.unit))
        else:
            _add_rare(batch, item, correct)
    return batch


def plausible_time(ts: float, now: float) -> float:
    """A timestamp of another machine; `now` if it cannot be correct."""
    return ts if CLOCK_SET_S <= ts <= now + FUTURE_MAX_S else now


def _microseconds(ts: float) -> int:
    return int(ts * MICROSECONDS + 0.5)


def clean(text: str) -> str:
    """Text that every store accepts: no lone surrogates, no U+0000."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def data_of(value: Value) -> object:
    """The original data of a value that is not a number."""
    return msgspec.json.decode(value) if isinstance(value, bytes) else value


def _value(data: object) -> Value:
    if isinstance(data, str):
        return clean(data)
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)  # JSON cannot express it
    try:
        return msgspec.json.encode(data)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError):
        return clean(repr(data))


def _add_rare(batch: WriteBatch, item: Item, correct: Callable[[float], float]) -> None:
    match item:
        case NodeAppeared():
            gateway = clean(item.gateway)
            batch.events.append(
                NewEvent(_microseconds(correct(item.ts)), "appeared", item.uid, gateway)
            )
        case NodeReset():
            batch.events.append(NewEvent(_microseconds(correct(item.ts)), "reset", item.uid))
        case NodeLeft():
            at = _microseconds(correct(item.ts))
            batch.events.append(NewEvent(at, "left", item.uid, detail=item.reason))
        case GatewayState():
            at, kind = _microseconds(correct(item.ts)), f"gateway {item.state}"
            detail = clean(item.protocol)
            batch.events.append(NewEvent(at, kind, gateway=clean(item.name), detail=detail))
        case CommandIssued(command=command, ts=ts, who=who):
            batch.commands.append(_command(command, _microseconds(correct(ts)), who))
        case CommandEnded(command=command, receipt=receipt, ts=ts, who=who):
            at = _microseconds(correct(ts) - receipt.elapsed_ms / 1000)
            batch.commands.append(
                msgspec.structs.replace(
                    _command(command, at, who),
                    client_id=clean(receipt.id),
                    state=receipt.state,
                    detail=clean(receipt.detail),
                    elapsed_ms=receipt.elapsed_ms,
                )
            )
        case GatewayGap(gateway=name, gap=gap):
            batch.events.append(
                NewEvent(
                    _microseconds(correct(gap.ts)),
                    "gap",
                    gateway=clean(name),
                    detail="the gateway was disconnected and its queue was full",
                    until=_microseconds(correct(gap.until)),
                    lost=gap.lost,
                )
            )
        case _:
            pass  # hello, joined and problems are for one client: they are not recorded


def _command(command: Command, at: int, who: str) -> NewCommand:
    return NewCommand(
        at,
        int(command.id) if command.id else None,
        command.uid,
        command.resource,
        clean(command.payload),
        command.client,
        clean(who),
    )
