# SPDX-License-Identifier: BSD-3-Clause
"""The interface between the registry and the broker."""

from collections.abc import Iterable
from typing import Protocol

from pyaiot.messages import Reading
from pyaiot.registry.record import NodeRecord


class OnlineNodes(Protocol):
    """What the registry service requires of a broker."""

    def take_touched_uids(self) -> Iterable[str]:
        """Uids of nodes with a reading since the last call."""
        ...

    def readings_of(self, uid: str) -> tuple[Reading, ...] | None:
        """The latest readings of an online node; None if it is not online."""
        ...

    def registry_loaded(self, records: Iterable[NodeRecord]) -> None:
        """Called when the stored registry has been loaded."""
        ...

    def people_edited(self, changed: NodeRecord) -> NodeRecord:
        """Apply an edit that has been stored, and send it to clients."""
        ...

    def people_forgot(self, uid: str, now: float) -> None:
        """Remove a node and notify clients. Raises `Refused` if the node is online."""
        ...

    def people_restored(self, record: NodeRecord) -> NodeRecord:
        """Restore a removed node and notify clients."""
        ...
