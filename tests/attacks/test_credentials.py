# SPDX-License-Identifier: BSD-3-Clause
"""Attack 7: invalid credentials are answered 401; gateways retry and reconnect."""

import asyncio
import socket
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pyaiot.app import services
from pyaiot.broker.keys import Keys, generate_keys, load_keys, mint_token, write_keys
from pyaiot.config import Config, GatewaySection
from pyaiot.gateways.coap.plugin import PLUGIN as COAP
from pyaiot.gateways.coap.settings import CoapSection
from tests import clients
from tests.attacks.raw import raw_gateway, raw_peer
from tests.attacks.running import Log, running_broker, running_gateway, running_system, until
from tests.programs import Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

DAY_S = 24 * 3600


def bad_tokens(keys: Keys) -> dict[str, str]:
    sealed = Fernet(keys.private)
    now = int(time.time())
    secret = keys.secret.encode()
    return {
        "of another key": mint_token(generate_keys()),
        "with another secret": sealed.encrypt(b"x" * 32).decode(),
        "older than a day": sealed.encrypt_at_time(secret, now - DAY_S - 605).decode(),
        "of tomorrow": sealed.encrypt_at_time(secret, now + DAY_S).decode(),
        "cut": mint_token(keys)[:-5],
        "changed": mint_token(keys)[:-10] + "AAAAAAAA==",
        "empty": "",
        "no base64": "!!!!",
        "a letter beyond ASCII": "é",
        "bytes that are not text": b"\xff\xfe".decode("utf-8", "surrogateescape"),
        "the secret itself": keys.secret,
        "7,000 letters": "A" * 7_000,
        "words": "token, token, token",
    }


async def test_invalid_token_is_answered_401_and_never_logged(log: Log) -> None:
    async with running_system() as system:
        tokens = bad_tokens(system.keys)
        for count, (name, token) in enumerate(tokens.items(), start=1):
            async with raw_peer(system.url) as peer:
                offer = f"Sec-WebSocket-Protocol: pyaiot.v2, token, {token}"
                assert await peer.upgrade("/gw", offer) == 401, name
            assert system.app.sockets.refused_gateways == count
        for offer in ("Sec-WebSocket-Protocol: pyaiot.v2", "Sec-WebSocket-Protocol: token"):
            async with raw_peer(system.url) as peer:
                assert await peer.upgrade("/gw", offer) == 401
        await system.serves()
    assert log.tracebacks == []
    assert any("not made with the key file" in line for line in log.lines)
    assert any("correct the wrong clock" in line for line in log.lines)
    everything = log.everything
    assert all(token not in everything for token in tokens.values() if len(token) > 10)
    assert system.keys.secret not in everything
    assert system.keys.private not in everything


async def test_token_is_accepted_once() -> None:
    async with running_system() as system:
        token = system.token()
        async with raw_gateway(system.url, token), raw_peer(system.url) as replaying:
            offer = f"Sec-WebSocket-Protocol: token, {token}"
            assert await replaying.upgrade("/gw", offer) == 401
        # It is not accepted after the first gateway has left either, nor in another spelling.
        for again in (token, token + "=", token.rstrip("=")):
            async with raw_peer(system.url) as replaying:
                offer = f"Sec-WebSocket-Protocol: token, {again}"
                assert await replaying.upgrade("/gw", offer) == 401
        await system.serves()


async def test_token_used_before_a_restart_of_the_broker_is_refused(programs: Programs) -> None:
    port = str(free_port(socket.SOCK_STREAM))
    arguments = ("broker", "--port", port, "--key-file", str(programs.key_file()))
    token = mint_token(load_keys(programs.key_file()))
    offer = f"Sec-WebSocket-Protocol: token, {token}"
    url = f"http://127.0.0.1:{port}/"
    broker = programs.aiot(*arguments)
    broker.startup_text()
    async with raw_peer(url) as peer:
        assert await peer.upgrade("/gw", offer) == 101
    # Killed, so the used token must have been stored at once.
    broker.kill()
    broker = programs.aiot(*arguments)
    broker.startup_text()
    async with raw_peer(url) as peer:
        assert await peer.upgrade("/gw", offer) == 401
    async with raw_peer(url) as peer:
        fresh = mint_token(load_keys(programs.key_file()))
        assert await peer.upgrade("/gw", f"Sec-WebSocket-Protocol: token, {fresh}") == 101
    assert "its token was used before" in broker.stderr


@pytest.mark.parametrize("off_s", [-DAY_S - 1200, 1200])
async def test_wrong_clock_of_a_gateway_is_logged_on_both_sides(log: Log, off_s: float) -> None:
    keys = generate_keys()

    def token() -> str:
        at = int(time.time() + off_s)
        return Fernet(keys.private).encrypt_at_time(keys.secret.encode(), at).decode()

    async with running_broker(keys) as broker, running_gateway(broker.url, token):
        await until(lambda: broker.app.sockets.refused_gateways > 0)
        await until(lambda: any("no broker" in line for line in log.lines))
    assert any("correct the wrong clock" in line for line in log.lines)
    assert any("the clocks of this machine and of the broker" in line for line in log.lines)


async def test_gateway_with_a_wrong_key_retries_until_the_key_is_right(
    log: Log,
) -> None:
    keys, wrong = generate_keys(), generate_keys()
    in_use = [wrong]
    async with (
        running_broker(keys) as broker,
        running_gateway(broker.url, lambda: mint_token(in_use[0])) as gateway,
        clients.Broker(broker.url) as people,
        people.client() as client,
        time_limit(10.0),
    ):
        gateway.coap.gateway.node_seen("N", {"protocol": "CoAP"})
        await until(lambda: broker.app.sockets.refused_gateways >= 5)
        assert gateway.links == []
        in_use[0] = keys
        await client.shows("N", protocol="CoAP")
        assert len(gateway.links) == 1
    # Logged once for all attempts.
    assert len([line for line in log.lines if "refused the key" in line]) == 1
    assert log.tracebacks == []


async def test_running_gateway_reads_a_replaced_key_file(tmp_path: Path) -> None:
    keys = generate_keys()
    key_file = tmp_path / "keys"
    write_keys(key_file, generate_keys())
    async with (
        running_broker(keys) as broker,
        clients.Broker(broker.url) as people,
        people.client() as client,
        time_limit(10.0),
    ):
        config = Config(
            protocols=(CoapSection(port=0, name="repaired"),),
            gateway=GatewaySection(
                broker_host="127.0.0.1", broker_port=broker.port, key_file=str(key_file)
            ),
        )
        task = asyncio.create_task(services.run_gateway(COAP, config, lambda _: None))
        try:
            await until(lambda: broker.app.sockets.refused_gateways > 0)
            # For a moment there is no file, as when an operator replaces it.
            key_file.unlink()
            write_keys(key_file, keys)
            await client.until(type="gateway", name="repaired", state="connected")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
