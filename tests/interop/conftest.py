# SPDX-License-Identifier: BSD-3-Clause
"""Third-party CoAP programs. If one is missing, its tests are skipped with its name."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.programs import Programs

Tool = Callable[..., Awaitable[str]]
"""Runs a program with arguments, and returns its standard output and error."""


def located(tool: str, package: str, *names: str) -> str:
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"no {tool}: install {package}")


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return output.decode().strip()


# Debian names these after the TLS library that they are built with.
def flavours(name: str) -> tuple[str, ...]:
    return name, f"{name}-notls", f"{name}-openssl", f"{name}-gnutls"


@pytest.fixture
def coap_client() -> Tool:
    """libcoap's client, which gives up after 5 s and prints the messages that it exchanges."""
    path = located("coap-client", "libcoap3-bin", *flavours("coap-client"))
    return lambda *arguments: output(path, "-B", "5", "-v", "6", *arguments)


@pytest.fixture
def coap_server() -> str:
    return located("coap-server", "libcoap3-bin", *flavours("coap-server"))


@pytest.fixture
def aiocoap_client() -> Tool:
    """aiocoap's command line, in the environment of the tests."""
    scripts = Path(sys.executable).parent
    path = located("aiocoap-client", "aiocoap", str(scripts / "aiocoap-client"), "aiocoap-client")
    return lambda *arguments: output(path, *arguments)


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    started = Programs(tmp_path_factory.mktemp("home"))
    yield started
    started.close()
