# SPDX-License-Identifier: BSD-3-Clause
"""Unanswered requests are repeated; addresses of other nodes get no requests."""

import asyncio
import socket

import pytest

from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.protocols.coap.numbers import COAP_PORT, Code
from tests.coap_device import WELL_KNOWN_CORE, CoapDevice, Reply, coap_device, own_address
from tests.relay import Trouble, udp_relay
from tests.running import scene
from tests.time_limits import Stopwatch

pytestmark = pytest.mark.sockets

UID = "0123456789ABCDE"
"""As long as those of RIOT: an unverified peer gets three times the bytes that it sent."""


def paths(device: CoapDevice) -> list[str]:
    return [item.path for item in device.requests]


# -- what stayed unanswered ---------------------------------------------------------------------


@pytest.mark.sockets(speed=5)
async def test_only_the_lost_value_is_requested_at_the_next_alive() -> None:
    async with scene() as it:
        it.device.has({"board": "native", "name": None, "os": "riot"})
        await it.device.post("alive", f"alive:{UID}")
        await it.client.shows(UID, board="native", os="riot")
        assert "name" not in it.client.nodes[UID]
        it.device.replies[Code.GET, "name"] = Reply(payload=b"kitchen")
        before = len(it.device.requests)
        await it.device.post("alive", f"alive:{UID}")
        await it.client.shows(UID, name="kitchen")
        assert paths(it.device)[before:] == ["name"]
        await it.device.post("alive", f"alive:{UID}")
        await asyncio.sleep(0.2)
        assert paths(it.device)[before:] == ["name"]


@pytest.mark.sockets(speed=5)
async def test_lost_value_is_requested_at_the_next_reading() -> None:
    async with scene() as it:
        it.device.has({"name": None})
        await it.device.post("alive", f"alive:{UID}")
        await it.device.requests_for(Code.GET, "name")
        await asyncio.sleep(5.2)  # until it is given up
        it.device.replies[Code.GET, "name"] = Reply(payload=b"kitchen")
        await it.device.post("server", "t:1")
        await it.client.shows(UID, t="1")
        assert "name" not in it.client.nodes[UID]
        await asyncio.sleep(2.0)  # a busy node does not get a request after each of its readings
        await it.device.post("server", "t:2")
        await it.client.shows(UID, t="2", name="kitchen")


@pytest.mark.sockets(speed=5)
async def test_values_after_two_lost_ones_are_requested_at_the_next_alive() -> None:
    async with scene() as it:
        it.device.has({"one": None, "two": None, "three": "3", "four": "4"})
        await it.device.post("alive", f"alive:{UID}")
        await asyncio.sleep(10.5)
        assert {"one", "two"} <= set(paths(it.device))
        assert not {"three", "four"} & set(paths(it.device))
        for name in ("one", "two"):
            it.device.replies[Code.GET, name] = Reply(payload=b"x")
        await it.device.post("alive", f"alive:{UID}")
        await it.client.shows(UID, one="x", two="x", three="3", four="4")


@pytest.mark.sockets(speed=5)
async def test_lost_list_of_resources_is_requested_at_the_next_reading() -> None:
    async with scene() as it:
        it.device.has({"name": "kitchen"})
        it.device.replies[Code.GET, WELL_KNOWN_CORE] = None
        await it.device.post("alive", f"reset:{UID}")
        await it.device.requests_for(Code.GET, WELL_KNOWN_CORE)
        await asyncio.sleep(14.0)  # both ports are given up, and a pause; more on a busy machine
        it.device.offers(b"</name>")
        # On a busy machine the first of these may come while the request is not given up yet.
        number = 0
        while it.client.nodes.get(UID, {}).get("name") != "kitchen":
            number += 1
            await it.device.post("server", f"t:{number}")
            await it.client.shows(UID, t=f"{number}")
            await asyncio.sleep(1.0)


@pytest.mark.sockets(speed=5)
async def test_five_boards_behind_a_link_that_loses_every_fifth_datagram_are_complete_soon() -> (
    None
):
    values = {f"r{number}": str(number) for number in range(8)}
    async with scene() as it:
        port = it.running.coap_port
        async with (
            udp_relay(port, seed=5, trouble=Trouble(0.2, 0.0, 0.0)) as wire,
            coap_device(wire.port) as one,
            coap_device(wire.port) as two,
            coap_device(wire.port) as three,
            coap_device(wire.port) as four,
            coap_device(wire.port) as five,
        ):
            devices = [one, two, three, four, five]
            for device in devices:
                device.has(values)
            uids = [f"{UID[:-1]}{number}" for number in range(len(devices))]
            whole: set[str] = set()
            while len(whole) < len(devices):
                for uid, device in zip(uids, devices, strict=True):
                    device.send(device.notification("alive", f"alive:{uid}"))
                await asyncio.sleep(1.0)
                await it.client.send({"type": "new", "data": "client"})
                await it.client.until(type="joined")
                known = it.client.nodes
                whole = {uid for uid in uids if values.items() <= known.get(uid, {}).items()}


