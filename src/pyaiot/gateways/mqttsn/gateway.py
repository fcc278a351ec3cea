# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT-SN gateway: datagrams in, MQTT out, and back (PROTOCOLS 5).

It has no link to the broker of Pyaiot: what its clients publish reaches the MQTT gateway, and there
they are nodes.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.gateways.command_deadlines import CommandDeadlines
from pyaiot.gateways.mqttsn import metrics
from pyaiot.gateways.mqttsn.admission import Doorkeeper, Verdict
from pyaiot.gateways.mqttsn.connections import Connections
from pyaiot.gateways.mqttsn.endpoint import Address, Endpoint, finds_gateway
from pyaiot.gateways.mqttsn.records import read_record, write_record
from pyaiot.gateways.state_store import Kept
from pyaiot.metrics import Sample
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.connection import Reconnecting
from pyaiot.protocols.mqtt.packets import Connect
from pyaiot.protocols.mqttsn.gateway_table import (
    Broadcast,
    GatewayTable,
    Output,
    Peer,
    PublishForAnybody,
    Send,
    ToMqtt,
)
from pyaiot.protocols.mqttsn.mqtt import MqttEvent
from pyaiot.protocols.mqttsn.numbers import ReturnCode
from pyaiot.protocols.mqttsn.packets import ConnAck, Forwarded, parse_packet
from pyaiot.protocols.mqttsn.settings import GatewayConfig
from pyaiot.transport.rate_limit import RateLimit, RateLimitedLog
from pyaiot.transport.timer import Timer

