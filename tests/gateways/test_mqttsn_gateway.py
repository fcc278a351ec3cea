# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT-SN gateway over real sockets, between bare datagrams and MQTT brokers of others."""

import asyncio
import contextlib
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from pyaiot.errors import OperatorError
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.mqttsn.endpoint import Endpoint
from pyaiot.gateways.state_store import StateStore
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import MqttConnection, ReconnectingMqttClient
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from tests.gateways.mqtt_servers import Server, server
from tests.gateways.mqttsn_device import (
    PATIENCE_S,
    Device,
    Watcher,
    eventually,
    mqttsn_gateway,
    watcher,
)
from tests.programs import free_port
from tests.time_limits import Stopwatch, time_limit

pytestmark = pytest.mark.sockets


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with server(request.param, tmp_path) as running:
        running.start()
        yield running


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Server]:
    with server("mosquitto", tmp_path) as running:
        running.start()
        yield running


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Server]:
    with server("nats", tmp_path) as running:
        running.start()
        yield running


async def test_a_board_with_emcute_publishes(broker: Server) -> None:
    """PROTOCOLS 5, byte for byte: REGISTER before every PUBLISH, from source port 1883."""
    async with watcher(broker.port, "node/#") as seen, mqttsn_gateway(broker.port) as running:
        # At a separate address, so that the fixed port is free.
        with Device(running.port, own=("127.18.83.1", 1883)) as board:
            connack = await board.exchange("0e 04 04 01 0168 73616d72 32312d31".replace(" ", ""))
            assert connack == "030500"
            for message_id in (1, 3):
                regack = await board.exchange(f"16 0a 0000 {message_id:04x}", b"node/samr21/led0")
                assert regack == f"070b0001{message_id:04x}00"
                puback = await board.exchange(
                    f"13 0c 20 0001 {message_id + 1:04x}", b'{"value":1}\n'
                )
                assert puback == f"070d0001{message_id + 1:04x}00"
            # Its PUBACK shows that the MQTT broker has it.
            message = await seen.sees("node/samr21/led0", b'{"value":1}\n')
            assert (message.qos, message.retain) == (1, False)
            assert await board.exchange("02 16") == "0217"
            assert await board.exchange("02 18") == "0218"
        await eventually(lambda: len(seen.messages) == 2)


async def test_messages_of_wildcards_are_registered_before_they_come(broker: Server) -> None:
    async with watcher(broker.port) as other, mqttsn_gateway(broker.port) as running:
        with Device(running.port) as board:
            await board.connects(b"sub")
            assert await board.exchange("LL 12 20 0007", b"gateway/sub/+/set") == "0813200000000700"
            other.connection.publish(9, "gateway/sub/led/set", b"1", qos=1)
            register = await board.receive()
            assert register[1] == 0x0A
            assert register[6:] == b"gateway/sub/led/set"
            topic_id, message_id = register[2:4].hex(), register[4:6].hex()
            publish = await board.exchange(f"07 0b {topic_id} {message_id} 00")
            assert publish[:4] == "080c"
            assert publish[6:10] == topic_id
            assert publish[14:] == b"1".hex()
            board.send(f"07 0d {topic_id} {publish[10:14]} 00")
            # Now the name is known.
            other.connection.publish(9, "gateway/sub/led/set", b"0", qos=0)
            assert (await board.receive())[:5].hex() == "080c00" + topic_id
            assert await board.exchange("LL 14 00 0008", b"gateway/sub/+/set") == "04150008"


async def test_qos_2_goes_both_ways(broker: Server) -> None:
    async with watcher(broker.port, "node/#") as seen, mqttsn_gateway(broker.port) as running:
        with Device(running.port) as board, Device(running.port) as other:
            await other.connects(b"other")
            assert await other.exchange("LL 12 40 0001", b"node/twice/x") == "0813400001000100"
            await board.connects(b"twice")
            topic_id = await board.registers(b"node/twice/x")
            assert await board.exchange(f"LL 0c 40 {topic_id} 0002", b"once") == "040f0002"
            await seen.sees("node/twice/x", b"once")
            assert await board.exchange("04 10 0002") == "040e0002"
            publish = (await other.receive()).hex()
            assert publish[:10] == "0b0c400001"
            assert await other.exchange(f"04 0f {publish[10:14]}") == f"0410{publish[10:14]}"
            other.send(f"04 0e {publish[10:14]}")
            await other.nothing(0.05)


