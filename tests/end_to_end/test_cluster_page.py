# SPDX-License-Identifier: BSD-3-Clause
"""The files of docs/how-to/three-machines.md, with addresses and ports of this machine."""

import asyncio
import re
import socket
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from pyaiot.app.broker_web import check_web
from pyaiot.config import BrokerSection, Config
from tests.history.postgres_server import running_server
from tests.programs import Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "three-machines.md"
LIMIT_S: Final = 30.0


def block(first_line: str) -> str:
    """The block of the page that begins with this line."""
    found = re.search(
        rf"^```\w+\n({re.escape(first_line)}.*?)^```",
        PAGE.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert found is not None
    return found[1]


async def test_the_files_of_the_page_fit_together(programs: Programs, tmp_path: Path) -> None:
    ports = {4222: free_port(socket.SOCK_STREAM), 6222: free_port(socket.SOCK_STREAM)}
    text = block("listen: 10.0.0.1:4222")
    for port, free in ports.items():
        text = text.replace(f"10.0.0.1:{port}", f"127.0.0.1:{free}")
    # The other two machines do not exist.
    text = re.sub(r"10\.0\.0\.[23]:6222", f"127.0.0.1:{free_port(socket.SOCK_STREAM)}", text)
    (tmp_path / "nats.conf").write_text(text)
    nats = Path(sys.executable).with_name("nats-server")
    programs.start(nats, "-c", tmp_path / "nats.conf", NATS_PASSWORD="PASSWORD")
    with running_server() as server:
        settings = block("[cluster]")
        settings = settings.replace("10.0.0.1,10.0.0.2,10.0.0.3", f"127.0.0.1:{ports[4222]}")
        settings = re.sub(r'"postgresql://.*"', f'"{server.url}"', settings)
        (tmp_path / "pyaiot.toml").write_text(settings)
        words = re.findall(r"^ExecStart=\S+ (.*)", block("[Unit]"), re.MULTILINE)[0].split()
        assert words[:3] == ["broker", "--host", "0.0.0.0"]
        check_web(Config(broker=BrokerSection(host=words[2], insecure=words[3:] == ["--insecure"])))
        broker = programs.aiot(
            *("broker", "--port", "0", "--key-file", programs.key_file()),
            AIOT_CONFIG=str(tmp_path / "pyaiot.toml"),
        )
        found = re.search(r"Broker: (http://\S+?)/? ", broker.startup_text())
        assert found is not None
        async with aiohttp.ClientSession() as web, time_limit(LIMIT_S):
            state: dict[str, object] = {}
            while not state.get("connected"):
                await asyncio.sleep(0.05)
                async with web.get(f"{found[1]}/api/cluster") as answer:
                    state = await answer.json()
        assert state["in_cluster"] is True
