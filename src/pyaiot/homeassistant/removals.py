# SPDX-License-Identifier: BSD-3-Clause
"""Removed nodes, until Home Assistant has been started once more. Pure.

Home Assistant ignores the removal of a device that it has not discovered since its start.
Therefore the last discovery message of a removed node is retained on a topic of Pyaiot. At the
next start of Home Assistant it is published once, not retained, followed by the removal.
"""

from collections.abc import Iterator
from typing import Final

REMOVALS_MAX: Final = 1000
"""Largest number of removed nodes that are kept. Beyond it the oldest is dropped."""
REMOVALS_SIZE_MAX: Final = 8 * 1024 * 1024
"""Largest total size of their discovery messages in bytes. Beyond it the oldest are dropped."""
FOUND_SIZE_MAX: Final = 32 * 1024 * 1024
"""Largest total size of discovery messages of an earlier run, in bytes, until their nodes are
known. For a message beyond it, the removal reaches Home Assistant only if it runs."""


class Removals:
    """Removed nodes. Outlives a connection to the MQTT broker."""

    def __init__(self) -> None:
        self._removed: dict[str, bytes] = {}
        """Discovery messages of removed nodes by id, oldest first."""
        self._removed_size = 0
        self._found: dict[str, bytes] = {}
        """Discovery messages of an earlier run whose nodes are not known yet, by id."""
        self._found_size = 0
        self.begun: dict[str, None] = {}
        """Removed nodes whose discovery message was published again, but not yet the removal."""

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return iter(self._removed.items())

    def __contains__(self, device: str) -> bool:
        return device in self._removed

    def add(self, device: str, config: bytes) -> list[str]:
        """Add a removed node. Returns the ids of the dropped nodes."""
        self.discard(device)
        self._removed[device] = config
        self._removed_size += len(config)
        dropped = []
        while len(self._removed) > REMOVALS_MAX or self._removed_size > REMOVALS_SIZE_MAX:
            oldest = next(iter(self._removed))
            self.discard(oldest)
            dropped.append(oldest)
        return dropped

    def discard(self, device: str) -> bool:
        """Drop a node that exists again, or that Home Assistant has removed. Returns False if it is
        unknown."""
        config = self._removed.pop(device, None)
        self.begun.pop(device, None)
        if config is None:
            return False
        self._removed_size -= len(config)
        return True

    def find(self, device: str, config: bytes) -> None:
        """Keep the discovery message of an earlier run."""
        self.take_found(device)
        if self._found_size + len(config) <= FOUND_SIZE_MAX:
            self._found[device] = config
            self._found_size += len(config)

    def take_found(self, device: str) -> bytes:
        """Remove and return a discovery message of an earlier run; empty if there is none."""
        config = self._found.pop(device, b"")
        self._found_size -= len(config)
        return config
