# SPDX-License-Identifier: BSD-3-Clause
"""Clients without a sign-in: what one address may cost."""

from collections.abc import Callable

import aiohttp
import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.web.sign_in import SignIn
from pyaiot.web.visitors import (
    VISITOR_CONNECTIONS_MAX,
    VISITOR_REQUESTS_BURST,
    VISITOR_REQUESTS_PER_S,
    Visitors,
)
from tests.web.serving import eventually, serving


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_requests_of_one_address_are_limited_and_others_are_served() -> None:
    clock = Clock()
    visitors = Visitors(clock)
    taken = [visitors.may_request("192.0.2.1") for _ in range(int(VISITOR_REQUESTS_BURST) + 1)]
    assert taken == [True] * int(VISITOR_REQUESTS_BURST) + [False]
    assert visitors.may_request("192.0.2.2")
    clock.now = 1.0
    allowed = sum(visitors.may_request("192.0.2.1") for _ in range(100))
    assert allowed == VISITOR_REQUESTS_PER_S


def test_class_of_thirty_behind_one_address_opens_the_dashboard_at_once() -> None:
    visitors = Visitors(Clock())
    # A dashboard and its parts, and a picture or two.
    assert all(visitors.may_request("192.0.2.1") for _ in range(30 * 40))
    assert all(visitors.may_connect("192.0.2.1") for _ in range(30))


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
    ],
)
def test_connections_are_counted_by_network(first: str, second: str, is_same: bool) -> None:
    visitors = Visitors(Clock())
    closes = [visitors.connected(first) for _ in range(VISITOR_CONNECTIONS_MAX)]
    assert visitors.may_connect(second) is not is_same
    for close in closes:
        close()
    assert visitors.may_connect(second)


class FromAfar(Visitors):
    """For them, the clients of the test are on another machine."""

    def may_request(self, address: str) -> bool:
        return super().may_request(address.replace("127.0.0.1", "192.0.2.1"))

    def may_connect(self, address: str) -> bool:
        return super().may_connect(address.replace("127.0.0.1", "192.0.2.1"))

    def connected(self, address: str) -> Callable[[], None]:
        return super().connected(address.replace("127.0.0.1", "192.0.2.1"))


@pytest.mark.sockets
async def test_limits_apply_to_clients_without_sign_in_only() -> None:
    accounts = AccountsFile(None)
    token, secret = new_token("a", "viewer", now=0.0, life_s=None)
    accounts.add_token(token)
    visitors = FromAfar(Clock())
    login = SignIn(accounts, behind_tls=False, viewers=True, clock=Clock(), visitors=visitors)
    # By default, a session of aiohttp has at most 100 connections.
    many = aiohttp.TCPConnector(limit=0)
    async with (
        serving(login=login) as served,
        aiohttp.ClientSession(served.url, connector=many) as web,
    ):
        sockets = [await web.ws_connect("/ws") for _ in range(VISITOR_CONNECTIONS_MAX)]
        async with web.get("/ws", headers={"Upgrade": "websocket"}) as answer:
            assert answer.status == 429
        async with web.get("/api/events") as answer:
            assert answer.status == 429
        await sockets.pop().close()
        await eventually(lambda: len(served.broker.fanout.clients) < VISITOR_CONNECTIONS_MAX)
        await (await web.ws_connect("/ws")).close()
        statuses = set()
        for _ in range(int(VISITOR_REQUESTS_BURST)):
            async with web.get("/api/info") as answer:
                statuses.add(answer.status)
        assert statuses == {200, 429}
        for path in ("/healthz", "/login"):
            async with web.get(path) as answer:
                assert answer.status == 200
        async with web.get("/gw") as answer:
            assert answer.status == 401
        headers = {"Authorization": f"Bearer {secret}"}
        async with web.get("/api/info", headers=headers) as answer:
            assert answer.status == 200
        await (await web.ws_connect("/ws", headers=headers)).close()
        for socket in sockets:
            await socket.close()
