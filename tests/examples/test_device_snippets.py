# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add` prints is pasted, and works."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import get_args

import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.app.device_access import BOARDS, AddedDevice, accesses, add_device
from pyaiot.config import Config, TlsSection
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.plugin import Language
from pyaiot.gateways.websocket.settings import WebsocketSection
from pyaiot.messages import Reading
from tests.attacks.test_secured_mqtt import secured_world
from tests.examples.test_micropython import BOARD, micropython
from tests.gateways.mqtt_servers import nats_server
from tests.gateways.test_websocket_tokens import token_road
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

VALUE = "21.5 C"


def snippet(added: AddedDevice, board: str) -> str:
    return next(it.text for it in added.snippets if it.board == board)


async def run(folder: Path, *command: str) -> tuple[int | None, str]:
    """Run what was pasted. Returns its exit code and what it printed."""
    path = os.environ["PATH"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{path}"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with time_limit(15):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


def command_for(board: str, folder: Path, text: str) -> tuple[str, ...]:
    if board == "shell":
        return "sh", "-c", text
    file = folder / "pasted.py"
    file.write_text(text)
    if board == "micropython":
        # The network and its client are what the firmware of a board brings.
        shutil.copytree(BOARD / "umqtt", folder / "umqtt", ignore=shutil.ignore_patterns("__py*"))
        return micropython(), str(file)
    return sys.executable, str(file)


@pytest.mark.parametrize("board", ["shell", "micropython"])
async def test_a_pasted_mqtt_snippet_publishes_a_reading(tmp_path: Path, board: str) -> None:
    nats_server()
    async with secured_world(tmp_path) as here:
        port = here.broker.server.port
        config = Config(protocols=(MqttSection(port=port),))
        await here.add("desk")
        added = add_device(here.store, config, "lamp", "mqtt", host="127.0.0.1", now=1.0)
        code, output = await run(tmp_path, *command_for(board, tmp_path, snippet(added, board)))
        assert code == 0, output
        await here.until(lambda: here.value("lamp", "temperature") == VALUE, 5)
        assert added.secret in added.summary
        assert f"port {port}" in added.summary


@pytest.mark.parametrize("board", ["shell", "micropython"])
async def test_a_pasted_websocket_snippet_sends_a_reading(tmp_path: Path, board: str) -> None:
    async with token_road(tmp_path) as road:
        config = Config(protocols=(WebsocketSection(port=road.gateway.port),))
        added = add_device(road.store, config, "lamp", "ws", host="127.0.0.1", now=1.0)
        command = command_for(board, tmp_path, snippet(added, board))
        running = asyncio.ensure_future(run(tmp_path, *command))
        await road.watcher.until(
            lambda: any(
                isinstance(it, Reading) and (it.uid, it.data) == ("lamp", VALUE)
                for it in road.watcher.received
            )
        )
        # It is connected until its credential is removed.
        assert not running.done()
        road.store.remove("lamp")
        code, output = await running
        assert code == 0, output
        assert "HTTP/1.1 101" in output


@pytest.mark.parametrize("protocol", ["mqtt", "ws"])
def test_with_tls_the_text_names_the_certificate(tmp_path: Path, protocol: str) -> None:
    store_path = tmp_path / "devices.db"
    config = Config(tls=TlsSection(cert_file="pyaiot.crt"))
    added = add_device(DeviceStore(store_path), config, "lamp", protocol, host="192.0.2.7", now=1.0)
    assert "wss://" in added.summary or "It uses TLS" in added.summary
    for board in ("micropython", "shell"):
        assert "pyaiot.crt" in snippet(added, board)
    compile(snippet(added, "micropython"), "pasted.py", "exec")


@pytest.mark.parametrize("protocol", ["mqtt", "ws"])
def test_each_snippet_has_address_name_and_secret(tmp_path: Path, protocol: str) -> None:
    store = DeviceStore(tmp_path / "devices.db")
    added = add_device(store, Config(), "lamp", protocol, host="192.0.2.7", now=1.0)
    assert added.snippets
    for it in added.snippets:
        assert added.secret in it.text
        assert "192.0.2.7" in it.text
        assert it.board in BOARDS


NAMES = {
    "shelly-rpc": "shellyplusplugs-a8032ab12345",
    "zigbee2mqtt": "zigbee2mqtt",
    "sparkplug": "desk.lamp",
}
"""Names in protocols where they have their own form."""


@pytest.mark.parametrize("protocol", accesses())
def test_the_details_are_the_same_in_three_languages(tmp_path: Path, protocol: str) -> None:
    texts = []
    for language in get_args(Language):
        store = DeviceStore(tmp_path / f"{language}.db")
        added = add_device(
            *(store, Config(), NAMES.get(protocol, "desk-lamp"), protocol),
            host="192.0.2.7",
            now=1.0,
            language=language,
        )
        store.close()
        texts.append(added.summary.replace(added.secret or "-", "SECRET"))
    assert len(set(texts)) == 3
    # Everything that is not a word: addresses, names, paths, numbers.
    facts = [
        sorted(set(re.findall(r"[\w./:]*[\d/][\w./:]*\w|desk-lamp|SECRET", it))) for it in texts
    ]
    assert facts[0] == facts[1] == facts[2]
