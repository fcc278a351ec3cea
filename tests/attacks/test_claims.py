# SPDX-License-Identifier: BSD-3-Clause
"""Attack 4: a device claims what is not its own: another's uid, or a name of ours."""

import asyncio

import pytest

from pyaiot.gateways.coap import claims, discovery
from pyaiot.gateways.coap.intake_events import UNKNOWN_MAX_AGE_S
from pyaiot.protocols.coap.numbers import Code, OptionNumber
from tests.attacks.running import HONEST, PROMPT_S, Log, running_system
from tests.coap_device import WELL_KNOWN_CORE, CoapDevice, coap_device
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

OURS = ["ip", "protocol", "id"]


@pytest.mark.parametrize("resource", OURS)
async def test_resource_with_a_reserved_name_is_answered_4_03_and_counted(
    resource: str, log: Log
) -> None:
    async with running_system() as system:
        before = dict(system.client.nodes[HONEST])
        answer = await system.node.post("server", f"{resource}:stolen")
        assert answer.code == Code.FORBIDDEN
        assert system.coap.refused == 1
        await system.serves()
        assert system.client.nodes[HONEST].get(resource) == before.get(resource)
    assert any(f"the resource {resource} is the gateway's own" in line for line in log.lines)


async def test_discovered_resource_with_a_reserved_name_is_ignored() -> None:
    async with running_system() as system, coap_device(system.coap.port) as liar:
        liar.has({"ip": "1.2.3.4", "protocol": "magic", "led": "0"})
        await liar.post("alive", "alive:liar")
        await system.client.shows("liar", led="0")
        assert system.client.nodes["liar"] == {"ip": liar.host, "protocol": "CoAP", "led": "0"}
        await system.serves()


async def test_claim_of_the_honest_uid_is_refused_counted_and_logged(log: Log) -> None:
    async with running_system() as system, coap_device(system.coap.port) as thief:
        # Not accepted before the owner was queried; refused from then on.
        assert (await thief.post("alive", f"alive:{HONEST}")).code == Code.SERVICE_UNAVAILABLE
        async with time_limit(PROMPT_S):
            while (await thief.post("alive", f"alive:{HONEST}")).code != Code.FORBIDDEN:
                pass
        assert (await thief.post("server", "led:stolen")).code == Code.SERVICE_UNAVAILABLE
        assert system.coap.refused >= 2
        await system.serves()
        assert system.client.nodes[HONEST]["ip"] == system.node.host
        assert all(message.get("data") != "stolen" for message in system.client.received)
    assert any(f"claims the uid {HONEST}" in line for line in log.lines)


async def test_claims_from_many_addresses_do_not_cause_a_request_each() -> None:
    async with running_system() as system:
        await system.node.requests_for(Code.GET, WELL_KNOWN_CORE)
        requested = len([item for item in system.node.requests if item.path == WELL_KNOWN_CORE])
        for _ in range(20):
            async with coap_device(system.coap.port) as thief:
                answer = await thief.post("alive", f"alive:{HONEST}")
                assert answer.code == Code.SERVICE_UNAVAILABLE
        await system.serves()
        again = len([item for item in system.node.requests if item.path == WELL_KNOWN_CORE])
        assert again == requested + 1


async def test_reading_before_a_uid_is_known_is_not_acknowledged_and_not_lost() -> None:
    # Attack 17: 5.03 with Max-Age until it counts, 2.04 when it does.
    async with running_system() as system, coap_device(system.coap.port) as early:
        answer = await early.post("server", "temperature:7")
        assert answer.code == Code.SERVICE_UNAVAILABLE
        assert answer.option(OptionNumber.MAX_AGE) == bytes([UNKNOWN_MAX_AGE_S])
        assert "early" not in system.client.nodes
        assert (await early.post("alive", "alive:early")).code == Code.CHANGED
        await system.client.shows("early", temperature="7")
        await system.serves()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node is given up after less than the four seconds that a real one has."""
    monkeypatch.setattr(discovery, "FIRST_RESPONSE_S", 0.3)


async def claimed(thief: CoapDevice, uid: str) -> Code:
    """Claim a uid. Returns the response after the check of the claim."""
    assert (await thief.post("alive", f"alive:{uid}")).code == Code.SERVICE_UNAVAILABLE
    await asyncio.sleep(1.0)
    return Code((await thief.post("alive", f"alive:{uid}")).code)


@pytest.mark.usefixtures("soon")
async def test_node_that_answers_no_request_keeps_its_uid_while_it_is_seen() -> None:
    async with (
        running_system() as system,
        coap_device(system.coap.port) as mute,
        coap_device(system.coap.port) as thief,
    ):
        mute.holds_answers = True
        thief.has({"led": "stolen"})
        assert (await mute.post("alive", "alive:mute")).code == Code.CHANGED
        await system.client.shows("mute", ip=mute.host)
        assert await claimed(thief, "mute") == Code.SERVICE_UNAVAILABLE
        assert (await mute.post("server", "count:1")).code == Code.CHANGED
        await system.client.shows("mute", count="1", ip=mute.host)
        assert "led" not in system.client.nodes["mute"]
        await system.serves()


@pytest.mark.usefixtures("soon")
async def test_node_that_answers_no_request_and_is_not_seen_has_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "OWNER_TIMEOUT_S", 0.0)
    async with (
        running_system() as system,
        coap_device(system.coap.port) as before,
        coap_device(system.coap.port) as after,
    ):
        before.holds_answers = True
        after.has({"led": "1"})
        assert (await before.post("alive", "alive:N")).code == Code.CHANGED
        await system.client.shows("N", ip=before.host)
        assert await claimed(after, "N") == Code.CHANGED
        await system.client.shows("N", ip=after.host, led="1")
        await system.serves()


@pytest.mark.usefixtures("soon")
async def test_uid_of_an_offline_node_is_not_given_to_a_forged_address() -> None:
    # The owner of a forged source address cannot answer with a token that it did not receive.
    async with running_system() as system, coap_device(system.coap.port) as victim:
        victim.holds_answers = True
        async with coap_device(system.coap.port) as gone:
            gone.has({"led": "0"})
            await gone.post("alive", "alive:N")
            await system.client.shows("N", led="0", ip=gone.host)
        assert await claimed(victim, "N") == Code.SERVICE_UNAVAILABLE
        receipt = await system.client.write("N", "led", "1")
        assert receipt["state"] in {"unreachable", "timeout"}
        assert not [item for item in victim.requests if item.code == Code.PUT]
        assert system.client.nodes["N"]["ip"] == gone.host
        await system.serves()
