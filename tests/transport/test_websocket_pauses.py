# SPDX-License-Identifier: BSD-3-Clause
"""After a pause of the process, the peers of its WebSockets do not count as silent."""

import asyncio
from types import SimpleNamespace

import pytest

from pyaiot.transport.pauses import READ_FIRST_S
from pyaiot.transport.websocket import HEARTBEAT_PARTS, NonBlockingWebSocket
from tests.conftest import JumpingClockLoop

PONG_LIMIT_S = 15.0


class PingedSocket(NonBlockingWebSocket):
    """One that has sent a ping, without a connection. `waits`: for the pong."""

    def __init__(self, *, waits: bool = True) -> None:
        super().__init__(heartbeat_s=2 * PONG_LIMIT_S, size_max=1000)
        self.ended = False
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._req = SimpleNamespace(  # type: ignore[assignment]
            transport=object(), _protocol=SimpleNamespace(_timeout_ceil_threshold=5)
        )
        if waits:
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


async def test_bytes_move_the_next_ping_in_steps() -> None:
    socket = PingedSocket(waits=False)
    step_s = 2 * PONG_LIMIT_S / HEARTBEAT_PARTS
    moved = []
    for pause_s in (0.0, step_s / 2, step_s, step_s / 2):
        await asyncio.sleep(pause_s)
        before = socket._heartbeat_when
        socket._on_data_received()
        await asyncio.sleep(0)
        moved.append(socket._heartbeat_when > before)
    assert moved == [True, False, True, False]
    assert socket._heartbeat_cb is not None
    socket._heartbeat_cb.cancel()


async def test_bytes_are_an_answer_to_a_ping_however_soon_they_arrive() -> None:
    socket = PingedSocket(waits=False)
    socket._reset_heartbeat()
    loop = asyncio.get_running_loop()
    socket._pong_response_cb = loop.call_later(PONG_LIMIT_S, socket._pong_not_received)
    socket._on_data_received()
    await asyncio.sleep(PONG_LIMIT_S + 0.1)
    assert not socket.ended
    assert socket._heartbeat_cb is not None
    socket._heartbeat_cb.cancel()
