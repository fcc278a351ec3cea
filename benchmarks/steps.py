# SPDX-License-Identifier: BSD-3-Clause
"""The CPU time of a reading by step, in this process, so that other processes disturb it little.

Each step processes a batch of readings of many nodes; the median of several rounds counts. System
calls are measured for datagrams only.
"""

import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from benchmarks.coap import post
from benchmarks.processes import HOST, Home
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from benchmarks.wire import frame
from pyaiot.broker.broker import Broker
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.endpoint import host_limits
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import Posted, reports_of
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.mqttsn.admission import AdmissionControl
from pyaiot.gateways.mqttsn.admission import host_limits as mqttsn_limits
from pyaiot.gateways.unconfirmed import Unconfirmed
from pyaiot.links import BrokerCodec, GatewayCodec
from pyaiot.messages import FromGateway, Hello, NodeAppeared, Reading, ToGateway
from pyaiot.protocols.mqtt.client import MqttClientProtocol
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.protocols.mqttsn.gateway import MqttSnGatewayProtocol
from pyaiot.protocols.mqttsn.gateway_events import ClientAddress, ToMqtt
from pyaiot.protocols.mqttsn.mqtt import MqttConnected, MqttPublish
from pyaiot.protocols.mqttsn.packets import Connect as SnConnect
from pyaiot.protocols.mqttsn.packets import Publish, Register
from pyaiot.protocols.mqttsn.settings import GatewayConfig
from pyaiot.protocols.websocket_node import read_value
from pyaiot.transport.peers import Peer
from pyaiot.transport.udp import DatagramEndpoint
from pyaiot.transport.udp_sockets import udp_socket
from pyaiot.transport.websocket_frames import read_messages

NODES: Final = 500
DATAGRAMS: Final = 32
"""Datagrams that are read together."""
FRAMES: Final = 4
"""WebSocket messages that are read together."""


class Steps:
    """The CPU time of each step, by round."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._spent_s: dict[str, list[float]] = {}

    def begin(self) -> None:
        """Begin a round."""
        for rounds in self._spent_s.values():
            rounds.append(0.0)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the CPU time of the block to this step."""
        began = time.thread_time()
        yield
        spent_s = time.thread_time() - began
        self._spent_s.setdefault(name, [0.0])[-1] += spent_s

    def report(self, results: Results, readings: int) -> None:
        """`readings`: how many each round has processed."""
        total_us = 0.0
        for name, rounds in self._spent_s.items():
            of_reading_us = [spent_s / readings * 1e6 for spent_s in rounds]
            median_us = statistics.median(of_reading_us)
            total_us += median_us
            note = f"least of {len(rounds)} rounds: {min(of_reading_us):.2f} µs"
            results.figures.append(
                Figure("steps", f"{self._group}: {name}", median_us, "µs", note=note)
            )
        results.figures.append(Figure("steps", f"{self._group}: all of these", total_us, "µs"))


def measure(results: Results, _home: Home, size: Size) -> None:
    asyncio.run(_measure(results, size.step_rounds))


async def _measure(results: Results, rounds: int) -> None:
    _datagrams(results, rounds)
    _coap(results, rounds)
    _websocket(results, rounds)
    await _broker(results, rounds)
    _mqttsn(results, rounds)


def _nodes() -> LiveNodes:
    """Nodes with one resource. The time of the loop grows by a second in each round."""
    nodes = LiveNodes(silence_limit_s=120.0, nodes_max=NODES, new_nodes_per_s=float(NODES))
    for number in range(NODES):
        uid = f"BENCH{number:010}"
        nodes.node_seen(uid, {"protocol": "CoAP", "ip": _host(number)}, now=0.0, ts=0.0)
        nodes.verify(uid)
        nodes.reading(uid, "temperature", "20.5°C", now=0.0, ts=0.0)
    return nodes


def _host(number: int) -> str:
    return f"10.84.{number // 250}.{number % 250 + 1}"


def _value(number: int) -> str:
    return f"{20 + number % 100 / 10:.1f}°C"


