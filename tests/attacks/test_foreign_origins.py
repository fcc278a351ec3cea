# SPDX-License-Identifier: BSD-3-Clause
"""Attack 3: requests from other origins or for other host names are refused."""

import pytest

from tests.attacks.raw import raw_peer
from tests.attacks.running import Log, running_system

pytestmark = pytest.mark.sockets

FOREIGN_ORIGINS = ["http://evil.example", "null", "https://127.0.0.1.evil.example", "file://"]
FOREIGN_HOSTS = ["evil.example", "127.0.0.1.evil.example:8000", "localhost.evil.example", "", None]
PATHS = ["/ws", "/gw", "/", "/dashboard.json", "/readyz"]


async def test_request_from_another_origin_is_refused_counted_and_logged(log: Log) -> None:
    async with running_system() as system:
        for origin in FOREIGN_ORIGINS:
            for path in PATHS:
                async with raw_peer(system.url) as peer:
                    assert await peer.upgrade(path, f"Origin: {origin}") == 403
        assert system.app.refused_requests == len(FOREIGN_ORIGINS) * len(PATHS)
        await system.serves()
    assert any("evil.example" in line for line in log.lines)
    assert len(log.lines) <= 6


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_other_host_name_is_refused_at_every_path_except_that_of_gateways(
    host: str | None,
) -> None:
    paths = [path for path in PATHS if path != "/gw"]
    async with running_system() as system:
        for path in paths:
            async with raw_peer(system.url) as peer:
                # A request of HTTP/1.1 without Host is invalid: 400.
                assert await peer.upgrade(path, host=host) in {400, 403}
        assert system.app.refused_requests == len(paths)
        # Gateways may use any host name, but need a token.
        async with raw_peer(system.url) as peer:
            offer = "Sec-WebSocket-Protocol: token, x"
            assert await peer.upgrade("/gw", offer, host=host) in {400, 401}
        await system.serves()


async def test_own_origin_is_accepted() -> None:
    async with running_system() as system, raw_peer(system.url) as peer:
        host = f"127.0.0.1:{system.broker_side.port}"
        assert await peer.upgrade("/ws", f"Origin: http://{host}", host=host) == 101
        assert system.app.refused_requests == 0
