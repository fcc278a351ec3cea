# SPDX-License-Identifier: BSD-3-Clause
"""Attack 8: messages about a node of another gateway are refused, and the node stays."""

import asyncio
from typing import Any

import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.attacks.raw import RawPeer, raw_gateway
from tests.attacks.running import HONEST, PROMPT_S, Log, System, running_system
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

CLAIMS: list[dict[str, Any]] = [
    {"type": "new", "uid": HONEST},
    {"type": "update", "uid": HONEST, "endpoint": "led", "data": "stolen"},
    {"type": "reset", "uid": HONEST},
    {"type": "out", "uid": HONEST},
]


async def untouched(system: System) -> None:
    await system.serves()
    kinds = [m["type"] for m in system.client.received if m.get("uid") == HONEST]
    assert "reset" not in kinds
    assert kinds.count("new") == 1
    assert all(m.get("data") != "stolen" for m in system.client.received)


async def test_claims_of_another_gateway_are_answered_counted_and_logged(log: Log) -> None:
    async with running_system() as system, raw_gateway(system.url, system.token()) as thief:
        await thief.send_json([{"type": "hello", "name": "thief", "protocol": "x"}])
        for count, claim in enumerate(CLAIMS, start=1):
            await thief.send_json([claim])
            (answer,) = (await thief.next()).json
            assert (answer["type"], answer["uid"]) == ("error", HONEST)
            assert system.broker.router.refused == count
        await untouched(system)
    assert sum("belongs to the gateway coap" in line for line in log.lines) == len(CLAIMS)


async def test_claims_of_a_legacy_gateway_are_dropped_and_counted() -> None:
    async with (
        running_system() as system,
        raw_gateway(system.url, system.token(), extended=False) as thief,
    ):
        for claim in CLAIMS:
            await thief.send_json(claim)
        await thief.send_json({"type": "new", "uid": "its own"})
        async with time_limit(PROMPT_S):
            await system.client.shows("its own")
        assert system.broker.router.refused == len(CLAIMS)
        await untouched(system)


async def test_gateway_of_the_same_name_replaces_none() -> None:
    async with running_system() as system:
        async with raw_gateway(system.url, system.token()) as twin:
            await twin.send_json(
                [{"type": "hello", "name": "coap", "protocol": "CoAP", "instance": "x"}]
            )
            await twin.send_json([{"type": "out", "uid": HONEST}])
            assert (await twin.next()).json[0]["type"] == "error"
            await system.serves()
            system.client.received.clear()
        async with time_limit(PROMPT_S):
            while len(system.broker._links) > 1:  # noqa: ASYNC110 - another task
                await asyncio.sleep(0.01)
        # The honest gateway still has its link and its node: no client gets a message of a loss.
        await system.serves()
        assert not any(it["type"] == "gateway" for it in system.client.received)


async def test_receipt_of_another_gateway_ends_no_command() -> None:
    async with running_system() as system, raw_gateway(system.url, system.token()) as thief:
        await thief.send_json([{"type": "hello", "name": "thief", "protocol": "x"}])
        system.node.holds_answers = True
        command_id = await system.client.command(HONEST, "led", "1")
        await system.node.requests_for(Code.PUT, "led")
        await forge_receipts(thief)
        system.node.release()
        receipt = await system.client.until(type="receipt", id=command_id)
        assert receipt["state"] == "confirmed"
        await system.serves()


async def forge_receipts(thief: RawPeer) -> None:
    await thief.send_json(
        [{"type": "receipt", "id": str(n), "state": "refused"} for n in range(50)]
    )
    # Answered after the receipts: they have been read by then.
    await thief.send_json([{"type": "out", "uid": HONEST}])
    assert (await thief.next()).json[0]["type"] == "error"


async def test_flood_of_claims_does_not_flood_the_log(log: Log) -> None:
    async with running_system() as system, raw_gateway(system.url, system.token()) as thief:
        await thief.send_json([{"type": "hello", "name": "thief", "protocol": "x"}])
        await thief.send_json([{"type": "out", "uid": HONEST}] * 1_000)
        received = 0
        while received < 1_000:
            received += len((await thief.next()).json)
        await untouched(system)
        assert system.broker.router.refused == 1_000
    assert len(log.lines) <= 10
