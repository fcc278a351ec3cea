# SPDX-License-Identifier: BSD-3-Clause
"""The whole road over separate processes: node → gateway → broker → client, and back."""

import json
import re
from dataclasses import dataclass

import pytest

from pyaiot.protocols.coap.numbers import Code
from tests.clients import Broker, Client
from tests.coap_device import coap_device, own_address
from tests.programs import Program, Programs

pytestmark = pytest.mark.sockets

BOARD = {"os": "riot", "board": "native", "protocol": "CoAP"}


@dataclass(frozen=True)
class Road:
    """A broker and a CoAP gateway, each a process."""

    broker: Program
    gateway: Program
    url: str
    coap_port: int

    @property
    def web_port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


def start_broker(programs: Programs, port: int = 0) -> tuple[Program, str]:
    broker = programs.aiot("broker", "--port", str(port), "--key-file", programs.key_file())
    found = re.search(r"http://\S+/", broker.line())
    assert found is not None
    return broker, found[0]


def start_road(programs: Programs, *flags: str) -> Road:
    broker, url = start_broker(programs)
    web_port = url.rstrip("/").rpartition(":")[2]
    gateway = programs.aiot(
        *("coap-gateway", "--coap-port", "0", "--key-file", programs.key_file()),
        *("--broker-host", "127.0.0.1", "--broker-port", web_port, *flags),
    )
    found = re.search(r"UDP port (\d+)", gateway.line())
    assert found is not None
    return Road(broker, gateway, url, int(found[1]))


def start_node(programs: Programs, road: Road, uid: str, *flags: str) -> Program:
    node = programs.aiot(
        *("node", "coap", "--gateway-port", str(road.coap_port), "--uid", uid),
        # Its address has its own CoAP port, which no other server answers at.
        *("--host", own_address(), *flags),
    )
    node.line()
    return node


@pytest.fixture(scope="module")
def road(shared_programs: Programs) -> Road:
    """A road that no test breaks."""
    keys = shared_programs.home / "keys"
    assert shared_programs.run("generate-keys", "--key-file", keys).returncode == 0
    assert shared_programs.key_file() == keys
    return start_road(shared_programs)


async def test_node_is_switched_and_confirms(road: Road, programs: Programs) -> None:
    start_node(programs, road, "LAMP", "--led", "--name", "Lampe für Ünïcode")
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows("LAMP", led="0", name="Lampe für Ünïcode", **BOARD)

        receipt = await client.write("LAMP", "led", "1")
        assert receipt["state"] == "confirmed"
        assert receipt["detail"] == "2.04 Changed"
        assert 0 < receipt["elapsed_ms"] < 5000
        await client.shows("LAMP", led="1")

        async with broker.client() as late:
            assert late.nodes["LAMP"]["led"] == "1"


async def test_legacy_client_sees_the_node_and_switches_it(road: Road, programs: Programs) -> None:
    start_node(programs, road, "OLD", "--led", "--temperature")
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows("OLD", led="0")
        async with broker.legacy_client() as page:
            frames = [json.loads(frame) for frame in await page.until('"OLD"', '"led"')]
            news = [item for item in frames if item["type"] == "new"]
            (appeared,) = [item for item in news if item["uid"] == "OLD"]
            own_id = appeared["dst"]
            assert own_id != "all"
            assert set(appeared) == {"type", "uid", "dst"}
            values = {item["endpoint"]: item for item in frames if "endpoint" in item}
            assert values["led"]["data"] == "0"
            assert values["protocol"] == {
                "type": "update",
                "uid": "OLD",
                "endpoint": "protocol",
                "data": "CoAP",
                "dst": own_id,
            }

            await page.send(
                '{"type":"update","data":{"uid":"OLD","endpoint":"/led","payload":"1"}}'
            )
            switched = '{"type":"update","uid":"OLD","endpoint":"led","data":"1","dst":"all"}'
            await page.until(switched)
            await client.shows("OLD", led="1")


async def test_script_longer_than_a_datagram_is_written_in_blocks(
    road: Road, programs: Programs
) -> None:
    start_node(programs, road, "SCRIPTED", "--js")
    script = "".join(f"print('line {number} – ünïcode')\n" for number in range(200))
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows("SCRIPTED", js="")
        assert (await client.write("SCRIPTED", "js", script))["state"] == "confirmed"
        await client.shows("SCRIPTED", js=script)


