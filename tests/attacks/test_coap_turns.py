# SPDX-License-Identifier: BSD-3-Clause
"""A flood of requests outside the fast path does not hold the event loop."""

import asyncio
import gc
import socket
import struct
import time

import pytest

from tests.running import running_coap

pytestmark = pytest.mark.sockets

PEERS = 60
TURN_S_MAX = 0.05


def block_of_a_body(number: int) -> bytes:
    """`POST /server`, Block1 0 with more to come, 1,024 bytes."""
    mid = struct.pack(">H", number & 0xFFFF)
    return b"\x42\x02" + mid + mid + b"\xb6server" + b"\xd1\x03\x0e" + b"\xff" + b"x" * 1024


async def test_no_turn_of_the_event_loop_takes_long() -> None:
    async with running_coap() as running:
        # A collection would look at all that other tests have left behind.
        gc.collect()
        gc.freeze()
        peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PEERS)]
        for number, peer in enumerate(peers):
            peer.bind((f"127.0.0.{2 + number}", 0))
        longest_s, last = 0.0, time.thread_time()
        for number in range(20 * PEERS):
            with_peer = peers[number % PEERS]
            with_peer.sendto(block_of_a_body(number), ("127.0.0.1", running.coap_port))
            if number % PEERS == PEERS - 1:
                last = time.thread_time()
                # CPU time of this thread: a busy machine does not count.
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.thread_time() - last)
                for _ in range(5):
                    last = time.thread_time()
                    await asyncio.sleep(0)
                    longest_s = max(longest_s, time.thread_time() - last)
        gc.unfreeze()
        for peer in peers:
            peer.close()
        assert longest_s < TURN_S_MAX, longest_s
