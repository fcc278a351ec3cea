# SPDX-License-Identifier: BSD-3-Clause
"""Observed resources and values of all formats, against a device that is made of datagrams."""

import asyncio
import contextlib
import json

import pytest

from pyaiot.gateways.coap import observer
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.live_node import READINGS_BURST, READINGS_PER_S
from pyaiot.protocols.coap.message import Block
from pyaiot.protocols.coap.numbers import Code, ContentFormat, MessageType, OptionNumber
from tests.coap_device import WELL_KNOWN_CORE, Reply, coap_device
from tests.running import Scene, scene

pytestmark = pytest.mark.sockets

CON, NON, ACK, RST = MessageType.CON, MessageType.NON, MessageType.ACK, MessageType.RST


def has_format(number: int) -> tuple[tuple[int, int]]:
    return ((OptionNumber.CONTENT_FORMAT, number),)


async def observed(it: Scene, payload: str = "20°C") -> None:
    """A node with one resource that is observed, and one that is not."""
    it.device.has({"t": Reply(payload=payload.encode(), observe=10), "led": "0"})
    it.device.offers(b"</t>;obs,</led>")
    await it.device.post("alive", "alive:A")
    await it.client.shows("A", t=payload, led="0")


# -- observations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mtype", [NON, CON])
async def test_notification_is_a_reading(mtype: MessageType) -> None:
    async with scene() as it:
        await observed(it)
        message_id = it.device.notify("t", "21°C", 11, mtype=mtype)
        await it.client.shows("A", t="21°C")
        if mtype is CON:
            assert await it.device.reply_to(message_id) is ACK
        # The response to the registration had its value: there was one request.
        assert len([item for item in it.device.requests if item.path == "t"]) == 1


async def test_outdated_notification_is_acknowledged_and_does_not_count() -> None:
    async with scene() as it:
        await observed(it)
        it.device.notify("t", "22°C", 12)
        await it.client.shows("A", t="22°C")
        late = it.device.notify("t", "21°C", 11, mtype=CON)
        again = it.device.notify("t", "22.5°C", 12, mtype=CON)
        assert await it.device.reply_to(late) is ACK
        assert await it.device.reply_to(again) is ACK
        it.device.notify("t", "23°C", 13)
        await it.client.shows("A", t="23°C")
        shown = [item["data"] for item in it.client.received if item.get("endpoint") == "t"]
        assert shown == ["20°C", "22°C", "23°C"]


async def test_answer_that_comes_separately_registers_too() -> None:
    async with scene() as it:
        it.device.has({"t": Reply(payload=b"20", observe=10, separate=True)})
        it.device.offers(b"</t>;obs")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", t="20")
        it.device.notify("t", "21", 11)
        await it.client.shows("A", t="21")


async def test_registration_that_is_lost_is_sent_again() -> None:
    async with scene() as it:
        it.device.has({"t": Reply(payload=b"20", observe=10)})
        it.device.offers(b"</t>;obs")
        it.device.holds_answers = True
        await it.device.post("alive", "alive:A")
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE)
        it.device.loses = 1
        it.device.release()
        await it.client.shows("A", t="20")


async def test_node_that_does_not_want_to_be_observed_is_read() -> None:
    async with scene() as it:
        it.device.has({"t": "20", "e": Reply(Code.NOT_FOUND), "led": "0"})
        it.device.offers(b"</e>;obs,</t>;obs,</led>")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", t="20", led="0")


async def test_unwanted_notification_is_reset() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as other:
        await observed(it)
        token, origin = it.device.observers["t"][-1]
        # Another node that knows the token, and the node itself with another token.
        other.observers["t"] = [(token, origin)]
        assert await other.reply_to(other.notify("t", "99", 99)) is RST
        it.device.observers["t"].append((token[:7] + bytes((token[7] ^ 1,)), origin))
        for mtype in (NON, CON):
            assert await it.device.reply_to(it.device.notify("t", "98", 98, mtype=mtype)) is RST
        it.device.observers["t"].pop()
        it.device.notify("t", "21°C", 11)
        await it.client.shows("A", t="21°C")


