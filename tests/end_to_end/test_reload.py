# SPDX-License-Identifier: BSD-3-Clause
"""SIGHUP: settings and keys are read again, and the log lists what needs a restart."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
from typing import Any

import aiohttp
import pytest

from pyaiot.broker.keys import generate_keys, load_keys, mint_token, write_keys
from tests.programs import AIOT, ANY_PORTS, Program, Programs

pytestmark = pytest.mark.sockets


class Running:
    """`aiot run` with a settings file."""

    def __init__(self, programs: Programs, *flags: str) -> None:
        self.settings = programs.home / "pyaiot.toml"
        self.write("")
        words = ("run", *ANY_PORTS, "--config", self.settings)
        self.program: Program = programs.aiot(*words, *flags)
        found = re.search(r"http://\S+/", self.program.startup_text())
        assert found is not None
        self.url = found[0]

    def write(self, text: str) -> None:
        self.settings.write_text(text, "utf-8")

    async def hangup(self, sentence: str) -> None:
        """Send SIGHUP and wait for this in the log."""
        self.program.send(signal.SIGHUP)
        while sentence not in self.program.stderr:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0)


async def add_node(url: str, uid: str) -> int:
    """Register a node, and return the status of the answer."""
    async with (
        aiohttp.ClientSession(url) as web,
        web.post("/api/nodes", json={"nodes": [{"uid": uid}]}) as answer,
    ):
        return answer.status


async def test_what_can_be_applied_is_and_what_needs_a_restart_is_named(
    programs: Programs,
) -> None:
    running = await asyncio.to_thread(Running, programs)
    running.write(
        '[log]\ndebug = true\n[registry]\nadmission = "approve"\n'
        '[coap]\npoll_s = 5\n[dashboard]\nlogo = "x.png"\n'
    )
    await running.hangup("need a restart: coap.poll_s, dashboard.logo")
    assert "applied: registry.admission, log.debug" in running.program.stderr
    # The next time, only what is new is named; what waits is named again.
    running.write('[registry]\nadmission = "approve"\n')
    await running.hangup("applied: log.debug")
    await running.hangup("nothing changed")
    assert await add_node(running.url, "lamp") == 200
    assert not re.search("Traceback|ERROR", running.program.stderr)


async def test_newcomers_wait_for_approval_from_the_signal_on(programs: Programs) -> None:
    running = await asyncio.to_thread(Running, programs, "--ws-host", "127.0.0.1")
    port = next(
        int(line.rpartition(" ")[2])
        for line in (await info_lines(running.program))
        if "WebSocket" in line
    )
    running.write('[registry]\nadmission = "approve"\n')
    await running.hangup("applied: registry.admission")
    async with (
        aiohttp.ClientSession() as web,
        web.ws_connect(f"ws://127.0.0.1:{port}/node") as node,
    ):
        await node.send_json({"type": "update", "data": {"name": "late"}})
        while True:
            async with web.get(f"{running.url}api/nodes?state=waiting") as answer:
                found: list[dict[str, Any]] = (await answer.json())["nodes"]
            if found:
                break
    assert [it["state"] for it in found] == ["waiting"]


async def info_lines(program: Program) -> list[str]:
    ports = [port for kind, port in sorted(program.open_ports()) if kind == "tcp"]
    found = []
    async with aiohttp.ClientSession() as web:
        for port in ports:
            try:
                async with web.ws_connect(f"ws://127.0.0.1:{port}/node"):
                    found.append(f"WebSocket {port}")
            except (aiohttp.ClientError, OSError):
                continue
    return found


@pytest.mark.parametrize("text", ["[broker]\ncolour = 1\n", "nonsense", "[log]\ndebug = 3\n"])
async def test_invalid_settings_change_nothing(text: str, programs: Programs) -> None:
    running = await asyncio.to_thread(Running, programs)
    running.write(text)
    await running.hangup("the settings are unchanged: ")
    assert await add_node(running.url, "lamp") == 200
    assert "Traceback" not in running.program.stderr


async def test_replaced_key_file_is_used_for_the_next_gateway(programs: Programs) -> None:
    path = programs.key_file()
    running = await asyncio.to_thread(Running, programs, "--key-file", str(path))
    old = load_keys(path)
    write_keys(path, generate_keys(), replace=True)
    await running.hangup("was read again")
    assert await handshake(running.url, mint_token(old)) == 401
    assert await handshake(running.url, mint_token(load_keys(path))) == 101
    path.write_text("broken", "utf-8")
    await running.hangup("the keys are unchanged")


async def handshake(url: str, token: str) -> int:
    async with aiohttp.ClientSession() as web:
        try:
            async with web.ws_connect(url + "gw", protocols=("token", token)):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def test_closed_terminal_ends_a_service_as_ctrl_c_does(programs: Programs) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*AIOT, "broker", "--port", "0", "--key-file", str(programs.key_file())],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=programs.environment(),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
    )
    try:
        os.close(theirs)
        assert process.stdout is not None
        assert b"Broker: http://" in process.stdout.readline()
        os.kill(process.pid, signal.SIGHUP)  # by hand: the terminal is there
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        os.close(ours)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_service_that_is_to_outlive_its_terminal_ignores_sighup(programs: Programs) -> None:
    words = ("broker", "--port", "0", "--key-file", programs.key_file())
    broker = programs.start("nohup", *AIOT, *words)
    broker.startup_text()
    broker.send(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        broker.exit_code(0.5)
