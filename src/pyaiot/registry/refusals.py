# SPDX-License-Identifier: BSD-3-Clause
"""Why the registry refuses a node or an edit."""

from pyaiot.errors import Refused
from pyaiot.registry.record import NodeRecord


class UnknownNode(Refused):
    """The registry does not have the node."""


class StaleRevision(Refused):
    """Somebody else edited the node in the meantime."""


class RegistryFull(Refused):
    """The registry has no room for one more node that people edited."""


class Banned(Refused):
    """The node is banned: its messages are refused."""


def check_revision(record: NodeRecord, revision: int | None) -> None:
    """Raises `StaleRevision` if the record has another revision. None: any revision is accepted."""
    if revision is not None and revision != record.revision:
        raise StaleRevision(f"{record.name} was edited: revision {record.revision}")
