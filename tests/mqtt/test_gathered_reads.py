# SPDX-License-Identifier: BSD-3-Clause
"""What a busy MQTT broker sends is read together, and what a quiet one sends at once."""

import asyncio

from pyaiot.mqtt.gmqtt_connection import (
    GATHER_BYTES,
    GATHER_READS,
    GATHER_S,
    READ_BYTES_MAX,
    _read_in_turns,
)


class Socket:
    """The protocol and the transport of a connection at once. Every read returns `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pauses = 0
        self.is_paused = False
        self.is_closed = False

    async def read(self, n: int) -> bytes:
        assert not self.is_paused
        return bytes(min(n, self.size))

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        self.is_paused = False


def opened(size: int) -> Socket:
    socket = Socket(size)
    _read_in_turns(socket, socket)
    return socket


async def test_reads_that_are_not_many_are_made_at_once() -> None:
    socket = opened(GATHER_BYTES - 1)
    for _ in range(100):
        await socket.read(65536)
        await asyncio.sleep(GATHER_S / (GATHER_READS - 1))
    assert socket.pauses == 0


async def test_after_many_reads_follows_a_pause() -> None:
    loop = asyncio.get_running_loop()
    socket = opened(GATHER_BYTES - 1)
    began = loop.time()
    for _ in range(GATHER_READS):
        await socket.read(65536)
    assert (socket.pauses, loop.time()) == (0, began)
    await socket.read(65536)
    assert socket.pauses == 1
    assert loop.time() >= began + GATHER_S


async def test_while_much_arrives_in_each_pause_every_read_is_after_a_pause() -> None:
    socket = opened(GATHER_BYTES)
    for _ in range(10):
        await socket.read(65536)
    assert socket.pauses == 9


async def test_a_flood_is_read_without_pauses() -> None:
    socket = opened(READ_BYTES_MAX)
    for _ in range(10):
        await socket.read(65536)
    assert socket.pauses == 0


async def test_a_connection_that_ends_during_a_pause_is_left_alone() -> None:
    socket = opened(GATHER_BYTES)
    await socket.read(65536)
    reading = asyncio.create_task(socket.read(65536))
    await asyncio.sleep(0)
    assert socket.is_paused
    socket.is_closed = True
    socket.is_paused = False
    await reading
    assert socket.pauses == 1
