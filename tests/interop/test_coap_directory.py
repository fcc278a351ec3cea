# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that register in the resource directory: as RIOT does, with aiocoap's client, libcoap's."""

import asyncio
import re
import time

import aiocoap
import pytest
from aiocoap.resource import Resource, Site
from aiocoap.resourcedirectory.client.register import Registerer

from pyaiot.gateways.coap.registrations import LINK_BYTES_MAX
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.coap.message import Block, CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, ContentFormat, OptionNumber
from tests.coap_device import (
    WELL_KNOWN_CORE,
    CoapDevice,
    Reply,
    coap_device,
    own_address,
)
from tests.coap_device import directory_request as request
from tests.interop.conftest import Tool
from tests.running import Scene, scene

pytestmark = pytest.mark.sockets


def location(answer: CoapMessage) -> str:
    assert answer.code == Code.CREATED
    return "".join(
        f"/{value.decode()}"
        for number, value in answer.options
        if number == OptionNumber.LOCATION_PATH
    )


async def exchange(device: CoapDevice, message: CoapMessage) -> CoapMessage:
    # cord_ep speaks through the same socket as the node's own server.
    return await device.exchange(message, from_server=True)


async def registered(it: Scene, *queries: str) -> str:
    it.device.has({"riot/board": "native", "t": Reply(payload=b"20", observe=3)})
    links = b"</riot/board>,</t>;obs"
    message = request(Code.POST, "/rd/", "ep=RIOT-1", *queries, payload=links)
    place = location(await exchange(it.device, message))
    await it.client.shows("RIOT-1", **{"riot/board": "native", "t": "20"})
    return place


# -- as RIOT does ----------------------------------------------------------------------------------


async def test_node_registers_updates_and_removes_itself_as_riot_does() -> None:
    async with scene() as it:
        found = await exchange(it.device, request(Code.GET, "/.well-known/core", "rt=core.rd"))
        assert found.payload == b'</rd>;rt="core.rd";ct=40'
        place = await registered(it, "lt=60")
        assert re.fullmatch(r"/rd/\d+", place)
        # It registered its links, so they are not requested.
        assert WELL_KNOWN_CORE not in {item.path for item in it.device.requests}
        it.device.notify("t", "21", 4)
        await it.client.shows("RIOT-1", t="21")
        it.device.replies[Code.PUT, "t"] = Reply(Code.CHANGED, b"t:5")
        assert (await it.client.write("RIOT-1", "t", "5"))["state"] == "confirmed"

        assert (await exchange(it.device, request(Code.POST, place))).code == Code.CHANGED
        assert (await exchange(it.device, request(Code.DELETE, place))).code == Code.DELETED
        left = await it.client.until(type="out", uid="RIOT-1")
        assert left.get("reason", "left") == "left"
        for code in (Code.POST, Code.DELETE):
            assert (await exchange(it.device, request(code, place))).code == Code.NOT_FOUND


async def test_simple_registration_makes_us_come_and_read_the_links() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        simple = request(Code.POST, "/.well-known/rd", "ep=SIMPLE", "lt=60")
        assert (await exchange(it.device, simple)).code == Code.CHANGED
        await it.client.shows("SIMPLE", led="0")
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE)
        listed = await exchange(it.device, request(Code.GET, "/rd-lookup/res", "ep=SIMPLE"))
        base = f"coap://{it.device.host}"
        assert listed.payload == f'<{base}/led>;anchor="{base}"'.encode()


async def test_server_that_announces_nothing_is_registered_by_another_program_of_its_host() -> None:
    """As docs/tutorials/zephyr.md does it with the CoAP sample of Zephyr, whose counter may be
    observed and whose `test` accepts writes."""
    async with scene() as it:
        it.device.has({"obs": Reply(payload=b"Counter: 0\n", observe=2), "test": "Type: 0\n"})
        it.device.replies[Code.PUT, "test"] = Reply(Code.CHANGED, b"")
        base = f"base=coap://{it.device.host}"
        message = request(*(Code.POST, "/rd", "ep=zephyr", base), payload=b"</obs>;obs,</test>")
        # From another port: not that of the server.
        location(await it.device.exchange(message))
        await it.client.shows("zephyr", obs="Counter: 0\n", test="Type: 0\n")
        it.device.notify("obs", "Counter: 1\n", 3)
        await it.client.shows("zephyr", obs="Counter: 1\n")
        assert (await it.client.write("zephyr", "test", "1"))["state"] == "confirmed"


