# SPDX-License-Identifier: BSD-3-Clause
"""EDHOC with the command line of aiocoap, pasted from what `aiot device add` prints."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import AddedDevice, add_device
from pyaiot.config import Config, DevicesSection
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.edhoc import responder
from pyaiot.protocols.edhoc.credentials import new_private_key, public_key_of
from tests.clients import Broker
from tests.running import running_coap
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

LIMIT_S = 60.0


async def paste(folder: Path, text: str) -> str:
    """Run it in a shell. Returns what it printed."""
    path = os.environ["PATH"]
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", text),
        cwd=folder,
        env={"HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{path}"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with time_limit(LIMIT_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def added(devices: Path, port: int, name: str, public_key: str = "") -> AddedDevice:
    config = Config(devices=DevicesSection(file=str(devices)), protocols=(CoapSection(port=port),))
    store = DeviceStore(devices)
    try:
        return add_device(
            *(store, config, name, "edhoc"), host="127.0.0.1", now=1.0, public_key=public_key
        )
    finally:
        store.close()


@pytest.mark.parametrize("combined", ["true", "false"])
async def test_pasted_commands_of_aiocoap_post_a_reading(tmp_path: Path, combined: str) -> None:
    """With the third message in front of the first request, and in its own request."""
    devices = tmp_path / "devices.db"
    added(devices, 5683, "desk")
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        # The gateway runs, and learns of it as it does of any device.
        lamp = added(devices, running.coap_port, "lamp")
        (text,) = (it.text for it in lamp.snippets if it.board == "shell")
        text = text.replace('"suite": 2', f'"suite": 2, "use_combined_edhoc": {combined}')
        await paste(tmp_path, text)
        await client.shows("lamp", led="1", ip="127.0.0.1")


async def test_device_keeps_the_private_key_that_it_made(tmp_path: Path) -> None:
    devices = tmp_path / "devices.db"
    private_key = new_private_key()
    public_key = public_key_of(private_key)
    added(devices, 5683, "desk")
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        lamp = added(devices, running.coap_port, "lamp", public_key.hex())
        assert lamp.secret == ""
        (text,) = (it.text for it in lamp.snippets if it.board == "shell")
        assert "Replace the private key" in text
        await paste(tmp_path, text.replace("00" * 32, private_key.hex()))
        await client.shows("lamp", led="1")


async def test_gateway_without_the_extra_starts_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    devices = tmp_path / "devices.db"
    added(devices, 5683, "lamp")
    monkeypatch.setattr(responder, "find_spec", lambda _name: None)
    async with running_coap(devices=devices):
        assert "devices with a key pair cannot connect: EDHOC needs the package" in caplog.text
    with pytest.raises(OperatorError, match=r"pip install 'pyaiot\[edhoc\]'"):
        added(devices, 5683, "desk")


async def test_after_a_restart_of_the_gateway_the_device_begins_anew(tmp_path: Path) -> None:
    devices = tmp_path / "devices.db"
    lamp = added(devices, 5683, "lamp")
    for _ in range(2):
        async with (
            running_coap(devices=devices) as running,
            Broker(running.url) as broker,
            broker.client() as client,
        ):
            (text,) = (it.text for it in lamp.snippets if it.board == "shell")
            where = f"coap://127.0.0.1:{running.coap_port}"
            await paste(tmp_path, text.replace("coap://127.0.0.1", where))
            await client.shows("lamp", led="1")