async def test_node_that_booted_is_observed_again_and_its_old_notifications_are_reset() -> None:
    async with scene() as it:
        await observed(it)
        before = it.device.observers["t"][-1]
        it.device.replies[Code.GET, "t"] = Reply(payload=b"5", observe=1)
        await it.device.post("alive", "reset:A")
        await it.client.shows("A", t="5")
        it.device.notify("t", "6", 2)
        await it.client.shows("A", t="6")
        assert len(it.device.observers["t"]) == 2
        it.device.observers["t"].append(before)
        assert await it.device.reply_to(it.device.notify("t", "21°C", 11)) is RST


async def test_error_notification_ends_the_observation_and_the_value_stays() -> None:
    async with scene() as it:
        await observed(it)
        gone = it.device.notify("t", "gone", None, code=Code.NOT_FOUND, mtype=CON)
        assert await it.device.reply_to(gone) is ACK
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.client.write("A", "led", "1")
        assert it.client.nodes["A"]["t"] == "20°C"


async def test_reset_of_a_registration_has_no_effect() -> None:
    async with scene() as it:
        it.device.has({"t": Reply(payload=b"1", observe=10), "led": "0"})
        it.device.offers(b"</t>;obs,</led>")
        it.device.resets = {"t"}
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        assert "t" not in it.client.nodes["A"]


async def test_wrong_options_of_a_notification_are_left_alone() -> None:
    async with scene() as it:
        await observed(it)
        wrong = it.device.notify("t", "21", None, (OptionNumber.OBSERVE, b"\0\0\0\0"), mtype=CON)
        assert await it.device.reply_to(wrong) is RST
        it.device.notify(
            "t", "22", None, (OptionNumber.OBSERVE, 11), (OptionNumber.MAX_AGE, b"12345")
        )
        it.device.notify("t", "23", 12)
        await it.client.shows("A", t="23")


async def test_node_that_floods_is_reset_and_others_are_served() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as other:
        await observed(it)
        other.has({"t": Reply(payload=b"1", observe=1)})
        other.offers(b"</t>;obs")
        await other.post("alive", "alive:B")
        await it.client.shows("B", t="1")
        began_at = asyncio.get_running_loop().time()
        sent: list[int] = []
        # A slow machine needs more of them to exceed the rate.
        while not any(it.device.empty_messages.count((RST, number)) for number in sent):
            sent += [it.device.notify("t", str(n), 11 + len(sent) + n) for n in range(250)]
            other.notify("t", str(len(sent)), len(sent))
            await it.client.shows("B", t=str(len(sent)))
        async with coap_device(it.running.coap_port) as third:
            await third.post("alive", "alive:C")
        shown = [item for item in it.client.received if item.get("endpoint") == "t"]
        elapsed_s = asyncio.get_running_loop().time() - began_at
        allowed = READINGS_BURST + READINGS_PER_S * (elapsed_s + 1.0)
        assert len([item for item in shown if item["uid"] == "A"]) < allowed


async def test_number_of_simultaneous_reads_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observer, "READS_MAX", 2)
    async with (
        scene(coap=CoapSection(port=0, poll_s=0.3)) as it,
        contextlib.AsyncExitStack() as others,
    ):
        devices = [
            await others.enter_async_context(coap_device(it.running.coap_port)) for _ in range(4)
        ]
        for number, device in enumerate(devices):
            device.has({"t": "20"})
            await device.post("alive", f"alive:N{number}")
            await it.client.shows(f"N{number}", t="20")
            device.holds_answers = True
        before = [len(device.requests) for device in devices]

        def requested() -> list[int]:
            return sorted(
                len(device.requests) - known for device, known in zip(devices, before, strict=True)
            )

        while sum(requested()) < 2:  # noqa: ASYNC110 - the devices have no event for it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.8)
        assert requested() == [0, 0, 1, 1]
        for device in devices:
            device.release()
        for device in devices:
            await device.requests_for(Code.GET, "t", times=3)