ROUND_TRIP_LIMIT_S: Final = 2.0
"""How long the gateway may take to answer its own question. Then `/readyz` says so."""
ANYBODY_PER_S: Final = 100.0
ANYBODY_BURST: Final = 200.0
"""Publications of QoS -1 of all who send some. Above: dropped."""
KEEP_ALIVE_S: Final = 60
"""Of the connection for publications of QoS -1."""

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
        kept: Kept | None = None,
        deadlines: CommandDeadlines | None = None,
    ) -> None:
        """The port is open already, so that nothing is lost between.

        `kept`: what remembers the clients over a restart. `deadlines` of commands, where they come
        from the MQTT gateway of this process.
        """
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._kept = kept or Kept()
        self._table: GatewayTable[Address] = GatewayTable(
            config,
            now=self._loop.time(),
            host_of=lambda address: address.host,
            deadline_of=(CommandDeadlines() if deadlines is None else deadlines).find,
            changed=self._kept.changed,
        )
        self._door = Doorkeeper(packets_per_s=packets_per_s, is_client=self._is_client)
        self._connections = Connections(server, self._mqtt, prefix=client_prefix)
        self._alarm = Timer(self._loop, self._timeout)
        self._anybody_rate = RateLimit(per_s=ANYBODY_PER_S, burst=ANYBODY_BURST, now=0.0)
        self._anybody: Reconnecting | None = None
        if config.publish_without_connection:
            # At most 23 letters and digits go through everywhere.
            connect = Connect(f"pyaiotsn{secrets.token_hex(7)}", keep_alive_s=KEEP_ALIVE_S)
            self._anybody = Reconnecting(server, connect, lambda _event: None)
        self.counts: Counter[str] = Counter()
        """Datagrams that came, and those that were not heard, by reason."""
        self._log = RateLimitedLog(log)

    @property
    def port(self) -> int:
        return self._endpoint.port

    @property
    def clients(self) -> int:
        """Connected, connecting or asleep."""
        return len(self._table)

    def measure(self) -> Iterable[Sample]:
        """What there is to measure here."""
        yield metrics.MQTTSN_CLIENTS.of(self.clients)
        yield metrics.MQTTSN_DATAGRAMS.of(self.counts["received"])
        for reason in metrics.MQTTSN_REASONS[:-1]:
            yield metrics.MQTTSN_DROPPED.of(self.counts[reason], reason=reason)
        yield metrics.MQTTSN_MESSAGES_DROPPED.of(self._table.dropped)
        yield metrics.MQTTSN_CONNECTS.of(self._connections.connects)
        yield metrics.MQTTSN_CONNECT_FAILURES.of(self._connections.failures)
        yield metrics.MQTTSN_UNSENT.of(self._endpoint.unsent)

    async def run(self) -> None:
        """Serve until cancelled, and close the port then."""
        try:
            self._restore()
            self._endpoint.listen(self._received)
            self._alarm.set(self._table.wake_at)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._kept.run(self._record_of), name="MQTT-SN state file")
                if self._anybody is not None:
                    tasks.create_task(self._anybody.run(), name="MQTT-SN without connection")
                await asyncio.Future()
        finally:
            self._alarm.cancel()
            self._connections.close()
            self._endpoint.close()

    async def answers(self) -> bool:
        """A round trip through our own socket: whether clients would be heard."""
        return await finds_gateway(self._endpoint.host, self._endpoint.port, ROUND_TRIP_LIMIT_S)

    def _restore(self) -> None:
        """Go on with the clients of before the restart: not all would connect again."""
        restored = 0
        now = self._loop.time()
        for record in self._kept.take_records():
            try:
                saved = read_record(record)
            except (msgspec.DecodeError, OSError, ValueError) as error:
                log.debug("MQTT-SN: a client was not restored: %s", error)
                continue
            outputs = self._table.restore(saved, now=now)
            restored += bool(outputs)
            self._carry_out(outputs, now)
        if restored:
            log.info("MQTT-SN: %d clients of before the restart are connected again", restored)

    def _record_of(self, client_id: str) -> bytes | None:
        saved = self._table.save(client_id)
        return None if saved is None else write_record(saved)

    def _received(self, datagram: bytes, address: Address) -> None:
        now = self._loop.time()
        self.counts["received"] += 1
        verdict = self._door.on_datagram(datagram, address, lambda: address.host, now=now)
        if verdict is not Verdict.HEARD:
            self._not_heard(verdict.value, address, now)
            if verdict is Verdict.CONNECTS_TOO_FAST:
                self._refuse_connect(datagram, address)
            return
        try:
            outputs = self._table.received(datagram, address, now=now)
        except ProtocolError as error:
            self._not_heard("no packet", address, now, str(error))
            return
        self._carry_out(outputs, now)

    def _mqtt(self, client_id: str, event: MqttEvent) -> None:
        now = self._loop.time()
        self._carry_out(self._table.mqtt(client_id, event, now=now), now)

    def _timeout(self) -> None:
        now = self._loop.time()
        self._carry_out(self._table.timeout(now=now), now)

    def _carry_out(self, outputs: Iterable[Output[Address]], now: float) -> None:
        for output in outputs:
            match output:
                case Send(address, datagram):
                    if self._door.may_send(datagram, address):
                        self._endpoint.send(datagram, address)
                    else:
                        self.counts["too long for a client that said nothing but CONNECT"] += 1
                case ToMqtt(client_id, action):
                    self._connections.do(client_id, action)
                case PublishForAnybody():
                    self._publish_for_anybody(output, now)
                case Broadcast(datagram):
                    self._endpoint.advertise(datagram)
        self._alarm.set(self._table.wake_at)

    def _publish_for_anybody(self, output: PublishForAnybody, now: float) -> None:
        connection = None if self._anybody is None else self._anybody.connection
        if self._anybody_rate.take(now):
            self.counts["QoS -1 over its rate"] += 1
        elif connection is None or not connection.publish(
            0, output.topic, output.payload, qos=0, retain=output.retain
        ):
            self.counts["QoS -1 without an MQTT broker"] += 1

    def _refuse_connect(self, datagram: bytes, address: Address) -> None:
        """It is told, with less than it said, so that it comes again later."""
        try:
            packet = parse_packet(datagram)
        except ProtocolError:
            return
        answer = ConnAck(ReturnCode.CONGESTION)
        if isinstance(packet, Forwarded):
            self._endpoint.send(Forwarded(answer, packet.node_id).to_bytes(), address)
        else:
            self._endpoint.send(answer.to_bytes(), address)

    def _not_heard(self, why: str, address: Address, now: float, detail: str = "") -> None:
        self.counts[why] += 1
        self._log.warning(
            "MQTT-SN: a datagram of %s was not heard: %s", address.host, detail or why, now=now
        )

    def _is_client(self, address: Hashable, node_id: bytes | None) -> bool:
        assert isinstance(address, Address)  # noqa: S101 - it is ours
        return self._table.is_client(Peer(address, node_id))
