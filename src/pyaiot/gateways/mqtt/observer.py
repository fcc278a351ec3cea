# SPDX-License-Identifier: BSD-3-Clause
"""Counts what is published at an MQTT broker under topics that nodes do not use.

A connection of its own: a broker that refuses to show every topic, even by closing the connection,
does not disturb the gateway. It reads with QoS 0, and makes a pause where much is published, so
that a busy broker costs little; what is counted is then a part.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pyaiot.errors import LinkLost, OperatorError
from pyaiot.mqtt.client import Freshness, MqttClient, MqttServer

OBSERVED_PER_S_MAX: Final = 200.0
"""Messages a second, of all topics, that are looked at. With more, there is a pause."""
OBSERVED_BURST: Final = 1_000.0
"""Messages that may come at once."""
PAUSE_FIRST_S: Final = 60.0
PAUSE_MAX_S: Final = 3_600.0
"""The pause of a broker where much is published, or that refuses: the first, doubled up to the
longest."""
EVERY_TOPIC: Final = ("#",)
_OF_NODES_OR_GATEWAYS: Final = ("node/", "gateway/", "$")

log = logging.getLogger(__name__)


class Observer:
    """Run `run` as a task."""

    def __init__(self, server: MqttServer, *, name: str, ignored: Callable[[str], None]) -> None:
        # Its own client id, and no session: nothing is stored for it.
        self._server = replace(server, client_id="")
        self._name = name
        self._ignored = ignored
        self._credit = OBSERVED_BURST
        self._credited_at = 0.0
        self._overrun = asyncio.Event()

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        pause_s = PAUSE_FIRST_S
        while True:
            self._overrun.clear()
            self._credit = OBSERVED_BURST
            self._credited_at = asyncio.get_running_loop().time()
            problem = await self._observe()
            log.debug("%s: other topics are not read for %.0f s: %s", self._name, pause_s, problem)
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_MAX_S, 2 * pause_s)

    async def _observe(self) -> str:
        """Read until it ends; why it did."""
        client = MqttClient(
            self._server,
            name=f"{self._name}, other topics",
            subscriptions=EVERY_TOPIC,
            received=self._received,
            connected=lambda: None,
            keeps_session=False,
        )
        connection = asyncio.ensure_future(client.connect_once())
        overrun = asyncio.ensure_future(self._overrun.wait())
        try:
            await asyncio.wait({connection, overrun}, return_when=asyncio.FIRST_COMPLETED)
            if overrun.done():
                return "much is published"
            await connection
        except (LinkLost, OperatorError) as error:
            return str(error)
        finally:
            connection.cancel()
            overrun.cancel()
            await asyncio.gather(connection, overrun, return_exceptions=True)
        return "the connection ended"

    def _received(self, topic: str, _payload: bytes, freshness: Freshness) -> None:
        if freshness is Freshness.RETAINED or self._overrun.is_set():
            return
        now = asyncio.get_running_loop().time()
        earned = (now - self._credited_at) * OBSERVED_PER_S_MAX
        self._credit = min(OBSERVED_BURST, self._credit + earned) - 1.0
        self._credited_at = now
        if self._credit < 0:
            self._overrun.set()
        elif not topic.startswith(_OF_NODES_OR_GATEWAYS):
            self._ignored(topic)
