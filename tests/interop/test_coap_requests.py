# SPDX-License-Identifier: BSD-3-Clause
"""Requests of the gateway to boards, datagram by datagram: discovery, writes with a receipt."""

import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.coap_device import WELL_KNOWN_CORE, Reply, coap_device
from tests.running import scene

pytestmark = pytest.mark.sockets

LINKS_MAX = 256
BOOKKEEPING = {"ip", "protocol"}


# -- addresses of requests ----------------------------------------------------------------------


@pytest.mark.parametrize("at_coap_port", [True, False], ids=["board", "behind NAT"])
async def test_node_gets_requests_at_port_5683_or_its_source_port(*, at_coap_port: bool) -> None:
    async with scene(at_coap_port=at_coap_port) as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        receipt = await it.client.write("A", "led", "1")
        assert (receipt["state"], receipt["detail"]) == ("confirmed", "2.04 Changed")
        # Requests leave from the port that boards post to: a NAT lets only that one back in.
        assert {item.origin for item in it.device.requests} == {("127.0.0.1", it.running.coap_port)}


# -- discovery ----------------------------------------------------------------------------------


async def test_link_format_with_attributes_and_quoted_commas_is_followed() -> None:
    async with scene() as it:
        links = (
            '</cli/stats>;ct=0;rt="count";obs,</led>;title="on, off; or </fake>, as you like"'
            ',</quoted>;title="name \\"a, b\\"",</%C3%A4>,<coap://[::1]/foreign>,</.well-known/core>'
        )
        it.device.has({"cli/stats": "7", "led": "0", "quoted": "q", "ä": "umlaut", "fake": "x"})
        it.device.offers(links.encode())
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", **{"cli/stats": "7", "led": "0", "quoted": "q"})
        await it.device.requests_for(Code.GET, "ä")
        await it.client.until(endpoint="ä")
        assert set(it.client.nodes["A"]) == BOOKKEEPING | {"cli/stats", "led", "quoted", "ä"}
        assert {item.path for item in it.device.requests} == {
            *(WELL_KNOWN_CORE, "cli/stats", "led", "quoted", "ä"),
        }


@pytest.mark.parametrize("block_szx", [None, 2, 6], ids=["whole", "64 bytes", "1024 bytes"])
async def test_discovery_follows_at_most_256_links(block_szx: int | None) -> None:
    async with scene() as it:
        values = {f"r{number}": str(number) for number in range(1000)}
        it.device.has(values)
        links = ",".join(f"</{name}>" for name in values)
        it.device.offers(links.encode(), block_szx=block_szx)
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", **{f"r{LINKS_MAX - 1}": str(LINKS_MAX - 1)})
        # One more round trip, so that a further link would have been followed by now.
        it.device.replies[Code.PUT, "r0"] = Reply(Code.CHANGED, b"r0:new")
        assert (await it.client.write("A", "r0", "new"))["state"] == "confirmed"
        await it.client.shows("A", r0="new")
        requested = [item.path for item in it.device.requests if item.code == Code.GET]
        assert set(requested) == {WELL_KNOWN_CORE, *list(values)[:LINKS_MAX]}
        assert set(it.client.nodes["A"]) == BOOKKEEPING | set(list(values)[:LINKS_MAX])


async def test_payload_of_an_error_answer_is_no_value() -> None:
    async with scene() as it:
        it.device.has(
            {
                "missing": Reply(Code.NOT_FOUND, b"Not found"),
                "broken": Reply(Code.INTERNAL_SERVER_ERROR, b"23.5"),
                "forbidden": Reply(Code.FORBIDDEN, b"0"),
                "changed": Reply(Code.CHANGED, b"1"),
                "valid": Reply(Code.VALID, b"2"),
                "binary": Reply(Code.CONTENT, b"\xff\xfe"),
                "good": "1",
            }
        )
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", good="1")
        assert set(it.client.nodes["A"]) == BOOKKEEPING | {"good"}


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.INTERNAL_SERVER_ERROR, Code.CHANGED])
async def test_links_of_an_error_answer_are_not_followed(code: Code) -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.GET, WELL_KNOWN_CORE] = Reply(code, b"</led>")
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.device.post("alive", "alive:A")
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE)
        await it.client.shows("A")
        # It answers at least, so that it can be written to.
        assert (await it.client.write("A", "led", "1"))["state"] == "confirmed"
        assert not [item for item in it.device.requests if item.path == "led" and not item.payload]


async def test_value_in_blocks_is_shown_completely() -> None:
    async with scene() as it:
        script = "".join(f"line {number}: ä\n" for number in range(400))
        it.device.has({"js": Reply(payload=script.encode(), block_szx=6)})
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", js=script)


