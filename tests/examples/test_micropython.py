# SPDX-License-Identifier: BSD-3-Clause
"""The MicroPython example, run by MicroPython's Unix port; pins and Wi-Fi are the test's."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import Broker
from tests.documents import ROOT
from tests.gateways.mqtt_servers import Server, server
from tests.gateways.test_mqtt_gateway import RECOVERY_LIMIT_S, World, at, world
from tests.programs import Program, Programs, free_port
from tests.running import running_everything

pytestmark = pytest.mark.sockets

EXAMPLE = ROOT / "examples" / "micropython-mqtt"
BOARD = Path(__file__).parent / "micropython"
UID = "240ac4000110"


def micropython() -> str:
    """The interpreter. Skips the test where there is none."""
    beside = Path(sys.executable).with_name("micropython")
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if found is None:
        pytest.skip("micropython is not installed (its wheel is for x86-64 Linux and Apple's ARM)")
    return found


def flash(folder: Path, board: str, mqtt_port: int) -> Path:
    """Copy the files that README.md lists beside the modules of the firmware. Returns main.py."""
    shutil.copytree(BOARD, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("main.py", "node.py"):
        shutil.copy(EXAMPLE / name, folder)
    shutil.copy(EXAMPLE / f"board_{board}.py", folder / "board.py")
    (folder / "port.py").write_text(f"MQTT_PORT = {mqtt_port}\n")
    return folder / "main.py"


def prints(program: Program, text: str) -> None:
    """Read its lines up to one with this text."""
    while text not in program.line():
        pass


async def knows_everything(here: World, led: str) -> None:
    expected = {
        "name": "My MicroPython board",
        "os": "micropython",
        "led": led,
        "temperature": "50.0°C",
    }
    await here.until(
        lambda: {name: here.value(UID, name) for name in expected} == expected, RECOVERY_LIMIT_S
    )


@pytest.mark.parametrize(("board", "word"), [("esp32", "pin 2 is 1"), ("pycom", "LED is 0x202020")])
async def test_board_appears_with_its_values_and_its_led_is_switched(
    board: str, word: str, programs: Programs, tmp_path: Path
) -> None:
    with server("mosquitto", tmp_path) as mosquitto:
        mosquitto.start()
        async with world(at(mosquitto)) as here:
            main = flash(tmp_path / "board", board, mosquitto.port)
            program = programs.start(micropython(), main)
            await knows_everything(here, "0")
            assert here.value(UID, "board") == board
            receipt = await here.command(UID, "led", "1")
            assert receipt.state == "confirmed", receipt
            prints(program, word)
            for wrong in ("2", "", "an"):
                receipt = await here.command(UID, "led", wrong, timeout_s=0.2)
                assert receipt.state == "sent", receipt
            receipt = await here.command(UID, "name", "other", timeout_s=0.2)
            assert receipt.state == "sent", receipt
            assert here.mqtt.refused == 0
            assert program.stderr == ""


async def test_board_comes_back_after_its_broker_its_wifi_and_itself(
    programs: Programs, tmp_path: Path
) -> None:
    with server("mosquitto", tmp_path) as mosquitto:
        main = flash(tmp_path / "board", "esp32", mosquitto.port)
        program = programs.start(micropython(), main)
        prints(program, "trying again")  # there is no broker yet
        mosquitto.start()
        async with world(at(mosquitto)) as here:
            await knows_everything(here, "0")
            await restart(mosquitto, here)
            await knows_everything(here, "0")
            assert (await here.command(UID, "led", "1")).state == "confirmed"

            (tmp_path / "board" / "no-wifi").touch()
            prints(program, "the network is lost")
            (tmp_path / "board" / "no-wifi").unlink()
            prints(program, "joins test")
            prints(program, "connecting to 127.0.0.1")
            here.received.clear()
            await knows_everything(here, "1")

            program.kill()
            here.received.clear()
            programs.start(micropython(), main)
            await knows_everything(here, "0")
            assert (await here.command(UID, "led", "1")).state == "confirmed"


async def restart(mosquitto: Server, here: World) -> None:
    mosquitto.kill()
    await here.until(lambda: not here.mqtt.connected)
    here.received.clear()
    mosquitto.start()


async def test_board_is_commanded_through_the_mqtt_broker_of_aiot_run(
    programs: Programs, tmp_path: Path
) -> None:
    async with (
        running_everything() as running,
        Broker(running.url) as broker,
        broker.client() as client,
    ):
        main = flash(tmp_path / "board", "esp32", running.mqtt_port)
        programs.start(micropython(), main)
        await client.shows(UID, led="0", temperature="50.0°C", protocol="MQTT")
        receipt = await client.write(UID, "led", "1")
        assert receipt["state"] == "confirmed", receipt
        await client.shows(UID, led="1")


def test_node_sends_alive_every_30_seconds(tmp_path: Path) -> None:
    main = flash(tmp_path / "board", "esp32", free_port(socket.SOCK_STREAM))
    script = main.with_name("every_30_seconds.py")
    printed = subprocess.run(
        [micropython(), script], capture_output=True, text=True, check=True, timeout=10
    ).stdout.splitlines()
    check = 'node/check {"id": "n"}'
    temperature = 'node/n/temperature {"value": "1°C"}'
    assert printed == [
        "0 subscribes gateway/check",
        "0 subscribes gateway/n/#",
        f"0 {check}",
        '0 node/n/resources ["temperature"]',
        f"20000 {temperature}",
        f"30000 {check}",
        f"40000 {temperature}",
        f"60000 {check}",
        f"60000 {temperature}",
    ]
