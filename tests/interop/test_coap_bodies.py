# SPDX-License-Identifier: BSD-3-Clause
"""What devices post in blocks, and in other forms than text."""

import json
import os

import pytest

from pyaiot.gateways.coap.bodies import UNKNOWN_ASSEMBLIES_MAX
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.coap.message import Block, CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, ContentFormat, MessageType, OptionNumber
from tests.coap_device import CoapDevice, Reply, coap_device
from tests.running import scene

pytestmark = pytest.mark.sockets

_ids = iter(range(30_000, 65536))


async def post(
    device: CoapDevice,
    payload: bytes,
    *options: tuple[int, bytes | str | int],
    path: str = "server",
) -> CoapMessage:
    return await device.exchange(
        CoapMessage(
            MessageType.CON,
            Code.POST,
            next(_ids),
            os.urandom(4),
            build_options((OptionNumber.URI_PATH, path), *options),
            payload,
        )
    )


async def post_block(
    device: CoapDevice, body: bytes, num: int, szx: int = 6, *, tag: bytes | None = None
) -> CoapMessage:
    size = 16 << szx
    tags = () if tag is None else ((OptionNumber.REQUEST_TAG, tag),)
    block = Block(num, (num + 1) * size < len(body), szx)
    piece = body[num * size : (num + 1) * size]
    return await post(device, piece, (OptionNumber.BLOCK1, block.to_bytes()), *tags)


# -- blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("szx", "length"), [(6, 60_000), (2, 1000)])
async def test_reading_in_blocks_counts_when_it_is_complete(szx: int, length: int) -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        body = b"text:" + b"x" * length
        blocks = (len(body) - 1) // (16 << szx) + 1
        for num in range(blocks):
            answer = await post_block(it.device, body, num, szx)
            assert answer.code == (Code.CONTINUE if num < blocks - 1 else Code.CHANGED)
            block_option = answer.option(OptionNumber.BLOCK1)
            assert block_option is not None
            assert Block.from_bytes(block_option).num == num
        await it.client.shows("A", text="x" * length)


async def test_reading_in_blocks_that_is_too_large_is_refused() -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        body = b"text:" + b"x" * 70_000
        answers = [await post_block(it.device, body, num) for num in range(65)]
        assert {item.code for item in answers[:64]} == {Code.CONTINUE}
        assert answers[64].code == Code.REQUEST_ENTITY_TOO_LARGE
        assert (await post_block(it.device, body, 65)).code == Code.REQUEST_ENTITY_TOO_LARGE


async def test_block_without_those_before_it_is_incomplete() -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        body = b"text:" + b"x" * 5000
        assert (await post_block(it.device, body, 2)).code == Code.REQUEST_ENTITY_INCOMPLETE


async def test_bodies_of_different_tags_are_put_together_apart() -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        bodies = {tag: b"%s:" % tag + tag * 1500 for tag in (b"x", b"y")}
        for num in (0, 1):
            answers = [
                await post_block(it.device, body, num, tag=tag) for tag, body in bodies.items()
            ]
            wanted = Code.CHANGED if num else Code.CONTINUE
            assert [item.code for item in answers] == [wanted, wanted]
        await it.client.shows("A", x="x" * 1500, y="y" * 1500)


async def test_unknown_peers_that_begin_bodies_take_no_room_of_nodes() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as unknown_peer:
        await it.device.post("alive", "alive:A")
        body = b"text:" + b"x" * 1500
        assert (await post_block(it.device, body, 0)).code == Code.CONTINUE
        for _ in range(UNKNOWN_ASSEMBLIES_MAX + 8):
            assert (await post_block(unknown_peer, b"x" * 5000, 0)).code == Code.CONTINUE
        assert (await post_block(it.device, body, 1)).code == Code.CHANGED
        await it.client.shows("A", text="x" * 1500)


# -- formats ---------------------------------------------------------------------------------------


async def test_posts_of_all_formats_are_readings() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "open", "vb": False},
    ]
    posts: list[tuple[int, bytes]] = [
        (ContentFormat.TEXT, b"text:1"),
        (ContentFormat.JSON, b'json:{"lat":48.7}'),
        (ContentFormat.CBOR, b"cbor:\xf9\x4e\x00"),
        (ContentFormat.SENML_JSON, json.dumps(pack).encode()),
        (ContentFormat.SENML_CBOR, bytes.fromhex("81a300636c7578016261620218 19".replace(" ", ""))),
        (42, b"octets:7"),
    ]
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        for format_, payload in posts:
            answer = await post(it.device, payload, (OptionNumber.CONTENT_FORMAT, format_))
            assert answer.code == Code.CHANGED, format_
        await it.client.shows("A", text="1", json={"lat": 48.7}, cbor=24.0, lux=25, octets="7")
        await it.client.shows("A", temp=23.1, open=False)
        shown = [item for item in it.client.received if item.get("endpoint") == "temp"]
        assert [(item["value"], item["unit"]) for item in shown] == [(23.1, "Cel")]


@pytest.mark.parametrize("format_", [ContentFormat.LINK_FORMAT, 111, 310, 11_542])
async def test_post_in_a_format_that_the_gateway_cannot_read_is_answered_4_15(format_: int) -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        sent = b'[{"n":"t","v":1}]'
        answer = await post(it.device, sent, (OptionNumber.CONTENT_FORMAT, format_))
        assert answer.code == Code.UNSUPPORTED_CONTENT_FORMAT
        await it.client.shows("A")
        assert not [name for name in it.client.nodes["A"] if "n" in name]


@pytest.mark.parametrize(
    ("format_", "payload"),
    [
        (ContentFormat.JSON, b"json:{"),
        (ContentFormat.JSON, b"no colon"),
        (ContentFormat.CBOR, b"cbor:\xff"),
        (ContentFormat.SENML_JSON, b"[{}"),
        (ContentFormat.SENML_CBOR, b"\xff"),
    ],
)
async def test_post_that_is_not_in_its_format_is_refused(format_: int, payload: bytes) -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        answer = await post(it.device, payload, (OptionNumber.CONTENT_FORMAT, format_))
        assert answer.code == Code.BAD_REQUEST


async def test_senml_of_an_unknown_peer_is_held_with_its_unit() -> None:
    async with scene() as it:
        pack = b'[{"n":"temp","u":"Cel","v":23.1}]'
        option = (OptionNumber.CONTENT_FORMAT, ContentFormat.SENML_JSON)
        assert (await post(it.device, pack, option)).code == Code.SERVICE_UNAVAILABLE
        await it.device.post("alive", "alive:A")
        await it.client.until(endpoint="temp", data=23.1, value=23.1, unit="Cel")


# -- polling ---------------------------------------------------------------------------------------


async def test_resources_that_are_not_observed_are_polled_where_that_is_configured() -> None:
    async with scene(coap=CoapSection(port=0, poll_s=0.2)) as it:
        it.device.has({"led": "0", "t": "20"})
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0", t="20")
        it.device.replies[Code.GET, "t"] = Reply(payload=b"21")
        await it.client.shows("A", t="21")
        await it.device.requests_for(Code.GET, "led", times=3)