async def test_a_sleeping_client_gets_everything_when_it_wakes(broker: Server) -> None:
    async with watcher(broker.port) as other, mqttsn_gateway(broker.port) as running:
        with Device(running.port) as board:
            await board.connects(b"sleeper", clean=False)
            suback = await board.exchange("LL 12 20 0001", b"gateway/sleeper/led/set")
            assert suback == "0813200001000100"
            assert await board.exchange("04 18 003c") == "0218"
            for value in (b"1", b"2", b"3"):
                other.connection.publish(9, "gateway/sleeper/led/set", value, qos=1)
            session = running.gateway._protocol.session("sleeper")
            assert session is not None
            delivery = session.delivery
            await eventually(lambda: len(delivery) == 3)
            await board.nothing(0.05)
            board.send("LL 16", b"sleeper")
            for value in (b"1", b"2", b"3"):
                publish = (await board.receive()).hex()
                assert publish[:10] == "080c200001"
                assert publish[14:] == value.hex()
                board.send(f"07 0d 0001 {publish[10:14]} 00")
            assert (await board.receive()).hex() == "0217"


async def test_the_will_of_a_silent_client_is_published(broker: Server) -> None:
    async with watcher(broker.port, "last/#") as seen, mqttsn_gateway(broker.port) as running:
        with Device(running.port) as board:
            assert await board.exchange("LL 04 0c 01 0001", b"mortal") == "0206"
            assert await board.exchange("LL 07 20", b"last/mortal") == "0208"
            assert await board.exchange("LL 09", b"gone") == "030500"
            await seen.sees("last/mortal", b"gone")


async def test_a_restarted_gateway_makes_its_clients_connect_again(mosquitto: Server) -> None:
    port = free_port(socket.SOCK_DGRAM)
    async with mqttsn_gateway(mosquitto.port, port=port), watcher(mosquitto.port):
        board = Device(port)
        await board.connects(b"board")
        topic_id = await board.registers(b"node/board/x")
    async with mqttsn_gateway(mosquitto.port, port=port):
        with board:
            answer = await board.exchange(f"LL 0c 20 {topic_id} 0002", b"1")
            assert answer == "0218"
            await board.connects(b"board")
            await board.publishes(await board.registers(b"node/board/x"), b"1", 3)


async def test_clients_notice_nothing_of_a_restart_of_the_gateway(
    broker: Server, tmp_path: Path
) -> None:
    """emcute ignores a DISCONNECT that it did not ask for, and never connects again by itself."""
    port = free_port(socket.SOCK_DGRAM)
    state = tmp_path / "state" / "mqttsn.db"
    async with watcher(broker.port, "node/#", "last/#") as seen:
        with Device(port) as board, Device(port) as sleeper:
            async with mqttsn_gateway(broker.port, port=port, kept=StateStore(state)) as running:
                assert await board.exchange("LL 04 0c 01 0168", b"board") == "0206"
                assert await board.exchange("LL 07 20", b"last/board") == "0208"
                assert await board.exchange("LL 09", b"gone") == "030500"
                topic_id = await board.registers(b"node/board/x")
                await board.publishes(topic_id, b"1", 2)
                suback = await board.exchange("LL 12 20 0003", b"gateway/board/led/set")
                assert suback == "0813200002000300"
                await sleeper.connects(b"sleeper", clean=False)
                assert await sleeper.exchange("LL 12 20 0001", b"news") == "0813200001000100"
                assert await sleeper.exchange("04 18 003c") == "0218"
                seen.connection.publish(9, "news", b"before", qos=1)
                before = running.gateway._protocol.session("sleeper")
                assert before is not None
                await eventually(lambda: len(before.delivery) == 1)
            async with mqttsn_gateway(broker.port, port=port, kept=StateStore(state)) as running:
                await eventually(lambda: running.gateway.clients == 2)
                await eventually(lambda: running.gateway._connections.connects == 2)
                # The ids of its topics are what they were, and its filters are in force.
                await board.publishes(topic_id, b"2", 4)
                await seen.sees("node/board/x", b"2")
                assert await board.registers(b"node/board/x", 5) == topic_id
                seen.connection.publish(9, "news", b"n", qos=1)
                session = running.gateway._protocol.session("sleeper")
                assert session is not None
                delivery = session.delivery
                await eventually(lambda: len(delivery) == 2)
                seen.connection.publish(9, "gateway/board/led/set", b"1", qos=0)
                publish = (await board.receive()).hex()
                assert publish[4:] == "00000200003" + "1"
                sleeper.send("LL 16", b"sleeper")
                for value in (b"before", b"n"):
                    publish = (await sleeper.receive()).hex()
                    assert publish[2:10] == "0c200001"
                    assert publish[14:] == value.hex()
                    sleeper.send(f"07 0d 0001 {publish[10:14]} 00")
                assert (await sleeper.receive()).hex() == "0217"
                assert await sleeper.exchange("02 18") == "0218"
            # Its clients are still connected: no will is published.
            assert not [each for each in seen.messages if each.topic == "last/board"]
        async with mqttsn_gateway(broker.port, port=port, kept=StateStore(state)) as running:
            await eventually(lambda: running.gateway.clients == 1)


