# SPDX-License-Identifier: BSD-3-Clause
"""A pause of the process is no silence of the peers of its WebSockets."""

import asyncio
from types import SimpleNamespace

import pytest

from pyaiot.transport.pauses import READ_FIRST_S
from pyaiot.transport.websocket import NonBlockingWebSocket
from tests.conftest import JumpingClockLoop

PONG_LIMIT_S = 15.0


class PingedSocket(NonBlockingWebSocket):
    """One that has sent a ping, without a connection."""

    def __init__(self) -> None:
        super().__init__(heartbeat_s=2 * PONG_LIMIT_S, size_max=1000)
        self.ended = False
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._req = SimpleNamespace(  # type: ignore[assignment]
            transport=object(), _protocol=SimpleNamespace(_timeout_ceil_threshold=5)
        )
        self._pong_response_cb = loop.call_later(PONG_LIMIT_S, self._pong_not_received)

    def _handle_ping_pong_exception(self, exc: BaseException) -> None:
        assert isinstance(exc, TimeoutError)
        self.ended = True


@pytest.mark.parametrize("answers", [True, False])
async def test_after_a_pause_a_pong_that_waits_is_read_before_its_peer_is_lost(
    answers: bool,
) -> None:
    socket = PingedSocket()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingClockLoop)
    loop.pause(60)
    await asyncio.sleep(READ_FIRST_S - 1)
    assert not socket.ended
    if answers:
        socket._reset_heartbeat()  # as for each byte that is read
    await asyncio.sleep(2)
    assert socket.ended is not answers
    assert socket._heartbeat_cb is None or answers
    if socket._heartbeat_cb is not None:
        socket._heartbeat_cb.cancel()


async def test_without_a_pause_a_peer_that_does_not_answer_is_lost_at_its_limit() -> None:
    socket = PingedSocket()
    await asyncio.sleep(PONG_LIMIT_S + 0.1)
    assert socket.ended
