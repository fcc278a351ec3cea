# SPDX-License-Identifier: BSD-3-Clause
"""Combines the exports of several nodes, and omits personal data."""

import contextlib
from collections.abc import AsyncIterator, Iterable

from pyaiot.accounts.scopes import PERSONAL_RESOURCES
from pyaiot.history.store import Chunk


async def in_order(exports: Iterable[AsyncIterator[Chunk]]) -> AsyncIterator[Chunk]:
    """Exports in sequence."""
    for chunks in exports:
        async with closing(chunks):
            async for chunk in chunks:
                yield chunk


async def without_personal(chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    """The export without resources that contain the address of a device."""
    async with closing(chunks):
        async for chunk in chunks:
            if chunk.resource not in PERSONAL_RESOURCES:
                yield chunk


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterator[Chunk]) -> AsyncIterator[None]:
    """Close an export at the end of the block."""
    try:
        yield
    finally:
        with contextlib.suppress(AttributeError):  # not every iterator has `aclose`
            await chunks.aclose()  # type: ignore[attr-defined]
