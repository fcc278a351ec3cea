# SPDX-License-Identifier: BSD-3-Clause
"""A gateway in a separate process, with its own token, as an operator sets it up."""

import os
import socket
from pathlib import Path

import pytest

from tests import clients
from tests.programs import Program, Programs, free_port

pytestmark = pytest.mark.sockets

OFF = ("--history", "off", "--registry", "off")


def command_line(program: Program) -> str:
    return Path(f"/proc/{program.pid}/cmdline").read_text("utf-8")


def write(path: Path, token: str, mode: int = 0o600) -> Path:
    path.write_text(f"{token}\n", "ascii")
    path.chmod(mode)
    return path


async def test_gateway_is_added_rotated_and_removed_while_everything_runs(
    programs: Programs,
) -> None:
    port = str(free_port(socket.SOCK_STREAM))
    broker = programs.aiot_by_name("broker", "--port", port, "--key-file", "off", *OFF)
    broker.startup_text()
    added = programs.run("gateway", "add", "greenhouse")
    assert (added.returncode, added.stderr) == (0, "")
    file = write(programs.home / "greenhouse-token", added.stdout.strip())
    async with clients.Broker(f"http://127.0.0.1:{port}/") as people, people.client() as client:
        gateway = programs.aiot_by_name(
            *("coap-gateway", "--coap-port", "0", "--broker-port", port, "--token-file", file)
        )
        await client.until(type="gateway", name="greenhouse", state="connected")
        rotated = programs.run("gateway", "rotate", "greenhouse", "--overlap", "7d")
        assert rotated.returncode == 0
        write(file, rotated.stdout.strip())
        assert programs.run("gateway", "list").stdout.count("greenhouse  made on") == 2
        # The gateway still uses the first one: its link ends, and it comes back with the second.
        assert programs.run("gateway", "remove", "greenhouse", "--old").returncode == 0
        await client.until(type="gateway", name="greenhouse", state="lost")
        await client.until(type="gateway", name="greenhouse", state="connected")
        assert programs.run("gateway", "remove", "greenhouse").returncode == 0
        await client.until(type="gateway", name="greenhouse", state="lost")
    assert programs.run("gateway", "list").stdout.startswith("There are no gateways")
    for program in (broker, gateway):
        for secret in (added.stdout.strip(), rotated.stdout.strip()):
            assert secret not in program.stderr
            assert secret not in command_line(program)


def test_problem_of_a_token_is_one_sentence_at_the_start(programs: Programs) -> None:
    token = programs.run("gateway", "add", "roof").stdout.strip()
    missing = programs.home / "missing"
    sentences = {
        (): "The key file",
        ("--token-file", missing): f"The token file {missing} does not exist",
        ("--token-file", write(programs.home / "empty", "")): "has no token",
        ("--token-file", write(programs.home / "open", token, 0o644)): "restrict it with chmod 600",
        ("--token-file", programs.home): "cannot be read",
    }
    for flags, sentence in sentences.items():
        result = programs.run("coap-gateway", "--coap-port", "0", *flags)
        assert result.returncode == 2, flags
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr
        assert token not in result.stderr
    result = programs.run("coap-gateway", "--coap-port", "0", AIOT_GATEWAY_TOKEN="secret words")
    assert result.returncode == 2
    assert "The variable AIOT_GATEWAY_TOKEN has no token" in result.stderr
    assert "secret words" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "roof"), "There is a gateway named 'roof' already"),
        (("add", ""), "A name has 1 to 64 printable characters"),
        (("rotate", "cellar"), "There is no gateway named 'cellar'"),
        (("rotate", "roof", "--overlap", "soon"), "--overlap takes 12h"),
        (("remove", "cellar"), "There is no gateway named 'cellar'"),
    ],
)
def test_wrong_command_is_refused_with_one_sentence(
    programs: Programs, arguments: tuple[str, ...], sentence: str
) -> None:
    assert programs.run("gateway", "add", "roof").returncode == 0
    result = programs.run("gateway", *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert os.linesep not in result.stderr.strip()