async def test_notification_in_blocks_is_fetched_completely() -> None:
    async with scene() as it:
        await observed(it)
        text = "0123456789" * 50
        it.device.replies[Code.GET, "t"] = Reply(payload=text.encode(), block_szx=2)
        block = Block(0, True, 2).to_bytes()
        it.device.notify("t", text[:64], 11, (OptionNumber.BLOCK2, block))
        await it.client.shows("A", t=text)


# -- values ----------------------------------------------------------------------------------------


async def test_values_of_all_formats_are_shown() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "open", "vb": False},
    ]
    async with scene() as it:
        it.device.has(
            {
                "air": Reply(payload="23.5°C".encode(), options=has_format(ContentFormat.TEXT)),
                "json": Reply(payload=b'{"lat": 48.7}', options=has_format(ContentFormat.JSON)),
                "cbor": Reply(payload=b"\xf9\x4e\x00", options=has_format(ContentFormat.CBOR)),
                "one": Reply(
                    payload=b'[{"n":"x","u":"Cel","v":23.1}]',
                    options=has_format(ContentFormat.SENML_JSON),
                ),
                "many": Reply(
                    payload=json.dumps(pack).encode(), options=has_format(ContentFormat.SENML_JSON)
                ),
                "binary": Reply(
                    payload=b"\x81\xa2\x01\x63\x43\x65\x6c\x02\x18\x19",
                    options=has_format(ContentFormat.SENML_CBOR),
                ),
                "bytes": Reply(payload=b"\xff", options=has_format(42)),
                "wrong": Reply(payload=b"{", options=has_format(ContentFormat.JSON)),
                "last": "1",
            }
        )
        await it.device.post("alive", "alive:A")
        await it.client.shows(
            "A",
            air="23.5°C",
            json={"lat": 48.7},
            cbor=24.0,
            one=23.1,
            binary=25,
            **{"many/temp": 23.1, "many/open": False, "last": "1"},
        )
        assert {"bytes", "wrong"}.isdisjoint(it.client.nodes["A"])
        units = {
            item["endpoint"]: item.get("unit") for item in it.client.received if "endpoint" in item
        }
        assert units["air"] == units["one"] == units["binary"] == units["many/temp"] == "Cel"


async def test_notified_senml_is_read_and_its_unit_kept() -> None:
    async with scene() as it:
        await observed(it)
        form = (OptionNumber.CONTENT_FORMAT, ContentFormat.SENML_JSON)
        it.device.notify("t", '[{"n":"t","u":"K","v":300}]', 11, form)
        await it.client.until(endpoint="t", data=300, value=300.0, unit="K")


async def test_large_value_is_read_completely_and_an_endless_one_is_not() -> None:
    async with scene() as it:
        large = "x" * 60_000
        it.device.has(
            {
                "large": Reply(payload=large.encode(), block_szx=6),
                "endless": Reply(payload=b"y" * 70_000, block_szx=6),
                "last": "1",
            }
        )
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", large=large, last="1")
        assert "endless" not in it.client.nodes["A"]


# -- large commands --------------------------------------------------------------------------------


async def written(it: Scene, payload: str) -> None:
    await it.device.post("alive", "alive:A")
    await it.client.shows("A", js="old")
    assert (await it.client.write("A", "js", payload))["state"] == "confirmed"


@pytest.mark.parametrize("szx", [6, 2])
async def test_large_write_is_sent_in_the_block_size_that_the_node_requests(szx: int) -> None:
    async with scene() as it:
        payload = "".join(f"line {number}\n" for number in range(1000))
        it.device.has({"js": "old"})
        it.device.replies[Code.PUT, "js"] = Reply(Code.CHANGED, takes_szx=szx)
        await written(it, payload)
        assert it.device.uploaded("js") == payload.encode()


async def test_write_that_is_too_large_for_the_node_goes_in_small_blocks() -> None:
    async with scene() as it:
        it.device.has({"js": "old"})
        it.device.replies[Code.PUT, "js"] = Reply(Code.CHANGED, takes_szx=2)
        it.device.takes_at_once = 100
        await written(it, "z" * 500)
        assert it.device.uploaded("js") == b"z" * 500