async def test_node_whose_server_starts_a_second_after_its_alive_is_discovered_within_two() -> None:
    async with scene() as it:
        host = own_address()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        ):
            source.bind((host, 0))
            message = it.device.notification("alive", f"alive:{UID}")
            source.sendto(message.to_bytes(), ("127.0.0.1", it.running.coap_port))
            watch = Stopwatch()
            await asyncio.sleep(1.1)
            server.setblocking(False)
            server.bind((host, COAP_PORT))
            await asyncio.get_running_loop().sock_recv(server, 1500)
            assert watch.elapsed_s < 2.0


# -- two nodes at one address -------------------------------------------------------------------


def at_own_address(device: CoapDevice, gateway_port: int) -> None:
    """It posts to its own address: it is on the machine of the gateway."""
    device._gateway = device.host, gateway_port


EVERYWHERE = CoapSection(port=0, host="0.0.0.0")


async def test_node_of_this_machine_gets_requests_at_its_source_port_first() -> None:
    async with scene(coap=EVERYWHERE) as it, coap_device(it.running.coap_port) as other:
        other.has({"theirs": "1"})  # unknown until now, such as another gateway
        async with coap_device(it.running.coap_port, at_coap_port=False, host=other.host) as device:
            at_own_address(device, it.running.coap_port)
            device.has({"mine": "1"})
            device.replies[Code.PUT, "mine"] = Reply(Code.CHANGED, b"mine:2")
            await device.post("alive", f"alive:{UID}")
            await it.client.shows(UID, mine="1")
            assert (await it.client.write(UID, "mine", "2"))["state"] == "confirmed"
            assert other.requests == []


@pytest.mark.parametrize("mute", [True, False])
async def test_node_of_this_machine_without_a_server_at_its_source_port_gets_requests_at_5683(
    *, mute: bool
) -> None:
    async with scene(coap=EVERYWHERE) as it, coap_device(it.running.coap_port) as server:
        server.has({"led": "0"})
        async with coap_device(
            it.running.coap_port, at_coap_port=False, host=server.host
        ) as poster:
            at_own_address(poster, it.running.coap_port)
            # Else it answers 4.04, as a client of aiocoap does.
            poster.loses = 1000 if mute else 0
            poster.send(poster.notification("alive", f"alive:{UID}"))
            await it.client.shows(UID, led="0")


async def test_request_port_of_a_node_is_corrected_when_its_owner_appears() -> None:
    async with scene() as it, coap_device(it.running.coap_port) as board:
        board.has({"led": "board", "board": "1"})
        board.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:on")
        async with coap_device(it.running.coap_port, at_coap_port=False, host=board.host) as nat:
            nat.has({"led": "nat"})
            nat.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:off")
            await nat.post("alive", "alive:NAT")
            await it.client.shows("NAT", led="board")  # nobody can know better yet
            await board.post("alive", "alive:BOARD", from_server=True)
            await it.client.shows("NAT", led="nat")
            await it.client.shows("BOARD", led="board")
            requested = len(board.requests)
            assert (await it.client.write("NAT", "led", "off"))["state"] == "confirmed"
            assert len(board.requests) == requested
            assert (await it.client.write("BOARD", "led", "1"))["state"] == "confirmed"
            assert board.requests[-1].payload == b"1"


@pytest.mark.parametrize("board_first", [True, False])
async def test_port_of_another_known_node_gets_no_requests(*, board_first: bool) -> None:
    async with scene() as it, coap_device(it.running.coap_port) as board:
        board.has({"led": "board"})
        async with coap_device(it.running.coap_port, at_coap_port=False, host=board.host) as nat:
            nat.has({"led": "nat"})
            appear = [
                board.post("alive", "alive:BOARD", from_server=True),
                nat.post("alive", "alive:NAT"),
            ]
            for post in appear if board_first else reversed(appear):
                await post
            await it.client.shows("NAT", led="nat")
            await it.client.shows("BOARD", led="board")
            nat.replies[Code.PUT, "led"] = None
            before = len(board.requests)
            assert (await it.client.write("NAT", "led", "1", timeout_s=1.0))["state"] == "timeout"
            assert len(board.requests) == before
