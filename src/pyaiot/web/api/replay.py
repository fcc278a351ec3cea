# SPDX-License-Identifier: BSD-3-Clause
"""What a client missed, out of the history, as the messages that it would have heard."""

from typing import Final, get_args

from pyaiot.errors import PyaiotError
from pyaiot.history.store import (
    EventRow,
    History,
    ReadingRow,
    StoreError,
    TooManyRows,
    TooSlow,
)
from pyaiot.messages import (
    GatewayState,
    LeftReason,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ToClient,
)
from pyaiot.web.api.parameters import StreamQuery

MISSED_MAX: Final = 20_000
"""Readings, and events, that are told from history to who was away. More: told of a gap."""
GAP_MARGIN_S: Final = 86_400.0
"""Gaps of the history that began so long before are looked at too: they may reach beyond."""


class NotKnown(PyaiotError):
    """What was missed is not known as a whole."""


async def missed_since(
    history: History, ts: float, delay_s: float, query: StreamQuery
) -> list[ToClient]:
    """What came after the Unix time `ts`, and perhaps a little before, in the order of its times.

    `delay_s`: how old it was at most when it came. Numbers are told without the device's own text,
    which is not kept. Raises `NotKnown`.
    """
    start = max(0.0, ts - delay_s - 1.0)
    try:
        gaps = await history.events(kinds=("gap",), start=max(0.0, start - GAP_MARGIN_S))
        if any((gap.until or gap.ts) >= start for gap in gaps.whole()):
            raise NotKnown("the history has a gap there")
        events = await history.events(
            kinds=("appeared", "reset", "left", "gateway connected", "gateway lost"),
            start=start,
            limit=MISSED_MAX,
        )
        found = [(row.ts, 0, _event(row)) for row in events.whole()]
        count = 0
        chunks = history.export(
            uid=query.uid[0] if query.uid and len(query.uid) == 1 else None,
            resource=query.resource[0] if query.resource and len(query.resource) == 1 else None,
            start=start,
        )
        async for chunk in chunks:
            count += len(chunk.rows)
            if count > MISSED_MAX:
                raise NotKnown(f"more than {MISSED_MAX} readings came meanwhile")
            found += [(row.ts, 1, _reading(chunk.uid, chunk.resource, row)) for row in chunk.rows]
    except (StoreError, TooManyRows, TooSlow) as error:
        raise NotKnown(str(error)) from error
    return [message for _, _, message in sorted(found, key=lambda item: item[:2])]


def _reading(uid: str, resource: str, row: ReadingRow) -> Reading:
    data = row.data if row.number is None else row.number
    return Reading(
        uid=uid, resource=resource, data=data, ts=row.ts, number=row.number, unit=row.unit
    )


def _event(row: EventRow) -> ToClient:
    match row.kind:
        case "appeared":
            return NodeAppeared(uid=row.uid, ts=row.ts, gateway=row.gateway)
        case "reset":
            return NodeReset(uid=row.uid, ts=row.ts)
        case "left":
            reasons: dict[str, LeftReason] = {reason: reason for reason in get_args(LeftReason)}
            return NodeLeft(uid=row.uid, ts=row.ts, reason=reasons.get(row.detail, "left"))
        case _:
            connected = row.kind == "gateway connected"
            return GatewayState(
                name=row.gateway,
                protocol=row.detail,
                state="connected" if connected else "lost",
                ts=row.ts,
            )
