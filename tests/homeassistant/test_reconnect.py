# SPDX-License-Identifier: BSD-3-Clause
"""The pauses between attempts to reach the MQTT broker of Home Assistant."""

import asyncio
import socket
import time

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.homeassistant import service
from pyaiot.homeassistant.service import HomeAssistant, HomeAssistantSettings
from pyaiot.mqtt.client import MqttServer
from pyaiot.transport.backoff import Backoff

pytestmark = pytest.mark.sockets


async def test_pauses_grow_to_a_minute_while_the_mqtt_broker_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    class Noted(Backoff):
        def failed(self, *, now: float) -> float:
            pauses.append(super().failed(now=now))
            if len(pauses) == 8:
                enough.set()
            return 0.0

    monkeypatch.setattr(service, "Backoff", Noted)
    loop = asyncio.get_running_loop()
    with socket.socket() as bound:  # nobody listens, so that each attempt is refused
        bound.bind(("127.0.0.1", 0))
        settings = HomeAssistantSettings(
            server=MqttServer("127.0.0.1", bound.getsockname()[1]),
            system="pyaiot",
            discovery_prefix="homeassistant",
        )
        broker = Broker(flush_interval_s=0.02, timer=loop, unix_time=time.time)
        home = HomeAssistant(broker, settings, is_registry_loaded=lambda: True)
        running = asyncio.create_task(home.run())
        async with asyncio.timeout(10.0):
            await enough.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    longest = [min(2.0**count, 60.0) for count in range(8)]
    assert all(it / 2 <= pause <= it for it, pause in zip(longest, pauses[:8], strict=True))
