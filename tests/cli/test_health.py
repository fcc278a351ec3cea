# SPDX-License-Identifier: BSD-3-Clause
"""`aiot health`: its exit code is the health check of containers."""

import asyncio
import json
from typing import Self

import pytest
import typer
from aiohttp import web

from pyaiot.cli.health import health
from pyaiot.errors import OperatorError

pytestmark = pytest.mark.sockets


async def checked(port: int) -> int:
    try:
        await asyncio.to_thread(health, f"http://127.0.0.1:{port}")
    except typer.Exit as ended:
        return ended.exit_code
    return 0


class Service:
    """Answers each path with a status and a JSON body."""

    def __init__(self, **answers: tuple[int, object]) -> None:
        self._answers = answers
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        status, body = self._answers.get(request.match_info["path"], (404, {}))
        return web.Response(status=status, text=json.dumps(body))


async def test_broker_whose_parts_work_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    async with Service(readyz=(200, {"parts": {"history": "ok"}})) as service:
        assert await checked(service.port) == 0
    assert capsys.readouterr().out == f"http://127.0.0.1:{service.port} works.\n"


async def test_part_that_does_not_work_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"parts": {"history": "the disk is full", "registry": "ok"}}
    async with Service(readyz=(503, body), healthz=(200, {})) as service:
        assert await checked(service.port) == 1
    assert "does not work: history: the disk is full." in capsys.readouterr().err


@pytest.mark.parametrize("status", [401, 404])
async def test_service_that_hides_or_has_no_parts_only_has_to_answer(status: int) -> None:
    async with Service(readyz=(status, {}), healthz=(200, {})) as service:
        assert await checked(service.port) == 0
    async with Service(readyz=(status, {}), healthz=(500, {})) as service:
        assert await checked(service.port) == 1


async def test_nobody_there_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    async with Service() as service:
        pass
    assert await checked(service.port) == 1
    assert "does not answer" in capsys.readouterr().err


async def test_something_else_there_is_not_healthy() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        assert await checked(server.sockets[0].getsockname()[1]) == 1


def test_address_must_be_a_url() -> None:
    with pytest.raises(OperatorError, match="is not a URL"):
        health("localhost:8000")
