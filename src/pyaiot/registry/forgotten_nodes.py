# SPDX-License-Identifier: BSD-3-Clause
"""Removed nodes that can be restored for some time. Pure; `now` is the time of the event loop."""

from collections import OrderedDict
from typing import Final

import msgspec

from pyaiot.registry.record import NodeRecord
from pyaiot.registry.refusals import UnknownNode

FORGOTTEN_MAX: Final = 1000
FORGOTTEN_LIFE_S: Final = 600.0
"""Number of removed nodes that can be restored, and for how long."""


class ForgottenNodes:
    """The records of removed nodes, the latest last."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, tuple[NodeRecord, float]] = OrderedDict()

    def add(self, record: NodeRecord, now: float) -> None:
        """Keep the record of a removed node. At the limit, the oldest is dropped."""
        self._records[record.uid] = record, now
        if len(self._records) > FORGOTTEN_MAX:
            self._records.popitem(last=False)

    def restorable(self, uid: str, present: NodeRecord | None, now: float) -> NodeRecord:
        """The record of a node as it is after it was restored.

        `present`: its record if it has reappeared since. Then the result is a copy of that one with
        the annotations of the removed one. Raises `UnknownNode`, also if people have edited
        `present`.
        """
        record, forgotten_at = self._records.get(uid, (None, 0.0))
        is_edited = present is not None and present.is_edited
        if record is None or now - forgotten_at > FORGOTTEN_LIFE_S or is_edited:
            raise UnknownNode(f"there is no forgotten node {uid[:64]!r}")
        if present is None:
            return record
        return msgspec.structs.replace(
            present,
            first_seen=record.first_seen or present.first_seen,
            boots=record.boots + present.boots,
            annotations=record.annotations,
            revision=record.revision + 1,
            admission=record.admission,
        )

    def restored(self, uid: str) -> None:
        """The node was restored."""
        self._records.pop(uid, None)