def _datagrams(results: Results, rounds: int) -> None:
    """Datagrams of nodes, each with its own address, through a socket, and their responses."""
    sock = udp_socket(HOST, 0, "", protocol="CoAP", flag="--coap-port")
    endpoint = DatagramEndpoint(
        sock, asyncio.get_running_loop(), protocol="CoAP", limits=host_limits()
    )
    datagram = post("server", "temperature:20.5°C", 1)
    steps = Steps("datagrams")
    with contextlib.ExitStack() as sockets:
        senders = []
        for number in range(DATAGRAMS):
            sender = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.bind((f"127.84.0.{number + 1}", 0))
            sender.connect((HOST, endpoint.port))
            senders.append(sender)
        for _ in range(rounds):
            steps.begin()
            for _ in range(NODES // DATAGRAMS):
                for sender in senders:
                    sender.send(datagram)
                with steps.step("receive"):
                    received = endpoint.read_some(DATAGRAMS)
                answers = [(datagram[:4], peer) for _, peer in received]
                with steps.step("answer"):
                    endpoint.send_all(answers)
                for sender in senders:
                    sender.recv(100)
    endpoint.close()
    steps.report(results, NODES // DATAGRAMS * DATAGRAMS)


def _coap(results: Results, rounds: int) -> None:
    """Posts from datagrams to the frame for the broker."""
    nodes = _nodes()
    table: AddressTable[Peer] = AddressTable()
    intake = CoapIntake(nodes, table, limits=host_limits(), has_request=lambda _peer, _token: False)
    peers = []
    for number in range(NODES):
        peer = Peer((f"::ffff:{_host(number)}", 5683, 0, 0))
        table.claim(f"BENCH{number:010}", peer.address, peer, now=0.0)
        peers.append(peer)
    head, _, rest = post("server", "temperature:", 0).partition(bytes(4))
    unconfirmed, codec, steps = Unconfirmed(), GatewayCodec(), Steps("CoAP gateway")
    for turn in range(rounds):
        steps.begin()
        datagrams = [
            (head + (turn * NODES + number).to_bytes(4, "big") + rest + _value(number).encode(), at)
            for number, at in enumerate(peers)
        ]
        posts: list[Posted] = []
        with steps.step("posts"):
            for begin in range(0, NODES, DATAGRAMS):
                intake.receive_datagrams(
                    iter(datagrams[begin : begin + DATAGRAMS]), now=1.0 + turn, unix_time=time.time
                )
                while (event := intake.next_event()) is not None:
                    assert isinstance(event, Posted)
                    posts.append(event)
                intake.datagrams_to_send()
            reports = reports_of(posts)
        _to_link(steps, unconfirmed, codec, reports)
        assert len(reports) == NODES
    steps.report(results, NODES)


def _to_link(
    steps: Steps, unconfirmed: Unconfirmed, codec: GatewayCodec, reports: Sequence[Any]
) -> None:
    with steps.step("unconfirmed events"):
        unconfirmed.add_all(reports)
    with steps.step("frame of the link"):
        codec.encode(reports)


def _websocket(results: Results, rounds: int) -> None:
    """Frames of nodes to readings."""
    nodes = _nodes()
    steps = Steps("WebSocket gateway")
    for turn in range(rounds):
        steps.begin()
        reads = [
            b"".join(
                frame(f'{{"type":"update","data":{{"temperature":"{_value(number)}"}}}}'.encode())
                for _ in range(FRAMES)
            )
            for number in range(NODES)
        ]
        with steps.step("frames"):
            messages = [read_messages(data, 64)[0] for data in reads]
        with steps.step("JSON"):
            values = [[read_value(message) for message in each] for each in messages]
        with steps.step("readings"):
            for number, each in enumerate(values):
                for value in each:
                    assert value is not None
                    nodes.known_reading(f"BENCH{number:010}", *value, now=1.0 + turn, ts=2.0)
    steps.report(results, NODES * FRAMES)


class _Client:
    """A client that reads everything."""

    def write(self, data: bytes) -> None: ...

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None: ...


class _Link:
    """A link that only stores its receiver."""

    queue = 0, 0

    def __init__(self) -> None:
        self.received: Callable[[Sequence[FromGateway]], None]

    def send(self, message: ToGateway) -> None: ...

    def send_all(self, messages: Sequence[ToGateway], costs: Sequence[int]) -> None: ...

    def close(self, reason: str) -> None: ...

    async def run(self, received: Callable[[Sequence[FromGateway]], None]) -> None:
        self.received = received
        await asyncio.Future()


async def _broker(results: Results, rounds: int) -> None:
    """Frames of a gateway to one client, without history."""
    loop = asyncio.get_running_loop()
    broker = Broker(flush_interval_s=60.0, timer=loop, unix_time=time.time)
    link = _Link()
    serving = loop.create_task(broker.serve_gateway(link, acknowledges=True))
    await asyncio.sleep(0)
    uids = [f"BENCH{number:010}" for number in range(NODES)]
    link.received([Hello(name="coap", protocol="CoAP")])
    for uid in uids:
        link.received(
            [NodeAppeared(uid=uid, ts=1.0), Reading.received(uid, "temperature", "20°C", 1.0)]
        )
    broker.client_connected(_Client())
    codec, steps = BrokerCodec(lambda _problem: None), Steps("broker")
    for turn in range(rounds):
        steps.begin()
        readings = [
            Reading.received(uid, "temperature", _value(number), 1790000000.0 + turn + number / 1e3)
            for number, uid in enumerate(uids)
        ]
        (data,) = GatewayCodec().encode(readings)
        with steps.step("frame of the link"):
            decoded = codec.decode(data)
        with steps.step("router and gathering"):
            link.received(decoded)
        with steps.step("frame for the clients"):
            broker.fanout.flush()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    steps.report(results, NODES)


def _mqttsn(results: Results, rounds: int) -> None:
    """Publications with QoS 1 of MQTT-SN clients, and the answers of the MQTT broker."""
    config = GatewayConfig(advertise_s=None, clients_per_host_max=NODES, clients_max=NODES)
    gateway: MqttSnGatewayProtocol[Peer] = MqttSnGatewayProtocol(
        config, now=0.0, host_of=lambda peer: peer.address.host
    )
    admission = AdmissionControl(
        mqttsn_limits(),
        packets_per_s=1e9,
        is_client=lambda peer, node_id: gateway.is_client(ClientAddress(peer, node_id)),
    )
    payload = '{"value":"21.5°C"}'.encode()
    clients: list[tuple[str, Peer, bytes, MqttClientProtocol]] = []
    for number in range(NODES):
        client_id, peer = f"sn-{number}", Peer((f"::ffff:{_host(number)}", 5683, 0, 0))
        gateway.receive_datagram(SnConnect(client_id, 360).to_bytes(), peer, now=0.0)
        gateway.receive_mqtt_event(client_id, MqttConnected(), now=0.0)
        topic = f"node/{client_id}/temperature"
        gateway.receive_datagram(Register(topic, 1).to_bytes(), peer, now=0.0)
        mqtt = MqttClientProtocol()
        mqtt.connection_opened(Connect(client_id, True, 60, None), now=0.0)
        list(mqtt.receive_bytes(b"\x20\x02\0\0", now=0.0))
        mqtt.bytes_to_send()
        clients.append((client_id, peer, topic.encode(), mqtt))
    steps = Steps("MQTT-SN gateway, QoS 1")
    for turn in range(rounds):
        steps.begin()
        now = 1.0 + turn / 1000
        datagram = Publish(1, payload, 1, turn + 1).to_bytes()
        with steps.step("rate limits"):
            for _, peer, _, _ in clients:
                admission.judge_datagram(datagram, peer, now=now)
        with steps.step("PUBLISH"):
            actions = [
                output.action
                for _, peer, _, _ in clients
                for output in gateway.receive_datagram(datagram, peer, now=now)
                if isinstance(output, ToMqtt) and isinstance(output.action, MqttPublish)
            ]
        with steps.step("to the MQTT broker"):
            for (_, _, _, mqtt), action in zip(clients, actions, strict=True):
                mqtt.publish(
                    *(action.token, action.topic, action.payload), qos=1, retain=False, now=now
                )
        answers = [
            b"\x40\x02" + mqtt.bytes_to_send().partition(topic)[2][:2]
            for _, _, topic, mqtt in clients
        ]
        with steps.step("from the MQTT broker"):
            events = [
                list(mqtt.receive_bytes(answer, now=now))
                for (_, _, _, mqtt), answer in zip(clients, answers, strict=True)
            ]
        with steps.step("PUBACK"):
            for (client_id, _, _, _), (event,) in zip(clients, events, strict=True):
                gateway.receive_mqtt_event(client_id, event, now=now)
    steps.report(results, NODES)
