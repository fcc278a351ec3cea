# SPDX-License-Identifier: BSD-3-Clause
"""Reconstructs the messages that a disconnected client missed, from the history."""

from typing import Final, get_args

from pyaiot.errors import PyaiotError
from pyaiot.history.reader import HistoryReader
from pyaiot.history.store import (
    EventRow,
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

REPLAY_MAX: Final = 20_000
"""Largest numbers of readings and of events that are replayed. If there are more, a gap is sent."""
GAP_MARGIN_S: Final = 86_400.0
"""Gaps that began up to this long before the start are also checked: they may extend beyond it."""


class CannotReplay(PyaiotError):
    """The missed messages are not completely known."""


async def messages_since(
    history: HistoryReader, ts: float, delay_s: float, query: StreamQuery
) -> list[ToClient]:
    """Messages after the Unix time `ts`, and perhaps from shortly before it, ordered by time.
    `delay_s`: the longest delay of a message on arrival. Numbers are replayed without the text of
    the device, which is not recorded. Raises `CannotReplay`."""
    start = max(0.0, ts - delay_s - 1.0)
    try:
        gaps = await history.events(kinds=("gap",), start=max(0.0, start - GAP_MARGIN_S))
        if any((gap.until or gap.ts) >= start for gap in gaps.whole()):
            raise CannotReplay("the history has a gap")
        events = await history.events(
            kinds=("appeared", "reset", "left", "gateway connected", "gateway lost"),
            start=start,
            limit=REPLAY_MAX,
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
            if count > REPLAY_MAX:
                raise CannotReplay(f"more than {REPLAY_MAX} readings were missed")
            found += [(row.ts, 1, _reading(chunk.uid, chunk.resource, row)) for row in chunk.rows]
    except (StoreError, TooManyRows, TooSlow) as error:
        raise CannotReplay(str(error)) from error
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