async def test_a_client_that_left_is_not_there_after_a_restart(
    nats: Server, tmp_path: Path
) -> None:
    port = free_port(socket.SOCK_DGRAM)
    state = tmp_path / "mqttsn.db"
    with Device(port) as board:
        async with mqttsn_gateway(nats.port, port=port, kept=StateStore(state)):
            await board.connects(b"board")
            assert await board.exchange("02 18") == "0218"
        async with mqttsn_gateway(nats.port, port=port, kept=StateStore(state)) as running:
            assert running.gateway.clients == 0
            assert await board.exchange("02 16") == "0218"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
async def test_clients_are_known_again_at_every_kind_of_address(
    nats: Server, tmp_path: Path, host: str
) -> None:
    port = free_port(socket.SOCK_DGRAM)
    state = tmp_path / "mqttsn.db"
    own = {"::": ["127.0.0.1", "::1"], "::1": ["::1"]}.get(host, ["127.0.0.1"])
    boards = [Device(port, host=address) for address in own]
    async with mqttsn_gateway(nats.port, host=host, port=port, kept=StateStore(state)):
        for number, board in enumerate(boards):
            await board.connects(b"board%d" % number)
    async with mqttsn_gateway(nats.port, host=host, port=port, kept=StateStore(state)):
        for board in boards:
            assert await board.exchange("02 16") == "0217"
            board.close()


