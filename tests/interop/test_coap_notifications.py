# SPDX-License-Identifier: BSD-3-Clause
"""What boards post, datagram by datagram, and what a client sees of it."""

import json

import pytest

from pyaiot.protocols.coap.message import CoapMessage, build_options, decode_uint
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.coap_device import Reply
from tests.running import scene

pytestmark = pytest.mark.sockets

VALUES = {
    "temperature": "23.5°C",
    "broken": "--327.-6°C",
    "pressure": "1007.7hPa",
    "overflow": "42949672.-1hPa",
    "humidity": "0.00%",
    "position": '{"lat":48.714784,"lng":2.205502}',
    "imu": '[{"type":"acc","values":[304,488,448]},{"type":"gyro","values":[1,0,0]}]',
    "colons": "a:b::c",
    "empty": "",
    "spaces": "  kept as they are  ",
    "lines": "one\ntwo\r\n",
    "snow": "☃ \U0001f321",
    "html": "<img src=x onerror=alert(1)>",
}


async def test_values_of_real_boards_reach_every_client_unchanged() -> None:
    async with scene() as it, it.broker.legacy_client() as page:
        device, client = it.device, it.client
        assert (await device.post("alive", "alive:15A1B2C3D4E5F60")).code == Code.CHANGED
        await client.shows("15A1B2C3D4E5F60", ip=device.host, protocol="CoAP")
        await page.until('"endpoint":"ip"')
        for resource, value in VALUES.items():
            assert (await device.post("server", f"{resource}:{value}")).code == Code.CHANGED
            await client.shows("15A1B2C3D4E5F60", **{resource: value})
            data = json.dumps(value, ensure_ascii=False)
            assert await page.next() == (
                '{"type":"update","uid":"15A1B2C3D4E5F60",'
                f'"endpoint":"{resource}","data":{data},"dst":"all"}}'
            )


async def test_answers_are_short_and_of_the_type_of_the_post() -> None:
    async with scene() as it:
        device = it.device
        for mtype, answered in (
            (MessageType.NON, MessageType.NON),
            (MessageType.CON, MessageType.ACK),
        ):
            answer = await device.post("alive", "alive:A", mtype=mtype)
            assert (answer.mtype, answer.code) == (answered, Code.CHANGED)
            assert answer.payload == b""
            assert len(answer.to_bytes()) <= 8


@pytest.mark.parametrize(
    ("text", "uid"),
    [
        ("alive:A1", "A1"),
        ("Alive:A1", "A1"),
        ("reset:A1", "A1"),
        ("alive:node:A1", "A1"),
        ("alive: A1 ", "A1"),
        ("alive:A1\0", "A1"),
        ("alive:gärtner-7", "gärtner-7"),
    ],
)
async def test_node_is_named_by_the_text_after_the_last_colon(text: str, uid: str) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        assert (await device.post("alive", text)).code == Code.CHANGED
        await client.shows(uid)
        assert list(client.nodes) == [uid]


@pytest.mark.parametrize("text", ["", "living", "alive:", ":", "alive:all", "alive:" + "x" * 65])
async def test_sign_of_life_without_a_valid_uid_is_refused(text: str) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        assert (await device.post("alive", text)).code == Code.BAD_REQUEST
        assert (await device.post("alive", "alive:A")).code == Code.CHANGED
        await client.shows("A")
        assert list(client.nodes) == ["A"]


async def test_reading_before_the_sign_of_life_is_held_and_counts_when_it_comes() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        for value in ("1.0°C", "2.0°C"):
            answer = await device.post("server", f"temperature:{value}")
            # Not accepted yet: the board may send it again after its `alive`.
            assert answer.code == Code.SERVICE_UNAVAILABLE
            assert decode_uint(answer.option(OptionNumber.MAX_AGE) or b"") == 30
        await device.post("server", "led:0")
        assert (await device.post("alive", "alive:A")).code == Code.CHANGED
        await client.shows("A", temperature="2.0°C", led="0")
        assert (await device.post("server", "led:1")).code == Code.CHANGED
        await client.shows("A", led="1")


async def test_reset_with_a_sign_of_life_is_a_reboot_with_new_values() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.has({"led": "0"})
        await device.post("alive", "alive:A")
        await client.shows("A", led="0")
        await device.post("server", "old:1")
        await client.shows("A", old="1")
        device.has({"led": "1"})
        # As a board does at boot: 0.1 ms apart.
        device.send(device.notification("alive", "reset:A"))
        device.send(device.notification("alive", "alive:A"))
        await client.until(type="reset", uid="A")
        await client.shows("A", led="1", ip=device.host, protocol="CoAP")
        assert "old" not in client.nodes["A"]


@pytest.mark.parametrize("text", ["alive", "Alive", "reset"])
async def test_board_without_a_uid_appears_by_its_address_and_is_read_and_commanded(
    text: str,
) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        assert (await device.post("alive", text)).code == Code.CHANGED
        await client.shows(device.host, led="0", ip=device.host, protocol="CoAP")
        assert (await device.post("server", "temperature:20.1°C")).code == Code.CHANGED
        assert (await device.post("alive", "alive")).code == Code.CHANGED
        await client.shows(device.host, temperature="20.1°C")
        assert (await client.write(device.host, "led", "1"))["state"] == "confirmed"
        assert list(client.nodes) == [device.host]
        device.has({"led": "1"})
        assert (await device.post("alive", "reset")).code == Code.CHANGED
        await client.until(type="reset", uid=device.host)
        await client.shows(device.host, led="1")