@pytest.mark.parametrize(
    ("resource", "payload", "detail"),
    [("led", "2", "4.00"), ("temperature", "1", "4.05"), ("nothing", "1", "4.04")],
)
async def test_refusal_of_a_node_is_refused(
    road: Road, programs: Programs, resource: str, payload: str, detail: str
) -> None:
    # Its own name: the broker remembers the nodes of other tests for a while.
    uid = f"STUBBORN {resource}"
    start_node(programs, road, uid, "--led", "--temperature")
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows(uid, led="0")
        receipt = await client.write(uid, resource, payload)
        assert receipt["state"] == "refused"
        assert receipt["detail"].startswith(detail)


async def test_unknown_node_is_unknown(road: Road) -> None:
    async with Broker(road.url) as broker, broker.client() as client:
        receipt = await client.write("NOBODY", "led", "1")
        assert receipt["state"] == "unknown"


async def test_node_that_swallows_writes_times_out(road: Road) -> None:
    async with (
        Broker(road.url) as broker,
        broker.client() as client,
        coap_device(road.coap_port) as device,
    ):
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = None
        await device.post("alive", "alive:MUTE")
        await client.shows("MUTE", led="0", ip=device.host)
        receipt = await client.write("MUTE", "led", "1", timeout_s=0.3)
        assert receipt["state"] == "timeout"
        assert len(await device.requests_for(Code.PUT, "led")) == 1


async def test_node_that_is_switched_off_is_unreachable(road: Road, programs: Programs) -> None:
    node = start_node(programs, road, "GONE", "--led")
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows("GONE", led="0")
        node.kill()
        # Its port is closed, which an ICMP error reports.
        receipt = await client.write("GONE", "led", "1")
        assert receipt["state"] == "unreachable"


async def test_node_that_posts_from_another_port_gets_requests_at_the_coap_port(
    road: Road, programs: Programs
) -> None:
    host = own_address()
    start_node(
        *(programs, road, "BOARD", "--led", "--separate-source-port"),
        *("--host", host, "--port", "5683"),
    )
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows("BOARD", led="0", ip=host)
        assert (await client.write("BOARD", "led", "1"))["state"] == "confirmed"


async def test_a_gateway_that_dies_leaves_no_command_open(programs: Programs) -> None:
    road = start_road(programs)
    async with (
        Broker(road.url) as broker,
        broker.client() as client,
        coap_device(road.coap_port) as device,
    ):
        device.has({"led": "0"})
        device.replies[Code.PUT, "led"] = None
        await device.post("alive", "alive:MUTE")
        await client.shows("MUTE", led="0")
        command = await client.command("MUTE", "led", "1", timeout_s=60.0)
        await device.requests_for(Code.PUT, "led")

        road.gateway.kill()

        receipt = await client.until(type="receipt", id=command)
        assert receipt["state"] == "unreachable"
        left = await client.until(type="out", uid="MUTE")
        assert left["reason"] == "gateway lost"
        await client.until(type="gateway", name="coap", state="lost")
        assert client.nodes == {}
        assert (await client.write("MUTE", "led", "1"))["state"] == "unreachable"


async def test_gateway_comes_back_to_a_broker_that_was_killed(programs: Programs) -> None:
    road = start_road(programs)
    start_node(programs, road, "LAMP", "--led", "--name", "lamp")
    async with Broker(road.url) as broker:
        async with broker.client() as client:
            await client.shows("LAMP", led="0", name="lamp", **BOARD)
            assert (await client.write("LAMP", "led", "1"))["state"] == "confirmed"
            await client.shows("LAMP", led="1")
            before = client.nodes["LAMP"]
            road.broker.kill()

        start_broker(programs, road.web_port)
        async with broker.client() as client:
            await client.shows("LAMP", **before)
            assert client.nodes["LAMP"] == before
            assert (await client.write("LAMP", "led", "0"))["state"] == "confirmed"
    assert "Traceback" not in road.gateway.stderr


async def test_silent_node_is_out_after_the_limit_and_a_living_one_stays(
    programs: Programs,
) -> None:
    road = start_road(programs, "--max-time", "2")
    silent = start_node(programs, road, "SILENT", "--led", "--alive-period-s", "0.3")
    start_node(programs, road, "LIVING", "--led", "--alive-period-s", "0.3")
    async with Broker(road.url) as broker, broker.client() as client:
        await client.shows("SILENT")
        silent.kill()
        left = await client.until(type="out", uid="SILENT")
        assert left["reason"] == "silent"
        await client.shows("LIVING", led="0")
        await stays(client, "LIVING")


async def stays(client: Client, uid: str) -> None:
    """A command and its receipt, after all earlier messages."""
    assert (await client.write(uid, "led", "1"))["state"] == "confirmed"
    assert uid in client.nodes


def test_gateway_opens_its_udp_port_and_no_other(road: Road) -> None:
    assert road.gateway.open_ports() == {("udp", road.coap_port)}
    assert road.broker.open_ports() == {("tcp", road.web_port)}
