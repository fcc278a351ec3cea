# SPDX-License-Identifier: BSD-3-Clause
"""Exports of several nodes, and without what is not shown."""

import contextlib
from collections.abc import AsyncIterator, Iterable

from pyaiot.accounts.scopes import PERSONAL_RESOURCES
from pyaiot.history.store import Chunk


async def in_order(exports: Iterable[AsyncIterator[Chunk]]) -> AsyncIterator[Chunk]:
    """One export after the other."""
    for chunks in exports:
        async with closing(chunks):
            async for chunk in chunks:
                yield chunk


async def without_personal(chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    """The export without resources that have the address of a device."""
    async with closing(chunks):
        async for chunk in chunks:
            if chunk.resource not in PERSONAL_RESOURCES:
                yield chunk


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterator[Chunk]) -> AsyncIterator[None]:
    """End an export with the block."""
    try:
        yield
    finally:
        with contextlib.suppress(AttributeError):  # not every iterator is a generator
            await chunks.aclose()  # type: ignore[attr-defined]
