# SPDX-License-Identifier: BSD-3-Clause
"""A CoAP ping, as a stranger would send it."""

import asyncio
from typing import Any


async def answers_ping(host: str, port: int, limit_s: float) -> bool:
    """Whether an endpoint of this machine answers a CoAP ping (RFC 7252 section 4.3)."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class _Ping(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _address: Any) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    # IPv4 arrives at the same socket, and loopback of IPv6 may be switched off.
    host = {"::": "127.0.0.1"}.get(host, host)
    try:
        transport, _ = await loop.create_datagram_endpoint(_Ping, remote_addr=(host, port))
    except OSError:
        # No file descriptor is free, for one.
        return False
    try:
        # Empty, confirmable, message id 1; the answer is an empty reset of that id.
        transport.sendto(b"\x40\x00\x00\x01")
        async with asyncio.timeout(limit_s):
            return await answer == b"\x70\x00\x00\x01"
    except (OSError, TimeoutError):
        return False
    finally:
        transport.close()