async def test_node_may_be_silent_for_its_lifetime_and_is_out_after_it() -> None:
    async with scene(coap=CoapSection(port=0, silence_limit_s=0.2)) as it:
        it.device.has({"led": "0"})
        for endpoint, lifetime_s in (("LONG", 9000), ("QUIET", 1)):
            message = request(
                *(Code.POST, "/rd", f"ep={endpoint}", f"lt={lifetime_s}"), payload=b"</led>"
            )
            location(await exchange(it.device, message))
        await it.client.shows("QUIET", led="0")
        shown_at = time.monotonic()
        left = await it.client.until(type="out", uid="QUIET")
        assert left["reason"] == "silent"
        assert time.monotonic() - shown_at > 0.7
        answer = await exchange(it.device, request(Code.GET, "/rd-lookup/ep", "ep=QUIET"))
        assert answer.payload == b""
        assert "LONG" in it.client.nodes


async def test_registration_again_has_the_same_location_and_new_resources() -> None:
    async with scene() as it:
        place = await registered(it)
        it.device.replies[Code.GET, "new"] = Reply(payload=b"1")
        again = request(Code.POST, "/rd", "ep=RIOT-1", payload=b"</new>")
        assert location(await exchange(it.device, again)) == place
        await it.client.shows("RIOT-1", new="1")


async def test_sector_is_part_of_the_uid() -> None:
    async with scene() as it:
        it.device.has({"led": "0"})
        message = request(Code.POST, "/rd", "ep=node1", "d=floor-3", payload=b"</led>")
        location(await exchange(it.device, message))
        await it.client.shows("node1.floor-3", led="0")


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (request(Code.POST, "/rd", payload=b"</led>"), Code.BAD_REQUEST),
        (request(Code.POST, "/rd", "ep=A", "lt=0", payload=b"</led>"), Code.BAD_REQUEST),
        (request(Code.POST, "/rd", "ep=all", payload=b"</led>"), Code.BAD_REQUEST),
        (request(Code.POST, "/rd", "ep=A", payload=b"<led"), Code.BAD_REQUEST),
        (
            request(Code.POST, "/rd", "ep=A", "base=coap://127.0.0.1", payload=b"</led>"),
            Code.FORBIDDEN,
        ),
        (request(Code.GET, "/rd"), Code.METHOD_NOT_ALLOWED),
        (request(Code.PUT, "/rd/1"), Code.METHOD_NOT_ALLOWED),
        (request(Code.POST, "/rd/1/2"), Code.NOT_FOUND),
        (request(Code.POST, "/rd/99"), Code.NOT_FOUND),
        (request(Code.POST, "/rd-lookup/ep"), Code.METHOD_NOT_ALLOWED),
        (request(Code.GET, "/rd-lookup/ep", "count=0"), Code.BAD_REQUEST),
        (
            request(Code.POST, "/.well-known/rd", "ep=A", "base=coap://x"),
            Code.BAD_REQUEST,
        ),
        (request(Code.POST, "/.well-known/rd"), Code.BAD_REQUEST),
    ],
    ids=lambda value: value.name if isinstance(value, Code) else "request",
)
async def test_what_is_no_registration_is_refused(message: CoapMessage, code: Code) -> None:
    async with scene() as it:
        assert (await exchange(it.device, message)).code == code


async def test_registration_from_another_address_is_a_claim_like_any_other() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as thief:
        place = await registered(it)
        stolen = request(Code.POST, "/rd", "ep=RIOT-1", payload=b"</stolen>")
        assert (await exchange(thief, stolen)).code == Code.SERVICE_UNAVAILABLE
        # The owner was queried, and answers.
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE)
        for _ in range(100):
            answer = await exchange(
                thief, request(*(Code.POST, "/rd", "ep=RIOT-1"), payload=b"</x>")
            )
            if answer.code == Code.FORBIDDEN:
                break
            await asyncio.sleep(0.02)
        assert answer.code == Code.FORBIDDEN
        assert (await exchange(thief, request(Code.POST, place))).code == Code.FORBIDDEN
        assert (await exchange(thief, request(Code.DELETE, place))).code == Code.FORBIDDEN
        assert (await exchange(it.device, request(Code.POST, place))).code == Code.CHANGED