async def test_a_damaged_record_costs_its_client_alone(nats: Server, tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    state = tmp_path / "mqttsn.db"
    with Device(port) as board, Device(port) as other:
        async with mqttsn_gateway(nats.port, port=port, kept=StateStore(state)):
            await board.connects(b"board")
            await other.connects(b"other")
        with contextlib.closing(sqlite3.connect(state)) as database, database:
            database.execute("UPDATE records SET record = x'c1' WHERE key = 'other'")
        async with mqttsn_gateway(nats.port, port=port, kept=StateStore(state)):
            assert await board.exchange("02 16") == "0217"
            assert await other.exchange("02 16") == "0218"


# -- what an MQTT broker does not take ------------------------------------------------------------


@pytest.mark.parametrize("name", [b"a.b", b"a b", b"*", b">", b"100%"])
async def test_client_ids_that_nats_does_not_take_are_served(broker: Server, name: bytes) -> None:
    async with mqttsn_gateway(broker.port) as running, watcher(broker.port, "node/#") as seen:
        with Device(running.port) as board:
            await board.connects(name)
            await board.publishes(await board.registers(b"node/x/y"), b"1", 2)
            await seen.sees("node/x/y", b"1")


async def test_a_topic_with_a_space_is_refused_and_costs_nothing_else(broker: Server) -> None:
    async with mqttsn_gateway(broker.port) as running:
        with Device(running.port) as board:
            await board.connects(b"board")
            assert await board.exchange("LL 0a 0000 0001", b"node/board/a b") == "070b0000000103"
            # "a " as a short topic
            assert await board.exchange("LL 0c 22 6120 0002", b"1") == "070d6120000203"
            await board.publishes(await board.registers(b"node/board/x", 3), b"1", 4)
            assert running.gateway._connections.failures == 0


async def test_the_will_is_published_when_another_address_takes_the_client_id(
    broker: Server,
) -> None:
    async with watcher(broker.port, "last/#") as seen, mqttsn_gateway(broker.port) as running:
        with Device(running.port) as board, Device(running.port) as other:
            assert await board.exchange("LL 04 0c 01 0168", b"mortal") == "0206"
            assert await board.exchange("LL 07 20", b"last/mortal") == "0208"
            assert await board.exchange("LL 09", b"gone") == "030500"
            await other.connects(b"mortal")
            assert (await board.receive()).hex() == "0218"
            await seen.sees("last/mortal", b"gone")
            await other.publishes(await other.registers(b"node/mortal/x"), b"1", 2)


async def test_a_host_gets_at_most_its_share_of_the_connections(nats: Server) -> None:
    config = GatewayConfig(advertise_s=None, clients_per_host_max=2)
    async with mqttsn_gateway(nats.port, config, host="0.0.0.0") as running:
        boards = [Device(running.port, own=("127.0.0.3", 0)) for _ in range(3)]
        await boards[0].connects(b"a")
        await boards[1].connects(b"b")
        assert await boards[2].exchange("LL 04 04 01 0168", b"c") == "030501"
        with Device(running.port, own=("127.0.0.4", 0)) as other:
            await other.connects(b"d")
        for board in boards:
            board.close()


async def test_a_command_is_not_sent_to_a_sleeping_client_after_its_deadline(
    nats: Server,
) -> None:
    deadlines = CommandDeadlines()
    loop = asyncio.get_running_loop()
    async with (
        watcher(nats.port) as other,
        mqttsn_gateway(nats.port, deadlines=deadlines) as running,
    ):
        with Device(running.port) as board:
            await board.connects(b"sleeper")
            await board.exchange("LL 12 20 0001", b"gateway/sleeper/led/set")
            assert await board.exchange("04 18 003c") == "0218"
            topic = "gateway/sleeper/led/set"
            for payload, timeout_s in ((b"1", 0.2), (b"2", 60.0)):
                now = loop.time()
                deadlines.add(topic, payload, now + timeout_s, now=now)
                other.connection.publish(9, topic, payload, qos=0)
            session = running.gateway._protocol.session("sleeper")
            assert session is not None
            delivery = session.delivery
            await eventually(lambda: len(delivery) == 2)
            await asyncio.sleep(0.3)
            board.send("LL 16", b"sleeper")
            assert (await board.receive()).hex()[-2:] == b"2".hex()
            assert (await board.receive()).hex() == "0217"


async def test_nothing_acknowledged_is_lost_when_the_broker_is_killed(nats: Server) -> None:
    seen = Watcher()
    kept = ReconnectingMqttClient(
        MqttServer("127.0.0.1", nats.port),
        Connect("ledger", clean_session=False, keep_alive_s=60),
        seen.on_event,
    )
    watching = asyncio.create_task(kept.run())
    async with mqttsn_gateway(nats.port) as running:
        with Device(running.port) as board:
            await board.connects(b"board")
            seen.connection = await _connection(kept)
            await seen.subscribes("node/#")
            topic_id = await board.registers(b"node/board/x")
            acknowledged: list[int] = []

            async def publish(number: int) -> bool:
                answer = await board.exchange(f"LL 0c 20 {topic_id} {number:04x}", b"%d" % number)
                assert answer[:12] == f"070d{topic_id}{number:04x}"
                if answer[12:] == "00":
                    acknowledged.append(number)
                    return True
                assert answer[12:] == "01"  # congestion
                return False

            for number in range(1, 41):
                assert await publish(number)
            nats.kill()
            lost = 1000
            while await publish(lost):
                lost += 1
            restarted = asyncio.create_task(asyncio.to_thread(nats.start))
            watch = Stopwatch()
            again = 2000
            while not await publish(again):
                again += 1
                await asyncio.sleep(0.05)
            assert watch.elapsed_s < 10
            await restarted
            for number in range(41, 51):
                assert await publish(number)
            async with time_limit(PATIENCE_S):
                while not set(acknowledged) <= {int(message.payload) for message in seen.messages}:
                    await seen.changes()
            assert len(acknowledged) >= 51
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_lost_broker_is_logged_once_and_once_when_it_is_back(
    mosquitto: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with mqttsn_gateway(mosquitto.port) as running:
        boards = [Device(running.port) for _ in range(5)]
        for number, board in enumerate(boards):
            await board.connects(b"board%d" % number)
        mosquitto.kill()
        await eventually(lambda: "no connection to the MQTT broker" in caplog.text)
        await asyncio.to_thread(mosquitto.start)
        await eventually(lambda: mosquitto.log.count("as sn-board") == 10)
        await eventually(lambda: "connected to the MQTT broker again" in caplog.text)
        for board in boards:
            assert await board.exchange("02 16") == "0217"  # they never noticed
            board.close()
    assert caplog.text.count("no connection to the MQTT broker") == 1
    assert caplog.text.count("connected to the MQTT broker again") == 1


async def test_without_a_broker_connect_is_refused_with_congestion() -> None:
    config = GatewayConfig(advertise_s=None, session=SessionConfig(broker_limit_s=0.3))
    async with mqttsn_gateway(free_port(socket.SOCK_STREAM), config) as running:
        with Device(running.port) as board:
            assert await board.exchange("LL 04 04 01 0168", b"board") == "030501"
            assert running.gateway.clients == 0
            assert len(running.gateway._connections) == 0


async def test_every_client_has_its_own_mqtt_connection(mosquitto: Server) -> None:
    async with mqttsn_gateway(mosquitto.port) as running:
        boards = [Device(running.port) for _ in range(5)]
        for number, board in enumerate(boards):
            await board.connects(b"board%d" % number)
        assert len(running.gateway._connections) == 5
        assert [f"as sn-board{number} " in mosquitto.log for number in range(5)] == [True] * 5
        for board in boards:
            assert await board.exchange("02 18") == "0218"
            board.close()
        assert len(running.gateway._connections) == 0


async def test_qos_minus_1_is_published_for_every_peer_if_enabled(
    mosquitto: Server,
) -> None:
    config = GatewayConfig(
        advertise_s=None,
        publish_without_connection=True,
        session=SessionConfig(predefined={7: "node/any/x"}),
    )
    async with watcher(mosquitto.port, "node/#", "ab") as seen:
        async with mqttsn_gateway(mosquitto.port, config) as running:
            anybody = running.gateway._unconnected
            assert anybody is not None
            await _connection(anybody)
            with Device(running.port) as board:
                board.send("LL 0c 61 0007 0000", b"1")
                board.send("LL 0c 62 6162 0000", b"2")
                await seen.sees("node/any/x", b"1")
                await seen.sees("ab", b"2")
        async with mqttsn_gateway(mosquitto.port) as running:
            with Device(running.port) as board:
                board.send("LL 0c 62 6162 0000", b"3")
                assert await board.exchange("03 01 00") == "030201"
                assert not any(message.payload == b"3" for message in seen.messages)


# -- the socket ----------------------------------------------------------------------------------


async def test_searchgw_is_answered_with_gwinfo() -> None:
    config = GatewayConfig(gateway_id=9, advertise_s=None)
    async with mqttsn_gateway(1, config) as running:
        with Device(running.port) as board:
            assert await board.exchange("03 01 00") == "030209"
        assert await running.gateway.answers()
    assert not await running.gateway.answers()


async def test_it_advertises_itself_if_an_address_is_named() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as everybody:
        everybody.setblocking(False)
        everybody.bind(("127.255.255.255", port))
        config = GatewayConfig(gateway_id=3, advertise_s=900)
        async with mqttsn_gateway(1, config, port=port, advertise_address="127.255.255.255"):
            async with time_limit(PATIENCE_S):
                received = await asyncio.get_running_loop().sock_recv(everybody, 100)
            assert received.hex() == "0500030384"


async def test_multicast_request_is_answered_from_a_unicast_address() -> None:
    group = "224.0.2.77"
    async with mqttsn_gateway(1, host="0.0.0.0", advertise_address=group) as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as prober:
            prober.settimeout(PATIENCE_S)
            lo = socket.inet_aton("127.0.0.1")
            prober.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, lo)
            # It joined on the interface of the default route; here, there is loopback alone.
            running.gateway._endpoint._socket.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + lo
            )
            prober.sendto(b"\x03\x01\x00", (group, running.port))
            received, who = await asyncio.to_thread(prober.recvfrom, 100)
            assert received.hex() == "030201"
            assert who[0] == "127.0.0.1"


