# SPDX-License-Identifier: BSD-3-Clause
"""A DTLS session for a device that speaks CoAP without one: a relay between the two.

It also loses, duplicates and swaps datagrams of the session.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from pyaiot.transport.dtls.client import DtlsClient
from pyaiot.transport.dtls.psk_context import PskContext


class DtlsTunnel:
    """What the device sends to `port` goes to the gateway in the session, and back."""

    def __init__(self, uid: str, key: bytes, gateway: tuple[str, int]) -> None:
        self.dtls = DtlsClient(PskContext.for_client(uid, key))
        self.port = 0
        self.requests_to: Any = None
        """Where plaintexts of the gateway go: a fixed address, or the last source."""
        self.is_fixed = False
        self.wire: Callable[[bytes], list[bytes]] = lambda datagram: [datagram]
        """The datagrams that arrive, in each direction, when one is sent."""
        self.ended = asyncio.Event()
        """Set when a session has ended."""
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._inner: Any = None
        self._outer: Any = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._inner, _ = await self._loop.create_datagram_endpoint(
            lambda: _End(self._from_device), local_addr=("127.0.0.1", 0)
        )
        self.port = self._inner.get_extra_info("sockname")[1]
        await self.open_outer()

    async def open_outer(self) -> None:
        """Open the socket towards the gateway, at a new port."""
        if self._outer is not None:
            self._outer.abort()
        self._outer, _ = await self._loop.create_datagram_endpoint(
            lambda: _End(self._from_gateway), remote_addr=self._gateway
        )

    def reboot(self, gateway: tuple[str, int] | None = None) -> None:
        """The device loses its session."""
        self._gateway = gateway or self._gateway
        self.dtls.forget()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for end in (self._inner, self._outer):
            if end is not None:
                end.abort()

    def _from_device(self, data: bytes, address: Any) -> None:
        if not self.is_fixed:
            self.requests_to = address
        self.dtls.send(data, now=self._loop.time())
        self.transmit()

    def _from_gateway(self, data: bytes, _address: Any) -> None:
        for datagram in self.wire(data):
            for plaintext in self.dtls.receive_datagram(datagram, now=self._loop.time()):
                self._inner.sendto(plaintext, self.requests_to)
        if self.dtls.failure:
            self.ended.set()
        self.transmit()

    def transmit(self) -> None:
        for datagram in self.dtls.datagrams_to_send():
            for arriving in self.wire(datagram):
                self._outer.sendto(arriving)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        timer = self.dtls.get_timer()
        if timer is not None:
            self._timer = self._loop.call_at(timer, self._handle_timer)

    def _handle_timer(self) -> None:
        self.dtls.handle_timer(now=self._loop.time())
        self.transmit()


class _End(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Any], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received(data, addr)


@contextlib.asynccontextmanager
async def dtls_tunnel(uid: str, key: bytes, coaps_port: int) -> AsyncIterator[DtlsTunnel]:
    tunnel = DtlsTunnel(uid, key, ("127.0.0.1", coaps_port))
    try:
        await tunnel.open()
        yield tunnel
    finally:
        tunnel.close()