async def test_unknown_peer_gets_at_most_three_times_what_it_sent() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as unknown_peer:
        await registered(it, "et=" + "x" * 100)
        for path in ("/rd-lookup/ep", "/rd-lookup/res", "/.well-known/core"):
            requested = request(Code.GET, path)
            answer = await exchange(unknown_peer, requested)
            assert len(answer.to_bytes()) <= 3 * len(requested.to_bytes())
            assert answer.option(OptionNumber.BLOCK2) is not None
        whole = await exchange(it.device, request(Code.GET, "/rd-lookup/ep"))
        assert len(whole.payload) > 100


async def test_lookup_in_another_format_is_not_acceptable() -> None:
    async with scene() as it:
        requested = request(Code.GET, "/rd-lookup/ep")
        json_only = build_options(*requested.options, (OptionNumber.ACCEPT, ContentFormat.JSON))
        wanted = CoapMessage(
            requested.mtype, requested.code, requested.message_id, requested.token, json_only
        )
        assert (await exchange(it.device, wanted)).code == Code.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    ("option", "code"),
    [
        (65001, Code.BAD_OPTION),
        (OptionNumber.IF_MATCH, Code.BAD_OPTION),
        (OptionNumber.OSCORE, Code.BAD_OPTION),
        (OptionNumber.PROXY_URI, Code.PROXYING_NOT_SUPPORTED),
        (65002, Code.CONTENT),
    ],
)
async def test_critical_option_that_is_not_understood_is_refused(option: int, code: Code) -> None:
    async with scene() as it:
        requested = request(Code.GET, "/rd-lookup/ep")
        options = build_options(*requested.options, (option, b"x"))
        wanted = CoapMessage(
            requested.mtype, requested.code, requested.message_id, requested.token, options
        )
        assert (await exchange(it.device, wanted)).code == code


async def test_more_links_than_a_registration_may_have_are_too_large() -> None:
    async with scene() as it:
        links = b",".join(b"</%064d>" % number for number in range(LINK_BYTES_MAX // 64))
        for num in range(len(links) // 1024 + 1):
            block = Block(num, (num + 1) * 1024 < len(links), 6)
            requested = request(Code.POST, "/rd", "ep=A", payload=links[num * 1024 :][:1024])
            options = build_options(*requested.options, (OptionNumber.BLOCK1, block.to_bytes()))
            answer = await exchange(
                it.device,
                CoapMessage(
                    requested.mtype,
                    requested.code,
                    requested.message_id,
                    requested.token,
                    options,
                    requested.payload,
                ),
            )
            assert answer.code == (Code.CONTINUE if block.more else Code.REQUEST_ENTITY_TOO_LARGE)


# -- clients of others -----------------------------------------------------------------------------


class _Sensor(Resource):  # type: ignore[misc]  # aiocoap has no types
    rt = "temperature-c"

    async def render_get(self, _request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=b"23.5 Cel", content_format=0)


async def test_client_of_aiocoap_registers_and_is_read() -> None:
    async with scene() as it:
        site = Site()
        site.add_resource(["temp"], _Sensor())
        context = await aiocoap.Context.create_server_context(site, bind=(own_address(), 5683))
        try:
            rd = f"coap://127.0.0.1:{it.running.coap_port}"
            registerer = Registerer(
                context, rd=rd, lt=60, registration_parameters={"ep": "AIOCOAP"}
            )
            await it.client.shows("AIOCOAP", temp="23.5 Cel")
            await registerer.shutdown()
            await it.client.until(type="out", uid="AIOCOAP")
        finally:
            await context.shutdown()


async def test_client_of_libcoap_registers_and_looks_up(coap_client: Tool) -> None:
    async with scene() as it:
        host = own_address()
        rd = f"coap://127.0.0.1:{it.running.coap_port}"
        links = "</light>;rt=light,</door>;obs"
        shown = await coap_client(
            *("-a", host, "-m", "post", "-t", "40", "-e", links), f"{rd}/rd?ep=LIBCOAP&lt=300"
        )
        assert "c:2.01" in shown
        assert "Location-Path:rd" in shown
        await it.client.until(type="new", uid="LIBCOAP")
        # A known address gets it whole, another one in small blocks; both get the same.
        for source in (host, own_address()):
            found = await coap_client("-a", source, "-B", "5", f"{rd}/rd-lookup/ep?ep=LIBCOAP")
            assert 'ep="LIBCOAP"' in re.sub(r"v:1 t:.*\n|\s", "", found)
            found = await coap_client("-a", source, f"{rd}/rd-lookup/res?rt=light")
            assert f"<coap://{host}" in re.sub(r"v:1 t:.*\n|\s", "", found)
