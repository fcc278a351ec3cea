# SPDX-License-Identifier: BSD-3-Clause
"""Registrations of the resource directory over a restart of the gateway."""

import asyncio
import socket
from pathlib import Path

import pytest

from pyaiot.gateways.coap.records import GRACE_S, Record, record_of
from pyaiot.gateways.coap.registrations import LIFETIME_MAX_S, Directory, Registration
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.saved_address import SavedAddress, load_address, save_address
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code
from pyaiot.protocols.coap.resource_directory import read_parameters
from pyaiot.protocols.link_format import parse_links
from tests.clients import Broker
from tests.coap_device import CoapDevice, Reply, coap_device, directory_request
from tests.programs import free_port
from tests.running import running_coap

LINKS = parse_links(b'</sensors/temp>;rt="temperature-c x";obs,</led>;if="actuator"').links
SENDER = SavedAddress("::ffff:10.0.0.1", 49152, True)


def registered(*arguments: str, now: float = 100.0) -> Registration:
    return Directory().register(read_parameters(arguments), LINKS, "10.0.0.1", 5683, now=now)


def kept(registration: Registration, *, now: float = 100.0, unix_time: float = 1e9) -> Record:
    record = record_of(registration, SENDER, proved=True, now=now, unix_time=unix_time)
    return Record.from_bytes(record.to_bytes())


def test_a_registration_is_the_same_after_a_restart() -> None:
    before = registered("ep=A", "d=x", "lt=7200", "et=lamp")
    after = kept(before).registration(now=5.0, unix_time=1e9 + 60)
    assert after.expires_at == 5.0 + 7140
    names = ("location", "uid", "endpoint", "sector", "host", "port", "lifetime_s", "attributes")
    for name in (*names, "links", "size"):
        assert getattr(after, name) == getattr(before, name), name


@pytest.mark.parametrize(
    ("lifetime_s", "clock_s", "left_s"),
    [
        (60, 10, 60),  # the rest of a short one is not worth a node
        (86_400, 10, 86_390),
        (86_400, 400 * 86_400, GRACE_S),  # a clock that runs ahead, or a long absence
        (86_400, -50 * 365 * 86_400, 86_400),  # a clock that begins in 1970
        (4_294_967_295, 0, LIFETIME_MAX_S),
    ],
)
def test_a_wrong_clock_neither_ends_registrations_nor_makes_them_immortal(
    lifetime_s: int, clock_s: float, left_s: float
) -> None:
    record = kept(registered("ep=A", f"lt={lifetime_s}"), unix_time=2e9)
    after = record.registration(now=0.0, unix_time=2e9 + clock_s)
    assert after.expires_at == pytest.approx(left_s)


def test_locations_are_not_reused_after_a_restart() -> None:
    directory = Directory()
    restored = kept(registered("ep=A")).registration(now=0.0, unix_time=1e9)
    restored.location = "7"
    assert directory.restore(restored)
    assert not directory.restore(restored)
    other = directory.register(read_parameters(("ep=B",)), LINKS, "10.0.0.2", 5683, now=0.0)
    assert other.location == "8"
    assert directory.at("7") is restored
    again = directory.register(read_parameters(("ep=A",)), LINKS, "10.0.0.1", 5683, now=0.0)
    assert again.location == "7"


@pytest.mark.parametrize("location", ["", "x", "-1", "9" * 30, "²"])
def test_a_location_that_cannot_be_is_not_restored(location: str) -> None:
    restored = kept(registered("ep=A")).registration(now=0.0, unix_time=1e9)
    restored.location = location
    assert not Directory().restore(restored)


def test_the_directory_reports_each_change() -> None:
    changes: list[str] = []
    directory = Directory(changed=changes.append)
    one = directory.register(read_parameters(("ep=A",)), (), "10.0.0.1", 5683, now=0.0)
    directory.fill(one, LINKS)
    directory.update(one, read_parameters(()), "10.0.0.1", 5683, now=1.0)
    assert changes == ["A", "A", "A"]
    directory.expired(now=1e9)
    assert changes == ["A", "A", "A", "A"]


