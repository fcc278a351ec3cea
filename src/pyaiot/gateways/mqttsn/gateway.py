# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT-SN gateway: connects MQTT-SN clients to an MQTT broker (legacy protocol, section 5).

It has no link to the broker of Pyaiot: its clients publish to the MQTT broker, and are nodes of the
MQTT gateway.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.mqttsn import metrics
from pyaiot.gateways.mqttsn.admission import AdmissionControl, AdmissionResult
from pyaiot.gateways.mqttsn.connections import MqttConnections
from pyaiot.gateways.mqttsn.endpoint import Endpoint, finds_gateway
from pyaiot.gateways.mqttsn.records import read_record, write_record
from pyaiot.gateways.state_store import StateStore
from pyaiot.metrics import Sample
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import ReconnectingMqttClient
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.protocols.mqttsn.gateway import MqttSnGatewayProtocol
from pyaiot.protocols.mqttsn.gateway_events import (
    Broadcast,
    ClientAddress,
    Output,
    PublishWithoutConnection,
    Send,
    ToMqtt,
)
from pyaiot.protocols.mqttsn.mqtt import MqttEvent
from pyaiot.protocols.mqttsn.numbers import PacketType, ReturnCode
from pyaiot.protocols.mqttsn.packets import ConnAck, Forwarded, parse_packet
from pyaiot.protocols.mqttsn.settings import GatewayConfig
from pyaiot.transport.datagram_batches import BATCH_MAX
from pyaiot.transport.pauses import PauseGuard
from pyaiot.transport.peers import Peer
from pyaiot.transport.rate_limit import RateLimit, RateLimitedLog
from pyaiot.transport.timer import Timer

ROUND_TRIP_LIMIT_S: Final = 2.0
"""How long the gateway may take to answer its own SEARCHGW. Then `/readyz` reports it."""
UNCONNECTED_PER_S: Final = 100.0
UNCONNECTED_BURST: Final = 200.0
"""Publications with QoS -1 of all senders. Above: dropped."""
KEEP_ALIVE_S: Final = 60
"""MQTT keep-alive of the connection for publications with QoS -1."""

_CONNACK: Final = bytes((PacketType.CONNACK,))
_REASONS: Final[Mapping[int, str]] = {
    ReturnCode.CONGESTION: "too many clients, or the MQTT broker does not accept it now",
    ReturnCode.NOT_SUPPORTED: "its client id or its will is not allowed",
}

log = logging.getLogger(__name__)


