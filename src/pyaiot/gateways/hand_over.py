# SPDX-License-Identifier: BSD-3-Clause
"""The end of a gateway, or of a share of its nodes: the broker gets what devices know as
acknowledged."""

import asyncio
import contextlib
from typing import Final

from pyaiot.gateways.gateway import Gateway

HAND_OVER_LIMIT_S: Final = 1.0
"""How long the link may take to send the last events of a gateway that ends, or of nodes that move
to another gateway. Events that are sent later are lost."""
_STEP_S: Final = 0.005


async def hand_over(gateway: Gateway) -> None:
    """Send what was reported, and wait until the link has taken it. Without a link, events are not
    sent."""
    gateway.send_events()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HAND_OVER_LIMIT_S):
            while gateway.link_queue()[0]:  # noqa: ASYNC110 - a link reports no change
                await asyncio.sleep(_STEP_S)