def test_addresses_keep_the_name_of_their_interface() -> None:
    number = socket.if_nametoindex("lo")
    local = socket.inet_pton(socket.AF_INET6, "fe80::2") + number.to_bytes(4, "little")
    for sockaddr in (("10.0.0.1", 5), ("::1", 5, 0, 0), ("fe80::1%lo", 5, 0, number)):
        saved = save_address(sockaddr, local)
        assert saved is not None
        assert load_address(saved) == (sockaddr, local)
    assert load_address(SavedAddress("::1", 5, True)) == (("::1", 5, 0, 0), b"")
    assert save_address(("fe80::1", 5, 0, 0x7FFFFFFF)) is None
    with pytest.raises(OSError, match=r"evice|interface"):
        load_address(SavedAddress("fe80::1", 5, True, scope="nosuch0"))


# -- over sockets --------------------------------------------------------------------------------


async def exchange(
    device: CoapDevice, code: Code, path: str, *queries: str, payload: bytes = b""
) -> CoapMessage:
    """As cord_ep does: through the socket of the node's own server."""
    message = directory_request(code, path, *queries, payload=payload)
    return await device.exchange(message, from_server=True)


@pytest.mark.sockets
async def test_a_registered_node_goes_on_when_the_gateway_comes_back(tmp_path: Path) -> None:
    """RIOT's cord_ep gives up for good when its update is answered 4.04."""
    port = free_port(socket.SOCK_DGRAM)
    section = CoapSection(port=port, state_file=str(tmp_path / "coap.db"))
    async with coap_device(port) as device:
        device.has({"led": "0", "t": Reply(payload=b"20", observe=3)})
        async with (
            running_coap(coap=section) as running,
            Broker(running.url) as broker,
            broker.client() as client,
        ):
            answer = await exchange(
                device, Code.POST, "/rd/", "ep=RIOT-1", "lt=60", payload=b"</led>,</t>;obs"
            )
            assert answer.code == Code.CREATED
            await client.shows("RIOT-1", led="0", t="20")
        async with (
            running_coap(coap=section) as running,
            Broker(running.url) as broker,
            broker.client() as client,
        ):
            # It has sent nothing yet.
            await client.shows("RIOT-1", led="0", t="20")
            # Another node of this host, which is not known again before it sends its uid.
            foreign = await device.post("server", "t:99")
            assert foreign.code == Code.SERVICE_UNAVAILABLE
            assert (await exchange(device, Code.POST, "/rd/1")).code == Code.CHANGED
            device.notify("t", "21", 4)
            await client.shows("RIOT-1", t="21")
            assert (await exchange(device, Code.DELETE, "/rd/1")).code == Code.DELETED
        async with running_coap(coap=section):
            assert (await exchange(device, Code.POST, "/rd/1")).code == Code.NOT_FOUND


@pytest.mark.sockets
async def test_registrations_come_back_at_once_however_few_new_nodes_are_accepted(
    tmp_path: Path,
) -> None:
    port = free_port(socket.SOCK_DGRAM)
    path = str(tmp_path / "coap.db")
    async with coap_device(port) as device:
        device.has({"led": "0"})
        async with running_coap(coap=CoapSection(port=port, state_file=path)):
            for uid in ("RIOT-1", "RIOT-2"):
                await exchange(device, Code.POST, "/rd", f"ep={uid}", "lt=60", payload=b"</led>")
        section = CoapSection(port=port, state_file=path, new_nodes_per_s=0.01)
        async with running_coap(coap=section):
            for location in ("/rd/1", "/rd/2"):
                assert (await exchange(device, Code.POST, location)).code == Code.CHANGED


@pytest.mark.sockets
async def test_a_registration_survives_a_gateway_that_is_killed(tmp_path: Path) -> None:
    """What is in the file a moment after the registration is enough."""
    port = free_port(socket.SOCK_DGRAM)
    path = tmp_path / "coap.db"
    async with coap_device(port) as device:
        device.has({"led": "0"})
        section = CoapSection(port=port, state_file=str(path))
        async with running_coap(coap=section):
            await exchange(device, Code.POST, "/rd", "ep=RIOT-1", "lt=60", payload=b"</led>")
            await asyncio.sleep(2.0)
            killed = await asyncio.to_thread(path.read_bytes)
        (tmp_path / "killed.db").write_bytes(killed)
        section = CoapSection(port=port, state_file=str(tmp_path / "killed.db"))
        async with running_coap(coap=section):
            assert (await exchange(device, Code.POST, "/rd/1")).code == Code.CHANGED
