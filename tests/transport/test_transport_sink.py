# SPDX-License-Identifier: BSD-3-Clause
"""Writing to a peer whose connection has just been reset."""

import asyncio
from typing import cast

import pytest

from pyaiot.transport.websocket import TransportSink


class ResetTransport:
    """A transport of uvloop after a reset: writing raises, and the end is reported later."""

    def __init__(self, *, is_closing: bool) -> None:
        self._is_closing = is_closing

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass

    def write(self, _data: bytes) -> None:
        raise RuntimeError("the handler is closed")


def sink(*, is_closing: bool) -> TransportSink:
    transport = cast("asyncio.Transport", ResetTransport(is_closing=is_closing))
    return TransportSink(transport, asyncio.get_running_loop())


async def test_nothing_is_written_to_a_peer_that_has_reset_its_connection() -> None:
    it = sink(is_closing=True)
    it.write(b"frame")
    it.close(1013, "too slow")


async def test_error_of_an_open_connection_is_not_hidden() -> None:
    with pytest.raises(RuntimeError):
        sink(is_closing=False).write(b"frame")
