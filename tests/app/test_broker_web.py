# SPDX-License-Identifier: BSD-3-Clause
"""Which sites may use the web side of a broker without a setting."""

from pathlib import Path

import aiohttp
import pytest

from tests.running import new_key_file, running_broker


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", 200),
        ("http://127.0.0.1:8080", 200),
        ("http://[::1]:8080", 200),
        ("http://localhost:8081", 403),
        ("https://localhost:8080", 403),
        ("http://evil.example:8080", 403),
    ],
)
async def test_a_broker_on_loopback_serves_the_dashboard_of_this_machine(
    tmp_path: Path, origin: str, status: int
) -> None:
    key_file, _ = new_key_file(tmp_path)
    async with running_broker(key_file) as running, aiohttp.ClientSession() as session:
        headers = {"Origin": origin}
        async with session.get(running.url + "api/info", headers=headers) as answer:
            assert answer.status == status
        if status == 200:
            async with session.ws_connect(running.url + "ws", headers=headers):
                pass