async def test_answers_that_come_separately_are_answers() -> None:
    async with scene() as it:
        it.device.has({"slow": Reply(payload=b"1", separate=True), "led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1", separate=True)
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", slow="1", led="0")
        assert (await it.client.write("A", "led", "1"))["state"] == "confirmed"


async def test_discoveries_of_a_node_do_not_overlap_and_run_again_after_the_last_reboot() -> None:
    async with scene() as it:
        it.device.has({"one": "1", "two": "2"})
        it.device.holds_answers = True
        for _ in range(5):
            await it.device.post("alive", "reset:A")
            await it.device.post("alive", "alive:A")
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE)
        it.device.release()
        await it.device.requests_for(Code.GET, "two", times=2)
        await it.client.shows("A", one="1", two="2")
        it.device.replies[Code.PUT, "one"] = Reply(Code.CHANGED, b"one:3")
        await it.client.write("A", "one", "3")
        requested = [item.path for item in it.device.requests if item.code == Code.GET]
        assert requested == [WELL_KNOWN_CORE, "one", "two"] * 2


async def test_sign_of_life_of_a_known_node_causes_no_request() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        for _ in range(3):
            await it.device.post("alive", "alive:A")
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.client.write("A", "led", "1")
        assert len(it.device.requests) == 3


async def test_node_that_answers_slowly_delays_neither_discovery_nor_command_of_another() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as slow:
        slow.has({"led": "0"})
        slow.replies[Code.PUT, "led"] = None
        await slow.post("alive", "alive:SLOW")
        await it.client.shows("SLOW", led="0")
        slow.holds_answers = True
        await slow.post("alive", "reset:SLOW")
        pending = await it.client.command("SLOW", "led", "1", timeout_s=20.0)
        await slow.requests_for(Code.GET, WELL_KNOWN_CORE, times=2)

        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.device.post("alive", "alive:QUICK")
        await it.client.shows("QUICK", led="0")
        receipt = await it.client.write("QUICK", "led", "1")
        assert receipt["state"] == "confirmed"
        assert receipt["elapsed_ms"] < 2000  # it waited for nothing
        assert not [item for item in it.client.received if item.get("id") == pending]


# -- writes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["1", "", "Grüße ☃", "a:b\n", '{"a": 1}', "x" * 1000])
async def test_write_is_a_put_with_the_text_as_it_is(payload: str) -> None:
    async with scene() as it:
        it.device.has({"text": "old"})
        it.device.replies[Code.PUT, "text"] = Reply(Code.CHANGED, b"text:" + payload.encode())
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", text="old")
        assert (await it.client.write("A", "text", payload))["state"] == "confirmed"
        (requested,) = await it.device.requests_for(Code.PUT, "text")
        assert requested.payload == payload.encode()
        await it.client.shows("A", text=payload)


async def test_new_value_is_read_if_the_node_does_not_send_it() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED)
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        it.device.replies[Code.GET, "led"] = Reply(payload=b"1")
        assert (await it.client.write("A", "led", "1"))["state"] == "confirmed"
        await it.client.shows("A", led="1")


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (Reply(Code.BAD_REQUEST), "4.00 Bad Request"),
        (Reply(Code.BAD_REQUEST, "nur 0 oder 1: ü".encode()), "4.00 Bad Request nur 0 oder 1: ü"),
        (Reply(Code.METHOD_NOT_ALLOWED), "4.05 Method Not Allowed"),
        (Reply(Code.INTERNAL_SERVER_ERROR, b"\xff" * 300), "5.00 Internal Server Error"),
    ],
)
async def test_node_that_refuses_is_quoted(reply: Reply, detail: str) -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = reply
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        receipt = await it.client.write("A", "led", "2")
        assert receipt["state"] == "refused"
        assert receipt["detail"].startswith(detail)
        assert it.client.nodes["A"]["led"] == "0"


async def test_write_that_is_lost_on_the_way_is_sent_again_and_done_once() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        it.device.loses = 1
        receipt = await it.client.write("A", "led", "1", timeout_s=2.0)
        assert receipt["state"] == "confirmed"
        assert len(await it.device.requests_for(Code.PUT, "led")) == 1


async def test_write_that_timed_out_is_not_carried_out_later() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        it.device.loses = 1000
        receipt = await it.client.write("A", "led", "1", timeout_s=0.5)
        assert receipt["state"] == "timeout"
        assert it.device.loses <= 998  # it was sent again
        it.device.loses = 0
        # Were the first still under way, this one would wait for it (RFC 7252 section 4.7).
        receipt = await it.client.write("A", "led", "0")
        assert receipt["state"] == "confirmed"
        assert receipt["elapsed_ms"] < 2000  # it waited for nothing
        assert [item.payload for item in await it.device.requests_for(Code.PUT, "led")] == [b"0"]


async def test_commands_to_one_node_are_done_in_order() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED)
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        ids = [await it.client.command("A", "led", str(number)) for number in range(20)]
        states = [(await it.client.until(type="receipt", id=number))["state"] for number in ids]
        assert states == ["confirmed"] * 20
        requested = await it.device.requests_for(Code.PUT, "led", times=20)
        assert [item.payload for item in requested] == [b"%d" % number for number in range(20)]
