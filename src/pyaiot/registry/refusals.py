# SPDX-License-Identifier: BSD-3-Clause
"""Errors for refused nodes and edits."""

from pyaiot.errors import PyaiotError, Refused
from pyaiot.registry.record import NodeRecord


class UnknownNode(Refused):
    """The registry does not have the node."""


class StaleRevision(Refused):
    """Somebody else has edited the node since it was read."""


class RegistryFull(Refused):
    """The limit of edited nodes is reached."""


class Banned(Refused):
    """The node is banned: its messages are refused."""


def check_revision(record: NodeRecord, revision: int | None) -> None:
    """Raises `StaleRevision` unless the record has this revision. None: any is accepted."""
    if revision is not None and revision != record.revision:
        raise StaleRevision(f"{record.name} was edited: revision {record.revision}")


class NotStored(PyaiotError):
    """The store does not work, so the edit was not made. The text is the reason."""
