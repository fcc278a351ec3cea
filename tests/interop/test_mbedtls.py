# SPDX-License-Identifier: BSD-3-Clause
"""Mbed TLS, the library of Zephyr and ESP-IDF, opens a session and posts in it."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.clients import Broker
from tests.interop.conftest import output
from tests.relay import Trouble, udp_relay
from tests.running import running_coap

pytestmark = pytest.mark.sockets

KEY = bytes(range(16))  # also the bytes that no shell can pass
SOURCE = Path(__file__).with_name("mbedtls_client.c")
POST = CoapMessage(
    MessageType.CON,
    Code.POST,
    7,
    b"tk",
    build_options((OptionNumber.URI_PATH, "server")),
    b"temperature:21.5",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("gcc")
    if compiler is None or not Path("/usr/include/mbedtls/ssl.h").exists():
        pytest.skip("no Mbed TLS: install gcc and libmbedtls-dev")
    program = tmp_path_factory.mktemp("mbedtls") / "client"
    libraries = ("-lmbedtls", "-lmbedx509", "-lmbedcrypto")
    subprocess.run([compiler, "-o", program, SOURCE, *libraries], check=True, timeout=60)
    return str(program)


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    path = tmp_path / "devices.db"
    store = DeviceStore(path)
    store.add(DeviceCredential("lamp", "dtls-psk", KEY, 1.0))
    store.close()
    return path


async def test_client_posts_with_the_suite_of_coap(client: str, devices: Path) -> None:
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as watcher,
    ):
        post = POST.to_bytes().hex()
        shown = await output(client, str(running.coaps_port), "lamp", KEY.hex(), post)
        answer = CoapMessage.from_bytes(bytes.fromhex(shown))
        assert (answer.code, answer.message_id, answer.token) == (Code.CHANGED, 7, b"tk")
        await watcher.shows("lamp", temperature="21.5")


async def test_handshakes_survive_a_bad_wire(client: str, devices: Path) -> None:
    trouble = Trouble(loss=0.0, duplicates=0.3, reordered=0.3)
    async with (
        running_coap(devices=devices) as running,
        udp_relay(running.coaps_port, seed=1, trouble=trouble) as relay,
    ):
        post = POST.to_bytes().hex()
        clients = (output(client, str(relay.port), "lamp", KEY.hex(), post) for _ in range(2))
        for shown in await asyncio.gather(*clients):
            assert CoapMessage.from_bytes(bytes.fromhex(shown)).code == Code.CHANGED
