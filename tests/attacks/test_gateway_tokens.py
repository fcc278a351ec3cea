# SPDX-License-Identifier: BSD-3-Clause
"""Gateways with their own tokens: which are refused, and what ends when a token is removed."""

import contextlib
import time
from pathlib import Path

import aiohttp
import pytest

from pyaiot.accounts.records import GatewayToken
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import digest_of, new_secret, new_token
from pyaiot.broker.keys import generate_keys, mint_token
from pyaiot.links.connecting import connect_gateway_with_token
from tests import clients
from tests.attacks.running import Log, running_broker, running_gateway, until
from tests.time_limits import Stopwatch, time_limit

pytestmark = pytest.mark.sockets


def add_gateway(path: Path, name: str, *, life_s: float | None = None) -> str:
    """As `aiot gateway add` does it. Returns the token."""
    secret, now = new_secret(), time.time()
    token = GatewayToken(name, now, None if life_s is None else now + life_s, digest_of(secret))
    AccountsFile(path).add_gateway_token(token, is_new=True)
    return secret


async def test_removed_token_ends_the_link_at_once_and_the_node_is_offline(
    tmp_path: Path, log: Log
) -> None:
    path = tmp_path / "accounts.db"
    secret = add_gateway(path, "roof")
    async with (
        running_broker(generate_keys(), accounts=AccountsFile(path)) as broker,
        running_gateway(
            broker.url, lambda: secret, connect_link=connect_gateway_with_token
        ) as gateway,
        clients.Broker(broker.url) as people,
        people.client() as client,
    ):
        gateway.coap.gateway.node_seen("N", {"protocol": "CoAP"})
        await client.shows("N", protocol="CoAP")
        assert [state.name for state in broker.broker.router.gateways.states(0.0)] == ["roof"]
        watch = Stopwatch()
        AccountsFile(path).remove_gateway_tokens("roof", keeps_latest=False)
        await until(lambda: not broker.broker.router.gateways.states(0.0))
        assert watch.elapsed_s < 1.0
        await until(lambda: broker.app.sockets.refused_gateways >= 2)
        assert broker.broker.router.nodes.get("N") is None
    assert sum("refused the token (401)" in line for line in log.lines) == 1
    assert log.tracebacks == []
    assert secret not in log.everything


async def test_gateway_that_ignores_the_close_is_served_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    secret = add_gateway(path, "roof")
    async with (
        running_broker(generate_keys(), accounts=AccountsFile(path)) as broker,
        aiohttp.ClientSession() as session,
        session.ws_connect(
            broker.url + "gw",
            protocols=("pyaiot.v2",),
            headers={"Authorization": f"Bearer {secret}"},
            autoclose=False,
        ) as stubborn,
    ):
        await stubborn.send_json([{"type": "hello", "name": "x", "protocol": "CoAP"}])
        await until(lambda: bool(broker.broker.router.gateways.states(0.0)))
        AccountsFile(path).remove_gateway_tokens("roof", keeps_latest=False)
        message = await stubborn.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        with contextlib.suppress(ConnectionError):  # the broker may be faster
            await stubborn.send_json([{"type": "new", "uid": "A"}])
        await until(lambda: not broker.broker._links)
        assert broker.broker.router.nodes.get("A") is None


async def test_gateway_reconnects_with_the_other_token_of_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    secrets = [add_gateway(path, "roof"), new_secret()]
    in_use = [secrets[0]]
    async with (
        running_broker(generate_keys(), accounts=AccountsFile(path)) as broker,
        running_gateway(
            broker.url, lambda: in_use[0], connect_link=connect_gateway_with_token
        ) as gateway,
    ):
        await until(lambda: bool(broker.broker.router.gateways.states(0.0)))
        now = time.time()
        new = GatewayToken("roof", now, None, digest_of(secrets[1]))
        AccountsFile(path).add_gateway_token(new, is_new=False, others_expire_at=now + 3600.0)
        gateway.coap.gateway.node_seen("N", {"protocol": "CoAP"})
        await until(lambda: broker.broker.router.nodes.get("N") is not None)
        in_use[0] = secrets[1]
        AccountsFile(path).remove_gateway_tokens("roof", keeps_latest=True)
        await until(lambda: len(gateway.links) == 2)
        await until(lambda: broker.broker.router.nodes.get("N") is not None)
        assert broker.app.sockets.refused_gateways == 0


async def test_wrong_tokens_are_answered_401(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "accounts.db"
    expired = add_gateway(path, "old", life_s=-1.0)
    program, of_program = new_token("p", "admin", now=0.0, life_s=None)
    AccountsFile(path).add_token(program)
    keys = generate_keys()
    wrong = {
        "expired": f"Bearer {expired}",
        "of a program": f"Bearer {of_program}",
        "unknown": f"Bearer {new_secret()}",
        "empty": "",
        "of the key file": f"Bearer {mint_token(keys)}",
        "other scheme": "Basic YTpi",
        "very long": "Bearer " + "x" * 5000,
    }
    async with (
        running_broker(keys, accounts=AccountsFile(path)) as broker,
        aiohttp.ClientSession() as session,
        time_limit(10.0),
    ):
        for name, header in wrong.items():
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await session.ws_connect(
                    broker.url + "gw",
                    protocols=("pyaiot.v2",),
                    headers={"Authorization": header},
                )
            assert refusal.value.status == 401, name
        assert broker.app.sockets.refused_gateways == len(wrong)
    for secret in (expired, of_program):
        assert secret not in log.everything
