# SPDX-License-Identifier: BSD-3-Clause
"""Counts the messages at an MQTT broker whose topics do not belong to nodes.

It has its own connection, so that a broker that refuses the subscription to all topics, or closes
the connection, does not disturb the gateway. It subscribes with QoS 0, and pauses at a busy broker,
where it counts only a part of the messages.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pyaiot.errors import LinkLost, OperatorError
from pyaiot.mqtt.client import Freshness, MqttClient, MqttServer, ReceivedMessage

OBSERVED_PER_S_MAX: Final = 200.0
"""Largest message rate, per second on all topics, at which messages are read. Above it, the
observer pauses."""
OBSERVED_BURST: Final = 1_000.0
"""Largest number of messages that arrive at once. Above it, the observer pauses."""
PAUSE_FIRST_S: Final = 60.0
PAUSE_MAX_S: Final = 3_600.0
"""First and longest pause at a broker that is busy or refuses. It is doubled each time."""
EVERY_TOPIC: Final = ("#",)
_OF_NODES_OR_GATEWAYS: Final = ("node/", "gateway/", "$", "_INBOX/", "pyaiot/")

log = logging.getLogger(__name__)


class TopicObserver:
    """Calls `on_ignored` with each topic that belongs to neither a node nor a gateway."""

    def __init__(
        self,
        server: MqttServer,
        name: str,
        on_ignored: Callable[[str], None],
        is_read: Callable[[str], bool] = lambda _topic: False,
    ) -> None:
        """`is_read`: whether another part receives a topic and counts its ignored messages."""
        # With a separate client id and no session, the broker stores nothing for it.
        self._server = msgspec.structs.replace(server, client_id="")
        self._name = name
        self._on_ignored = on_ignored
        self._is_read = is_read
        self._credit = OBSERVED_BURST
        self._credited_at = 0.0
        self._overrun = asyncio.Event()

    async def run(self) -> None:
        """Observe until cancelled."""
        pause_s = PAUSE_FIRST_S
        while True:
            self._overrun.clear()
            self._credit = OBSERVED_BURST
            self._credited_at = asyncio.get_running_loop().time()
            problem = await self._observe()
            log.debug(
                "%s: other topics are not observed for %.0f s: %s", self._name, pause_s, problem
            )
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_MAX_S, 2 * pause_s)

    async def _observe(self) -> str:
        """Observe until the connection ends or too many messages arrive. Returns the reason."""
        client = MqttClient(
            self._server,
            name=f"{self._name}, other topics",
            subscriptions=EVERY_TOPIC,
            on_messages=self._count_all,
            on_connect=lambda: None,
            keeps_session=False,
        )
        connection = asyncio.ensure_future(client.connect_once())
        overrun = asyncio.ensure_future(self._overrun.wait())
        try:
            await asyncio.wait({connection, overrun}, return_when=asyncio.FIRST_COMPLETED)
            if overrun.done():
                return "the broker is busy"
            await connection
        except (LinkLost, OperatorError) as error:
            return str(error)
        finally:
            connection.cancel()
            overrun.cancel()
            await asyncio.gather(connection, overrun, return_exceptions=True)
        return "the connection ended"

    def _count_all(self, messages: Sequence[ReceivedMessage]) -> None:
        for topic, _payload, freshness in messages:
            self._count(topic, freshness)

    def _count(self, topic: str, freshness: Freshness) -> None:
        if freshness is Freshness.RETAINED or self._overrun.is_set():
            return
        now = asyncio.get_running_loop().time()
        earned = (now - self._credited_at) * OBSERVED_PER_S_MAX
        self._credit = min(OBSERVED_BURST, self._credit + earned) - 1.0
        self._credited_at = now
        if self._credit < 0:
            self._overrun.set()
        elif not topic.startswith(_OF_NODES_OR_GATEWAYS) and not self._is_read(topic):
            self._on_ignored(topic)