async def test_board_that_sends_its_uid_after_a_bare_reset_is_one_node() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        await device.post("alive", "reset")
        await client.shows(device.host)
        await device.post("alive", "alive:A")
        await client.shows("A")
        await client.until(type="out", uid=device.host)
        await device.post("alive", "alive")
        await device.post("server", "t:1")
        await client.shows("A", t="1")
        assert list(client.nodes) == ["A"]


async def test_bare_reset_of_old_firmware_concerns_the_node_at_its_address() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        assert (await device.post("alive", "reset")).code == Code.CHANGED
        await device.post("alive", "alive:A")
        await client.shows("A")
        assert (await device.post("alive", "reset")).code == Code.CHANGED
        await client.until(type="reset", uid="A")


async def test_confirmable_post_that_is_sent_five_times_counts_once() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        await device.post("alive", "alive:A", mtype=MessageType.CON)
        await client.shows("A", ip=device.host)
        post = device.notification("server", "count:1", mtype=MessageType.CON)
        answers = [await device.exchange(post) for _ in range(5)]
        assert {answer.to_bytes() for answer in answers} == {answers[0].to_bytes()}
        await device.post("server", "last:1")
        await client.shows("A", last="1")
        counted = [item for item in client.received if item.get("endpoint") == "count"]
        assert len(counted) == 1


async def test_posts_from_the_coap_port_itself_are_the_same_node() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        await device.post("alive", "alive:A", from_server=True)
        await device.post("server", "temperature:1.0°C", from_server=True)
        await client.shows("A", temperature="1.0°C")
        # From yet another port it might be a neighbour behind the same router.
        answer = await device.post("server", "pressure:1000.0hPa")
        assert answer.code == Code.SERVICE_UNAVAILABLE
        await device.post("alive", "alive:A")
        await client.shows("A", pressure="1000.0hPa")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"no colon", Code.BAD_REQUEST),
        (b":nameless", Code.BAD_REQUEST),
        (b"temperature:\xb0C", Code.BAD_REQUEST),
        (b"x" * 65 + b":1", Code.BAD_REQUEST),
        (b"li\nne:1", Code.BAD_REQUEST),
        (b"ip:10.0.0.1", Code.FORBIDDEN),
        (b"id:B", Code.FORBIDDEN),
        (b"protocol:MQTT", Code.FORBIDDEN),
    ],
)
async def test_reading_that_cannot_be_is_refused_and_the_next_one_counts(
    text: bytes, code: Code
) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        await device.post("alive", "alive:A")
        answer = await device.post("server", text)
        assert answer.code == code
        assert len(answer.payload) <= 64
        await device.post("server", "good:1")
        await client.shows("A", good="1")
        assert set(client.nodes["A"]) == {"ip", "protocol", "good"}
        assert client.nodes["A"]["ip"] == device.host


async def test_board_that_posts_too_fast_gets_the_time_to_wait() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        await device.post("alive", "alive:A")
        accepted = 0
        while (answer := await device.post("server", f"n:{accepted}")).code == Code.CHANGED:
            accepted += 1
            assert accepted < 1000
        assert accepted >= 100
        assert answer.code == Code.TOO_MANY_REQUESTS
        assert decode_uint(answer.option(OptionNumber.MAX_AGE) or b"") >= 1
        # What was accepted is not lost for it.
        await client.shows("A", n=str(accepted - 1))


async def test_gateway_lists_its_resources_and_refuses_other_requests() -> None:
    async with scene() as it:
        device = it.device

        async def request(code: Code, path: str) -> CoapMessage:
            options = [(OptionNumber.URI_PATH, part) for part in path.split("/")]
            message_id = 0x7000 + len(path)
            return await device.exchange(
                CoapMessage(MessageType.CON, code, message_id, b"\x01\x02", build_options(*options))
            )

        listed = await request(Code.GET, ".well-known/core")
        assert listed.code == Code.CONTENT
        assert b"</alive>" in listed.payload
        assert b"</server>" in listed.payload
        assert (await request(Code.POST, "nothing")).code == Code.NOT_FOUND
        assert (await request(Code.GET, "alive")).code == Code.METHOD_NOT_ALLOWED


async def test_post_of_more_than_a_kilobyte_at_once_is_refused_and_counts_in_blocks() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        assert (await device.post("alive", "alive:A")).code == Code.CHANGED
        for mtype in (MessageType.NON, MessageType.CON):
            answer = await device.post("server", "js:" + "x" * 1022, mtype=mtype)
            assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE
            assert decode_uint(answer.option(OptionNumber.SIZE1) or b"") == 1024
        assert (await device.post("server", "js:" + "x" * 1021)).code == Code.CHANGED
        await client.shows("A", js="x" * 1021)


async def test_links_describe_resources() -> None:
    links = (
        b'</oven>;rt="temperature-c";if="core.s";title="Oven",</lamp>;rt="led";if="core.a",'
        b"</plain>,</config>;ct=50"
    )
    async with scene() as it:
        device = it.device
        device.offers(links)
        for path in ("oven", "lamp", "plain", "config"):
            device.replies[Code.GET, path] = Reply(payload=b"1")
        await device.post("alive", "alive:A")
        await it.client.shows("A", oven="1", lamp="1", plain="1", config="1")
        types = (await it.broker.node("A"))["resource_types"]
    assert types["oven"] == {
        "kind": "number",
        "unit": "Cel",
        "device_class": "temperature",
        "label": "Oven",
        "writable": False,
        "source": "links",
    }
    assert (types["lamp"]["kind"], types["lamp"]["writable"]) == ("boolean", True)
    assert types["plain"] == types["config"] == {"kind": "number", "source": "inferred"}