async def test_a_group_of_ipv6_is_joined_on_its_interface() -> None:
    async with mqttsn_gateway(1, host="::", advertise_address="ff12::77%lo"):
        groups = await asyncio.to_thread(Path("/proc/net/igmp6").read_text)
        assert "ff120000000000000000000000000077" in groups


@pytest.mark.parametrize("own", ["127.0.0.1", "127.0.0.5", "::1"])
async def test_every_own_address_answers_from_itself(own: str) -> None:
    async with mqttsn_gateway(1, host="::") as running:
        # The device receives only from the address that it sent to.
        with Device(running.port, host=own) as board:
            assert await board.exchange("03 01 00") == "030201"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_icmp_errors_of_clients_that_left_do_not_stop_the_gateway(
    mosquitto: Server, loop: str
) -> None:
    """An ICMP error must not end the watch of the socket."""

    async def talk() -> None:
        async with mqttsn_gateway(mosquitto.port) as running:
            with Device(running.port) as board:
                await board.connects(b"stays")
                for number in range(5):
                    gone = Device(running.port)
                    gone.send("03 01 00")
                    gone.close()
                    assert await board.exchange("02 16") == "0217", number

    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(talk(), 20))


async def test_a_port_in_use_is_one_sentence() -> None:
    async with mqttsn_gateway(1) as running:
        with pytest.raises(OperatorError, match="--mqttsn-port"):
            Endpoint("127.0.0.1", running.port)


