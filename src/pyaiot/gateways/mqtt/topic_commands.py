# SPDX-License-Identifier: BSD-3-Clause
"""Commands to MQTT nodes with topics of Pyaiot: `gateway/<id>/<resource>/set`."""

import asyncio
from collections.abc import Callable

from pyaiot.errors import ProtocolError
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.command_runner import Outcome
from pyaiot.gateways.flushing import wait_until_flushed
from pyaiot.mqtt.client import MqttClient
from pyaiot.protocols.mqtt.node_topics import set_topic


class TopicCommands:
    """Publishes the commands of one gateway, in order."""

    def __init__(self, client_of: Callable[[str], MqttClient], deadlines: CommandDeadlines) -> None:
        """`client_of` returns the client that reaches a node."""
        self._client_of = client_of
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        """Held while a command is published, so that commands keep their order."""

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        try:
            topic = set_topic(uid, resource)
            body = payload.encode()
        except (ProtocolError, UnicodeEncodeError) as error:
            return Outcome("refused", str(error))
        async with self._writing:
            client = self._client_of(uid)
            # Behind other bytes in the buffer, it could be sent after its deadline.
            await wait_until_flushed(lambda: client.waiting_bytes)
            # MQTT 5 section 3.3.2.3.3: in whole seconds.
            expires_after_s = max(1, int(deadline - self._loop.time()))
            # The MQTT-SN gateway needs the deadline before the command arrives there.
            self._deadlines.add(topic, body, deadline, now=self._loop.time())
            if not client.publish(topic, body, expires_after_s=expires_after_s):
                return Outcome("unreachable", "no connection to the MQTT broker")
        return Outcome("sent")
