# SPDX-License-Identifier: BSD-3-Clause
"""A check of a broker: whether a client that joins is answered."""

import asyncio

from pyaiot.broker.broker import Broker
from pyaiot.messages import Join, Subscription


async def round_trip(broker: Broker, timeout_s: float = 2.0) -> str:
    """Join as a client and wait for the answer. Returns the problem, or an empty string."""
    answered = asyncio.Event()

    class _Probe:
        def write(self, data: bytes) -> None:
            if b'"joined"' in data:
                answered.set()

        def buffered(self) -> int:
            return 0

        def close(self, code: int, reason: str) -> None:
            """Nothing to close: the probe is not a socket."""

    probe = broker.client_connected(_Probe())
    try:
        # The probe needs only the answer, not the nodes.
        broker.from_client(probe, Subscription(uids=()))
        broker.from_client(probe, Join(data="client"))
        async with asyncio.timeout(timeout_s):
            await answered.wait()
    except TimeoutError:
        return f"a client that joined got no answer within {timeout_s:.0f} s"
    finally:
        broker.client_left(probe)
    return ""