@pytest.mark.parametrize("address", ["nowhere", "ff02::1%nosuch0", "999.1.1.1"])
async def test_an_address_that_cannot_be_is_one_sentence(address: str) -> None:
    with pytest.raises(OperatorError, match="advertise_address"):
        Endpoint("::", 0, address)


async def test_a_host_that_cannot_be_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match="cannot listen"):
        Endpoint("192.0.2.1", 0)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_all_ends_with_the_gateway(mosquitto: Server) -> None:
    async def serves_one() -> None:
        async with mqttsn_gateway(mosquitto.port) as running:
            with Device(running.port) as board:
                await board.connects(b"board")

    tasks = len(asyncio.all_tasks())
    await serves_one()  # uvloop keeps a file open from the first connection on
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    files = open_files()
    await serves_one()
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks and open_files() <= files)


async def _connection(kept: ReconnectingMqttClient) -> MqttConnection:
    await eventually(lambda: kept.connection is not None)
    assert kept.connection is not None
    return kept.connection


async def test_refused_clients_and_dropped_datagrams_are_reported() -> None:
    """Without an MQTT broker: the owner of a board reads it in the dashboard."""
    reports: list[str] = []

    def report(text: str, *details: object) -> None:
        reports.append(text % details)

    async with mqttsn_gateway(free_port(socket.SOCK_STREAM), report=report) as running:
        with Device(running.port) as device:
            assert await device.exchange("LL 04 04 02 0168", b"board") == "030503"
            device.send("02 ff")
            await eventually(lambda: len(reports) == 2)
            assert reports[0] == (
                f"MQTT-SN: a client at 127.0.0.1:{device.port} was refused: its client id or its"
                " will is not allowed"
            )
            assert reports[1].startswith("MQTT-SN: a datagram of 127.0.0.1 was dropped: ")
