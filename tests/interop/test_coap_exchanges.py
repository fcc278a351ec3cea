# SPDX-License-Identifier: BSD-3-Clause
"""How nodes end the exchanges of the gateway: with answers, resets, copies, or not at all."""

import asyncio

import pytest

from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code, MessageType
from tests.coap_device import WELL_KNOWN_CORE, CoapDevice, Reply, coap_device
from tests.running import Scene, scene

pytestmark = pytest.mark.sockets

LED_ON = b"led:1"


async def known(it: Scene, device: CoapDevice | None = None, uid: str = "A") -> None:
    device = device or it.device
    device.has({"led": "0"})
    await device.post("alive", f"alive:{uid}")
    await it.client.shows(uid, led="0")


def answer_copies(device: CoapDevice) -> list[int]:
    return [message_id for mtype, message_id in device.empty_messages if mtype is MessageType.ACK]


@pytest.mark.parametrize("mtype", [MessageType.CON, MessageType.NON])
async def test_node_that_answers_without_an_empty_acknowledgement_is_read_and_written(
    mtype: MessageType,
) -> None:
    async with scene() as it:
        it.device.has({"led": Reply(payload=b"0", bare=mtype), "name": "board"})
        core = Reply(payload=b"</led>,</name>", bare=mtype)
        it.device.replies[Code.GET, WELL_KNOWN_CORE] = core
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, LED_ON, bare=mtype)
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0", name="board")
        receipt = await it.client.write("A", "led", "1")
        assert receipt["state"] == "confirmed"
        assert receipt["elapsed_ms"] < 1000
        requests = [item for _, item in it.device.datagrams if 0 < item.code < Code.CREATED]
        assert len(requests) == 4  # none was sent again


async def test_observed_resource_that_answers_without_an_empty_acknowledgement_is_watched() -> None:
    async with scene() as it:
        it.device.has({"t": Reply(payload=b"1", bare=MessageType.CON, observe=1)})
        it.device.offers(b"</t>;obs")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", t="1")
        it.device.notify("t", "2", 2)
        await it.client.shows("A", t="2")
        requests = [item for _, item in it.device.datagrams if 0 < item.code < Code.CREATED]
        assert len(requests) == 2


async def test_command_whose_deadline_passed_behind_a_late_acknowledgement_is_never_sent() -> None:
    async with scene() as it:
        await known(it)
        it.device.replies[Code.PUT, "led"] = Reply(
            Code.CHANGED, LED_ON, bare=MessageType.CON, acknowledged_after_s=1.5
        )
        assert (await it.client.write("A", "led", "1"))["state"] == "confirmed"
        began_at = asyncio.get_running_loop().time()
        receipt = await it.client.write("A", "led", "0", timeout_s=0.5)
        await asyncio.sleep(2.0)
        late = [
            (at - began_at, message)
            for at, message in it.device.datagrams
            if message.code == Code.PUT and at > began_at + 0.55
        ]
        assert late == []
        assert receipt["state"] == "confirmed"


async def test_nothing_is_sent_after_the_deadline_of_an_unanswered_command() -> None:
    async with scene() as it:
        await known(it)
        it.device.replies[Code.PUT, "led"] = None
        began_at = asyncio.get_running_loop().time()
        ids = [
            await it.client.command("A", "led", str(number), timeout_s=0.4) for number in range(3)
        ]
        states = [(await it.client.until(type="receipt", id=it_))["state"] for it_ in ids]
        assert states == ["timeout"] * 3
        await asyncio.sleep(1.5)
        sent = [at for at, message in it.device.datagrams if message.code == Code.PUT]
        assert sent
        assert max(sent) - began_at < 0.5


async def test_reset_of_a_command_is_a_timeout_because_it_may_be_forged() -> None:
    async with scene() as it:
        await known(it)
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, LED_ON)
        it.device.resets.add("led")
        receipt = await it.client.write("A", "led", "1")
        assert receipt["state"] == "timeout"
        assert "reset" in receipt["detail"]


async def test_message_ids_of_one_node_do_not_reveal_those_of_another() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as attacker:
        await known(it)
        await known(it, attacker, "ATTACKER")
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, LED_ON)
        it.device.holds_answers = True
        before = len(it.device.requests)
        seen = attacker.requests[-1].message_id
        command = await it.client.command("A", "led", "1")
        await it.device.requests_for(Code.PUT, "led")
        assert len(it.device.requests) == before + 1
        for step in range(1, 200):  # in the name of the node
            forged = CoapMessage(MessageType.RST, Code.EMPTY, (seen + step) & 0xFFFF)
            it.device.send(forged, from_server=True)
        await asyncio.sleep(0.1)
        it.device.release()
        receipt = await it.client.until(type="receipt", id=command)
        assert receipt["state"] == "confirmed"


async def test_every_copy_of_a_confirmable_answer_is_acknowledged() -> None:
    async with scene() as it:
        await known(it)
        reply = Reply(Code.CHANGED, LED_ON, separate=True, copies=3)
        it.device.replies[Code.PUT, "led"] = reply
        assert (await it.client.write("A", "led", "1"))["state"] == "confirmed"
        await it.device.post("alive", "alive:A")  # a round trip
        assert len(answer_copies(it.device)) == 3
        assert [item for item in it.device.empty_messages if item[0] is MessageType.RST] == []


async def test_answer_with_an_unknown_token_ends_no_request() -> None:
    async with scene() as it:
        await known(it)
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, LED_ON)
        it.device.holds_answers = True
        command = await it.client.command("A", "led", "1")
        (requested,) = await it.device.requests_for(Code.PUT, "led")
        for token in (b"", b"\0\0\0\0"):
            for mtype in (MessageType.ACK, MessageType.CON, MessageType.NON):
                forged = CoapMessage(mtype, Code.FORBIDDEN, requested.message_id, token)
                it.device.send(forged, from_server=True)
        await asyncio.sleep(0.1)
        it.device.release()
        assert (await it.client.until(type="receipt", id=command))["state"] == "confirmed"


async def test_download_in_endless_blocks_ends_after_256_requests() -> None:
    async with scene() as it:
        it.device.has({"endless": Reply(payload=b"x" * 65536, block_szx=0), "led": "0"})
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        requested = [item for item in it.device.requests if item.path == "endless"]
        assert len(requested) == 256


async def test_upload_in_tiny_blocks_is_refused_before_it_starts() -> None:
    async with scene() as it:
        await known(it)
        it.device.replies[Code.PUT, "js"] = Reply(Code.CHANGED, b"", takes_szx=0)
        it.device.takes_at_once = 1024
        receipt = await it.client.write("A", "js", "x" * 20_000)
        assert receipt["state"] == "refused"
        assert "1,250 blocks" in receipt["detail"]
        assert len([item for item in it.device.requests if item.code == Code.PUT]) <= 2