class MqttSnGateway:
    """One UDP port, and a connection to the MQTT broker for each client."""

    def __init__(
        self,
        endpoint: Endpoint,
        server: MqttServer,
        config: GatewayConfig,
        *,
        packets_per_s: float = 200.0,
        client_prefix: str = "sn-",
        kept: StateStore | None = None,
        deadlines: CommandDeadlines | None = None,
        report: Callable[..., None] = lambda _text, *_details: None,
    ) -> None:
        """`endpoint` is already open. `report` is called with a log text, with the address and the
        reason, for each dropped datagram and each refused client. `kept`: stores the clients across
        a restart. `deadlines`: of the commands that the MQTT gateway of this process sends."""
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._kept = kept or StateStore()
        self._to_send: list[tuple[bytes, Peer]] = []
        self._protocol: MqttSnGatewayProtocol[Peer] = MqttSnGatewayProtocol(
            config,
            now=self._loop.time(),
            host_of=lambda peer: peer.address.host,
            deadline_of=(CommandDeadlines() if deadlines is None else deadlines).find,
            on_change=self._kept.changed,
        )
        self._admission = AdmissionControl(
            endpoint.limits, packets_per_s=packets_per_s, is_client=self._is_client
        )
        self._connections = MqttConnections(server, self._on_mqtt_event, prefix=client_prefix)
        self._timer = Timer(self._loop, self._handle_timer)
        self._pauses = PauseGuard()
        self._unconnected_rate = RateLimit(
            per_s=UNCONNECTED_PER_S, burst=UNCONNECTED_BURST, now=0.0
        )
        self._unconnected: ReconnectingMqttClient | None = None
        if config.publish_without_connection:
            # Every broker accepts up to 23 letters and digits (MQTT 3.1.1 section 3.1.3.1).
            connect = Connect(f"pyaiotsn{secrets.token_hex(7)}", keep_alive_s=KEEP_ALIVE_S)
            self._unconnected = ReconnectingMqttClient(server, connect, lambda _event: None)
        self.counts: Counter[str] = Counter()
        """Number of received datagrams, and of dropped ones by reason."""
        self._log = RateLimitedLog(log)
        self._report = report

    @property
    def port(self) -> int:
        return self._endpoint.port

    @property
    def clients(self) -> int:
        """Clients that are connected, connecting or asleep."""
        return len(self._protocol)

    def collect(self) -> Iterable[Sample]:
        """The metrics of this gateway."""
        yield metrics.MQTTSN_CLIENTS.of(self.clients)
        yield metrics.MQTTSN_DATAGRAMS.of(self.counts["received"])
        self.counts["too long for a client that said nothing but CONNECT"] = (
            self._endpoint.limits.held_back
        )
        for reason in metrics.MQTTSN_REASONS[:-1]:
            yield metrics.MQTTSN_DROPPED.of(self.counts[reason], reason=reason)
        yield metrics.MQTTSN_MESSAGES_DROPPED.of(self._protocol.dropped)
        yield metrics.MQTTSN_CONNECTS.of(self._connections.connects)
        yield metrics.MQTTSN_CONNECT_FAILURES.of(self._connections.failures)
        yield metrics.MQTTSN_UNSENT.of(self._endpoint.unsent)

    async def run(self) -> None:
        """Serve until cancelled, then close the port."""
        try:
            self._restore()
            self._endpoint.listen(self._receive)
            self._timer.set(self._protocol.get_timer())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._kept.run(self._record_of), name="MQTT-SN state file")
                if self._unconnected is not None:
                    tasks.create_task(self._unconnected.run(), name="MQTT-SN without connection")
                try:
                    await asyncio.Future()
                finally:
                    for client_id in self._protocol.clients_with_messages():
                        self._kept.changed(client_id)
        finally:
            self._timer.cancel()
            # A restored client is not lost: its will is published later, if the client does not
            # return.
            self._connections.close(with_wills=not self._kept.is_saved)
            self._send()
            self._endpoint.close()

    async def answers(self) -> bool:
        """Whether a datagram to its own port is answered in time."""
        return await finds_gateway(self._endpoint.host, self._endpoint.port, ROUND_TRIP_LIMIT_S)

    def _restore(self) -> None:
        """Restore the clients of the previous run: not all of them would connect again."""
        restored = 0
        now = self._loop.time()
        for record in self._kept.take_records():
            try:
                saved = read_record(record)
            except (msgspec.DecodeError, OSError, ValueError) as error:
                log.debug("MQTT-SN: a client was not restored: %s", error)
                continue
            if saved.peer is not None:
                self._endpoint.limits.verify(saved.peer.address.host)
            outputs = self._protocol.restore(saved, now=now)
            restored += bool(outputs)
            self._perform(outputs, now)
        if restored:
            log.info("MQTT-SN: %d clients of the previous run were restored", restored)

    def _record_of(self, client_id: str) -> bytes | None:
        saved = self._protocol.save(client_id)
        return None if saved is None else write_record(saved)

    def _receive(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        now = self._loop.time()
        for datagram, peer in datagrams:
            self._receive_datagram(datagram, peer, now)

    def _receive_datagram(self, datagram: bytes, peer: Peer, now: float) -> None:
        self.counts["received"] += 1
        admission = self._admission.judge_datagram(datagram, peer, now=now)
        if admission is not AdmissionResult.ADMITTED:
            self._count_dropped(admission.value, peer, now)
            if admission is AdmissionResult.CONNECTS_TOO_FAST:
                self._refuse_connect(datagram, peer)
            return
        try:
            outputs = self._protocol.receive_datagram(datagram, peer, now=now)
        except ProtocolError as error:
            self._count_dropped("no packet", peer, now, str(error))
            return
        self._perform(outputs, now)

    def _on_mqtt_event(self, client_id: str, event: MqttEvent) -> None:
        now = self._loop.time()
        self._perform(self._protocol.receive_mqtt_event(client_id, event, now=now), now)

    def _handle_timer(self) -> None:
        now = self._loop.time()
        due = self._protocol.get_timer()
        postponed = None if due is None else self._pauses.postponed(due, now=now)
        if postponed is not None:
            self._timer.set(postponed)
            return
        self._perform(self._protocol.handle_timer(now=now), now)

    def _perform(self, outputs: Iterable[Output[Peer]], now: float) -> None:
        for output in outputs:
            match output:
                case Send(address, datagram):
                    self._send_soon(datagram, address)
                    if datagram[1:2] == _CONNACK and datagram[2] != ReturnCode.ACCEPTED:
                        self._report_refused(datagram[2], address)
                case ToMqtt(client_id, action):
                    self._connections.perform(client_id, action)
                case PublishWithoutConnection():
                    self._publish_without_connection(output, now)
                case Broadcast(datagram):
                    self._endpoint.advertise(datagram)
        self._timer.set(self._protocol.get_timer())

    def _send_soon(self, datagram: bytes, peer: Peer) -> None:
        """Send with the other datagrams of this turn of the event loop, in order."""
        if not self._to_send:
            self._loop.call_soon(self._send)
        self._to_send.append((datagram, peer))
        if len(self._to_send) >= BATCH_MAX:
            self._send()

    def _send(self) -> None:
        to_send, self._to_send = self._to_send, []
        self._endpoint.send_all(to_send)

    def _publish_without_connection(self, output: PublishWithoutConnection, now: float) -> None:
        connection = None if self._unconnected is None else self._unconnected.connection
        if self._unconnected_rate.take(now):
            self.counts["QoS -1 over its rate"] += 1
        elif connection is None or not connection.publish(
            0, output.topic, output.payload, qos=0, retain=output.retain
        ):
            self.counts["QoS -1 without an MQTT broker"] += 1

    def _refuse_connect(self, datagram: bytes, peer: Peer) -> None:
        """Answer "congestion", so that the client tries later. The answer is shorter than
        CONNECT."""
        try:
            packet = parse_packet(datagram)
        except ProtocolError:
            return
        answer = ConnAck(ReturnCode.CONGESTION)
        if isinstance(packet, Forwarded):
            self._send_soon(Forwarded(answer, packet.node_id).to_bytes(), peer)
        else:
            self._send_soon(answer.to_bytes(), peer)

    def _count_dropped(self, why: str, peer: Peer, now: float, detail: str = "") -> None:
        self.counts[why] += 1
        text, host = "MQTT-SN: a datagram of %s was dropped: %s", peer.address.host
        self._log.warning(text, host, detail or why, now=now)
        self._report(text, host, detail or why)

    def _report_refused(self, code: int, peer: Peer) -> None:
        self._report("MQTT-SN: a client at %s was refused: %s", peer, _REASONS.get(code, code))

    def _is_client(self, peer: Peer, node_id: bytes | None) -> bool:
        return self._protocol.is_client(ClientAddress(peer, node_id))
