# SPDX-License-Identifier: BSD-3-Clause
"""A resource has the same name in links, posts and commands; requests name a supported format."""

import pytest

from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.coap.numbers import Code, ContentFormat, OptionNumber
from tests.coap_device import Reply
from tests.running import scene

pytestmark = pytest.mark.sockets

SENML = (OptionNumber.CONTENT_FORMAT, ContentFormat.SENML_JSON)


async def test_percent_encoded_link_and_post_are_one_resource() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.offers(b"</caf%C3%A9>,</100%25>")
        device.replies[Code.GET, "café"] = Reply(payload=b"6")
        device.replies[Code.GET, "100%"] = Reply(payload=b"1")
        device.replies[Code.PUT, "café"] = Reply(Code.CHANGED)
        device.replies[Code.PUT, "100%"] = Reply(Code.CHANGED)
        await device.post("alive", "alive:A")
        await client.shows("A", **{"café": "6", "100%": "1"})
        await device.post("server", "café:7")
        await client.shows("A", café="7")
        assert set(client.nodes["A"]) == {"café", "100%", "ip", "protocol"}
        for resource in ("café", "100%", "caf%C3%A9"):
            assert (await client.write("A", resource, "x"))["state"] == "confirmed"
        assert [item.path for item in device.requests if item.code == Code.PUT] == [
            *("café", "100%", "café"),
        ]


@pytest.mark.parametrize("attributes", [b"", b";obs"])
async def test_links_with_different_queries_are_different_resources(attributes: bytes) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.offers(b"</s?id=1>%b,</s?id=2&x=%%26>%b,</s>" % (attributes, attributes))
        for query, value in (("?id=1", "one"), ("?id=2&x=&", "two"), ("", "none")):
            device.replies[Code.GET, "s" + query] = Reply(payload=value.encode(), observe=1)
            device.replies[Code.PUT, "s" + query] = Reply(Code.CHANGED)
        await device.post("alive", "alive:A")
        await client.shows("A", **{"s?id=1": "one", "s?id=2&x=%26": "two", "s": "none"})
        assert (await client.write("A", "s?id=1", "x"))["state"] == "confirmed"
        (written,) = [item for item in device.requests if item.code == Code.PUT]
        assert (written.path, written.query) == ("s", ("id=1",))


async def test_malformed_list_of_resources_gives_what_can_be_read() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.has({"a": "1", "b": "2", "c": "3"})
        device.offers(b'</a>;</b>;obs,</%zz>,</c>;title="cut')
        await device.post("alive", "alive:A")
        await client.shows("A", a="1", b="2")


@pytest.mark.parametrize("attributes", [b"", b";obs"])
async def test_resource_is_read_in_the_format_of_its_link(attributes: bytes) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.offers(b'</3/0>;ct="11542 110"%b,</tlv>;ct=11542,</plain>,</text>;ct=0' % attributes)
        pack = b'[{"bn":"/3/0/","n":"0","vs":"Acme"},{"n":"9","v":87}]'
        device.replies[Code.GET, "3/0"] = Reply(payload=pack, options=(SENML,), observe=1)
        for name in ("tlv", "plain", "text"):
            device.replies[Code.GET, name] = Reply(payload=b"x")
        await device.post("alive", "alive:A")
        await client.shows("A", **{"3/0/0": "Acme", "3/0/9": 87, "plain": "x", "text": "x"})
        requested = {item.path: item.accept for item in device.requests if item.code == Code.GET}
        assert requested == {
            ".well-known/core": None,
            "3/0": bytes((110,)),
            "tlv": None,
            "plain": None,
            "text": b"",
        }


@pytest.mark.parametrize("code", [Code.BAD_OPTION, Code.NOT_ACCEPTABLE])
@pytest.mark.parametrize("links", [b"</s>;ct=50", b"</s>;ct=50;obs"])
async def test_node_without_accept_gets_requests_without_it(code: Code, links: bytes) -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.offers(links)
        device.replies[Code.GET, "s"] = Reply(payload=b"7", observe=1)
        device.without_accept["s"] = code
        await device.post("alive", "alive:A")
        await client.shows("A", s="7")
        assert [item.accept for item in device.requests if item.path == "s"] == [b"2", None]


async def test_polled_resource_is_read_with_its_query_and_format() -> None:
    async with scene(coap=CoapSection(port=0, poll_s=0.2)) as it:
        device, client = it.device, it.client
        device.offers(b"</s?id=1>;ct=50")
        reply = Reply(payload=b"[1]", options=((OptionNumber.CONTENT_FORMAT, 50),))
        device.replies[Code.GET, "s?id=1"] = reply
        await device.post("alive", "alive:A")
        await client.shows("A", **{"s?id=1": [1]})
        requested = await device.requests_for(Code.GET, "s", times=3)
        assert {(item.query, item.accept) for item in requested} == {(("id=1",), b"2")}


async def test_write_declares_text_also_in_blocks_and_is_read_back_in_its_format() -> None:
    async with scene() as it:
        device, client = it.device, it.client
        device.offers(b"</3/0/1>;ct=110")
        pack = b'[{"n":"/3/0/1","v":5}]'
        device.replies[Code.GET, "3/0/1"] = Reply(payload=pack, options=(SENML,))
        device.replies[Code.PUT, "3/0/1"] = Reply(Code.CHANGED, takes_szx=6)
        await device.post("alive", "alive:A")
        await client.shows("A", **{"3/0/1": 5})
        assert (await client.write("A", "3/0/1", "6"))["state"] == "confirmed"
        assert (await client.write("A", "3/0/1", "x" * 2000))["state"] == "confirmed"
        written = [item.content_format for item in device.requests if item.code == Code.PUT]
        assert written == [b"", b"", b""]
        read = await device.requests_for(Code.GET, "3/0/1", times=3)
        assert {item.accept for item in read} == {bytes((110,))}
