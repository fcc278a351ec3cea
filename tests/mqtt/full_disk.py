# SPDX-License-Identifier: BSD-3-Clause
"""The embedded MQTT broker on a disk that is full for a while.

Needs a separate mount namespace: test_mqtt_embedded.py runs it in one.
"""

import asyncio
import contextlib
import subprocess
from pathlib import Path

import pytest

from pyaiot.mqtt.embedded import broker as embedded
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from tests.gateways.test_mqtt_gateway import world
from tests.mqtt.test_embedded_broker import mqtt_client, until

pytestmark = pytest.mark.sockets


def fill(path: Path) -> None:
    """To the last byte."""
    for size in (65536, 1):
        with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(size))


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", tmp_path), check=True)
    return tmp_path


async def test_it_works_again_after_the_disk_was_full(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "HEALTH_INTERVAL_S", 0.1)
    monkeypatch.setattr(embedded, "HEALTH_LIMIT_S", 0.7)
    async with (
        EmbeddedBroker.running(EmbeddedConfig(small_disk / "mqtt", port=0)) as broker,
        world(broker.server) as here,
    ):
        filler = small_disk / "filler"
        fill(filler)
        async with mqtt_client(broker.port, "busy") as busy:
            for _ in range(40):
                busy.publish("node/a/x", b'{"value":"' + b"x" * 60_000 + b'"}', qos=1)
                await asyncio.sleep(0.05)
        await here.until(lambda: broker.problem == "the disk is full", 20)
        await asyncio.sleep(3)
        # A restart would not help, and would disconnect devices that publish with QoS 0.
        assert broker.starts == 1
        filler.unlink()
        await here.until(lambda: broker.problem == "", 30)
        async with mqtt_client(broker.port, "later") as later:
            sent = later.publish("node/b/x", '{"value":1}', qos=1)
            await until(sent.is_published)
        await here.until(lambda: here.value("b", "x") == 1, 10)
