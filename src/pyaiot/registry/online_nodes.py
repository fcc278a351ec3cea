# SPDX-License-Identifier: BSD-3-Clause
"""What the registry needs of a broker."""

from collections.abc import Iterable
from typing import Protocol

from pyaiot.messages import Reading
from pyaiot.registry.record import NodeRecord


class OnlineNodes(Protocol):
    """What the service needs of a broker."""

    def take_touched_uids(self) -> Iterable[str]:
        """Nodes with a new reading since the last call."""
        ...

    def readings_of(self, uid: str) -> tuple[Reading, ...] | None:
        """The latest readings of an online node; None if it is not online."""
        ...

    def registry_loaded(self, records: Iterable[NodeRecord]) -> None:
        """Take over what the registry had stored."""
        ...

    def people_edited(self, changed: NodeRecord) -> NodeRecord:
        """Take over an edit that is stored, and send it to clients."""
        ...

    def people_forgot(self, uid: str, now: float) -> None:
        """Remove a node, and send that to clients. Raises `Refused` if it is online."""
        ...

    def people_restored(self, record: NodeRecord) -> NodeRecord:
        """Bring a forgotten node back, and send that to clients."""
        ...
