# SPDX-License-Identifier: BSD-3-Clause
"""libcoap's clients post to our gateway in a DTLS session, with OpenSSL and with GnuTLS."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import add_device
from pyaiot.config import Config
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.transport.dtls.server import SESSIONS_PER_UID_MAX
from tests.clients import Broker
from tests.coap_device import own_address
from tests.interop.conftest import Tool, located, output
from tests.programs import free_port
from tests.relay import Trouble, udp_relay
from tests.running import running_coap

pytestmark = pytest.mark.sockets

KEY = "0123456789abcdef"
LIBRARIES = ("openssl", "gnutls")


@pytest.fixture(params=LIBRARIES)
def coaps_client(request: pytest.FixtureRequest) -> Tool:
    """libcoap's client as the device `lamp`. Later flags replace its identity and key."""
    path = located("coap-client", "libcoap3-bin", f"coap-client-{request.param}")
    flags = ("-B", "5", "-v", "6", "-u", "lamp", "-k", KEY)
    return lambda *arguments: output(path, *flags, *arguments)


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    path = tmp_path / "devices.db"
    store = DeviceStore(path)
    store.add(DeviceCredential("lamp", "dtls-psk", KEY.encode(), 1.0))
    store.close()
    return path


async def test_client_with_a_key_is_the_node_of_its_uid(coaps_client: Tool, devices: Path) -> None:
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):

        async def post(path: str, text: str) -> str:
            uri = f"coaps://127.0.0.1:{running.coaps_port}/{path}"
            return await coaps_client("-m", "post", "-e", text, uri)

        # Its uid is known from its key, so that readings count before it announces itself.
        assert "c:2.04" in await post("server", "temperature:23.5%C2%B0C")
        await client.shows("lamp", temperature="23.5°C", ip="127.0.0.1", protocol="CoAP")
        assert "c:2.04" in await post("alive", "alive:lamp")
        refused = await post("alive", "alive:robot")
        assert "c:4.03" in refused
        assert "c:2.05" in await coaps_client(
            f"coaps://127.0.0.1:{running.coaps_port}/.well-known/core"
        )
        assert "robot" not in client.nodes


async def test_uid_with_a_key_is_not_given_to_a_client_without(
    coap_client: Tool, coaps_client: Tool, devices: Path
) -> None:
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        source = ("-a", own_address(), "-m", "post", "-e")
        plain = f"coap://127.0.0.1:{running.coap_port}"
        assert "c:4.03" in await coap_client(*source, "alive:lamp", f"{plain}/alive")
        assert "c:5.03" in await coap_client(*source, "led:1", f"{plain}/server")
        secured = f"coaps://127.0.0.1:{running.coaps_port}"
        own = ("-m", "post", "-e")
        assert "c:2.04" in await coaps_client(*own, "led:0", f"{secured}/server")
        await client.shows("lamp", led="0")
        assert "c:4.03" in await coap_client(*source, "reset:lamp", f"{plain}/alive")
        assert "c:5.03" in await coap_client(*source, "led:1", f"{plain}/server")
        assert "c:2.04" in await coaps_client(*own, "led:2", f"{secured}/server")
        await client.shows("lamp", led="2")


@pytest.mark.parametrize(("uid", "key"), [("lamp", "wrong"), ("nobody", KEY)])
async def test_client_without_the_key_gets_no_session(
    coaps_client: Tool, devices: Path, uid: str, key: str
) -> None:
    async with running_coap(devices=devices) as running:
        uri = f"coaps://127.0.0.1:{running.coaps_port}/.well-known/core"
        assert "</alive>" not in await coaps_client("-B", "1", "-u", uid, "-k", key, uri)
        assert "</alive>" in await coaps_client(uri)


async def test_long_reading_arrives_in_blocks(coaps_client: Tool, devices: Path) -> None:
    text = "".join(f"word{number} " for number in range(100))
    async with (
        running_coap(devices=devices) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        uri = f"coaps://127.0.0.1:{running.coaps_port}/server"
        shown = await coaps_client("-m", "post", "-b", "64", "-e", f"text:{text}", uri)
        assert "c:2.04" in shown
        await client.shows("lamp", text=text)


@pytest.mark.parametrize(
    ("coaps_client", "loss"),
    [
        ("openssl", 0.15),
        ("gnutls", 0.0),  # it does not repeat its last flight
    ],
    indirect=["coaps_client"],
)
async def test_handshake_and_posts_survive_a_bad_wire(
    coaps_client: Tool, devices: Path, loss: float
) -> None:
    """Client and gateway each retransmit their own flights."""
    trouble = Trouble(loss=loss, duplicates=0.3, reordered=0.3)
    async with (
        running_coap(devices=devices) as running,
        udp_relay(running.coaps_port, trouble=trouble, seed=0) as relay,
    ):
        uri = f"coaps://127.0.0.1:{relay.port}/server"
        posts = (
            coaps_client("-B", "25", "-m", "post", "-e", f"number:{number}", uri)
            for number in range(SESSIONS_PER_UID_MAX)
        )
        for shown in await asyncio.gather(*posts):
            assert "c:2.04" in shown
        assert relay.passed


async def test_pasted_snippet_posts_and_starts_a_node(tmp_path: Path) -> None:
    located("coap-client", "libcoap3-bin", "coap-client-openssl")
    path, port = tmp_path / "devices.db", free_port(socket.SOCK_DGRAM)
    section = CoapSection(port=0, coaps_port=port)
    added = add_device(
        DeviceStore(path), Config(protocols=(section,)), "lamp", "coap", host="127.0.0.1", now=1.0
    )
    (text,) = [it.text for it in added.snippets if it.board == "shell"]
    async with (
        running_coap(coap=section, devices=path) as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-c", text),
            cwd=tmp_path,
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await client.shows("lamp", temperature="21.5")
            await client.shows("lamp", board="native")
            assert (await client.write("lamp", "led", "1"))["state"] == "confirmed"
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
            await shell.wait()
    assert (tmp_path / "lamp.key").stat().st_mode & 0o077 == 0
