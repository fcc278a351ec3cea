# SPDX-License-Identifier: BSD-3-Clause
"""Search index: the text of blocks of nodes, so that a search skips blocks that cannot match.
Pure.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from pyaiot.registry.record import NOTHING_ADDED, NodeRecord

BLOCK_NODES: Final = 2000
"""Number of nodes per block. A block contains the nodes whose sequence numbers, divided by this,
are equal.
"""
TEXTS_LENGTH_MAX: Final = 16 * 1024 * 1024
"""Characters that are cached. The text of further blocks is computed for each search."""


class SearchTexts:
    """The case-folded text of each block, computed when it is first searched."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._length = 0

    def changed(self, number: int) -> None:
        """The text of the node with this sequence number changed. Not needed for removed nodes."""
        self._length -= len(self._texts.pop(number // BLOCK_NODES, ""))

    def may_have(self, words: Sequence[str], block: Sequence[NodeRecord]) -> bool:
        """Whether the block contains all the words, possibly in different nodes. `block`: all its
        nodes, at least one.
        """
        key = block[0].number // BLOCK_NODES
        text = self._texts.get(key)
        if text is None:
            text = text_of(block)
            if self._length + len(text) <= TEXTS_LENGTH_MAX:
                self._texts[key] = text
                self._length += len(text)
        return all(word in text for word in words)


def text_of(records: Sequence[NodeRecord]) -> str:
    """Case-folded uid, label, room, notes and tags of these nodes."""
    added = [it.annotations for it in records if it.annotations is not NOTHING_ADDED]
    texts = chain(
        [it.uid for it in records],
        [it.label for it in added],
        [it.room for it in added],
        [it.notes for it in added],
        chain.from_iterable([it.tags for it in added]),
    )
    return "\n".join(texts).casefold()
